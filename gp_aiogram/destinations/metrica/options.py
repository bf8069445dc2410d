"""Validates the arguments of YandexMetrica, so that a mistake is reported at construction."""

from __future__ import annotations

import re
from typing import NamedTuple

from gp_aiogram.destinations.base import Ambiguous
from gp_aiogram.errors import ConfigurationError, EventError, short_repr
from gp_aiogram.model.money import currency_code

_COUNTER = re.compile("[0-9]{1,20}")

#: What an offline upload gathers unless told otherwise: a batch a minute is 1440 a day, of the
#: 5000 requests that Metrica allows.
_ROWS, _GATHER_FOR = 1000, 60.0

#: More rows would not be read within the 25 seconds that a request has.
MOST_ROWS = 100_000

_LONGEST_GATHERING = 3600.0


class Gathering(NamedTuple):
    """How many rows fill an upload, and how many seconds one waits for others at most."""

    rows: int
    seconds: float


def validate_counter(counter_id: object) -> str:
    """Return the number of a counter.

    :raises ConfigurationError: without showing it: it may be the token, pasted by mistake.
    """
    is_number = isinstance(counter_id, (str, int)) and not isinstance(counter_id, bool)
    text = str(counter_id) if is_number else ""
    if not _COUNTER.fullmatch(text):
        msg = (
            "YandexMetrica(counter_id=...) must be the number of the counter, such as 12345678; "
            "is it the token by mistake?"
        )
        raise ConfigurationError(msg)
    return text


def validate_counter_currency(currency: object) -> str:
    """Return the ISO 4217 code of the counter's currency.

    :raises ConfigurationError: when it is none.
    """
    try:
        return currency_code(currency)
    except EventError as error:
        msg = f"YandexMetrica(currency=...) must be that of the counter: {error}"
        raise ConfigurationError(msg) from None


def validate_ambiguous(ambiguous: object) -> Ambiguous:
    """Return what becomes of events whose answer was lost.

    :raises ConfigurationError: when it is neither ``"retry"`` nor ``"hold"``.
    """
    if ambiguous == "retry" or ambiguous == "hold":  # noqa: PLR1714 - so that mypy knows which
        return ambiguous
    msg = f"YandexMetrica(ambiguous=...) must be 'retry' or 'hold', not {short_repr(ambiguous)}"
    raise ConfigurationError(msg)


def validate_gathering(
    batch_size: object,
    gather_for: object,
    *,
    is_offline: bool,
) -> Gathering:
    """Return how an upload gathers; None stands for the default.

    :raises ConfigurationError: when it is invalid, or there are no uploads.
    """
    if not is_offline:
        if batch_size is not None or gather_for is not None:
            msg = (
                "YandexMetrica(batch_size=..., gather_for=...) are for mode='offline': the "
                "Measurement Protocol takes one event per request"
            )
            raise ConfigurationError(msg)
        return Gathering(1, 0.0)
    rows = _ROWS if batch_size is None else batch_size
    if not isinstance(rows, int) or isinstance(rows, bool) or not 0 < rows <= MOST_ROWS:
        msg = (
            f"YandexMetrica(batch_size=...) must be a number of rows, 1 to {MOST_ROWS}, "
            f"not {short_repr(batch_size)}"
        )
        raise ConfigurationError(msg)
    seconds = _GATHER_FOR if gather_for is None else gather_for
    return Gathering(rows, _validate_seconds("gather_for", seconds, 0.0, _LONGEST_GATHERING))


def validate_status_after(seconds: object) -> float | None:
    """Return the seconds until an upload is asked about; None for never.

    :raises ConfigurationError: when they make no sense.
    """
    return None if seconds is None else _validate_seconds("status_after", seconds, 60.0, 7200.0)


def _validate_seconds(argument: str, seconds: object, least: float, most: float) -> float:
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not least <= float(str(seconds)) <= most:
        msg = (
            f"YandexMetrica({argument}=...) must be seconds, {least:g} to {most:g}, "
            f"not {short_repr(seconds)}"
        )
        raise ConfigurationError(msg)
    return float(str(seconds))
