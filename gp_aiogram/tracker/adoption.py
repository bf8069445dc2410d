"""Has the journals of ended processes worked off, at the start and while this one runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from gp_aiogram.tracker.journal_queue import JournalQueue
from gp_aiogram.tracker.journals import Journals

logger = logging.getLogger("gp_aiogram")

#: Seconds between two looks.
LOOK_EVERY = 30.0


class Adoption:
    """Looks for journals whose process has ended.

    :param journals: take them over.
    :param queues: work them off.
    """

    def __init__(self, journals: Journals, queues: Sequence[JournalQueue]) -> None:
        self._journals = journals
        self._queues = queues
        self._looking: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Look now, and from now on. Calling it again does nothing."""
        await self._look()
        if self._looking is None:
            self._stopping = asyncio.Event()
            looking = self._keep_looking(self._stopping)
            self._looking = asyncio.create_task(looking, name="gp_aiogram looks for journals")

    async def stop(self) -> None:
        """Look no more. A look is not cut off: it may have taken what nobody else would get."""
        looking, self._looking = self._looking, None
        self._stopping.set()
        if looking is not None:
            await asyncio.wait([looking])

    async def _keep_looking(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stopping.wait(), LOOK_EVERY)
            if not stopping.is_set():
                await self._look()

    async def _look(self) -> None:
        if found := await self._journals.adopt():
            logger.warning("%d requests wait in journals of processes that have ended", found)
            for queue in self._queues:
                queue.work_off()
