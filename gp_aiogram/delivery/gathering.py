"""Holds back events of a destination whose calls are precious, until a batch is worth one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from gp_aiogram.destinations.base import Destination
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import Claim

#: Looks at the number of waiting events per window, and the shortest time between two, in seconds.
_LOOKS, _SHORTEST_LOOK = 60, 0.05


class Gatherer:
    """Decides whether claimed events go out now or wait for others.

    Nothing is held in memory: what waits is pending in the outbox, and how long it has waited is
    read from there, so that a restart does not begin the wait again.

    :param destination: its ``gather_for`` is how long an event waits at most, from when it is due.
    :param monotonic: seconds on a clock that never goes back; a wait ends by it whatever the
        clock of the store does.
    """

    def __init__(
        self,
        destination: Destination,
        outbox: Outbox,
        monotonic: Callable[[], float],
    ) -> None:
        self._destination = destination
        self._outbox = outbox
        self._monotonic = monotonic
        self._until: float | None = None
        self._full_at = 0
        self._hurry = asyncio.Event()
        self._hurried_by = 0

    @property
    def left(self) -> float:
        """Seconds until what was held back goes out; 0 where nothing was."""
        return 0.0 if self._until is None else max(0.0, self._until - self._monotonic())

    async def lets_go(self, claim: Claim, enough: int) -> bool:
        """Return whether what was claimed goes out now; else it is to be released.

        :param claim: what is due, the longest due first, with the store's own time.
        :param enough: so many events are worth a call.
        """
        gathering, count = self._destination.gather_for, len(claim.deliveries)
        over = self._until is not None and not self.left
        if not count or count >= enough or gathering <= 0 or over or self._hurried_by:
            self._until = None
            return True
        waited = (claim.now - claim.deliveries[0].due).total_seconds()
        left = gathering - max(0.0, waited)
        if left <= 0:
            self._until = None
            return True
        until = self._monotonic() + left
        self._until = until if self._until is None else min(until, self._until)
        self._full_at = await self._pending() + enough - count
        return False

    async def rest(self) -> None:
        """Wait until what was held back should go out: time is up, a batch is full, or hurry."""
        look = max(_SHORTEST_LOOK, self._destination.gather_for / _LOOKS)
        while (left := self.left) > 0 and not self._hurry.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), min(left, look))
            if await self._pending() >= self._full_at:
                return

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Hold nothing back meanwhile."""
        self._hurried_by += 1
        self._hurry.set()
        try:
            yield
        finally:
            self._hurried_by -= 1
            if not self._hurried_by:
                self._hurry.clear()

    async def _pending(self) -> int:
        counts = await self._outbox.counts()
        return counts.get(self._destination.name, {}).get("pending", 0)
