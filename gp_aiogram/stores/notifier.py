"""Wakes whoever waits in this process for a delivery to become due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable


class Notifier:
    """Waits by destination.

    :param next_due: seconds until an unclaimed delivery of a destination is due: 0 when one is,
        None without any.
    :param pause: seconds after which to look again although nobody has notified; without end
        unless given.
    """

    def __init__(
        self,
        next_due: Callable[[str], Awaitable[float | None]],
        pause: Callable[[], float] = lambda: float("inf"),
    ) -> None:
        self._next_due = next_due
        self._pause = pause
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def notify(self, destinations: Iterable[str]) -> None:
        """Have those who wait for these destinations look again."""
        for destination in destinations:
            for waiting in self._waiting.get(destination, ()):
                waiting.set()

    def notify_all(self) -> None:
        """Have everybody look again."""
        self.notify([*self._waiting])

    async def wait(self, destination: str, timeout: float) -> bool:
        """Wait until a delivery is due.

        :param timeout: seconds to wait at most; 0 only looks.
        :return: False when none was due in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        changed = asyncio.Event()
        # Before the first look, so that what comes in meanwhile is not missed.
        self._waiting.setdefault(destination, set()).add(changed)
        try:
            while (due := await self._next_due(destination)) != 0:
                left = deadline - loop.time()
                if left <= 0:
                    return False
                soonest = left if due is None else min(due, left)
                await _happens(changed, min(soonest, self._pause()))
                changed.clear()
            return True
        finally:
            self._waiting[destination].discard(changed)


async def _happens(event: asyncio.Event, seconds: float) -> None:
    # Not wait_for(): before Python 3.12 it loses a cancellation that comes with the event.
    timer = asyncio.get_running_loop().call_later(seconds, event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()
