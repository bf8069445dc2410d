"""Touches of users in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache, partial
from itertools import chain
from typing import Any, NamedTuple, cast

from gp_aiogram.model.clock import from_ms, to_ms
from gp_aiogram.model.session import SOURCES, Session, Source
from gp_aiogram.stores.contract import SessionStore
from gp_aiogram.stores.sqlite.file import MAX_PARAMETERS, SQLiteFile
from gp_aiogram.stores.sqlite.group_commit import BulkOperation


class Lookup(NamedTuple):
    """Which touch of a user is looked for; moments in milliseconds."""

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
        preferred: Collection[Source] = (),
    ) -> Session | None:
        """Return the last (or first) touch of a user."""
        lookup = lookup_for(telegram_id, bot_id, since, until)
        operation = finder(frozenset(preferred), first=first)
        return cast("Session | None", await self._file.submit(operation, lookup, reads=True))

    async def forget_sessions(self, telegram_id: int) -> set[str]:
        """Erase every touch of a user."""
        return cast("set[str]", await self._file.submit(_forget_sessions, telegram_id))

    async def prune_sessions(self, before: datetime, limit: int) -> int:
        """Erase touches that are older."""
        return cast("int", await self._file.submit(_prune_sessions, (to_ms(before), limit)))


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


def lookup_for(
    telegram_id: int,
    bot_id: int | None,
    since: datetime | None,
    until: datetime | None,
) -> Lookup:
    """Return the lookup; what is None sets no limit."""
    return Lookup(
        telegram_id,
        bot_id,
        since_ms=-(2**62) if since is None else to_ms(since),
        until_ms=2**62 if until is None else to_ms(until),
    )


@lru_cache
def finder(preferred: frozenset[Source], *, first: bool) -> BulkOperation:
    """Return one object for each way to search, so that its callers share a statement."""
    direction = "ASC" if first else "DESC"
    sources = ", ".join(f"'{source}'" for source in sorted(SOURCES & preferred))
    return partial(
        _find_sessions, f"source IN ({sources}) DESC, at_ms {direction}, rowid {direction}"
    )


def _find_sessions(
    order: str,
    connection: sqlite3.Connection,
    lookups: Sequence[Lookup],
) -> list[Session | None]:
    """Answer many callers with one statement."""
    found: list[Session | None] = [None] * len(lookups)
    per_statement = MAX_PARAMETERS // (1 + len(Lookup._fields))
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
                ORDER BY {order} LIMIT 1
            )
        """
        for number, *touch in connection.execute(query, [*chain(*rows)]):
            found[number] = _session(touch)
    return found


def _forget_sessions(
    connection: sqlite3.Connection,
    telegram_ids: Sequence[int],
) -> list[set[str]]:
    forgotten = []
    for telegram_id in telegram_ids:
        query = "SELECT DISTINCT session_id FROM session WHERE telegram_id = ?"
        forgotten.append({row[0] for row in connection.execute(query, (telegram_id,))})
        connection.execute("DELETE FROM session WHERE telegram_id = ?", (telegram_id,))
    return forgotten


def _prune_sessions(
    connection: sqlite3.Connection,
    limits: Sequence[tuple[int, int]],
) -> list[int]:
    delete = """
        DELETE FROM session
        WHERE rowid IN (SELECT rowid FROM session WHERE at_ms < ? LIMIT ?)
    """
    return [connection.execute(delete, limit).rowcount for limit in limits]


def _session(row: Sequence[Any]) -> Session:
    bot_id, telegram_id, session_id, source, at_ms, payload = row
    return Session(bot_id, telegram_id, session_id, source, from_ms(at_ms), payload)
