"""What the parts of a tracker share: the store, the courier, and what is counted."""

from __future__ import annotations

from collections import Counter

from gp_aiogram.delivery.courier import Courier
from gp_aiogram.destinations.base import Destination
from gp_aiogram.model.money import Stars
from gp_aiogram.model.retention import Retention
from gp_aiogram.model.session import Attribution
from gp_aiogram.stores.contract import Outbox, ProfileStore, SessionStore
from gp_aiogram.stores.keys import opt_out_key
from gp_aiogram.tracker.before_send import BeforeSend
from gp_aiogram.tracker.enrichment import Enrichment
from gp_aiogram.tracker.invites import Invites


class TrackerBase:
    """Set up by :class:`~gp_aiogram.Tracker`; its parts add what callers may do."""

    attribution: Attribution
    counts: Counter[str]
    invites: Invites
    stars: Stars | None
    retention: Retention
    _before_send: BeforeSend | None
    _courier: Courier
    _enrichment: Enrichment
    _outbox: Outbox
    _profiles: ProfileStore
    _sessions: SessionStore
    #: Sessions of users who are being forgotten.
    _unerased: dict[int, set[str]]

    @property
    def bots(self) -> dict[int, str | None]:
        """Bots whose updates came through here, with their usernames as far as known."""
        return self._enrichment.bots

    @property
    def destinations(self) -> list[Destination]:
        """Where events go."""
        return [lane.destination for lane in self._courier.lanes.values()]

    async def _opted_out(self, telegram_id: int) -> bool:
        if not await self._outbox.known_keys([opt_out_key(telegram_id)]):
            return False
        self.counts["opted_out"] += 1
        return True
