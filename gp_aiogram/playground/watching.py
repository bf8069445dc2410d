"""Tells the page how things stand, at once and whenever something has changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiogram.types import User

from gp_aiogram import Tracker
from gp_aiogram.playground.chat import chat_of
from gp_aiogram.playground.journey import Journeys
from gp_aiogram.playground.people import People, Person
from gp_aiogram.playground.platforms import Platform, shown
from gp_aiogram.sandbox import TelegramSandbox

#: Seconds between two looks. A look that finds nothing new compares some numbers.
_LOOK = 0.1


class Watch:
    """Knows how things stand.

    :param telegram: where people write.
    :param people: who plays.
    :param platforms: by the names of destinations.
    :param tracker: records and delivers.
    :param bot: the bot as Telegram has it.
    """

    def __init__(
        self,
        telegram: TelegramSandbox,
        people: People,
        platforms: dict[str, Platform],
        tracker: Tracker,
        bot: User,
    ) -> None:
        self._telegram = telegram
        self._people = people
        self._platforms = platforms
        self._tracker = tracker
        self._bot = {"name": bot.first_name, "username": bot.username}
        self._journeys = Journeys(tracker, platforms)

    async def changes(self, person: Person, stopping: asyncio.Event) -> AsyncIterator[Any]:
        """Yield the state that a person's page shows, and each later one, until stopped."""
        last: object = None
        while not stopping.is_set():
            signs = await self._signs()
            state = await self._state(person)
            if state != last:
                last = state
                yield state
            while not stopping.is_set() and await self._signs() == signs:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stopping.wait(), _LOOK)

    async def _signs(self) -> object:
        """Return what differs whenever the state may differ."""
        stats = await self._tracker.stats()
        return (
            [(one.state, one.deliveries, one.retried) for one in stats.destinations.values()],
            [len(platform.stand_in.requests) for platform in self._platforms.values()],
            [platform.switch.position for platform in self._platforms.values()],
            [(person.link, len(person.paid)) for person in self._people.all.values()],
            stats.counts,
            len(self._telegram.calls),
            len(self._telegram.updates),
        )

    async def _state(self, person: Person) -> dict[str, Any]:
        stats = await self._tracker.stats()
        return {
            "me": person.user.id,
            "people": [{"id": one.user.id, "name": one.name} for one in self._people.all.values()],
            "bot": self._bot,
            "chat": chat_of(person, self._telegram),
            "platforms": [
                {
                    **shown(name, platform, stats.destinations[name]),
                    "called_at": self._called_at(name),
                }
                for name, platform in self._platforms.items()
            ],
            "journey": await self._journeys.of(person),
        }

    def _called_at(self, name: str) -> float | None:
        """When a platform is called again, in unix seconds; None where nobody waits for that."""
        wait = self._tracker.waits.get(name, 0.0)
        return time.time() + wait if wait > 0 else None
