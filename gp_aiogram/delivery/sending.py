"""Takes claimed deliveries to one destination and records what became of them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from gp_aiogram.delivery.outcome_log import log_outcomes
from gp_aiogram.delivery.outcomes import (
    counted_as,
    cut_off,
    delivered,
    expired,
    held,
    put_back,
    rejected,
    retried,
    skipped,
    split,
)
from gp_aiogram.delivery.pacing import Pacer, retry_delay
from gp_aiogram.delivery.stats import DeliveryCount
from gp_aiogram.delivery.waiting import failure_of, limited
from gp_aiogram.destinations.base import Destination, SendOutcome
from gp_aiogram.destinations.redaction import printable
from gp_aiogram.errors import (
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    EventSkipped,
    RateLimited,
)
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import Delivery, Outcome

logger = logging.getLogger("gp_aiogram.courier")

#: Events that are prepared before other tasks, the bot's handlers among them, get their turn.
PREPARED_AT_ONCE = 50

#: Seconds between tries to store outcomes.
SETTLE_PAUSES = (0.1, 1.0, 5.0)

#: Errors after which the whole destination waits, and no attempt is counted.
_PAUSES = (RateLimited, DestinationMisconfigured)

#: Errors that do not count as a failure of the destination.
_NO_FAILURE = (*_PAUSES, EventRejected, EventSkipped)


class _OverAge(DeliveryError):  # noqa: N818 - reads as what happened
    """An event is too old to be sent."""


#: What may end the preparation of an event.
_EXPECTED = (EventRejected, EventSkipped, _OverAge)


class Sender:
    """Sends batches to one destination.

    :param random: draws from [0, 1), for the spread of retries.
    """

    def __init__(
        self,
        destination: Destination,
        outbox: Outbox,
        pacer: Pacer,
        random: Callable[[], float],
    ) -> None:
        self.counts: Counter[DeliveryCount] = Counter()
        self._destination = destination
        self._outbox = outbox
        self._pacer = pacer
        self._random = random

    async def deliver(self, batch: Sequence[Delivery], now: datetime) -> None:
        """Send a batch in one request, record the outcomes, and end the claims.

        :param batch: claimed, and not more than the destination takes at once.
        :param now: the time by which ages are judged.
        :raises Exception: what the store raised; the claims then end with their lease.
        """
        try:
            prepared, payloads = await self._prepare(batch, now)
            if not prepared:
                return
            if self._pacer.wait > 0:
                # Another batch of the round was told to wait.
                await self._outbox.release(prepared)
            else:
                await self._send(prepared, payloads)
        except asyncio.CancelledError:
            await self._outbox.release(batch)
            raise

    async def _prepare(
        self,
        batch: Sequence[Delivery],
        now: datetime,
    ) -> tuple[list[Delivery], list[Any]]:
        """Build what is sent, and record the outcome of what cannot be.

        :return: what is sent, and its payloads.
        """
        prepared: list[Delivery] = []
        payloads: list[Any] = []
        outcomes: list[Outcome] = []
        unexpected: dict[type[BaseException], BaseException] = {}
        for number, delivery in enumerate(batch, start=1):
            try:
                payload = self._build(delivery, now)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - a user's code
                outcomes.append(_unsendable(delivery, error))
                if not isinstance(error, _EXPECTED):
                    unexpected.setdefault(type(error), error)
            else:
                prepared.append(delivery)
                payloads.append(payload)
            if number % PREPARED_AT_ONCE == 0:
                await asyncio.sleep(0)
        for failure in unexpected.values():
            name = self._destination.name
            logger.error("%s: prepare() failed unexpectedly", name, exc_info=failure)
        await self._record_outcomes(outcomes)
        return prepared, payloads

    def _build(self, delivery: Delivery, now: datetime) -> Any:
        """Build what is sent of one event.

        :raises _OverAge: when it is too old to be sent.
        """
        max_age, retry_for = self._destination.max_age, self._destination.retry_for
        if max_age is not None and now - delivery.event.event_time > max_age:
            msg = f"over age: the event is older than {_days(max_age)} days"
            raise _OverAge(msg)
        if now - delivery.since > retry_for:
            msg = f"over age: tried for {_days(retry_for)} days, last: {delivery.reason}"
            raise _OverAge(msg)
        return self._destination.prepare(delivery.event)

    async def _send(self, batch: Sequence[Delivery], payloads: Sequence[Any]) -> None:
        """Send what was prepared and record the answer."""
        if self._holds:
            # Written before the request, so that a crash while it is under way is held as well.
            await self._record_outcomes(
                [held(delivery, "no answer", provisional=True) for delivery in batch],
            )
        was_refused = self._pacer.state == "refused"
        try:
            answer = await self._request(payloads)
        except asyncio.CancelledError:
            if not self._holds:
                await self._outbox.settle([cut_off(delivery) for delivery in batch])
            raise
        if isinstance(answer, EventRejected) and len(batch) > 1:
            await self._bisect(batch, printable(answer.reason))
            return
        answers = [answer] * len(batch) if isinstance(answer, DeliveryError) else answer
        self._tell_pacer(answers)
        answered = list(zip(batch, answers, strict=True))
        await self._record_outcomes(
            [
                self._outcome(delivery, each)
                for delivery, each in answered
                if not isinstance(each, _PAUSES)
            ],
        )
        paused = [delivery for delivery, each in answered if isinstance(each, _PAUSES)]
        if self._holds or was_refused:
            # After a probe another event goes first: one that is refused for its own sake must
            # not block all.
            await self._record_outcomes([put_back(delivery) for delivery in paused])
        elif paused:
            await self._outbox.release(paused)

    async def _request(self, payloads: Sequence[Any]) -> Sequence[SendOutcome] | DeliveryError:
        """Ask the destination.

        :return: what it answered for each event, or the error that concerns all of them.
        """
        name, timeout = self._destination.name, self._destination.send_timeout
        sending = await limited(self._call_send(payloads), timeout, name=f"{name}: send()")
        if sending is None:
            return DeliveryFailed(f"no answer within {timeout:g} s", ambiguous=True)
        error = failure_of(sending)
        if isinstance(error, DeliveryError):
            return error
        if error is not None:
            # A destination that breaks the contract must not lose events.
            logger.error("%s: send() failed unexpectedly", name, exc_info=error)
            reason = f"{type(error).__name__} in send(), see the log"
            return DeliveryFailed(reason, ambiguous=True)
        answers = sending.result()
        if answers is not None and not _fit(answers, payloads):
            logger.error("%s: send() must return a receipt for each event or None", name)
            answers = None
        return [{}] * len(payloads) if answers is None else answers

    async def _call_send(self, payloads: Sequence[Any]) -> Sequence[SendOutcome] | None:
        return await self._destination.send(payloads)

    async def _bisect(self, batch: Sequence[Delivery], reason: str) -> None:
        """Have the events of a rejected batch tried again in batches of half its size."""
        logger.info(
            "%s rejected a batch of %d events, trying halves: %s",
            self._destination.name,
            len(batch),
            reason,
        )
        self._pacer.succeeded()
        half = (len(batch) + 1) // 2
        await self._record_outcomes(
            [split(delivery, reason, batch_cap=half) for delivery in batch],
        )

    def _tell_pacer(self, answers: Sequence[SendOutcome]) -> None:
        """Tell the pacer what one request says of the destination: a failure counts once."""
        if any(isinstance(answer, (EventRejected, Mapping)) for answer in answers):
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

    def _outcome(self, delivery: Delivery, answer: SendOutcome) -> Outcome:
        if not isinstance(answer, DeliveryError):
            return delivered(delivery, answer)
        if isinstance(answer, EventRejected):
            return rejected(delivery, printable(answer.reason))
        if isinstance(answer, EventSkipped):
            return skipped(delivery, printable(answer.reason))
        ambiguous = isinstance(answer, DeliveryFailed) and answer.ambiguous
        if ambiguous and self._holds:
            return held(delivery, printable(answer.reason))
        delay = retry_delay(delivery.attempts, self._random)
        return retried(delivery, printable(answer.reason), delay=delay, ambiguous=ambiguous)

    @property
    def _holds(self) -> bool:
        return self._destination.ambiguous == "hold"

    async def _record_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Settle, and insist: an outcome that is lost is an event sent twice.

        :raises Exception: what the store raised in the end.
        """
        if not outcomes:
            return
        log_outcomes(self._destination.name, outcomes)
        for pause in SETTLE_PAUSES:
            try:
                await self._outbox.settle(outcomes)
                break
            except Exception:
                logger.exception("%s: an outcome could not be stored", self._destination.name)
                await asyncio.sleep(pause)
        else:
            await self._outbox.settle(outcomes)
        names = map(counted_as, outcomes)
        self.counts.update(name for name in names if name is not None)


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
    """Tell whether a destination returned what the contract says."""
    return (
        isinstance(answers, Sequence)
        and len(answers) == len(payloads)
        and all(issubclass(kind, (Mapping, DeliveryError)) for kind in set(map(type, answers)))
    )


def _days(age: timedelta) -> str:
    return f"{age / timedelta(days=1):g}"
