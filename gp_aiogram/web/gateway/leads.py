"""Whom a lead id means, and which destinations fire a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gp_aiogram.destinations.base import Destination
from gp_aiogram.destinations.meta import MetaCAPI
from gp_aiogram.destinations.tiktok import TikTokEvents
from gp_aiogram.stores.contract import Store


class Leads(Protocol):
    """Knows leads."""

    async def user_of(self, lead_id: str) -> int | None:
        """Return the Telegram id of a lead; None when there is no such lead."""


class Pixels(Protocol):
    """Knows pixels."""

    def destinations_of(self, platform: str, pixel_id: str) -> Sequence[str] | None:
        """Return the names of the destinations that fire a pixel; None when there is none.

        :param platform: ``facebook`` or ``tiktok``.
        """


class IdentifiedLeads:
    """Leads are users: those who were identified by it, or whose deep link carried it.

    :param store: knows both.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def user_of(self, lead_id: str) -> int | None:
        """Return the user whom ``identify(lead_id=...)`` named so, else who came by it last.

        :raises StoreError: when the store failed.
        """
        for telegram_id in await self._store.profiles.users_of_lead(lead_id, limit=1):
            return telegram_id
        for touch in await self._store.sessions.touches_of(lead_id, limit=1):
            return touch.telegram_id
        return None


class TrackerPixels:
    """The pixels of a tracker's own destinations.

    :param destinations: of the tracker.
    """

    def __init__(self, destinations: Sequence[Destination]) -> None:
        self._names: dict[tuple[str, str], list[str]] = {}
        for destination in destinations:
            if isinstance(destination, MetaCAPI):
                pixel = ("facebook", destination.pixel_id)
            elif isinstance(destination, TikTokEvents):
                pixel = ("tiktok", destination.pixel_code)
            else:
                continue
            # Of two for one pixel the first fires: platforms would count the event once anyway.
            self._names.setdefault(pixel, [destination.name])

    def destinations_of(self, platform: str, pixel_id: str) -> Sequence[str] | None:
        """Return the name of the destination for a pixel."""
        return self._names.get((platform, pixel_id))
