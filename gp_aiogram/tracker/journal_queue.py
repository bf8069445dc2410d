"""Gives the store a second for each request, then the journal, which is worked off in order."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from gp_aiogram.delivery.stats import TrackerCount
from gp_aiogram.errors import EventError, StoreUnavailable
from gp_aiogram.tracker import lines
from gp_aiogram.tracker.journal import Journal
from gp_aiogram.tracker.journal_file import Line

logger = logging.getLogger("gp_aiogram")

Result = TypeVar("Result")

#: Seconds that a handler waits for the store.
PATIENCE = 0.75

#: Seconds for one request when the journal is worked off, and between tries.
_TRY, _PAUSE = 10.0, 0.5

#: Why a request that must be kept is refused where the journal's disk fails, too.
_QUEUED = "requests wait in the journal, whose disk takes no more"

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
        self._pid = os.getpid()
        self._drained = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self.journal)

    def work_off(self) -> None:
        """Begin to record what waits."""
        if self.waiting:
            self._drain_soon()

    async def close(self) -> None:
        """Stop; what waits stays."""
        self._check_process()
        drainer, self._drainer = self._drainer, None
        if drainer is not None:
            drainer.cancel()
            await asyncio.wait([drainer])

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
        is_sure: bool = False,
    ) -> Result:
        """Have the store do something in time, else put it into the journal.

        :param meanwhile: the result of what was put there.
        :param patience: seconds.
        :param is_sure: the caller must know that it is kept: what is no outage is raised, and so
            is an outage of the journal's own disk.
        :raises EventError: what the work raised; the journal could not help.
        :raises StoreError: what the work raised, if the caller must know.
        """
        if self.waiting:
            work.close()
            await self._put(line(), None if not is_sure else StoreUnavailable(_QUEUED))
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
        if isinstance(error, EventError) or (is_sure and not is_outage(error)):
            raise error
        # What it may still do is harmless: the store knows touches, events and once-keys again.
        attempt.add_done_callback(failure)
        self._tell(error)
        await self._put(line(), error if is_sure else None)
        return meanwhile

    def _tell(self, error: BaseException) -> None:
        if not self.waiting:
            logger.error(
                "the store does not take what users do, so it is kept in the journal until it "
                "does: %s: %s",
                type(error).__name__,
                error,
            )

    async def _put(self, line: Line, otherwise: BaseException | None) -> None:
        """Add a line to the journal.

        :param otherwise: raised when the journal's disk does not take it, if anything is.
        """
        if not await self.journal.append(line, in_memory=otherwise is None):
            if otherwise is not None:
                raise StoreUnavailable(str(otherwise)) from otherwise
            self._counts["lost"] += 1
            logger.error("lost, the journal takes no more: %s", lines.described(line))
            return
        self._counts["journaled"] += 1
        logger.warning("kept in the journal: %s", lines.described(line))
        self._drain_soon()

    def _drain_soon(self) -> None:
        self._check_process()
        if self._drainer is None or self._drainer.done():
            self._drained.clear()
            self._drainer = asyncio.create_task(self._drain(), name="gp_aiogram journal")

    def _check_process(self) -> None:
        """Forget, in a forked process, the parent's task: it does not run here."""
        if self._pid != os.getpid():
            self._pid, self._drainer, self._drained = os.getpid(), None, asyncio.Event()

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
                await self.journal.drop(line)
        except OSError as failure:
            return failure
        return error

    async def _record(self, line: Line) -> BaseException | None:
        attempt = asyncio.ensure_future(self._perform[line["kind"]](line))
        try:
            await asyncio.wait([attempt], timeout=_TRY)
        except asyncio.CancelledError:
            attempt.cancel()  # or it would open the store again when that is closed
            raise
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


def is_outage(error: BaseException) -> bool:
    """Return whether a failure of the store heals by itself."""
    return isinstance(error, (StoreUnavailable, TimeoutError, asyncio.TimeoutError))


def failure(attempt: asyncio.Future[Any]) -> BaseException | None:
    """Return why an attempt has failed, or that it takes too long."""
    if not attempt.done():
        return TimeoutError("no answer in time")
    if attempt.cancelled():
        return StoreUnavailable("the store cancelled the call")
    return attempt.exception()
