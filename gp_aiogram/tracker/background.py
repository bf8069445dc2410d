"""Runs recordings that nobody may wait for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger("gp_aiogram")

#: Seconds for a cancelled recording to end.
_ENDING = 5.0


class Background:
    """The recordings that are under way in the background."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Start work; :meth:`finish` waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, grace: float) -> None:
        """Wait for what is under way; what takes longer is given up, and logged.

        :param grace: seconds to wait.
        """
        if not self._tasks:
            return
        _, unfinished = await asyncio.wait(self._tasks, timeout=grace)
        if not unfinished:
            return
        logger.error("%d handler(s) had nothing recorded: the store is stuck", len(unfinished))
        for task in unfinished:
            task.cancel()
        await asyncio.wait(unfinished, timeout=_ENDING)
