"""Clicks and traits in a SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import cast

from gp_aiogram.click import Click
from gp_aiogram.clock import to_ms
from gp_aiogram.event import Traits
from gp_aiogram.stores.base import Profile, ProfileStore
from gp_aiogram.stores.sqlite_file import SQLiteFile, existing, fetched


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


def _add_clicks(
    connection: sqlite3.Connection,
    clicks: Sequence[tuple[str, Click]],
) -> list[bool]:
    session_ids = [session_id for session_id, _ in clicks]
    known = existing(connection, "click", "session_id", session_ids)
    added = []
    rows = []
    for session_id, click in clicks:
        added.append(session_id not in known)
        if session_id not in known:
            known.add(session_id)
            rows.append((session_id, to_ms(click.at), json.dumps(click.to_dict())))
    connection.executemany("INSERT INTO click VALUES (?, ?, ?)", rows)
    return added


def _add_traits(
    connection: sqlite3.Connection,
    users: Sequence[tuple[int, Traits]],
) -> list[None]:
    connection.executemany(
        "INSERT OR REPLACE INTO trait (telegram_id, platform, field, value) VALUES (?, ?, ?, ?)",
        [
            (telegram_id, platform, field, value)
            for telegram_id, traits in users
            for platform, fields in traits.items()
            for field, value in fields.items()
        ],
    )
    return [None] * len(users)


def _profiles(
    connection: sqlite3.Connection,
    asked: Sequence[tuple[int, str | None]],
) -> list[Profile]:
    """Answer many callers with few statements."""
    clicks = _bodies(connection, {session_id for _, session_id in asked if session_id})
    traits = _traits(connection, {telegram_id for telegram_id, _ in asked})
    return [
        Profile(clicks.get(session_id or ""), traits.get(telegram_id, {}))
        for telegram_id, session_id in asked
    ]


def _bodies(connection: sqlite3.Connection, session_ids: set[str]) -> dict[str, Click]:
    query = "SELECT session_id, body FROM click WHERE session_id IN ({marks})"
    rows = fetched(connection, query, list(session_ids))
    return {session_id: Click.from_dict(json.loads(body)) for session_id, body in rows}


def _traits(
    connection: sqlite3.Connection,
    telegram_ids: set[int],
) -> dict[int, dict[str, dict[str, str]]]:
    query = "SELECT telegram_id, platform, field, value FROM trait WHERE telegram_id IN ({marks})"
    traits: dict[int, dict[str, dict[str, str]]] = {}
    rows = fetched(connection, query, list(telegram_ids))
    for telegram_id, platform, field, value in rows:
        traits.setdefault(telegram_id, {}).setdefault(platform, {})[field] = value
    return traits
