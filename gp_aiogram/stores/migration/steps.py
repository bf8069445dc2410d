"""The steps of a move: which rows of a SQLite file, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gp_aiogram.stores.migration import rows
from gp_aiogram.stores.migration.rows import Row
from gp_aiogram.stores.sqlite.rows import COLUMNS

#: Rows that one transaction moves; fewer of those that hold JSON.
_MANY, _FEW = 2000, 500


class Step(NamedTuple):
    """Rows of one table, in the order of a key.

    :param name: what is moved, for people and for the target's notes.
    :param table: of the SQLite file.
    :param key: columns that tell the rows, which an index has in this order.
    :param columns: what is read of a row.
    :param read: makes a row of these; raises when it cannot be read.
    :param page: rows that are moved together.
    :param watched: columns that tell whether the table has changed.
    """

    name: str
    table: str
    key: tuple[str, ...]
    columns: str
    read: Callable[[Sequence[Any]], Row]
    page: int
    watched: str


TOUCHES = Step(
    "touches",
    "session",
    ("rowid",),
    "bot_id, telegram_id, session_id, source, at_ms, payload",
    rows.touch,
    _MANY,
    "rowid, telegram_id, at_ms",
)
CLICKS = Step(
    "clicks",
    "click",
    ("rowid",),
    "session_id, at_ms, CAST(body AS BLOB)",
    rows.click,
    _FEW,
    "rowid, session_id, at_ms",
)
CLICK_IDS = Step(
    "click ids",
    "click_id",
    ("value", "session_id"),
    "value, session_id",
    rows.click_id,
    _MANY,
    "value, session_id",
)
TRAITS = Step(
    "traits",
    "trait",
    ("telegram_id", "platform", "field"),
    "telegram_id, platform, field, value",
    rows.trait,
    _MANY,
    "telegram_id, platform, field, value",
)
INVITES = Step(
    "invite links",
    "invite",
    ("link",),
    "link, session_id",
    rows.invite,
    _MANY,
    "link, session_id",
)
WAITING = Step(
    "waiting conversions",
    "unmatched",
    ("key",),
    "key, click_id, at_ms, CAST(body AS BLOB)",
    rows.waiting,
    _FEW,
    "key, at_ms",
)
KEYS = Step(
    "once-keys",
    "seen",
    ("digest",),
    "digest, at_ms",
    rows.seen,
    _MANY,
    "digest",
)
EVENTS = Step(
    "events",
    "event",
    ("seq",),
    "seq, event_id, name, telegram_id, bot_id, accepted_ms, order_digest, CAST(body AS BLOB)",
    rows.event,
    _FEW,
    "seq, event_id, name, accepted_ms",
)
IDENTITIES = Step(
    "event ids",
    "event",
    ("seq",),
    "seq, event_id, name, accepted_ms",
    rows.identity,
    _MANY,
    "seq",
)
DELIVERIES = Step(
    "deliveries",
    "delivery",
    ("seq", "destination"),
    COLUMNS,
    rows.delivery,
    _MANY,
    "seq, destination, state, attempts, since_ms, due_ms, batch_cap, maybe_delivered",
)

#: What is known of users.
OF_USERS = (TOUCHES, CLICKS, CLICK_IDS, TRAITS, INVITES, WAITING)

#: Everything.
OF_STORE = (*OF_USERS, KEYS, EVENTS, IDENTITIES, DELIVERIES)
