"""Clicks and traits in a SQLite file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import aiosqlite

from gp_aiogram.click import Click
from gp_aiogram.clock import to_ms
from gp_aiogram.event import Traits
from gp_aiogram.stores.base import Profile, ProfileStore
from gp_aiogram.stores.sqlite_file import SQLiteFile, existing


class SQLiteProfiles(ProfileStore):
    """The part of :class:`~gp_aiogram.SQLiteStore` that knows clicks and traits."""

    _file: SQLiteFile

    async def add_click(self, session_id: str, click: Click) -> bool:
        """Keep what a landing page saw."""
        return cast("bool", await self._file.submit(_add_clicks, (session_id, click)))

    async def add_traits(self, telegram_id: int, traits: Traits) -> None:
        """Keep traits of a user."""
        await self._file.submit(_add_traits, (telegram_id, traits))

    async def profile(self, telegram_id: int, session_id: str | None) -> Profile:
        """Return everything known of a user, and the click of his session."""
        return cast("Profile", await self._file.submit(_profiles, (telegram_id, session_id)))


async def _add_clicks(
    connection: aiosqlite.Connection,
    clicks: Sequence[tuple[str, Click]],
) -> list[bool]:
    session_ids = [session_id for session_id, _ in clicks]
    known = await existing(connection, "click", "session_id", session_ids)
    added = []
    rows = []
    for session_id, click in clicks:
        added.append(session_id not in known)
        if session_id not in known:
            known.add(session_id)
            rows.append((session_id, to_ms(click.at), json.dumps(click.to_dict())))
    await connection.executemany("INSERT INTO click VALUES (?, ?, ?)", rows)
    return added


async def _add_traits(
    connection: aiosqlite.Connection,
    users: Sequence[tuple[int, Traits]],
) -> list[None]:
    await connection.executemany(
        "INSERT OR REPLACE INTO trait (telegram_id, platform, field, value) VALUES (?, ?, ?, ?)",
        [
            (telegram_id, platform, field, value)
            for telegram_id, traits in users
            for platform, fields in traits.items()
            for field, value in fields.items()
        ],
    )
    return [None] * len(users)


async def _profiles(
    connection: aiosqlite.Connection,
    asked: Sequence[tuple[int, str | None]],
) -> list[Profile]:
    return [await _profile(connection, *one) for one in asked]


async def _profile(
    connection: aiosqlite.Connection,
    telegram_id: int,
    session_id: str | None,
) -> Profile:
    """Read click and traits in one trip to SQLite's thread."""
    rows: Any = await connection.execute_fetchall(
        """
        SELECT NULL, NULL, body FROM click WHERE session_id = ?
        UNION ALL SELECT platform, field, value FROM trait WHERE telegram_id = ?
        """,
        (session_id, telegram_id),
    )
    click: Click | None = None
    traits: dict[str, dict[str, str]] = {}
    for platform, field, value in rows:
        if platform is None:
            click = Click.from_dict(json.loads(value))
        else:
            traits.setdefault(platform, {})[field] = value
    return Profile(click, traits)
