"""Clicks, traits and invite links in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import islice

from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Traits
from gp_aiogram.stores.contract import ProfileStore
from gp_aiogram.stores.records import Profile


class MemoryProfiles(ProfileStore):
    """The part of :class:`~gp_aiogram.MemoryStore` that knows clicks, traits and invite links."""

    def __init__(self) -> None:
        self._clicks: dict[str, Click] = {}
        self._traits: dict[int, dict[str, Mapping[str, str]]] = {}
        self._invites: dict[str, str] = {}

    async def add_click(self, session_id: str, click: Click) -> bool:
        """Keep what a landing page saw."""
        if session_id in self._clicks:
            return False
        self._clicks[session_id] = click
        return True

    async def add_traits(self, telegram_id: int, traits: Traits) -> None:
        """Keep traits of a user."""
        known = self._traits.setdefault(telegram_id, {})
        for platform, fields in traits.items():
            if fields:
                known[platform] = {**known.get(platform, {}), **fields}

    async def profile(self, telegram_id: int, session_id: str | None) -> Profile:
        """Return the traits of a user, and the click of the session."""
        click = None if session_id is None else self._clicks.get(session_id)
        traits = self._traits.get(telegram_id, {})
        return Profile(click, {platform: dict(fields) for platform, fields in traits.items()})

    async def add_invite(self, link: str, session_id: str) -> None:
        """Keep which session an invite link carries."""
        self._invites[link] = session_id

    async def invited(self, link: str) -> str | None:
        """Return the session that an invite link carries."""
        return self._invites.get(link)

    async def erase(self, telegram_id: int, session_ids: Collection[str]) -> None:
        """Erase the traits of a user, and the clicks of these sessions with their links."""
        self._traits.pop(telegram_id, None)
        self._erase_clicks(session_ids)

    async def prune(self, before: datetime, limit: int) -> int:
        """Erase clicks that are older, with their invite links."""
        old = (session_id for session_id, click in self._clicks.items() if click.moment < before)
        return self._erase_clicks(list(islice(old, limit)))

    def _erase_clicks(self, session_ids: Collection[str]) -> int:
        gone = self._clicks.keys() & session_ids
        for session_id in gone:
            del self._clicks[session_id]
        self._invites = {
            link: session_id
            for link, session_id in self._invites.items()
            if session_id not in gone
        }
        return len(gone)
