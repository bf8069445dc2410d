"""Clicks, traits and invite links in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice

from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Traits
from gp_aiogram.stores.contract import ProfileStore
from gp_aiogram.stores.records import Profile, Unmatched


class MemoryProfiles(ProfileStore):
    """The part of :class:`~gp_aiogram.MemoryStore` that knows clicks, traits and invite links."""

    def __init__(self) -> None:
        self._clicks: dict[str, Click] = {}
        #: By click id: the session ids, in the order of their clicks.
        self._sessions: dict[str, dict[str, None]] = {}
        self._traits: dict[int, dict[str, Mapping[str, str]]] = {}
        #: By lead id.
        self._users: dict[str, set[int]] = {}
        self._invites: dict[str, str] = {}
        self._unmatched: dict[str, Unmatched] = {}
        #: By click id: keys of conversions.
        self._unmatched_by_id: dict[str, set[str]] = {}

    async def add_click(self, session_id: str, click: Click) -> bool:
        """Keep what a landing page saw."""
        if session_id in self._clicks:
            return False
        self._clicks[session_id] = click
        for click_id in click.click_ids().values():
            self._sessions.setdefault(click_id, {})[session_id] = None
        return True

    async def sessions_of(self, click_id: str, limit: int = 100) -> Sequence[str]:
        """Return the session ids of clicks that hold an id."""
        return [*self._sessions.get(click_id, ())][:limit]

    async def add_traits(self, telegram_id: int, traits: Traits) -> None:
        """Keep traits of a user."""
        known = self._traits.setdefault(telegram_id, {})
        self._forget_lead(telegram_id)
        for platform, fields in traits.items():
            if fields:
                known[platform] = {**known.get(platform, {}), **fields}
        if lead_id := known.get("leadsail", {}).get("lead_id"):
            self._users.setdefault(lead_id, set()).add(telegram_id)

    async def profile(self, telegram_id: int, session_id: str | None) -> Profile:
        """Return the traits of a user, and the click of the session."""
        click = None if session_id is None else self._clicks.get(session_id)
        traits = self._traits.get(telegram_id, {})
        return Profile(click, {platform: dict(fields) for platform, fields in traits.items()})

    async def users_of_lead(self, lead_id: str, limit: int = 100) -> Sequence[int]:
        """Return the users who have this ``lead_id`` among their traits."""
        return sorted(self._users.get(lead_id, ()))[:limit]

    async def add_invite(self, link: str, session_id: str) -> None:
        """Keep which session an invite link carries."""
        self._invites[link] = session_id

    async def invited(self, link: str) -> str | None:
        """Return the session that an invite link carries."""
        return self._invites.get(link)

    async def add_unmatched(self, conversion: Unmatched) -> bool:
        """Keep a conversion until its user turns up."""
        if conversion.key not in self._unmatched:
            self._unmatched[conversion.key] = conversion
            self._unmatched_by_id.setdefault(conversion.click_id, set()).add(conversion.key)
        return True

    async def unmatched_of(self, session_id: str, limit: int = 100) -> Sequence[Unmatched]:
        """Return conversions that a session brings the user of, the earliest first."""
        click = self._clicks.get(session_id)
        ids = {session_id, *(() if click is None else click.click_ids().values())}
        keys = {key for click_id in ids for key in self._unmatched_by_id.get(click_id, ())}
        return sorted((self._unmatched[key] for key in keys), key=_place)[:limit]

    async def unmatched(
        self, limit: int = 100, after: Unmatched | None = None
    ) -> Sequence[Unmatched]:
        """Return conversions that were kept, the earliest first."""
        kept = sorted(self._unmatched.values(), key=_place)
        return [one for one in kept if after is None or _place(one) > _place(after)][:limit]

    async def drop_unmatched(self, keys: Collection[str]) -> None:
        """Keep conversions no longer."""
        for key in self._unmatched.keys() & keys:
            click_id = self._unmatched.pop(key).click_id
            self._unmatched_by_id[click_id].discard(key)
            if not self._unmatched_by_id[click_id]:
                del self._unmatched_by_id[click_id]

    async def erase(self, telegram_id: int, session_ids: Collection[str]) -> None:
        """Erase the traits of a user, and the clicks of these sessions with their links."""
        self._forget_lead(telegram_id)
        self._traits.pop(telegram_id, None)
        self._erase_clicks(session_ids)

    async def prune(self, before: datetime, limit: int) -> int:
        """Erase clicks that are older, with their invite links."""
        old = (session_id for session_id, click in self._clicks.items() if click.moment < before)
        return self._erase_clicks(list(islice(old, limit)))

    def _forget_lead(self, telegram_id: int) -> None:
        lead_id = self._traits.get(telegram_id, {}).get("leadsail", {}).get("lead_id", "")
        users = self._users.get(lead_id, set())
        users.discard(telegram_id)
        if not users:
            self._users.pop(lead_id, None)

    def _erase_clicks(self, session_ids: Collection[str]) -> int:
        gone = self._clicks.keys() & session_ids
        for session_id in gone:
            for click_id in {*self._clicks.pop(session_id).click_ids().values()}:
                del self._sessions[click_id][session_id]
                if not self._sessions[click_id]:
                    del self._sessions[click_id]
        self._invites = {
            link: session_id
            for link, session_id in self._invites.items()
            if session_id not in gone
        }
        return len(gone)


def _place(conversion: Unmatched) -> tuple[datetime, str]:
    return conversion.at, conversion.key
