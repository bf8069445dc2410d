"""What the parts of a tracker share: the store, the courier, and what is counted."""

from __future__ import annotations

from collections import Counter

from gp_aiogram.attribution import Attribution
from gp_aiogram.courier import Courier
from gp_aiogram.enrichment import Enrichment
from gp_aiogram.stores.base import Outbox, ProfileStore, SessionStore


class TrackerBase:
    """Set up by :class:`~gp_aiogram.Tracker`; its parts add what callers may do."""

    attribution: Attribution
    counts: Counter[str]
    _courier: Courier
    _enrichment: Enrichment
    _outbox: Outbox
    _profiles: ProfileStore
    _sessions: SessionStore

    @property
    def bots(self) -> dict[int, str | None]:
        """Bots whose updates came through here, with their usernames as far as known."""
        return self._enrichment.bots
