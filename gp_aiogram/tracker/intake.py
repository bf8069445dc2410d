"""Takes in what handlers record: the store gets a second, then the journal takes it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

from gp_aiogram.delivery.stats import TrackerCount
from gp_aiogram.errors import EventError, StoreUnavailable
from gp_aiogram.model.event import Event
from gp_aiogram.model.session import Session, Source
from gp_aiogram.tracker import lines
from gp_aiogram.tracker.deposits import Deposits
from gp_aiogram.tracker.journal import Journal, Line
from gp_aiogram.tracker.privacy import Privacy
from gp_aiogram.tracker.recording import Recording
from gp_aiogram.tracker.refunds import Refunds
from gp_aiogram.tracker.request import DepositRules, EventRequest, RequestCheck
from gp_aiogram.tracker.users import Users

logger = logging.getLogger("gp_aiogram")

Result = TypeVar("Result")

#: Seconds that a handler waits for the store.
PATIENCE = 0.75

#: Seconds for one request when the journal is worked off, and between tries.
_TRY, _PAUSE = 10.0, 1.0

#: Seconds between two complaints about the same outage.
_REMINDER = 60.0


class Intake:
    """Records for handlers, who neither wait for a store that is slow nor lose anything by it.

    Once a request waits in the journal, later ones queue up behind it, so that the order stays:
    which deposit is the first is decided when the store is back.

    :param journal: takes what the store does not.
    :param counts: what waits is counted here.
    """

    def __init__(
        self,
        *,
        check: RequestCheck,
        recording: Recording,
        deposits: Deposits,
        refunds: Refunds,
        users: Users,
        privacy: Privacy,
        journal: Journal,
        counts: Counter[TrackerCount],
    ) -> None:
        self._check = check
        self._recording = recording
        self._deposits = deposits
        self._refunds = refunds
        self._users = users
        self._privacy = privacy
        #: What waits.
        self.journal = journal
        self._counts = counts
        self._drainer: asyncio.Task[None] | None = None
        self._drained = asyncio.Event()
        self._perform: Mapping[str, Callable[[Line], Awaitable[object]]] = {
            "event": lambda line: recording.record(lines.draft_of(line)),
            "deposit": lambda line: deposits.record(lines.draft_of(line), lines.rules_of(line)),
            "refund": lambda line: refunds.record(lines.draft_of(line)),
            "touch": lambda line: users.store_touch(lines.touch_of(line)),
            "arrival": lambda line: users.store_arrival(lines.arrival_of(line)),
            "traits": lambda line: users.store_traits(line["telegram_id"], line["traits"]),
            "opt_out": lambda line: privacy.opt_out(line["telegram_id"]),
            "opt_in": lambda line: privacy.opt_in(line["telegram_id"]),
            "forget": lambda line: privacy.forget(line["telegram_id"]),
        }

    @property
    def waiting(self) -> int:
        """How many requests wait in the journal."""
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
        """Wait until nothing waits in the journal.

        :param timeout: seconds to wait at most.
        """
        if not self.waiting:
            return True
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._drained.wait(), timeout)
        return not self.waiting

    # What handlers ask for

    async def track(self, request: EventRequest) -> Event | None:
        """Record an event; as far as it is known where the store has not got it yet."""
        draft = self._check.event(request)
        return await self._take(
            self._recording.record(draft),
            lambda: lines.draft_line("event", draft),
            draft.event,
        )

    async def deposit(self, request: EventRequest, rules: DepositRules) -> Event | None:
        """Record a deposit; a DEP where the store has not told yet whether it is the first."""
        draft = self._check.deposit(request, rules)
        return await self._take(
            self._deposits.record(draft, rules),
            lambda: lines.draft_line("deposit", draft, rules),
            draft.event,
        )

    async def refund(self, request: EventRequest) -> Event | None:
        """Record a refund."""
        draft = self._check.refund(request)
        return await self._take(
            self._refunds.record(draft),
            lambda: lines.draft_line("refund", draft),
            draft.event,
        )

    async def capture(
        self,
        telegram_id: int,
        payload: str,
        *,
        bot_id: int,
        source: Source,
        at: datetime | None,
    ) -> Session | None:
        """Store a touch."""
        touch = self._users.touch(telegram_id, payload, bot_id=bot_id, source=source, at=at)
        if touch is None:
            return None
        return await self._take(
            self._users.store_touch(touch),
            lambda: lines.touch_line(touch),
            touch,
        )

    async def capture_invite(
        self,
        telegram_id: int,
        link: str,
        *,
        name: str | None,
        bot_id: int,
        source: Source,
        at: datetime | None,
    ) -> Session | None:
        """Store the touch of an invite link; None while the store does not know its session."""
        arrival = self._users.arrival(telegram_id, link, name, bot_id=bot_id, source=source, at=at)
        return await self._take(
            self._users.store_arrival(arrival),
            lambda: lines.arrival_line(arrival),
            None,
        )

    async def identify(
        self,
        telegram_id: int,
        *,
        user: object,
        contact: object,
        traits: Mapping[str, object],
    ) -> None:
        """Store traits."""
        ready = self._users.traits(telegram_id, user=user, contact=contact, traits=traits)
        await self._take(
            self._users.store_traits(telegram_id, ready),
            lambda: {"kind": "traits", "telegram_id": telegram_id, "traits": ready},
            None,
        )

    async def opt_out(self, telegram_id: int) -> None:
        """Let nothing more be recorded of a user."""
        await self._take_wish("opt_out", telegram_id, self._privacy.opt_out(telegram_id))

    async def opt_in(self, telegram_id: int) -> None:
        """Record a user again."""
        await self._take_wish("opt_in", telegram_id, self._privacy.opt_in(telegram_id))

    async def forget(self, telegram_id: int) -> None:
        """Erase what is stored of a user, and what waits."""
        await self.journal.erase(telegram_id)
        await self._take_wish("forget", telegram_id, self._privacy.forget(telegram_id))

    async def session(
        self,
        telegram_id: int,
        bot_id: int | None,
        at: datetime | None,
    ) -> Session | None:
        """Return the touch that counts; None where the store does not tell in time.

        :raises Exception: what the store raised.
        """
        if self.waiting:
            return None
        reading = self._users.session(telegram_id, bot_id, at)
        return await asyncio.wait_for(reading, PATIENCE)

    async def _take_wish(
        self,
        kind: str,
        telegram_id: int,
        work: Coroutine[Any, Any, None],
    ) -> None:
        await self._take(work, lambda: {"kind": kind, "telegram_id": telegram_id}, None)

    async def _take(
        self,
        work: Coroutine[Any, Any, Result],
        line: Callable[[], Line],
        meanwhile: Result,
    ) -> Result:
        """Have the store do something within a second, else put it into the journal.

        :param meanwhile: the result of what was put there.
        :raises EventError: what the work raised; the journal could not help.
        """
        if self.waiting:
            work.close()
            await self._put(line(), None)
            return meanwhile
        attempt = asyncio.ensure_future(work)
        try:
            await asyncio.wait([attempt], timeout=PATIENCE)
        except asyncio.CancelledError:
            attempt.cancel()
            raise
        error = _failure(attempt)
        if error is None:
            return attempt.result()
        if isinstance(error, EventError):
            raise error
        # What it may still do is harmless: the store knows touches, events and once-keys again.
        attempt.add_done_callback(_failure)
        await self._put(line(), error)
        return meanwhile

    async def _put(self, line: Line, error: BaseException | None) -> None:
        if error is not None and not self.waiting:
            logger.error(
                "the store does not take what users do, so it is kept in the journal until it "
                "does: %s: %s",
                type(error).__name__,
                error,
            )
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
        error = _failure(attempt)
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


def _failure(attempt: asyncio.Future[Any]) -> BaseException | None:
    """Return why an attempt has failed, or that it takes too long."""
    if not attempt.done():
        return TimeoutError("no answer in time")
    if attempt.cancelled():
        return StoreUnavailable("the store cancelled the call")
    return attempt.exception()
