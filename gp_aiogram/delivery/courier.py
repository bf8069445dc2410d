"""Moves deliveries from the outbox to the destinations, each on a lane of its own."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Sequence

from gp_aiogram.delivery.lane import Lane
from gp_aiogram.destinations.base import Destination
from gp_aiogram.stores.contract import Outbox

logger = logging.getLogger("gp_aiogram.courier")

#: Seconds that a destination gets to close its connections, or a cancelled request to end.
_CLOSING = 1.0


class Courier:
    """Runs a lane for each destination.

    :param random: draws from [0, 1), for the spread of retries.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        outbox: Outbox,
        *,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.lanes = {
            destination.name: Lane(destination, outbox, random=random)
            for destination in destinations
        }
        self._outbox = outbox
        self._tasks: list[asyncio.Task[None]] | None = None
        self._stopping = asyncio.Event()
        self._progress = asyncio.Event()

    @property
    def running(self) -> bool:
        """Whether deliveries are being moved."""
        return self._tasks is not None

    def start(self) -> None:
        """Begin to deliver; harmless when already running."""
        if self.running:
            return
        self._stopping = asyncio.Event()
        self._tasks = [
            asyncio.create_task(
                lane.run(self._stopping, self._progress.set),
                name=f"gp_aiogram to {name}",
            )
            for name, lane in self.lanes.items()
        ]

    def wake(self, destinations: Collection[str]) -> None:
        """Tell that there is something new for these destinations."""
        for name in destinations:
            self.lanes[name].wake()

    async def stop(self, grace: float) -> None:
        """Let requests that are under way finish, then stop.

        :param grace: seconds to wait for them. What is not settled by then stays in the outbox.
        """
        tasks, self._tasks = self._tasks, None
        if not tasks:
            return
        self._stopping.set()
        self.wake(self.lanes)
        _, unfinished = await asyncio.wait(tasks, timeout=grace)
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished, timeout=_CLOSING)
        closings = [asyncio.create_task(lane.destination.close()) for lane in self.lanes.values()]
        _, unfinished = await asyncio.wait(closings, timeout=_CLOSING)
        for task in unfinished:
            task.cancel()
        for task in (*tasks, *closings):
            _log_failure(task)

    async def flush(self, timeout: float) -> bool:
        """Wait until nothing is due.

        :param timeout: seconds to wait at most.
        :return: False when something is still due, or when nobody delivers it.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            self._progress.clear()
            if await self._nothing_due():
                return True
            left = deadline - loop.time()
            if left <= 0 or not self.running:
                return False
            try:
                await asyncio.wait_for(self._progress.wait(), left)
            except asyncio.TimeoutError:
                return await self._nothing_due()

    async def _nothing_due(self) -> bool:
        for name, lane in self.lanes.items():
            due = await self._outbox.next_due(name)
            if lane.busy or due == 0:
                return False
        return True


def _log_failure(task: asyncio.Task[None]) -> None:
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        logger.error("stopping %s failed", task.get_name(), exc_info=error)
