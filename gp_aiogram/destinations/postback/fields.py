"""What the placeholders of a postback's URL may be called, and what an event has for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches

from gp_aiogram.destinations.privacy import shareable
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.model.clock import to_ms
from gp_aiogram.model.event import Event

#: Ids of clicks under the names that trackers and ad platforms give them. Any other name is
#: written as ``{ids.NAME}``.
CLICK_IDS = (
    *("subid", "sub_id", "clickid", "click_id", "cid", "aff_sub", "visit_id", "external_id"),
    *("fbclid", "fbc", "fbp", "ttclid", "ttp", "gclid", "gbraid", "wbraid", "msclkid"),
    *("yclid", "ymclid", "ClientID", "sccid", "ScCid", "oppref", "tgclid"),
    *("record", "campaignid", "publisher"),
)

#: Filled in by the destination.
STATUS, VALUE, CURRENCY = "status", "value", "currency"


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _order(event: Event) -> str | None:
    order = event.user_data.get("order_id")
    return str(order) if isinstance(order, (str, int)) and str(order).strip() else None


#: What every event can tell.
FIELDS: Mapping[str, Callable[[Event], str | None]] = {
    "event_id": lambda event: event.event_id,
    "name": lambda event: event.name,
    "session_id": lambda event: event.session_id,
    "telegram_id": lambda event: str(event.telegram_id),
    "bot_id": lambda event: _text(event.bot_id),
    "bot_username": lambda event: event.bot_username,
    "order_id": _order,
    "tid": lambda event: _order(event) or event.event_id,
    "event_time": lambda event: str(int(event.event_time.timestamp())),
    "event_time_ms": lambda event: str(to_ms(event.event_time)),
    "event_time_iso": lambda event: event.event_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
}

#: What a parameter may go without.
OPTIONAL = frozenset({VALUE, CURRENCY, "order_id", "bot_id", "bot_username"})

_UTM, _IDS, _USER_DATA = "utm.", "ids.", "user_data."

#: How the names begin that are free from there on.
_FREE = (_UTM, _IDS, _USER_DATA)


def is_optional(name: str) -> bool:
    """Return whether a parameter is left out when the event has nothing for this placeholder."""
    return name in OPTIONAL or name.startswith((_UTM, _USER_DATA))


def is_click_id(name: str) -> bool:
    """Return whether a placeholder stands for an id of the click."""
    return name in CLICK_IDS or name.startswith(_IDS)


def validate_names(where: str, names: Collection[str], own: Collection[str]) -> None:
    """Check that every placeholder is known.

    :param own: names that the caller has values for.
    :raises ConfigurationError: lists the unknown names and the known ones.
    """
    known = [*own, STATUS, VALUE, CURRENCY, *FIELDS, *CLICK_IDS]
    unknown = [name for name in names if name not in known and not name.startswith(_FREE)]
    if not unknown:
        return
    meant = {name: get_close_matches(name, known, n=1) for name in unknown}
    shown = ", ".join(
        f"{{{name}}}" + (f" (is {{{near[0]}}} meant?)" if near else "")
        for name, near in meant.items()
    )
    listed = ", ".join(f"{{{name}}}" for name in dict.fromkeys(known))
    msg = (
        f"{where} has placeholders that nobody knows: {shown}. Known are {listed}, {{utm.NAME}}, "
        "{user_data.NAME}, and {ids.NAME} for any other id of a click"
    )
    raise ConfigurationError(msg)


def value_of(event: Event, name: str) -> str | None:
    """Return what an event has for a placeholder; None when it has nothing."""
    field = FIELDS.get(name)
    if field is not None:
        return field(event)
    if name.startswith(_USER_DATA):
        value = shareable(event.user_data).get(name.removeprefix(_USER_DATA))
        return str(value) if isinstance(value, (str, int, float)) else None
    if event.click is None:
        return None
    if name.startswith(_UTM):
        key = name.removeprefix(_UTM)
        return event.click.utm.get(f"utm_{key}") or event.click.utm.get(key)
    ids = {"fbp": event.click.fbp, "fbc": event.click.fbc, "ttp": event.click.ttp}
    return {**ids, **event.click.click_ids()}.get(name.removeprefix(_IDS))
