"""Clicks, traits and invite links in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from gp_aiogram.model import codec
from gp_aiogram.model.click import Click
from gp_aiogram.model.clock import to_ms
from gp_aiogram.model.event import Traits
from gp_aiogram.stores.contract import ProfileStore
from gp_aiogram.stores.records import Profile, Unmatched
from gp_aiogram.stores.rows import clicks_of, conversions_of, tell_left_out
from gp_aiogram.stores.sqlite import unmatched
from gp_aiogram.stores.sqlite.bulk import change_in, insert, select_in
from gp_aiogram.stores.sqlite.work import DatabaseFile

_KNOWN_CLICKS = "SELECT session_id FROM click WHERE session_id IN ({marks})"

_CLICKS = "SELECT session_id, body FROM click WHERE session_id IN ({marks})"

_SESSIONS = "SELECT session_id FROM click_id WHERE value = ? ORDER BY session_id LIMIT ?"

_TRAITS = """
    SELECT telegram_id, platform, field, value FROM trait WHERE telegram_id IN ({marks})
"""

_INSERT_TRAITS = "INSERT OR REPLACE INTO trait (telegram_id, platform, field, value)"

_LEADS = """
    SELECT telegram_id FROM trait WHERE platform = 'leadsail' AND field = 'lead_id' AND value = ?
    ORDER BY telegram_id LIMIT ?
"""

_OLD_CLICKS = "SELECT session_id FROM click WHERE at_ms < ? ORDER BY at_ms LIMIT ?"

_DELETE_LINKS = """
    DELETE FROM invite WHERE session_id IN ({marks})
    AND session_id IN (SELECT session_id FROM click)
"""


class ProfileQuery(NamedTuple):
    """Whose traits are wanted, and which session's click."""

    telegram_id: int
    session_id: str | None


class _NewClick(NamedTuple):
    session_id: str
    click: Click


class _NewTraits(NamedTuple):
    telegram_id: int
    traits: Traits


class _Invite(NamedTuple):
    link: str
    session_id: str


class _Erasure(NamedTuple):
    telegram_id: int
    session_ids: Collection[str]


class _Pruning(NamedTuple):
    before_ms: int
    limit: int


class SQLiteProfiles(ProfileStore):
    """The part of :class:`~gp_aiogram.SQLiteStore` that knows clicks, traits and invite links."""

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file

    async def open(self) -> None:
        """Open the file."""
        await self._file.open()

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()

    async def add_click(self, session_id: str, click: Click) -> bool:
        """Keep what a landing page saw."""
        return await self._file.submit(_add_clicks, _NewClick(session_id, click))

    async def sessions_of(self, click_id: str, limit: int = 100) -> Sequence[str]:
        """Return the session ids of clicks that hold an id."""
        rows = await self._file.read(_SESSIONS, (click_id, limit))
        return [session_id for (session_id,) in rows]

    async def add_traits(self, telegram_id: int, traits: Traits) -> None:
        """Keep traits of a user."""
        await self._file.submit(_add_traits, _NewTraits(telegram_id, traits))

    async def profile(self, telegram_id: int, session_id: str | None) -> Profile:
        """Return the traits of a user, and the click of the session."""
        query = ProfileQuery(telegram_id, session_id)
        return await self._file.submit(profiles, query, reads=True)

    async def users_of_lead(self, lead_id: str, limit: int = 100) -> Sequence[int]:
        """Return the users who have this ``lead_id`` among their traits."""
        rows = await self._file.read(_LEADS, (lead_id, limit))
        return [telegram_id for (telegram_id,) in rows]

    async def add_invite(self, link: str, session_id: str) -> None:
        """Keep which session an invite link carries."""
        await self._file.submit(_add_invites, _Invite(link, session_id))

    async def invited(self, link: str) -> str | None:
        """Return the session that an invite link carries."""
        rows = await self._file.read("SELECT session_id FROM invite WHERE link = ?", (link,))
        return rows[0][0] if rows else None

    async def add_unmatched(self, conversion: Unmatched) -> bool:
        """Keep a conversion until its user turns up."""
        return await self._file.submit(unmatched.add, conversion)

    async def unmatched_of(self, session_id: str, limit: int = 100) -> Sequence[Unmatched]:
        """Return conversions that a session brings the user of, the earliest first."""
        rows = await self._file.read(unmatched.OF_SESSION, (session_id, session_id, limit))
        return conversions_of(rows)

    async def unmatched(
        self, limit: int = 100, after: Unmatched | None = None
    ) -> Sequence[Unmatched]:
        """Return conversions that were kept, the earliest first."""
        place = (-(2**62), "") if after is None else (to_ms(after.at), after.key)
        return conversions_of(await self._file.read(unmatched.PAGE, (*place, limit)))

    async def drop_unmatched(self, keys: Collection[str]) -> None:
        """Keep conversions no longer."""
        await self._file.submit(unmatched.drop, keys)

    async def erase(self, telegram_id: int, session_ids: Collection[str]) -> None:
        """Erase the traits of a user, and the clicks of these sessions with their links."""
        await self._file.submit(_erase, _Erasure(telegram_id, session_ids))

    async def prune(self, before: datetime, limit: int) -> int:
        """Erase clicks that are older, with their invite links."""
        return await self._file.submit(_prune, _Pruning(to_ms(before), limit))


