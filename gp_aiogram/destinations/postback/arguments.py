"""Validates the arguments of postbacks, so that a mistake is reported at construction."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from gp_aiogram.destinations.arguments import validate_event_names, validate_secret
from gp_aiogram.destinations.postback.fields import (
    CLICK_IDS,
    CURRENCY,
    FIELDS,
    STATUS,
    VALUE,
    is_click_id,
)
from gp_aiogram.destinations.postback.presets import Preset
from gp_aiogram.destinations.postback.template import Template
from gp_aiogram.errors import ConfigurationError, EventError, short_repr
from gp_aiogram.model.event import Event
from gp_aiogram.model.money import currency_code

#: What a placeholder of one's own stands for: a text, or a function of the event that may return
#: None for "not known".
OwnValue = str | int | bool | Callable[[Event], object]

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)

_RESERVED = frozenset({STATUS, VALUE, CURRENCY, *FIELDS})

_HOST = re.compile(r"(?P<scheme>https?://)?(?P<host>[^\s/?#@{}:]+(?::[0-9]+)?)/?")

_CLIENT_ERRORS = range(400, 500)


def validate_secrets(key: object, secrets: object) -> dict[str, str]:
    """Return what is shown nowhere, by placeholder.

    :raises ConfigurationError: without showing a value.
    """
    given = {} if secrets is None else secrets
    if not isinstance(given, Mapping) or not all(map(_is_own_name, given)):
        msg = "Postback(secrets=...) must map placeholders to texts, such as {'token': '...'}"
        raise ConfigurationError(msg)
    hidden = {
        name: validate_secret(f"Postback(secrets={{{name!r}: ...}})", value)
        for name, value in given.items()
    }
    if key is not None:
        hidden["key"] = validate_secret("Postback(key=...)", key)
    return hidden


def validate_values(values: object) -> dict[str, OwnValue]:
    """Return the caller's own placeholders.

    :raises ConfigurationError: when one of them is neither a text nor a function.
    """
    given = {} if values is None else values
    if not isinstance(given, Mapping) or not all(
        _is_own_name(name) and (isinstance(value, (str, int)) or callable(value))
        for name, value in given.items()
    ):
        msg = (
            "Postback(values=...) must map placeholders of your own to texts or functions of the "
            "event, such as {'offer': '17', 'vip': lambda event: event.user_data.get('vip')}"
        )
        raise ConfigurationError(msg)
    return dict(given)


def _is_own_name(name: object) -> bool:
    return isinstance(name, str) and bool(_NAME.fullmatch(name)) and name not in _RESERVED


def validate_statuses(template: Template, statuses: object) -> dict[str, str] | None:
    """Return the tracker's words for our events; None where it has none.

    :raises ConfigurationError: when the URL needs them and there are none.
    """
    if statuses is None:
        if STATUS in template.names:
            msg = (
                "Postback(url=...) has {status}, so it needs the tracker's words for your events: "
                "statuses={'REG': 'lead', 'FTD': 'sale'}"
            )
            raise ConfigurationError(msg)
        return None
    words = validate_event_names("Postback(statuses=...)", statuses)
    if not words:
        msg = "Postback(statuses=...) is empty, so no event would ever be sent"
        raise ConfigurationError(msg)
    return words


def require_use(template: Template, names: Collection[str]) -> None:
    """Check that everything that was given has its place in the URL.

    :raises ConfigurationError: names what has none.
    """
    unused = [name for name in names if name not in template.names]
    if unused:
        listed = ", ".join(f"{{{name}}}" for name in unused)
        msg = f"Postback(url=...) has no place for what was given: write {listed} into it"
        raise ConfigurationError(msg)


def validate_currency(template: Template, currency: object) -> frozenset[str] | None:
    """Return the currencies that the tracker takes; None for all.

    :raises ConfigurationError: when the tracker could not tell in which currency a value is.
    """
    if currency is not None:
        try:
            return frozenset({currency_code(currency)})
        except EventError as error:
            msg = f"Postback(currency=...): {error}"
            raise ConfigurationError(msg) from None
    if VALUE in template.names and CURRENCY not in template.names:
        msg = (
            "Postback(url=...) has {value} and not {currency}, so the tracker takes every amount "
            "for its own currency: add {currency}, or name that currency, such as currency='USD'"
        )
        raise ConfigurationError(msg)
    return None


def validate_http_statuses(statuses: object) -> frozenset[int]:
    """Return the HTTP statuses by which a tracker refuses an event.

    :raises ConfigurationError: when one of them is no client error.
    """
    given = statuses if isinstance(statuses, (set, frozenset, list, tuple)) else [None]
    read = [status for status in given if type(status) is int and status in _CLIENT_ERRORS]
    if len(read) < len(given):
        msg = (
            "Postback(rejected_by=...) must be a collection of HTTP statuses from 400 to 499, "
            f"such as {{404}}, not {short_repr(statuses)}"
        )
        raise ConfigurationError(msg)
    return frozenset(read)


def host_of(where: str, host: object) -> str:
    """Return where a tracker lives, by https unless it says otherwise.

    :raises ConfigurationError: without showing it: it may hold a key.
    """
    found = _HOST.fullmatch(host) if isinstance(host, str) else None
    if found is None:
        msg = f"{where} must be the tracker's host, such as 'tracker.example.com'"
        raise ConfigurationError(msg)
    return f"{found['scheme'] or 'https://'}{found['host']}"


def placeholder_of(where: str, name: object) -> str:
    """Return the placeholder of an id.

    :param name: of an id of the click, ``session_id`` or ``telegram_id``.
    :raises ConfigurationError: when it is no name.
    """
    bare = name.removeprefix("ids.") if isinstance(name, str) else ""
    if not _NAME.fullmatch(bare):
        msg = (
            f"{where}(click_id=...) must be the name under which the click's id is kept, such as "
            f"'subid', not {short_repr(name)}"
        )
        raise ConfigurationError(msg)
    return bare if bare in FIELDS or bare in CLICK_IDS else f"ids.{bare}"


def require_kept(where: str, preset: Preset, params: object) -> None:
    """Check that ``params`` leave in what the tracker cannot do without.

    :raises ConfigurationError: names the parameter.
    """
    given = params if isinstance(params, Mapping) else {}
    missing = sorted(name for name in preset.keeps if given.get(name, "") is None)
    if missing:
        msg = (
            f"{where}(params=...) takes out {', '.join(missing)}, without which the tracker would "
            "count something else or nothing"
        )
        raise ConfigurationError(msg)


def why_skipped(name: str) -> str:
    """Say why an event without a value for a placeholder is not meant for the tracker."""
    if name == "session_id":
        return "the user came by no link, so there is no {session_id} for the tracker"
    if is_click_id(name):
        return f"the click has no {{{name}}}: the user did not come by a link of this tracker"
    return f"nothing is known for {{{name}}}"
