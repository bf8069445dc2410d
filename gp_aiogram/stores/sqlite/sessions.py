"""Touches of users in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from gp_aiogram.model.clock import to_ms
from gp_aiogram.model.session import Session
from gp_aiogram.stores.contract import SessionStore
from gp_aiogram.stores.records import Span, TouchRecord
from gp_aiogram.stores.rows import session_of, sessions_of
from gp_aiogram.stores.sqlite.bulk import insert, select_in
from gp_aiogram.stores.sqlite.work import DatabaseFile
from gp_aiogram.stores.touch_limit import MAX_TOUCHES, TouchLimit

_COLUMNS = "bot_id, telegram_id, session_id, source, at_ms, payload"

_INSERT = f"INSERT OR IGNORE INTO session ({_COLUMNS})"

_HISTORY = f"""
    SELECT {_COLUMNS} FROM session WHERE telegram_id = ? AND at_ms BETWEEN ? AND ?
    ORDER BY at_ms, rowid
"""

_HISTORIES = f"""
    SELECT {_COLUMNS} FROM session WHERE telegram_id IN ({{marks}}) ORDER BY at_ms, rowid
"""

_TOUCHES = f"""
    SELECT {_COLUMNS} FROM session WHERE session_id = ? ORDER BY at_ms DESC, rowid DESC LIMIT ?
"""

_LISTED = f"""
    SELECT rowid, {_COLUMNS} FROM session WHERE rowid > ? AND rowid < ?
    ORDER BY rowid {{order}} LIMIT ?
"""

_PRUNE = """
    DELETE FROM session
    WHERE rowid IN (SELECT rowid FROM session WHERE at_ms < ? ORDER BY at_ms LIMIT ?)
"""

_SHARED = """
    SELECT DISTINCT session_id FROM session
    WHERE telegram_id IS NOT ? AND session_id IN ({marks})
"""

_COUNTS = """
    SELECT telegram_id, count(*) FROM session WHERE telegram_id IN ({marks}) GROUP BY telegram_id
"""

#: The oldest touches of a user, except the first and the last of each bot.
_DROP = """
    DELETE FROM session WHERE rowid IN (
        SELECT rowid FROM session AS touch
        WHERE telegram_id = ?
        AND EXISTS (
            SELECT * FROM session AS earlier
            WHERE earlier.telegram_id = touch.telegram_id AND earlier.bot_id IS touch.bot_id
            AND (earlier.at_ms, earlier.rowid) < (touch.at_ms, touch.rowid)
        )
        AND EXISTS (
            SELECT * FROM session AS later
            WHERE later.telegram_id = touch.telegram_id AND later.bot_id IS touch.bot_id
            AND (later.at_ms, later.rowid) > (touch.at_ms, touch.rowid)
        )
        ORDER BY at_ms, rowid LIMIT ?
    )
"""

#: Milliseconds before and after any moment.
_EVER = (-(2**62), 2**62)


class _Share(NamedTuple):
    telegram_id: int
    session_ids: Collection[str]


class _Pruning(NamedTuple):
    before_ms: int
    limit: int


class SQLiteSessions(SessionStore):
    """The part of :class:`~gp_aiogram.SQLiteStore` that knows touches."""

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._limit = TouchLimit()

    async def open(self) -> None:
        """Open the file."""
        await self._file.open()

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()

    async def add(self, session: Session) -> None:
        """Keep a touch."""
        await self._file.submit(self._add, session)

    async def history(
        self,
        telegram_id: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Session]:
        """Return a user's touches, oldest first."""
        since_ms = _EVER[0] if since is None else to_ms(since)
        until_ms = _EVER[1] if until is None else to_ms(until)
        rows = await self._file.read(_HISTORY, (telegram_id, since_ms, until_ms))
        return sessions_of(rows)

    async def erase(self, telegram_id: int) -> set[str]:
        """Erase every touch of a user."""
        return await self._file.submit(_erase, telegram_id)

    async def shared(self, telegram_id: int, session_ids: Collection[str]) -> set[str]:
        """Return the session ids that touches of other users name as well."""
        share = _Share(telegram_id, session_ids)
        return await self._file.submit(_shared, share, reads=True)

    async def touches_of(self, session_id: str, limit: int = 100) -> Sequence[Session]:
        """Return touches that name a session id, the latest first."""
        return sessions_of(await self._file.read(_TOUCHES, (session_id, limit)))

    async def touches(self, span: Span) -> Sequence[TouchRecord]:
        """Return touches in the order in which they were added."""
        order = "DESC" if span.newest else "ASC"
        before = _EVER[1] if span.before is None else span.before
        rows = await self._file.read(_LISTED.format(order=order), (span.after, before, span.limit))
        read = [(number, session_of(row)) for number, *row in rows]
        return [TouchRecord(number, touch) for number, touch in read if touch is not None]

    async def prune(self, before: datetime, limit: int) -> int:
        """Erase touches that are older."""
        return await self._file.submit(_prune, _Pruning(to_ms(before), limit))

    def _add(self, connection: sqlite3.Connection, sessions: Sequence[Session]) -> list[None]:
        rows = [
            (
                touch.bot_id,
                touch.telegram_id,
                touch.session_id,
                touch.source,
                to_ms(touch.at),
                touch.payload,
            )
            for touch in sessions
        ]
        insert(connection, _INSERT, rows)
        self._limit_touches(connection, {touch.telegram_id for touch in sessions})
        return [None] * len(sessions)

    def _limit_touches(self, connection: sqlite3.Connection, telegram_ids: set[int]) -> None:
        for telegram_id, count in select_in(connection, _COUNTS, [*telegram_ids]):
            if count > MAX_TOUCHES:
                self._limit.tell(telegram_id)
                connection.execute(_DROP, (telegram_id, count - MAX_TOUCHES))


def histories(
    connection: sqlite3.Connection,
    telegram_ids: Collection[int],
) -> dict[int, list[Session]]:
    """Return the touches of many users, oldest first; nothing of those who have none."""
    found: dict[int, list[Session]] = {}
    for session in sessions_of(select_in(connection, _HISTORIES, [*telegram_ids])):
        found.setdefault(session.telegram_id, []).append(session)
    return found


def _erase(connection: sqlite3.Connection, telegram_ids: Sequence[int]) -> list[set[str]]:
    erased = []
    for telegram_id in telegram_ids:
        query = "SELECT DISTINCT session_id FROM session WHERE telegram_id = ?"
        erased.append({session_id for (session_id,) in connection.execute(query, (telegram_id,))})
        connection.execute("DELETE FROM session WHERE telegram_id = ?", (telegram_id,))
    return erased


def _shared(connection: sqlite3.Connection, shares: Sequence[_Share]) -> list[set[str]]:
    return [
        {
            session_id
            for (session_id,) in select_in(
                connection, _SHARED, [*session_ids], before=[telegram_id]
            )
        }
        for telegram_id, session_ids in shares
    ]


def _prune(connection: sqlite3.Connection, prunings: Sequence[_Pruning]) -> list[int]:
    return [connection.execute(_PRUNE, pruning).rowcount for pruning in prunings]
