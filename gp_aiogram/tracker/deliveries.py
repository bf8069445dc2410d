"""The part of a tracker that watches deliveries."""

from __future__ import annotations

from gp_aiogram.delivery.stats import DestinationStats, Stats
from gp_aiogram.stores.records import Delivery
from gp_aiogram.tracker.base import TrackerBase


class Deliveries(TrackerBase):
    """Tells what became of events, and tries again what was given up."""

    async def flush(self, timeout: float = 10.0) -> bool:
        """Wait until nothing is due.

        :param timeout: seconds to wait at most.
        :return: False when something is still due, or when nobody delivers it.
        """
        return await self._courier.flush(timeout)

    async def stats(self) -> Stats:
        """Tell what happened so far and how the destinations are doing."""
        stored = await self._outbox.counts()
        lanes = self._courier.lanes
        return Stats(
            counts=dict(self.counts),
            destinations={
                name: DestinationStats(
                    state=lanes[name].state if name in lanes else None,
                    deliveries=stored.get(name, {}),
                    retried=lanes[name].counts["retried"] if name in lanes else 0,
                )
                for name in sorted({*stored, *lanes})
            },
        )

    async def deliveries(self, event_id: str) -> list[Delivery]:
        """Return what became of an event at each of its destinations."""
        return await self._outbox.deliveries(event_id)

    async def dead_letters(
        self,
        destination: str | None = None,
        *,
        limit: int = 100,
    ) -> list[Delivery]:
        """Return deliveries that were given up, with the reason, oldest event first.

        :param destination: None means of every destination.
        """
        return await self._outbox.dead_letters(destination, limit=limit)

    async def replay(
        self,
        destination: str | None = None,
        *,
        event_id: str | None = None,
    ) -> int:
        """Have dead letters delivered after all; they keep their event id.

        :param destination: None means of every destination.
        :param event_id: None means of every event.
        :return: how many are due again.
        """
        replayed = await self._outbox.replay(destination, event_id=event_id)
        self._courier.wake(self._courier.lanes)
        return replayed
