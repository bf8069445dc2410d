"""A bot whose sessions are in its own database: the four methods of a session store, in SQL."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from aiogram import Router
from aiogram.filters import Command, CommandStart
from aiogram.types import Message

from gp_aiogram import Session, SessionStore, UserTracker, track

TABLE = """
CREATE TABLE IF NOT EXISTS bot_users_touches (
    id INTEGER PRIMARY KEY,
    bot INTEGER,
    tg_user INTEGER NOT NULL,
    click TEXT NOT NULL,
    source TEXT NOT NULL,
    happened_at REAL NOT NULL,
    payload TEXT NOT NULL
)
"""


class OwnSessions(SessionStore):
    """Touches in a table of the bot's own database.

    :param path: of the database, which has other tables, too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def add(self, session: Session) -> None:
        """Insert a touch unless it is there."""
        touch = (session.bot_id, session.telegram_id, session.session_id, _stamp(session.at))
        await self._run(
            "INSERT INTO bot_users_touches (bot, tg_user, click, happened_at, source, payload) "
            "SELECT ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM bot_users_touches "
            "WHERE bot IS ? AND tg_user = ? AND click = ? AND happened_at = ?)",
            *touch,
            session.source,
            session.payload,
            *touch,
        )

    async def history(
        self,
        telegram_id: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Session]:
        """Select a user's touches."""
        rows = await self._run(
            "SELECT bot, tg_user, click, source, happened_at, payload FROM bot_users_touches "
            "WHERE tg_user = ? AND happened_at >= ? AND happened_at <= ? ORDER BY happened_at, id",
            telegram_id,
            _stamp(since) if since else 0,
            _stamp(until) if until else 1e12,
        )
        return [
            Session(bot, user, click, source, _moment(stamp), payload)
            for bot, user, click, source, stamp, payload in rows
        ]

    async def erase(self, telegram_id: int) -> set[str]:
        """Delete a user's touches."""
        rows = await self._run(
            "DELETE FROM bot_users_touches WHERE tg_user = ? RETURNING click", telegram_id
        )
        return {click for (click,) in rows}

    async def prune(self, before: datetime, limit: int) -> int:
        """Delete old touches."""
        rows = await self._run(
            "DELETE FROM bot_users_touches WHERE id IN (SELECT id FROM bot_users_touches "
            "WHERE happened_at < ? LIMIT ?) RETURNING id",
            _stamp(before),
            limit,
        )
        return len(rows)

    async def _run(self, statement: str, *values: object) -> list[Any]:
        return await asyncio.to_thread(self._execute, statement, values)

    def _execute(self, statement: str, values: Sequence[object]) -> list[Any]:
        connection = sqlite3.connect(self._path, timeout=30)
        try:
            with connection:
                connection.execute(TABLE)
                return connection.execute(statement, values).fetchall()
        finally:
            connection.close()


def _stamp(moment: datetime) -> float:
    return moment.timestamp()


def _moment(stamp: float) -> datetime:
    return datetime.fromtimestamp(stamp, timezone.utc)


def create_router() -> Router:
    """What the bot says."""
    router = Router()

    @router.message(CommandStart())
    @track("REG", once="user")
    async def start(message: Message, gp: UserTracker) -> None:
        await message.answer(gp.session.session_id if gp.session else "organic")

    @router.message(Command("forget"))
    async def forget(message: Message, gp: UserTracker) -> None:
        await gp.forget()
        await message.answer("Forgotten")

    return router
