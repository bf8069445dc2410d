"""Touches of users in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, cast

from gp_aiogram.attribution import Session
from gp_aiogram.clock import from_ms, to_ms
from gp_aiogram.stores.base import SessionStore
from gp_aiogram.stores.sqlite_file import MAX_PARAMETERS, SQLiteFile


class _Lookup(NamedTuple):
    telegram_id: int
    bot_id: int | None
    since_ms: int
    until_ms: int


class SQLiteSessions(SessionStore):
    """The part of :class:`~gp_aiogram.SQLiteStore` that knows touches."""

    _file: SQLiteFile

    async def add_session(self, session: Session) -> None:
        """Keep a touch."""
        await self._file.submit(_add_sessions, session)

    async def find_session(
        self,
        telegram_id: int,
        bot_id: int | None,
        *,
        first: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Session | None:
        """Return the last (or first) touch of a user."""
        lookup = _Lookup(
            telegram_id,
            bot_id,
            since_ms=-(2**62) if since is None else to_ms(since),
            until_ms=2**62 if until is None else to_ms(until),
        )
        operation = _find_first_sessions if first else _find_last_sessions
        return cast("Session | None", await self._file.submit(operation, lookup))


def _add_sessions(
    connection: sqlite3.Connection,
    sessions: Sequence[Session],
) -> list[None]:
    connection.executemany(
        """
        INSERT OR IGNORE INTO session
        (bot_id, telegram_id, session_id, source, at_ms, payload) VALUES (?, ?, ?, ?, ?, ?)
        """,
        [
            (s.bot_id, s.telegram_id, s.session_id, s.source, to_ms(s.at), s.payload)
            for s in sessions
        ],
    )
    return [None] * len(sessions)


def _find_sessions(
    direction: str,
    connection: sqlite3.Connection,
    lookups: Sequence[_Lookup],
) -> list[Session | None]:
    """Answer many callers with one statement."""
    found: list[Session | None] = [None] * len(lookups)
    per_statement = MAX_PARAMETERS // (1 + len(_Lookup._fields))
    for start in range(0, len(lookups), per_statement):
        chunk = enumerate(lookups[start : start + per_statement], start)
        rows = [(number, *lookup) for number, lookup in chunk]
        query = f"""
            WITH lookup (number, user, bot, since, until) AS (
                VALUES {",".join(["(?, ?, ?, ?, ?)"] * len(rows))}
            )
            SELECT number, bot_id, telegram_id, session_id, source, at_ms, payload
            FROM lookup JOIN session ON session.rowid = (
                SELECT rowid FROM session
                WHERE telegram_id = user AND at_ms BETWEEN since AND until
                AND (bot IS NULL OR bot_id = bot)
                ORDER BY at_ms {direction}, rowid {direction} LIMIT 1
            )
        """
        for number, *touch in connection.execute(query, [*chain(*rows)]):
            found[number] = _session(touch)
    return found


_find_first_sessions = partial(_find_sessions, "ASC")
_find_last_sessions = partial(_find_sessions, "DESC")


def _session(row: Sequence[Any]) -> Session:
    bot_id, telegram_id, session_id, source, at_ms, payload = row
    return Session(bot_id, telegram_id, session_id, source, from_ms(at_ms), payload)


def _storable(text: str | None) -> str | None:
    """Escape half an emoji, as a server may answer it: SQLite keeps no lone surrogate."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()
