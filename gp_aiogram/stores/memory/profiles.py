"""Clicks, traits and invite links in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Traits
from gp_aiogram.stores.contract import ProfileStore
from gp_aiogram.stores.records import Profile


class MemoryProfiles(ProfileStore):
    """The part of :class:`~gp_aiogram.MemoryStore` that knows clicks, traits and invite links."""

    _clicks: dict[str, Click]
    _traits: dict[int, dict[str, Mapping[str, str]]]
    _invites: dict[str, str]

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
        """Return everything known of a user, and the click of his session."""
        click = None if session_id is None else self._clicks.get(session_id)
        traits = self._traits.get(telegram_id, {})
        return Profile(click, {platform: dict(fields) for platform, fields in traits.items()})

    async def add_invite(self, link: str, session_id: str) -> None:
        """Keep which session an invite link stands for."""
        self._invites[link] = session_id

    async def invited(self, link: str) -> str | None:
        """Return the session that an invite link stands for."""
        return self._invites.get(link)

    async def forget_profile(self, telegram_id: int, session_ids: Collection[str]) -> None:
        """Erase the traits of a user, and the clicks of these sessions with their links."""
        self._traits.pop(telegram_id, None)
        self._delete_clicks(session_ids)

    async def prune_clicks(self, before: datetime, limit: int) -> int:
        """Erase clicks that are older, with their invite links."""
        old = [session_id for session_id, click in self._clicks.items() if click.at < before]
        self._delete_clicks(old[:limit])
        return len(old[:limit])

    def _delete_clicks(self, session_ids: Collection[str]) -> None:
        gone = self._clicks.keys() & session_ids
        for session_id in gone:
            del self._clicks[session_id]
        self._invites = {link: kept for link, kept in self._invites.items() if kept not in gone}
