"""What the destinations that talk to ad platforms have in common."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import Any

from gp_aiogram.destinations.http import HTTPDestination
from gp_aiogram.destinations.schema import is_digest
from gp_aiogram.errors import ConfigurationError, EventError, EventRejected, short_repr
from gp_aiogram.model.event import REFUND, Event
from gp_aiogram.model.money import CurrencyConverter, json_number

logger = logging.getLogger("gp_aiogram.destinations")

#: Ids of pixels, apps and tests. Meta's are digits, TikTok's letters and digits.
_CODE = re.compile("[A-Za-z0-9_.-]{1,64}")

#: A full batch takes tens of milliseconds to build: too long for a bot to wait in one piece.
_EVENTS_PER_TURN = 50

#: Addresses that say nothing of a visitor: a proxy or this machine (RFC 1918, 4193, 6890).
_LOCAL_NETWORKS = tuple(
    map(
        ip_network,
        (
            *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16"),
            *("0.0.0.0/8", "::/127", "fc00::/7", "fe80::/10"),
        ),
    ),
)


class AdDestination(HTTPDestination):
    """A destination with its own names for events, which takes some currencies only."""

    _names: Mapping[str, str]
    _exchange: CurrencyConverter

    def wants(self, event: Event) -> bool:
        """Leave out refunds, unless ``event_names`` has a name for them.

        No platform has one of its own: what it has counted stays counted.
        """
        return super().wants(event) and (event.name != REFUND or REFUND in self._names)

    def knows_currency(self, currency: str) -> bool:
        """Tell whether the platform takes a currency, or a rate converts it."""
        return self._exchange.knows(currency)


def validate_code(where: str, code: object) -> str:
    """Return the id of a pixel or of a test.

    :param where: names the argument, e.g. ``MetaCAPI(pixel_id=...)``.
    :raises ConfigurationError: without showing it: it may be a token, pasted by mistake.
    """
    text = str(code) if isinstance(code, (str, int)) and not isinstance(code, bool) else ""
    if not _CODE.fullmatch(text):
        msg = (
            f"{where} must be the id that Events Manager shows: at most 64 letters, digits, dots, "
            "hyphens and underscores; is it the access token by mistake?"
        )
        raise ConfigurationError(msg)
    return text


def validate_test_code(where: str, code: object, name: str, meaning: str) -> str:
    """Return the code of a test, and warn: it is easily forgotten.

    :param name: of the destination.
    :param meaning: what the platform does with test events.
    :raises ConfigurationError: as :func:`validate_code`.
    """
    checked = validate_code(where, code)
    logger.warning(
        "%s: test_event_code is set, and %s: remove it when the test is over",
        name,
        meaning,
    )
    return checked


def validate_choice(where: str, choice: object, choices: Collection[str], advice: str = "") -> str:
    """Return one of several texts.

    :param where: names the argument.
    :param advice: added to the message.
    :raises ConfigurationError: when it is none of them.
    """
    if not isinstance(choice, str) or choice not in choices:
        msg = f"{where} must be one of {', '.join(choices)}, not {short_repr(choice)}{advice}"
        raise ConfigurationError(msg)
    return choice


def validate_names(
    where: str,
    names: Mapping[str, str],
    overrides: Mapping[str, str] | None,
) -> Mapping[str, str]:
    """Return the platform's names of our events.

    :param where: names the argument with the overrides.
    :raises ConfigurationError: when an override is no pair of texts.
    """
    own: object = {} if overrides is None else overrides
    if not isinstance(own, Mapping) or not all(map(_are_names, own.items())):
        msg = f"{where} must map event names to event names, such as {{'REG': 'Lead'}}"
        raise ConfigurationError(msg)
    return {**names, **own}


def _are_names(pair: tuple[object, object]) -> bool:
    return all(isinstance(name, str) and name.strip() for name in pair)


def external_ids(event: Event, platform: str) -> str | list[str]:
    """Return the digest of the user's Telegram id, and that of the advertiser's own id if known.

    The same user has the same id in every bot and on every channel that hashes the decimal text.
    """
    telegram = sha256(str(event.telegram_id).encode()).hexdigest()
    own = event.traits.get(platform, {}).get("external_id")
    return [telegram, own] if own and own != telegram and is_digest(own) else telegram


def hashed_fields(event: Event, platform: str, names: Mapping[str, str]) -> dict[str, str]:
    """Return the traits that are hashed, under the platform's names.

    What is no digest is left out: a raw e-mail address would spoil a whole batch, and worse.

    :param names: our field and the platform's.
    """
    traits = event.traits.get(platform)
    if not traits:
        return {}
    return {
        theirs: digest
        for ours, theirs in names.items()
        if (digest := traits.get(ours)) and is_digest(digest)
    }


def map_contents(
    user_data: Mapping[str, Any],
    names: Mapping[str, str],
) -> Mapping[str, Any]:
    """Return ``user_data`` with the fields of ``contents`` under this platform's names.

    The platforms describe the same goods in different words, and a bot says them once.

    :param names: the other platform's field and this one's, which wins where both are given.
    """
    contents = user_data.get("contents")
    if not isinstance(contents, list):
        return user_data
    return {**user_data, "contents": [_renamed(part, names) for part in contents]}


def _renamed(part: object, names: Mapping[str, str]) -> object:
    if not isinstance(part, Mapping):
        return part
    foreign = {names[key]: value for key, value in part.items() if key in names}
    return {**foreign, **{key: value for key, value in part.items() if key not in names}}


def money_fields(event: Event, exchange: CurrencyConverter) -> dict[str, int | float | str]:
    """Return value and currency as the platform takes them; nothing without a value.

    :raises EventRejected: when the currency is neither taken nor convertible.
    """
    if event.value is None:
        return {}
    try:
        value, currency = _converted(exchange, event.value, event.currency)
    except EventError as error:
        raise EventRejected(str(error)) from None
    return {"value": value, "currency": currency}


@lru_cache(maxsize=1024, typed=True)  # a bot has few prices
def _converted(
    exchange: CurrencyConverter,
    value: Decimal,
    currency: str | None,
) -> tuple[int | float, str]:
    converted, code = exchange.convert(value, currency)
    return json_number(converted), code


async def built(
    events: Sequence[Event],
    build: Callable[[Event], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Build what is sent of each event; the bot gets its turn in between."""
    items = []
    for number, event in enumerate(events, 1):
        items.append(build(event))
        if number % _EVENTS_PER_TURN == 0:
            await asyncio.sleep(0)
    return items


@lru_cache(maxsize=1024)
def visitor_ip(ip: str | None) -> str | None:
    """Return a visitor's address, or None when it is none or that of a machine of one's own."""
    try:
        address = ip_address((ip or "").strip())
    except ValueError:
        return None
    local = any(address in network for network in _LOCAL_NETWORKS)
    return None if local else str(address)


class WarnOnce:
    """Says the same thing once, so that a mistake in a bot's code does not flood the log."""

    _MOST = 100

    def __init__(self) -> None:
        self._said: set[str] = set()

    def warn(self, name: str, messages: Collection[str]) -> None:
        """Log what was not logged before.

        :param name: of the destination.
        """
        for message in messages:
            if message not in self._said and len(self._said) < self._MOST:
                self._said.add(message)
                logger.warning("%s: left out of events: %s", name, message)
