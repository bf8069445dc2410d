"""What an event consists of in Meta's words, which Snapchat's Conversions API shares.

Source of every rule: Meta's "Customer Information Parameters", "Custom Data" and "ClickID and the
fbp and fbc parameters".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gp_aiogram.destinations.ads import WarnOnce, map_contents, money_fields, visitor_ip
from gp_aiogram.destinations.privacy import shareable, shareable_url
from gp_aiogram.destinations.schema import NUMBER, TEXT, WHOLE, Table, one_of, reader
from gp_aiogram.identity import FIELDS
from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event
from gp_aiogram.model.money import CurrencyConverter

#: Traits that are sent hashed; Meta calls them as we do. The user's id is built separately.
HASHED = {field: field for field in FIELDS if field != "external_id"}

_DELIVERY = one_of("in_store", "curbside", "home_delivery")

_CONTENT: Table = {
    "id": TEXT,
    "quantity": WHOLE,
    "item_price": NUMBER,
    "delivery_category": _DELIVERY,
    "title": TEXT,
    "description": TEXT,
    "brand": TEXT,
    "category": TEXT,
}

#: TikTok's names of the same fields.
_CONTENT_NAMES = {
    "content_id": "id",
    "content_name": "title",
    "content_category": "category",
    "price": "item_price",
}

#: The standard keys of custom_data that ``user_data`` may set.
_STANDARD: Mapping[str, Table] = {
    "content_category": TEXT,
    "content_ids": [TEXT],
    "content_name": TEXT,
    "content_type": one_of("product", "product_group"),
    "contents": [_CONTENT],
    "delivery_category": _DELIVERY,
    "item_number": TEXT,
    "net_revenue": NUMBER,
    "num_items": WHOLE,
    "order_id": TEXT,
    "predicted_ltv": NUMBER,
    "search_string": TEXT,
    "status": TEXT,
}

_read_standard = reader(_STANDARD, "user_data")

#: Taken from the event alone, never from ``user_data``.
_OF_THE_EVENT = frozenset({"value", "currency"})


class CustomData:
    """Makes ``custom_data`` of an event: its money, and what ``user_data`` has of use.

    :param converter: tells which currencies the platform takes.
    :param warn_once: hears of what is left out.
    :param custom_keys: send texts, numbers and booleans under keys that Meta does not document.
    """

    def __init__(
        self,
        converter: CurrencyConverter,
        warn_once: WarnOnce,
        *,
        custom_keys: bool = True,
    ) -> None:
        self._converter = converter
        self._warn_once = warn_once
        self._custom_keys = custom_keys

    def read(self, event: Event) -> dict[str, Any]:
        """Return what is sent; empty when there is nothing.

        :raises EventRejected: when the currency is neither supported nor convertible.
        """
        if not event.user_data:
            return money_fields(event, self._converter)
        custom: dict[str, Any] = {}
        standard: dict[str, Any] = {}
        given = map_contents(event.user_data, _CONTENT_NAMES)
        for key, part in shareable(given).items():
            if key in _STANDARD:
                standard[key] = part
            elif self._is_custom(key, part):
                custom[key] = part
        if standard:
            custom |= self._standard(standard)
        return custom | money_fields(event, self._converter)

    def _standard(self, given: Mapping[str, Any]) -> dict[str, Any]:
        errors: list[str] = []
        standard: dict[str, Any] = _read_standard(given, errors) or {}
        self._warn_once.left_out(errors)
        return standard

    def _is_custom(self, key: str, part: object) -> bool:
        is_plain = isinstance(part, (str, int, float))
        return self._custom_keys and is_plain and key not in _OF_THE_EVENT


def pages(click: Click) -> dict[str, str]:
    """Return where the click happened, without personal parameters."""
    known = {"event_source_url": click.url, "referrer_url": click.referrer}
    return {name: url for name, page in known.items() if (url := shareable_url(page))}


def browser(click: Click) -> dict[str, str]:
    """Return what Meta wants as it is, never hashed."""
    fbc, fbp = click.meta_ids()
    known = {
        "fbc": fbc,
        "fbp": fbp,
        "client_ip_address": visitor_ip(click.ip),
        "client_user_agent": click.user_agent,
    }
    return {name: value for name, value in known.items() if value}
