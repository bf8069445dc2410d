"""TikTok's fields: what each is called and made of.

The API accepts a misspelt field of ``user`` with code 0 and ignores it, and refuses a whole batch
for a number in place of a text, so every event is checked against these tables. Sources: "Report
App, Web, Offline, or CRM Events" and "Events API Parameters" of the Events API 2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gp_aiogram.destinations.schema import (
    DIGESTS,
    FLAG,
    NUMBER,
    TEXT,
    WHOLE,
    Table,
    one_of,
    reader,
)

#: Our traits that are sent hashed, and TikTok's names for them.
HASHED: Mapping[str, str] = {
    "em": "email",
    "ph": "phone",
    "fn": "first_name",
    "ln": "last_name",
    "zp": "zip_code",
}

#: Our traits that are sent as plain text, normalised.
PLAIN: Mapping[str, str] = {"ct": "city", "st": "state", "country": "country", "locale": "locale"}

#: What ``user_data`` of an event may set.
PROPERTIES: Mapping[str, Table] = {
    "content_ids": [TEXT],
    "content_type": one_of("product", "product_group"),
    "contents": [
        {
            "price": NUMBER,
            "quantity": WHOLE,
            "content_id": TEXT,
            "content_category": TEXT,
            "content_name": TEXT,
            "brand": TEXT,
        },
    ],
    "customer_type": one_of("new", "returning"),
    "description": TEXT,
    "num_items": WHOLE,
    "order_id": TEXT,
    "search_string": TEXT,
    "shop_id": TEXT,
}

#: Meta's names of the fields of ``contents``.
CONTENT_NAMES: Mapping[str, str] = {
    "id": "content_id",
    "title": "content_name",
    "category": "content_category",
    "item_price": "price",
}

_USER: Mapping[str, Table] = {
    "email": DIGESTS,
    "phone": DIGESTS,
    "first_name": DIGESTS,
    "last_name": DIGESTS,
    "zip_code": DIGESTS,
    "city": TEXT,
    "state": TEXT,
    "country": TEXT,
    "ip": TEXT,
    "user_agent": TEXT,
    "locale": TEXT,
}

#: What only a web event has.
_WEB_USER: Mapping[str, Table] = {"external_id": DIGESTS, "ttclid": TEXT, "ttp": TEXT}

#: What identifies the user, by event source.
USERS: Mapping[str, Mapping[str, Table]] = {"web": {**_WEB_USER, **_USER}, "app": _USER}

_EVENT: Mapping[str, Table] = {
    "event": TEXT,
    "event_time": WHOLE,
    "event_id": TEXT,
    "properties": {**PROPERTIES, "value": NUMBER, "currency": TEXT},
    "limited_data_use": FLAG,
}

#: One item of ``data``, by event source. A bot has no use for the others: CRM events are for
#: TikTok's own lead ads, and offline ones need an e-mail address or phone number of every user.
EVENTS: Mapping[str, Mapping[str, Table]] = {
    "web": {
        **_EVENT,
        "user": USERS["web"],
        "page": {"url": TEXT, "referrer": TEXT},
    },
    "app": {
        **_EVENT,
        "user": USERS["app"],
        "app": {"app_id": TEXT, "app_name": TEXT, "app_version": TEXT},
    },
}


_READERS = {source: reader(table, "event", exact=True) for source, table in EVENTS.items()}


def schema_errors(item: Mapping[str, Any], event_source: str) -> list[str]:
    """Return what is wrong with one item of ``data``: unknown names, wrong types."""
    errors: list[str] = []
    _READERS[event_source](item, errors)
    return errors