def profiles(
    connection: sqlite3.Connection,
    queries: Sequence[ProfileQuery],
) -> list[Profile]:
    """Answer many callers with few statements."""
    clicks = _clicks(connection, {query.session_id for query in queries if query.session_id})
    traits = _traits(connection, {query.telegram_id for query in queries})
    return [
        Profile(clicks.get(session_id or ""), traits.get(telegram_id, {}))
        for telegram_id, session_id in queries
    ]


def _clicks(connection: sqlite3.Connection, session_ids: set[str]) -> dict[str, Click]:
    rows = select_in(connection, _CLICKS, [*session_ids])
    return clicks_of(rows)


def _traits(
    connection: sqlite3.Connection,
    telegram_ids: set[int],
) -> dict[int, dict[str, dict[str, str]]]:
    traits: dict[int, dict[str, dict[str, str]]] = {}
    for telegram_id, platform, field, value in select_in(connection, _TRAITS, [*telegram_ids]):
        if not isinstance(value, str):
            tell_left_out("trait", TypeError())
            continue
        traits.setdefault(telegram_id, {}).setdefault(platform, {})[field] = value
    return traits


def _add_clicks(connection: sqlite3.Connection, clicks: Sequence[_NewClick]) -> list[bool]:
    session_ids = [session_id for session_id, _ in clicks]
    known = {session_id for (session_id,) in select_in(connection, _KNOWN_CLICKS, session_ids)}
    added = []
    rows, ids = [], []
    for session_id, click in clicks:
        added.append(session_id not in known)
        if session_id not in known:
            known.add(session_id)
            rows.append((session_id, to_ms(click.moment), codec.encode(click.to_dict()).decode()))
            ids += [(value, session_id) for value in click.click_ids().values()]
    insert(connection, "INSERT INTO click (session_id, at_ms, body)", rows)
    insert(connection, "INSERT OR IGNORE INTO click_id (value, session_id)", ids)
    return added


def _add_traits(connection: sqlite3.Connection, users: Sequence[_NewTraits]) -> list[None]:
    rows = [
        (telegram_id, platform, field, value)
        for telegram_id, traits in users
        for platform, fields in traits.items()
        for field, value in fields.items()
    ]
    insert(connection, _INSERT_TRAITS, rows)
    return [None] * len(users)


def _add_invites(connection: sqlite3.Connection, invites: Sequence[_Invite]) -> list[None]:
    insert(connection, "INSERT OR REPLACE INTO invite (link, session_id)", invites)
    return [None] * len(invites)


def _erase(connection: sqlite3.Connection, erasures: Sequence[_Erasure]) -> list[None]:
    telegram_ids = [telegram_id for telegram_id, _ in erasures]
    change_in(connection, "DELETE FROM trait WHERE telegram_id IN ({marks})", telegram_ids)
    session_ids = [session_id for erasure in erasures for session_id in erasure.session_ids]
    _delete_clicks(connection, session_ids)
    return [None] * len(erasures)


def _prune(connection: sqlite3.Connection, prunings: Sequence[_Pruning]) -> list[int]:
    counts = []
    for pruning in prunings:
        session_ids = [session_id for (session_id,) in connection.execute(_OLD_CLICKS, pruning)]
        counts.append(_delete_clicks(connection, session_ids))
    return counts


def _delete_clicks(connection: sqlite3.Connection, session_ids: Sequence[str]) -> int:
    """Erase clicks with their invite links, and return how many clicks there were."""
    change_in(connection, _DELETE_LINKS, session_ids)
    change_in(connection, "DELETE FROM click_id WHERE session_id IN ({marks})", session_ids)
    return change_in(connection, "DELETE FROM click WHERE session_id IN ({marks})", session_ids)
