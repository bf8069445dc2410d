"""Takes claimed deliveries to one destination and records what became of them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

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
from gp_aiogram.delivery.waiting import contained
from gp_aiogram.destinations.base import Destination, SendOutcome
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


class _Prepared(NamedTuple):
    delivery: Delivery
    payload: Any


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
        :param now: the store's time of the claim, by which ages are judged.
        :raises Exception: what the store raised; the claims then end with their lease.
        """
        try:
            prepared = await self._prepare(batch, now)
            if not prepared:
                return
            if self._pacer.wait > 0:
                # Another batch of the round was told to wait.
                await self._outbox.release([delivery for delivery, _ in prepared])
            else:
                await self._send(prepared)
        except asyncio.CancelledError:
            await self._outbox.release(batch)
            raise

    async def _prepare(self, batch: Sequence[Delivery], now: datetime) -> list[_Prepared]:
        """Build what is sent, and settle what cannot be."""
        prepared: list[_Prepared] = []
        outcomes: list[Outcome] = []
        unexpected: dict[str, BaseException] = {}
        for number, delivery in enumerate(batch, start=1):
            built = self._prepare_one(delivery, now, unexpected)
            if isinstance(built, Outcome):
                outcomes.append(built)
            else:
                prepared.append(built)
            if number % PREPARED_AT_ONCE == 0:
                await asyncio.sleep(0)
        for error in unexpected.values():
            logger.error("%s: prepare() failed", self._destination.name, exc_info=error)
        await self._record_outcomes(outcomes)
        return prepared

    def _prepare_one(
        self,
        delivery: Delivery,
        now: datetime,
        unexpected: dict[str, BaseException],
    ) -> _Prepared | Outcome:
        """Build what is sent of one event.

        :param unexpected: gets the first exception of each type that breaks the contract.
        :return: the outcome when there is nothing to send.
        """
        over_age = self._over_age(delivery, now)
        if over_age is not None:
            return expired(delivery, over_age)
        try:
            return _Prepared(delivery, self._destination.prepare(delivery.event))
        except EventRejected as error:
            return rejected(delivery, error.reason)
        except EventSkipped as error:
            return skipped(delivery, error.reason)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - a user's own code
            kind = type(error).__name__
            unexpected.setdefault(kind, error)
            return rejected(delivery, f"{kind} in prepare(), see the log")

    def _over_age(self, delivery: Delivery, now: datetime) -> str | None:
        """Say why a delivery is too old; None when it is not."""
        max_age, retry_for = self._destination.max_age, self._destination.retry_for
        if max_age is not None and now - delivery.event.event_time > max_age:
            return f"over age: the event is older than {_days(max_age)} days"
        if now - delivery.since > retry_for:
            return f"over age: tried for {_days(retry_for)} days, last: {delivery.reason}"
        return None

    async def _send(self, prepared: Sequence[_Prepared]) -> None:
        """Send what was prepared and record the answer."""
        batch = [delivery for delivery, _ in prepared]
        if self._holds:
            # Written before the request, so that a crash while it is under way is held as well.
            await self._record_outcomes(
                [held(delivery, "no answer", provisional=True) for delivery in batch],
            )
        was_refused = self._pacer.state == "refused"
        try:
            answer = await self._request([payload for _, payload in prepared])
        except asyncio.CancelledError:
            if not self._holds:
                await self._outbox.settle([cut_off(delivery) for delivery in batch])
            raise
        if isinstance(answer, EventRejected) and len(batch) > 1:
            await self._bisect(batch, answer.reason)
            return
        answers = [answer] * len(batch) if isinstance(answer, DeliveryError) else answer
        self._tell_pacer(answers)
        answered = list(zip(batch, answers, strict=True))
        await self._record_outcomes(
            [self._outcome(delivery, each) for delivery, each in answered if not _pauses(each)],
        )
        paused = [delivery for delivery, each in answered if _pauses(each)]
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
        name = self._destination.name
        sending = await contained(self._call_send(payloads))
        try:
            answers = sending.result()
        except DeliveryError as error:
            return error
        except (Exception, asyncio.CancelledError) as error:
            # A destination that breaks the contract must not lose events.
            logger.exception("%s: send() failed unexpectedly", name)
            reason = f"{type(error).__name__} in send(), see the log"
            return DeliveryFailed(reason, ambiguous=True)
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
        """Tell the pacer what a request says of the destination, once for each kind of answer."""
        if any(isinstance(answer, (EventRejected, Mapping)) for answer in answers):
            self._pacer.succeeded()
        errors = dict.fromkeys(each for each in answers if isinstance(each, DeliveryError))
        failed = None
        for error in errors:
            if isinstance(error, RateLimited):
                self._pacer.throttled(error.retry_after, error.reason)
            elif isinstance(error, DestinationMisconfigured):
                self._pacer.refused(error.reason)
            elif not isinstance(error, (EventRejected, EventSkipped)):
                failed = failed or error
        if failed is not None:
            self._pacer.failed(failed.reason)

    def _outcome(self, delivery: Delivery, answer: SendOutcome) -> Outcome:
        if not isinstance(answer, DeliveryError):
            return delivered(delivery, answer)
        if isinstance(answer, EventRejected):
            return rejected(delivery, answer.reason)
        if isinstance(answer, EventSkipped):
            return skipped(delivery, answer.reason)
        ambiguous = isinstance(answer, DeliveryFailed) and answer.ambiguous
        if ambiguous and self._holds:
            return held(delivery, answer.reason)
        delay = retry_delay(delivery.attempts, self._random)
        return retried(delivery, answer.reason, delay=delay, ambiguous=ambiguous)

    @property
    def _holds(self) -> bool:
        return self._destination.ambiguous == "hold"

    async def _record_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Settle, and insist: an outcome that is lost is an event sent twice.

        :raises Exception: what the store raised in the end.
        """
        if not outcomes:
            return
        self._log_dead(outcomes)
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

    def _log_dead(self, outcomes: Sequence[Outcome]) -> None:
        reasons = Counter(
            outcome.reason
            for outcome in outcomes
            if outcome.state == "dead" and not outcome.provisional
        )
        for reason, count in reasons.items():
            logger.error("%s: %d event(s) given up: %s", self._destination.name, count, reason)


def _pauses(answer: SendOutcome) -> bool:
    """Tell whether an event is to wait with the whole destination; no attempt is counted."""
    return isinstance(answer, (RateLimited, DestinationMisconfigured))


def _fit(answers: object, payloads: Sequence[Any]) -> bool:
    """Tell whether a destination returned what the contract says."""
    return (
        isinstance(answers, Sequence)
        and len(answers) == len(payloads)
        and all(issubclass(kind, (Mapping, DeliveryError)) for kind in set(map(type, answers)))
    )


def _days(age: timedelta) -> str:
    return f"{age / timedelta(days=1):g}"
