"""Conversions whose user has not turned up, as rows of a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from gp_aiogram.model import codec
from gp_aiogram.model.clock import to_ms
from gp_aiogram.stores.records import Unmatched
from gp_aiogram.stores.sqlite.bulk import change_in, insert

_COLUMNS = "key, click_id, at_ms, body"

#: Parameters: a session id, twice, and how many at most.
OF_SESSION = f"""
    SELECT {_COLUMNS} FROM unmatched
    WHERE click_id = ? OR click_id IN (SELECT value FROM click_id WHERE session_id = ?)
    ORDER BY at_ms, key LIMIT ?
"""

#: Parameters: time and key of the last that was seen, and how many at most.
PAGE = f"""
    SELECT {_COLUMNS} FROM unmatched WHERE (at_ms, key) > (?, ?) ORDER BY at_ms, key LIMIT ?
"""


def add(connection: sqlite3.Connection, conversions: Sequence[Unmatched]) -> list[bool]:
    """Keep conversions; those that are kept already stay as they are."""
    rows = [
        (one.key, one.click_id, to_ms(one.at), codec.encode(dict(one.body)).decode())
        for one in conversions
    ]
    insert(connection, f"INSERT OR IGNORE INTO unmatched ({_COLUMNS})", rows)
    return [True] * len(conversions)


def drop(connection: sqlite3.Connection, keys: Sequence[Collection[str]]) -> list[None]:
    """Keep conversions no longer."""
    dropped = [key for some in keys for key in some]
    change_in(connection, "DELETE FROM unmatched WHERE key IN ({marks})", dropped)
    return [None] * len(keys)
