"""Clicks, traits and invite links in a SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import cast

from gp_aiogram.model.click import Click
from gp_aiogram.model.clock import Clock, to_ms
from gp_aiogram.model.event import Traits
from gp_aiogram.stores.contract import ProfileStore
from gp_aiogram.stores.records import Profile
from gp_aiogram.stores.sqlite.file import SQLiteFile, existing, fetched


class SQLiteProfiles(ProfileStore):
    """The part of :class:`~gp_aiogram.SQLiteStore` that knows clicks, traits and invite links."""

    clock: Clock
    _file: SQLiteFile

    async def add_click(self, session_id: str, click: Click) -> bool:
        """Keep what a landing page saw."""
        return cast("bool", await self._file.submit(_add_clicks, (session_id, click)))

    async def add_traits(self, telegram_id: int, traits: Traits) -> None:
        """Keep traits of a user."""
        await self._file.submit(_add_traits, (telegram_id, traits))

    async def profile(self, telegram_id: int, session_id: str | None) -> Profile:
        """Return everything known of a user, and the click of his session."""
        wanted = (telegram_id, session_id)
        return cast("Profile", await self._file.submit(profiles_of, wanted, reads=True))

    async def add_invite(self, link: str, session_id: str) -> None:
        """Keep which session an invite link stands for."""
        await self._file.submit(_add_invites, (link, session_id))

    async def invited(self, link: str) -> str | None:
        """Return the session that an invite link stands for."""
        rows = await self._file.read("SELECT session_id FROM invite WHERE link = ?", (link,))
        return cast("str", rows[0][0]) if rows else None

    async def forget_profile(self, telegram_id: int, session_ids: Collection[str]) -> None:
        """Erase the traits of a user, and the clicks of these sessions with their links."""
        await self._file.submit(_forget_profiles, (telegram_id, session_ids))

    async def prune_clicks(self, before: datetime, limit: int) -> int:
        """Erase clicks that are older, with their invite links."""
        return cast("int", await self._file.submit(_prune_clicks, (to_ms(before), limit)))


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


def profiles_of(
    connection: sqlite3.Connection,
    asked: Sequence[tuple[int, str | None]],
) -> list[Profile]:
    """Answer many callers with few statements."""
    clicks = _bodies(connection, {session_id for _, session_id in asked if session_id})
    traits = _traits(connection, {telegram_id for telegram_id, _ in asked})
    if not clicks and not traits:
        return [_NOTHING] * len(asked)
    return [
        Profile(clicks.get(session_id or ""), traits.get(telegram_id, {}))
        for telegram_id, session_id in asked
    ]


_NOTHING = Profile()


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


def _add_invites(
    connection: sqlite3.Connection,
    invites: Sequence[tuple[str, str]],
) -> list[None]:
    connection.executemany("INSERT OR REPLACE INTO invite VALUES (?, ?)", invites)
    return [None] * len(invites)


def _forget_profiles(
    connection: sqlite3.Connection,
    users: Sequence[tuple[int, Collection[str]]],
) -> list[None]:
    forgotten = [session_id for _, session_ids in users for session_id in session_ids]
    connection.executemany("DELETE FROM trait WHERE telegram_id = ?", [user[:1] for user in users])
    _delete_clicks(connection, forgotten)
    return [None] * len(users)


def _prune_clicks(
    connection: sqlite3.Connection,
    limits: Sequence[tuple[int, int]],
) -> list[int]:
    query = "SELECT session_id FROM click WHERE at_ms < ? LIMIT ?"
    return [
        _delete_clicks(
            connection, [session_id for (session_id,) in connection.execute(query, limit)]
        )
        for limit in limits
    ]


def _delete_clicks(connection: sqlite3.Connection, session_ids: Sequence[str]) -> int:
    """Erase clicks with their invite links, and return how many clicks there were."""
    links = """
        DELETE FROM invite
        WHERE session_id = ? AND session_id IN (SELECT session_id FROM click)
    """
    rows = [(session_id,) for session_id in session_ids]
    connection.executemany(links, rows)
    deleted = connection.executemany("DELETE FROM click WHERE session_id = ?", rows)
    return max(deleted.rowcount, 0)
