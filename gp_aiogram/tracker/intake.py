"""Takes in what handlers record: a store that is away holds up nobody and costs nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping
from datetime import datetime
from typing import Any

from gp_aiogram.delivery.stats import TrackerCount
from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event
from gp_aiogram.model.session import Session, Source
from gp_aiogram.tracker import lines
from gp_aiogram.tracker.adoption import Adoption
from gp_aiogram.tracker.journal_queue import PATIENCE, JournalQueue, failure
from gp_aiogram.tracker.journals import Journals
from gp_aiogram.tracker.privacy import Privacy
from gp_aiogram.tracker.recorders import Recorders
from gp_aiogram.tracker.request import DepositRules, EventRequest, RequestCheck
from gp_aiogram.tracker.users import Users

#: Seconds for the store where its other half has used up the patience already.
_HURRY = 0.2


class Intake:
    """Records for handlers: the store gets a moment, then the journal takes it.

    :param journals: take what the store does not.
    :param counts: what waits is counted here.
    """

    def __init__(
        self,
        *,
        check: RequestCheck,
        recorders: Recorders,
        users: Users,
        privacy: Privacy,
        journals: Journals,
        counts: Counter[TrackerCount],
    ) -> None:
        self._check = check
        self._recorders = recorders
        self._users = users
        self._privacy = privacy
        self._journals = journals
        self._touches = JournalQueue(
            journals.touches,
            {
                "touch": lambda line: users.store_touch(lines.touch_of(line)),
                "arrival": lambda line: users.store_arrival(lines.arrival_of(line)),
                "traits": lambda line: users.store_traits(line["telegram_id"], line["traits"]),
                "click": lambda line: users.store_click_again(lines.click_of(line)),
            },
            counts,
        )
        self._events = JournalQueue(
            journals.events,
            {
                "event": lambda line: recorders.events.record(lines.draft_of(line)),
                "deposit": lambda line: recorders.deposits.record(
                    lines.draft_of(line), lines.rules_of(line)
                ),
                "refund": lambda line: recorders.refunds.record(lines.draft_of(line)),
                "opt_out": lambda line: privacy.opt_out(line["telegram_id"]),
                "opt_in": lambda line: privacy.opt_in(line["telegram_id"]),
                "forget": lambda line: privacy.forget(line["telegram_id"]),
            },
            counts,
        )
        self._adoption = Adoption(journals, [self._touches, self._events])

    @property
    def waiting(self) -> int:
        """How many requests wait in the journal."""
        return self._touches.waiting + self._events.waiting

    @property
    def survives(self) -> bool:
        """Whether what waits is on the disk, not in memory only."""
        return self._journals.is_on_disk

    async def start(self) -> None:
        """Take over what ended processes have left, now and later. Does nothing when repeated."""
        await self._adoption.start()

    async def close(self) -> None:
        """Stop; what waits on the disk is left to the next start, or to another process."""
        await self._adoption.stop()
        await self._touches.close()
        await self._events.close()
        await self._journals.close()

    async def flush(self, timeout: float) -> bool:
        """Wait until no event waits in the journal.

        :param timeout: seconds to wait at most.
        """
        return await self._events.flush(timeout)

    async def erase(self, telegram_id: int) -> None:
        """Erase what waits of a user."""
        await self._journals.erase(telegram_id)

    # What handlers ask for. What belongs into a transaction of theirs goes nowhere else.

    # is_sure: see JournalQueue.take

    async def track(
        self,
        request: EventRequest,
        connection: object | None = None,
        *,
        is_sure: bool = False,
    ) -> Event | None:
        """Record an event; as far as it is known where the store has not got it yet."""
        draft = self._check.event(request)
        if connection is not None:
            return await self._recorders.within(connection).events.record(draft)
        return await self._events.take(
            self._recorders.events.record(draft),
            lambda: lines.draft_line("event", draft),
            draft.event,
            patience=self._patience(),
            is_sure=is_sure,
        )

    async def deposit(
        self,
        request: EventRequest,
        rules: DepositRules,
        connection: object | None = None,
        *,
        is_sure: bool = False,
    ) -> Event | None:
        """Record a deposit; a DEP where the store has not told yet whether it is the first."""
        draft = self._check.deposit(request, rules)
        if connection is not None:
            return await self._recorders.within(connection).deposits.record(draft, rules)
        return await self._events.take(
            self._recorders.deposits.record(draft, rules),
            lambda: lines.draft_line("deposit", draft, rules),
            draft.event,
            patience=self._patience(),
            is_sure=is_sure,
        )

    async def refund(
        self,
        request: EventRequest,
        connection: object | None = None,
        *,
        is_sure: bool = False,
    ) -> Event | None:
        """Record a refund."""
        draft = self._check.refund(request)
        if connection is not None:
            return await self._recorders.within(connection).refunds.record(draft)
        return await self._events.take(
            self._recorders.refunds.record(draft),
            lambda: lines.draft_line("refund", draft),
            draft.event,
            patience=self._patience(),
            is_sure=is_sure,
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
        new = self._users.touch(telegram_id, payload, bot_id=bot_id, source=source, at=at)
        if new is None:
            return None
        return await self._touches.take(
            self._users.store_touch(new),
            lambda: lines.touch_line(new),
            new.session,
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
        return await self._touches.take(
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
        order_info: object,
        traits: Mapping[str, object],
    ) -> frozenset[str]:
        """Store traits, and return the names of those that a platform can use."""
        ready, usable = self._users.traits(
            telegram_id, user=user, contact=contact, order_info=order_info, traits=traits
        )
        await self._touches.take(
            self._users.store_traits(telegram_id, ready),
            lambda: {"kind": "traits", "telegram_id": telegram_id, "traits": ready},
            None,
        )
        return usable

    async def opt_out(self, telegram_id: int) -> None:
        """Let nothing more be recorded of a user."""
        await self._take_wish("opt_out", telegram_id, self._privacy.opt_out(telegram_id))

    async def opt_in(self, telegram_id: int) -> None:
        """Record a user again."""
        await self._take_wish("opt_in", telegram_id, self._privacy.opt_in(telegram_id))

    async def forget(self, telegram_id: int) -> None:
        """Erase what is stored of a user, and what waits."""
        await self.erase(telegram_id)
        await self._take_wish("forget", telegram_id, self._privacy.forget(telegram_id))

    async def session(
        self,
        telegram_id: int,
        bot_id: int | None,
        at: datetime | None,
    ) -> Session | None:
        """Return the touch that counts.

        :raises Exception: what the store raised, or that it did not tell in time.
        """
        waiting = await self._journals.touches_of(telegram_id) if self._touches.waiting else []
        if (touch := self._users.pick_waiting(waiting, bot_id)) is not None:
            return touch
        reading = self._users.session(telegram_id, bot_id, at)
        attempt = asyncio.ensure_future(reading)
        try:
            await asyncio.wait([attempt], timeout=self._patience())
        finally:
            late = failure(attempt)
            attempt.cancel()
        if late is not None and not waiting:
            raise late
        stored = attempt.result() if late is None else None
        return stored or (waiting[-1].session if waiting else None)

    async def register_click(self, click: Click, session_id: str | None = None) -> str:
        """Store a click, and return its session id."""
        new = self._users.new_click(click, session_id)
        return await self._touches.take(
            self._users.store_click(new),
            lambda: lines.click_line(new),
            new.session_id,
        )

    async def _take_wish(
        self,
        kind: str,
        telegram_id: int,
        work: Coroutine[Any, Any, None],
    ) -> None:
        wish = {"kind": kind, "telegram_id": telegram_id}
        await self._events.take(work, lambda: wish, None, patience=self._patience())

    def _patience(self) -> float:
        """Seconds for an event: little where this update has waited for its touch in vain."""
        return _HURRY if self._touches.waiting else PATIENCE
