"""Gives the store a second for each request, then the journal, which is worked off in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from gp_aiogram.delivery.stats import TrackerCount
from gp_aiogram.errors import EventError, StoreUnavailable
from gp_aiogram.tracker import lines
from gp_aiogram.tracker.journal import Journal, Line

logger = logging.getLogger("gp_aiogram")

Result = TypeVar("Result")

#: Seconds that a handler waits for the store.
PATIENCE = 0.75

#: Seconds for one request when the journal is worked off, and between tries.
_TRY, _PAUSE = 10.0, 0.5

#: Seconds between two complaints about the same outage.
_REMINDER = 60.0


class JournalQueue:
    """Requests that must reach the store in their order.

    Once one waits in the journal, later ones queue up behind it.

    :param journal: takes what the store does not.
    :param perform: by the kind of a line, what records it.
    :param counts: what waits is counted here.
    """

    def __init__(
        self,
        journal: Journal,
        perform: Mapping[str, Callable[[Line], Awaitable[object]]],
        counts: Counter[TrackerCount],
    ) -> None:
        self.journal = journal
        self._perform = perform
        self._counts = counts
        self._drainer: asyncio.Task[None] | None = None
        self._drained = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self.journal)

    async def start(self) -> None:
        """Work off what an earlier process has left."""
        await self.journal.load()
        if self.waiting:
            logger.warning("%d requests wait in the journal since the last run", self.waiting)
            self._drain_soon()

    async def close(self) -> None:
        """Stop; what waits on the disk is left to the next start."""
        drainer, self._drainer = self._drainer, None
        if drainer is not None:
            drainer.cancel()
            await asyncio.wait([drainer])
        await self.journal.close()

    async def flush(self, timeout: float) -> bool:
        """Wait until nothing waits.

        :param timeout: seconds to wait at most.
        """
        if self.waiting:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._drained.wait(), timeout)
        return not self.waiting

    async def take(
        self,
        work: Coroutine[Any, Any, Result],
        line: Callable[[], Line],
        meanwhile: Result,
        *,
        patience: float = PATIENCE,
    ) -> Result:
        """Have the store do something in time, else put it into the journal.

        :param meanwhile: the result of what was put there.
        :param patience: seconds.
        :raises EventError: what the work raised; the journal could not help.
        """
        if self.waiting:
            work.close()
            await self._put(line())
            return meanwhile
        attempt = asyncio.ensure_future(work)
        try:
            await asyncio.wait([attempt], timeout=patience)
        except asyncio.CancelledError:
            attempt.cancel()
            raise
        error = failure(attempt)
        if error is None:
            return attempt.result()
        if isinstance(error, EventError):
            raise error
        # What it may still do is harmless: the store knows touches, events and once-keys again.
        attempt.add_done_callback(failure)
        self._tell(error)
        await self._put(line())
        return meanwhile

    def _tell(self, error: BaseException) -> None:
        if not self.waiting:
            logger.error(
                "the store does not take what users do, so it is kept in the journal until it "
                "does: %s: %s",
                type(error).__name__,
                error,
            )

    async def _put(self, line: Line) -> None:
        if not await self.journal.append(line):
            self._counts["lost"] += 1
            logger.error("lost, the journal takes no more: %s", lines.described(line))
            return
        self._counts["journaled"] += 1
        logger.warning("kept in the journal: %s", lines.described(line))
        self._drain_soon()

    def _drain_soon(self) -> None:
        if self._drainer is None or self._drainer.done():
            self._drained.clear()
            self._drainer = asyncio.create_task(self._drain(), name="gp_aiogram journal")

    async def _drain(self) -> None:
        """Work the journal off, from the start on, however long it takes."""
        recorded, reminder = 0, _Reminder()
        while self.waiting:
            error = await self._record_first()
            if error is None:
                recorded += 1
                continue
            if reminder.is_due():
                logger.error("%d requests wait in the journal: %s", self.waiting, error)
            await asyncio.sleep(_PAUSE)
        logger.warning("the store is back, %d requests of the journal are recorded", recorded)
        self._drained.set()

    async def _record_first(self) -> BaseException | None:
        """Record the request whose turn it is, and forget it; return why the store does not."""
        try:
            line = await self.journal.first()
            error = None if line is None else await self._record(line)
            if error is None:
                await self.journal.drop_first()
        except OSError as failure:
            return failure
        return error

    async def _record(self, line: Line) -> BaseException | None:
        attempt = asyncio.ensure_future(self._perform[line["kind"]](line))
        await asyncio.wait([attempt], timeout=_TRY)
        error = failure(attempt)
        if isinstance(error, EventError):
            self._counts["lost"] += 1
            logger.error("cannot be recorded: %s: %s", lines.described(line), error)
            return None
        if error is not None:
            attempt.cancel()
        return error


class _Reminder:
    """Lets somebody complain about one outage now and then."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def is_due(self) -> bool:
        now = time.monotonic()
        if now - self._last < _REMINDER:
            return False
        self._last = now
        return True


def failure(attempt: asyncio.Future[Any]) -> BaseException | None:
    """Return why an attempt has failed, or that it takes too long."""
    if not attempt.done():
        return TimeoutError("no answer in time")
    if attempt.cancelled():
        return StoreUnavailable("the store cancelled the call")
    return attempt.exception()
