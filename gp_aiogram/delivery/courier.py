"""Moves deliveries from the outbox to the destinations, each on a lane of its own."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from gp_aiogram.delivery.lane import Lane
from gp_aiogram.delivery.trusted_time import TrustedTime
from gp_aiogram.delivery.waiting import contained, unless
from gp_aiogram.destinations.base import Destination
from gp_aiogram.model.clock import Clock, SystemClock
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.telemetry.telemetry import Telemetry

logger = logging.getLogger("gp_aiogram.courier")

#: Seconds that a destination gets to close its connections, or a cancelled request to end.
_CLOSING = 1.0

#: Seconds before a lane that has ended by itself is started again.
_RESTART_PAUSE = 5.0

#: Seconds between two looks at what other processes have delivered.
_LOOK_PAUSE = 0.1


class Courier:
    """Runs a lane for each destination.

    :param clock: its monotonic time paces the requests; this machine's unless a test turns it.
    :param random: draws from [0, 1), for the spread of retries.
    :param telemetry: observes what happens.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        outbox: Outbox,
        *,
        clock: Clock | None = None,
        random: Callable[[], float] = random.random,
        telemetry: Telemetry | None = None,
    ) -> None:
        clock = clock or SystemClock()
        trusted_time = TrustedTime(clock.monotonic)
        self.lanes = {
            destination.name: Lane(
                destination,
                outbox,
                clock=clock,
                trusted_time=trusted_time,
                random=random,
                telemetry=telemetry,
            )
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
        """Begin to deliver. Does nothing when already running."""
        if self.running:
            return
        self._stopping = asyncio.Event()
        self._tasks = [
            asyncio.create_task(
                self._keep_running(lane, self._stopping),
                name=f"gp_aiogram to {name}",
            )
            for name, lane in self.lanes.items()
        ]

    async def stop(self, grace: float) -> None:
        """Let requests that are under way finish, then stop.

        :param grace: seconds to wait for them. What is not settled by then stays in the outbox.
        """
        tasks, self._tasks = self._tasks, None
        if not tasks:
            return
        self._stopping.set()
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

    async def wait_for_others(self, timeout: float) -> bool:
        """Wait until other processes have brought every delivery to its end.

        Retries are waited for as well: what others have claimed cannot be told from what is to be
        tried later.

        :param timeout: seconds to wait at most.
        :return: False when something is still pending.
        """
        deadline = time.monotonic() + timeout
        while await self._is_pending():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            await asyncio.sleep(min(left, _LOOK_PAUSE))
        return True

    async def _is_pending(self) -> bool:
        counts = await self._outbox.counts()
        return any(counts.get(name, {}).get("pending") for name in self.lanes)

    async def flush(self, timeout: float) -> bool:
        """Wait until nothing is due; what gathers for a batch goes out at once.

        :param timeout: seconds to wait at most.
        :return: False when something is still due, or when nobody delivers it.
        """
        with ExitStack() as hurries:
            for lane in self.lanes.values():
                hurries.enter_context(lane.hurried())
            return await self._idle_within(timeout)

    async def _idle_within(self, timeout: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            progress = self._progress
            idle = await self._nothing_due()
            if idle and not progress.is_set():
                return True
            left = deadline - loop.time()
            if left <= 0 or not self.running:
                return False
            await unless(progress, asyncio.sleep(left))

    async def _nothing_due(self) -> bool:
        for name, lane in self.lanes.items():
            if await self._outbox.wait(name, 0) or lane.busy:
                return False
        return True

    async def _keep_running(self, lane: Lane, stopping: asyncio.Event) -> None:
        """Run a lane until stopped; should it end before, say so and start it again."""
        while not stopping.is_set():
            ended = await contained(lane.run(stopping, self._tell_progress))
            if stopping.is_set():
                return
            logger.error(
                "%s: delivery ended by itself, starting it again",
                lane.destination.name,
                exc_info=None if ended.cancelled() else ended.exception(),
            )
            await unless(stopping, asyncio.sleep(_RESTART_PAUSE))

    def _tell_progress(self) -> None:
        """Wake everyone who flushes."""
        self._progress.set()
        self._progress = asyncio.Event()


def _log_failure(task: asyncio.Task[None]) -> None:
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        logger.error("stopping %s failed", task.get_name(), exc_info=error)
