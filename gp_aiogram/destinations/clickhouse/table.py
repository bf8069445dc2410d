"""The table of events: its columns, its engine, and what of an event goes into which column."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from gp_aiogram.errors import ConfigurationError, EventRejected, short_repr
from gp_aiogram.model import codec
from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event

#: Name and type of each column. The types are those that servers since 18.16 know.
COLUMNS: Mapping[str, str] = {
    "event_id": "String",
    "name": "String",
    "event_time": "DateTime('UTC')",
    "telegram_id": "Int64",
    "bot_id": "Int64",
    "bot_username": "String",
    "session_id": "String",
    "value": "Nullable(Decimal(38, 18))",
    "currency": "String",
    "user_data": "String",
    "click_at": "Nullable(DateTime('UTC'))",
    "fbclid": "String",
    "fbc": "String",
    "fbp": "String",
    "ttclid": "String",
    "ttp": "String",
    "gclid": "String",
    "click_ids": "String",
    "utm_source": "String",
    "utm_medium": "String",
    "utm_campaign": "String",
    "utm_content": "String",
    "utm_term": "String",
    "utm": "String",
    "ip": "String",
    "user_agent": "String",
    "url": "String",
    "referrer": "String",
    "inserted_at": "DateTime('UTC')",
}

_TEXTS = (
    *("fbclid", "fbc", "fbp", "ttclid", "ttp", "gclid"),
    *("ip", "user_agent", "url", "referrer"),
)
_UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")

#: Unquoted, a name needs no escape anywhere in a statement.
_IDENTIFIER = re.compile("[A-Za-z_][A-Za-z0-9_]{0,126}")

#: Seconds that a DateTime holds.
_DATES = range(2**32)


class Table:
    """The name of a table, as statements write it.

    :param database: its database.
    :param table: its name, perhaps with a database before it: ``analytics.gp_events``.
    :param where: names the arguments in messages.
    :raises ConfigurationError: when one of them is no plain identifier.
    """

    def __init__(self, database: object, table: object, where: str) -> None:
        before, dot, own = str(table).rpartition(".")
        self.database = validate_identifier(f"{where}(database=...)", before if dot else database)
        self.name = f"{self.database}.{validate_identifier(f'{where}(table=...)', own)}"

    def create_statement(self) -> str:
        """Return the statement that makes the table, unless it is there."""
        columns = ",\n".join(f"    {name} {kind}" for name, kind in COLUMNS.items())
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name}\n(\n{columns}\n)\n"
            "ENGINE = ReplacingMergeTree(inserted_at)\n"
            "PARTITION BY toYYYYMM(event_time)\n"
            "ORDER BY (telegram_id, event_id, name)"
        )

    def insert_statement(self) -> str:
        """Return the statement before rows."""
        return f"INSERT INTO {self.name} ({', '.join(COLUMNS)}) FORMAT JSONEachRow"


def validate_identifier(where: str, name: object) -> str:
    """Return the name of a database, a table or a user.

    :raises ConfigurationError: when it is no plain identifier.
    """
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
        msg = (
            f"{where} must be a name of letters, digits and underscores, such as 'gp_events', "
            f"not {short_repr(name)}"
        )
        raise ConfigurationError(msg)
    return name


def row_of(event: Event, now: float) -> bytes:
    """Return an event with its session and click as a line of JSONEachRow.

    :param now: Unix seconds; of several rows of an event the latest counts.
    :raises EventRejected: when a time is beyond what a DateTime holds.
    """
    row = {
        "event_id": event.event_id,
        "name": event.name,
        "event_time": _seconds("event_time", event.event_time),
        "telegram_id": event.telegram_id,
        "bot_id": event.bot_id or 0,
        "bot_username": event.bot_username or "",
        "session_id": event.session_id or "",
        # As a number, to the last digit: old servers take no decimal in quotes, and a float
        # would round.
        "value": None if event.value is None else orjson.Fragment(f"{event.value:f}"),
        "currency": event.currency or "",
        "user_data": codec.encode(event.user_data).decode(),
        **_click(event.click or Click()),
        "inserted_at": int(now),
    }
    return codec.encode(row)


def _click(click: Click) -> dict[str, Any]:
    fields = vars(click)
    return {
        "click_at": None if click.at is None else _seconds("the click's time", click.at),
        **{name: fields[name] or "" for name in _TEXTS},
        "click_ids": codec.encode(dict(click.ids)).decode(),
        **{name: click.utm.get(name, "") for name in _UTM},
        "utm": codec.encode(dict(click.utm)).decode(),
    }


def _seconds(what: str, moment: datetime) -> int:
    seconds = int(moment.timestamp())
    if seconds not in _DATES:
        msg = f"{what} is beyond what ClickHouse's DateTime holds: {moment.isoformat()}"
        raise EventRejected(msg)
    return seconds
