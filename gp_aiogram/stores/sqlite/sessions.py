"""Touches of users in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from gp_aiogram.model.clock import from_ms, to_ms
from gp_aiogram.model.session import Session
from gp_aiogram.stores.contract import SessionStore
from gp_aiogram.stores.sqlite.bulk import insert, select_in
from gp_aiogram.stores.sqlite.file import SQLiteFile
from gp_aiogram.stores.sqlite.rows import tell_left_out

_COLUMNS = "bot_id, telegram_id, session_id, source, at_ms, payload"

_INSERT = f"INSERT OR IGNORE INTO session ({_COLUMNS})"

_HISTORY = f"""
    SELECT {_COLUMNS} FROM session WHERE telegram_id = ? AND at_ms BETWEEN ? AND ?
    ORDER BY at_ms, rowid
"""

_HISTORIES = f"""
    SELECT {_COLUMNS} FROM session WHERE telegram_id IN ({{marks}}) ORDER BY at_ms, rowid
"""

_PRUNE = """
    DELETE FROM session
    WHERE rowid IN (SELECT rowid FROM session WHERE at_ms < ? ORDER BY at_ms LIMIT ?)
"""

#: Milliseconds before and after any moment.
_EVER = (-(2**62), 2**62)


class _Pruning(NamedTuple):
    before_ms: int
    limit: int


class SQLiteSessions(SessionStore):
    """The part of :class:`~gp_aiogram.SQLiteStore` that knows touches."""

    def __init__(self, file: SQLiteFile) -> None:
        self._file = file

    async def open(self) -> None:
        """Open the file."""
        await self._file.open()

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()

    async def add(self, session: Session) -> None:
        """Keep a touch."""
        await self._file.submit(_add, session)

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
        return [*_sessions(rows)]

    async def erase(self, telegram_id: int) -> set[str]:
        """Erase every touch of a user."""
        return await self._file.submit(_erase, telegram_id)

    async def prune(self, before: datetime, limit: int) -> int:
        """Erase touches that are older."""
        return await self._file.submit(_prune, _Pruning(to_ms(before), limit))


def histories(
    connection: sqlite3.Connection,
    telegram_ids: Collection[int],
) -> dict[int, list[Session]]:
    """Return the touches of many users, oldest first; nothing of those who have none."""
    found: dict[int, list[Session]] = {}
    for session in _sessions(select_in(connection, _HISTORIES, [*telegram_ids])):
        found.setdefault(session.telegram_id, []).append(session)
    return found


def _add(connection: sqlite3.Connection, sessions: Sequence[Session]) -> list[None]:
    rows = [
        (s.bot_id, s.telegram_id, s.session_id, s.source, to_ms(s.at), s.payload) for s in sessions
    ]
    insert(connection, _INSERT, rows)
    return [None] * len(sessions)


def _erase(connection: sqlite3.Connection, telegram_ids: Sequence[int]) -> list[set[str]]:
    erased = []
    for telegram_id in telegram_ids:
        query = "SELECT DISTINCT session_id FROM session WHERE telegram_id = ?"
        erased.append({session_id for (session_id,) in connection.execute(query, (telegram_id,))})
        connection.execute("DELETE FROM session WHERE telegram_id = ?", (telegram_id,))
    return erased


def _prune(connection: sqlite3.Connection, prunings: Sequence[_Pruning]) -> list[int]:
    return [connection.execute(_PRUNE, pruning).rowcount for pruning in prunings]


def _sessions(rows: Iterable[Sequence[Any]]) -> Iterator[Session]:
    """Yield what can be read."""
    for bot_id, telegram_id, session_id, source, at_ms, payload in rows:
        try:
            at = from_ms(at_ms)
        except (TypeError, ValueError, OverflowError) as error:
            tell_left_out("touch", error)
        else:
            yield Session(bot_id, telegram_id, session_id, source, at, payload)
