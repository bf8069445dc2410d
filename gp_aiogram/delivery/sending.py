"""Takes claimed deliveries to one destination and records what became of them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from gp_aiogram.delivery.lease import Lease
from gp_aiogram.delivery.outcome_log import log_outcomes
from gp_aiogram.delivery.outcomes import (
    STOPPED,
    counted_as,
    cut_off,
    delivered,
    expired,
    held,
    processing,
    put_back,
    rejected,
    retried,
    skipped,
    split,
)
from gp_aiogram.delivery.pacing import Pacer, retry_delay
from gp_aiogram.delivery.stats import DeliveryCount
from gp_aiogram.delivery.tries import TryOutcome, noted
from gp_aiogram.delivery.waiting import failure_of, limited
from gp_aiogram.destinations.base import Destination, Processing, SendOutcome
from gp_aiogram.destinations.redaction import printable
from gp_aiogram.errors import (
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    EventSkipped,
    RateLimited,
)
from gp_aiogram.model.clock import Clock, from_ms
from gp_aiogram.model.event import utc_from_timestamp
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import Delivery, Outcome
from gp_aiogram.telemetry.telemetry import Telemetry

logger = logging.getLogger("gp_aiogram.courier")

#: Events that are prepared before other tasks, the bot's handlers among them, get their turn.
PREPARED_AT_ONCE = 50

#: Seconds between tries to store outcomes.
SETTLE_PAUSES = (0.1, 1.0, 5.0)

#: Errors after which the whole destination waits, and no attempt is counted.
_PAUSES = (RateLimited, DestinationMisconfigured)

#: What may be answered for one event.
_ANSWERS = (Mapping, Processing, DeliveryError)

#: Answers by which the destination has read a request and judged it.
_JUDGED = (EventRejected, Processing, Mapping)

#: Errors that do not count as a failure of the destination.
_NO_FAILURE = (*_PAUSES, EventRejected, EventSkipped)


class _OverAge(DeliveryError):  # noqa: N818 - reads as what happened
    """An event is too old to be sent."""


#: What may end the preparation of an event.
_EXPECTED = (EventRejected, EventSkipped, _OverAge)


class _Group(NamedTuple):
    """Deliveries that share a request, and what is sent of them."""

    deliveries: list[Delivery]
    payloads: list[Any]


class Sender:
    """Sends batches to one destination.

    :param random: draws from [0, 1), for the spread of retries.
    :param clock: its wall clock tells how long deliveries have taken.
    :param telemetry: observes what happens.
    """

    def __init__(
        self,
        destination: Destination,
        outbox: Outbox,
        pacer: Pacer,
        *,
        random: Callable[[], float],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self.counts: Counter[DeliveryCount] = Counter()
        #: What it sends to.
        self.destination = destination
        self._outbox = outbox
        self._pacer = pacer
        self._random = random
        self._clock = clock
        self._telemetry = telemetry

    async def deliver(self, batch: Sequence[Delivery], now: datetime, lease: Lease) -> None:
        """Send a batch, record the outcomes, and end the claims.

        It is one request, unless the destination tells several kinds of events. What it took
        before is asked about.

        :param batch: claimed, and not more than the destination takes at once.
        :param now: the time by which ages are judged.
        :param lease: of the claim.
        :raises Exception: what the store raised; the claims then end with their lease.
        """
        try:
            groups = await self._prepare([one for one in batch if not one.receipt], now)
            for group in groups:
                if self._pacer.wait > 0:
                    # Another request of the round was told to wait.
                    await self._outbox.release(group.deliveries)
                elif not lease.is_safe:
                    self._tell_stall(len(group.deliveries))
                    await self._outbox.release(group.deliveries)
                else:
                    await self._send(*group, lease)
            if taken := [one for one in batch if one.receipt]:
                await self._follow_up(taken, now)
        except asyncio.CancelledError:
            await self._outbox.release(batch)
            raise

    async def _prepare(
        self,
        batch: Sequence[Delivery],
        now: datetime,
    ) -> list[_Group]:
        """Build what is sent, by the kind of request, and record the outcome of what cannot be."""
        groups: dict[Hashable, _Group] = {}
        outcomes: list[Outcome] = []
        unexpected: dict[type[BaseException], BaseException] = {}
        for number, delivery in enumerate(batch, start=1):
            try:
                payload = self._build(delivery, now)
                kind = self.destination.kind_of(payload)
                group = groups.get(kind)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - a user's code
                outcomes.append(_unsendable(delivery, error))
                if not isinstance(error, _EXPECTED):
                    unexpected.setdefault(type(error), error)
            else:
                if group is None:
                    group = groups[kind] = _Group([], [])
                group.deliveries.append(delivery)
                group.payloads.append(payload)
            if number % PREPARED_AT_ONCE == 0:
                await asyncio.sleep(0)
        for failure in unexpected.values():
            name = self.destination.name
            logger.error("%s: prepare() failed unexpectedly", name, exc_info=failure)
        await self._record_outcomes(outcomes)
        return list(groups.values())

    def _build(self, delivery: Delivery, now: datetime) -> Any:
        """Build what is sent of one event.

        :raises _OverAge: when it is too old to be sent.
        """
        max_age, retry_for = self.destination.max_age, self.destination.retry_for
        if max_age is not None and now - delivery.event.event_time > max_age:
            msg = f"over age: the event is older than {_days(max_age)} days"
            raise _OverAge(msg)
        if now - delivery.since > retry_for:
            msg = f"over age: tried for {_days(retry_for)} days, last: {delivery.reason}"
            raise _OverAge(msg)
        return self.destination.prepare(delivery.event)

    def _tell_stall(self, count: int) -> None:
        logger.warning(
            "%s: %d event(s) are not sent now: this process or the store stood still, and another "
            "process may have them",
            self.destination.name,
            count,
        )

    async def _send(
        self,
        batch: Sequence[Delivery],
        payloads: Sequence[Any],
        lease: Lease,
    ) -> None:
        """Send what was prepared and record the answer."""
        if self._holds:
            # Written before the request, so that a crash while it is under way is held as well.
            await self._record_outcomes(
                [held(delivery, "no answer", provisional=True) for delivery in batch],
            )
            if not lease.is_safe:
                self._tell_stall(len(batch))
                await self._record_outcomes([put_back(delivery) for delivery in batch])
                return
        was_refused = self._pacer.state == "refused"
        try:
            answer = await self._observed_answer(batch, payloads)
        except asyncio.CancelledError:
            if not self._holds:
                await self._outbox.settle(self._cut_off(batch))
            raise
        if isinstance(answer, EventRejected) and len(batch) > 1:
            await self._search(batch, answer)
            return
        answers = [answer] * len(batch) if isinstance(answer, DeliveryError) else answer
        await self._record_answers(batch, answers, rotates=self._holds or was_refused)

    async def _follow_up(self, taken: Sequence[Delivery], now: datetime) -> None:
        """Ask what became of events that were taken, and record the answer."""
        oldest = now - self.destination.retry_for
        unknown = "over age: it was taken, and nobody told what became of it"
        await self._record_outcomes([expired(one, unknown) for one in taken if one.since < oldest])
        batch = [one for one in taken if one.since >= oldest]
        if not batch:
            return
        if self._pacer.wait > 0:
            await self._outbox.release(batch)
            return
        answer = await self._request("follow_up", [delivery.receipt for delivery in batch])
        answers = [answer] * len(batch) if isinstance(answer, DeliveryError) else answer
        await self._record_answers(batch, answers, rotates=self._pacer.state == "refused")

    async def _record_answers(
        self,
        batch: Sequence[Delivery],
        answers: Sequence[SendOutcome],
        *,
        rotates: bool,
    ) -> None:
        """Record what was answered for each event.

        :param rotates: what has to wait goes behind what is due already.
        """
        self._tell_pacer(answers)
        answered = list(zip(batch, answers, strict=True))
        now = self._now()
        await self._record_outcomes(
            [
                self._outcome(delivery, each, now)
                for delivery, each in answered
                if not isinstance(each, _PAUSES)
            ],
        )
        paused = [delivery for delivery, each in answered if isinstance(each, _PAUSES)]
        if rotates:
            # After a probe another event goes first: one that is refused for its own sake must
            # not block all.
            await self._record_outcomes([put_back(delivery) for delivery in paused])
        elif paused:
            await self._outbox.release(paused)

    async def _observed_answer(
        self,
        batch: Sequence[Delivery],
        payloads: Sequence[Any],
    ) -> Sequence[SendOutcome] | DeliveryError:
        """Send a request, and tell the telemetry."""
        with self._telemetry.sending(self.destination.name, batch):
            answer = await self._request("send", payloads)
            self._telemetry.answered(answer)
            return answer

    async def _request(
        self,
        call: Literal["send", "follow_up"],
        payloads: Sequence[Any],
    ) -> Sequence[SendOutcome] | DeliveryError:
        """Ask the destination.

        :param call: the method to call.
        :return: what it answered for each event, or the error that concerns all of them.
        """
        name, timeout = self.destination.name, self.destination.send_timeout
        sending = await limited(self._call(call, payloads), timeout, name=f"{name}: {call}()")
        if sending is None:
            return DeliveryFailed(f"no answer within {timeout:g} s", ambiguous=True)
        error = failure_of(sending)
        if isinstance(error, DeliveryError):
            return error
        if error is not None:
            # A destination that breaks the contract must not lose events.
            logger.error("%s: %s() failed unexpectedly", name, call, exc_info=error)
            reason = f"{type(error).__name__} in {call}(), see the log"
            return DeliveryFailed(reason, ambiguous=True)
        answers = sending.result()
        if answers is not None and not _fit(answers, payloads):
            logger.error("%s: %s() must return a receipt for each event or None", name, call)
            answers = None
        return [{}] * len(payloads) if answers is None else answers

    async def _call(
        self,
        call: Literal["send", "follow_up"],
        payloads: Sequence[Any],
    ) -> Sequence[SendOutcome] | None:
        if call == "send":
            return await self.destination.send(payloads)
        return await self.destination.follow_up(payloads)

    async def _search(self, batch: Sequence[Delivery], rejection: EventRejected) -> None:
        """Have the events of a rejected batch tried again, so that the bad ones are found."""
        reason, now, status = printable(rejection.reason), self._now(), rejection.status
        self._pacer.succeeded()
        caps = self._caps(len(batch), rejection, reason)
        parts = [split(one, reason, batch_cap=cap) for one, cap in zip(batch, caps, strict=True)]
        await self._record_outcomes(
            [noted(part, "batch rejected", reason, at=now, status=status) for part in parts],
        )

    def _caps(self, size: int, rejection: EventRejected, reason: str) -> list[int]:
        """Say for each event of a rejected batch with how many it is tried again, and log it.

        Those that the destination has named are tried alone, and the others together: an event is
        judged by what is said of it alone, so that a destination that names the wrong one costs a
        request and no event. Where none is named, halves are tried.
        """
        named = {each for each in rejection.positions if 0 <= each < size}
        if not named:
            logger.info(
                "%s rejected a batch of %d events, trying halves: %s",
                self.destination.name,
                size,
                reason,
            )
            return [(size + 1) // 2] * size
        logger.info(
            "%s rejected a batch of %d events and named %d, trying the others together: %s",
            self.destination.name,
            size,
            len(named),
            reason,
        )
        return [1 if number in named else size - len(named) for number in range(size)]

    def _tell_pacer(self, answers: Sequence[SendOutcome]) -> None:
        """Tell the pacer what one request says of the destination: a failure counts once."""
        if any(isinstance(answer, _JUDGED) for answer in answers):
            self._pacer.succeeded()
        errors = [answer for answer in answers if isinstance(answer, DeliveryError)]
        for error in errors:
            if isinstance(error, RateLimited):
                self._pacer.throttled(error.retry_after, printable(error.reason))
        refused = [error for error in errors if isinstance(error, DestinationMisconfigured)]
        failed = [error for error in errors if not isinstance(error, _NO_FAILURE)]
        if refused:
            self._pacer.refused(printable(refused[0].reason))
        if failed:
            self._pacer.failed(printable(failed[0].reason))

    def _outcome(self, delivery: Delivery, answer: SendOutcome, now: datetime) -> Outcome:
        """Say what becomes of an event.

        :param now: when the answer came.
        """
        if isinstance(answer, Processing):
            return processing(delivery, answer.receipt, check_after=answer.check_after)
        if not isinstance(answer, DeliveryError):
            return delivered(delivery, answer)
        reason, status = printable(answer.reason), answer.status
        if isinstance(answer, EventSkipped):
            return skipped(delivery, reason)
        if isinstance(answer, EventRejected):
            return noted(rejected(delivery, reason), "rejected", reason, at=now, status=status)
        ambiguous = isinstance(answer, DeliveryFailed) and answer.ambiguous
        if ambiguous and self._holds and not delivery.receipt:
            outcome = held(delivery, reason)
        else:
            delay = retry_delay(delivery.attempts, self._random)
            outcome = retried(delivery, reason, delay=delay, ambiguous=ambiguous)
        what: TryOutcome = "unsure" if ambiguous else "failed"
        return noted(outcome, what, reason, at=now, status=status)

    def _cut_off(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Say what becomes of events whose request was cancelled."""
        now = self._now()
        return [noted(cut_off(one), "stopped", STOPPED, at=now) for one in batch]

    def _now(self) -> datetime:
        """Tell the time as stores keep it."""
        return from_ms(round(self._clock.time() * 1000))

    @property
    def _holds(self) -> bool:
        return self.destination.ambiguous == "hold"

    async def _record_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Settle, and insist: an outcome that is lost is an event sent twice.

        :raises Exception: what the store raised in the end.
        """
        if not outcomes:
            return
        log_outcomes(self.destination.name, outcomes)
        for pause in SETTLE_PAUSES:
            try:
                await self._outbox.settle(outcomes)
                break
            except Exception:
                logger.exception("%s: an outcome could not be stored", self.destination.name)
                await asyncio.sleep(pause)
        else:
            await self._outbox.settle(outcomes)
        names = map(counted_as, outcomes)
        self.counts.update(name for name in names if name is not None)
        self._telemetry.settled(outcomes, utc_from_timestamp(self._clock.time()))


def _unsendable(delivery: Delivery, error: BaseException) -> Outcome:
    """Say what becomes of an event that could not be prepared."""
    if isinstance(error, _OverAge):
        return expired(delivery, printable(error.reason))
    if isinstance(error, EventSkipped):
        return skipped(delivery, printable(error.reason))
    if isinstance(error, EventRejected):
        return rejected(delivery, printable(error.reason))
    return rejected(delivery, f"{type(error).__name__} in prepare(), see the log")


def _fit(answers: object, payloads: Sequence[Any]) -> bool:
    """Return whether a destination returned what the contract says."""
    return (
        isinstance(answers, Sequence)
        and len(answers) == len(payloads)
        and all(issubclass(kind, _ANSWERS) for kind in set(map(type, answers)))
    )


def _days(age: timedelta) -> str:
    return f"{age / timedelta(days=1):g}"
