"""The way from the outbox to one destination: claim, deliver, settle."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from gp_aiogram.delivery.pacing import Pacer, PacerState, retry_delay
from gp_aiogram.destinations.base import Destination, Receipt
from gp_aiogram.errors import (
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    EventSkipped,
    RateLimited,
)
from gp_aiogram.model.event import utc_from_timestamp
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.keys import opt_out_key
from gp_aiogram.stores.records import MAY_BE_TAKEN, Delivery, Settlement, State

logger = logging.getLogger("gp_aiogram.courier")

#: Seconds after which a claimed delivery is due again if whoever claimed it is gone: longer than
#: the longest search for bad events in a batch.
LEASE = 900.0

#: Seconds between looks at an outbox without being woken (another process may fill it).
LOOK_AGAIN = 60.0

#: Seconds for more events to gather when a destination of batches was just sent less than one.
LINGER = 0.05

#: Why a delivery is skipped whose user wants nothing to be known of him.
OPTED_OUT = "the user opted out before it was sent"

#: Seconds between tries to store an outcome.
SETTLE_PAUSES = (0.1, 1.0, 5.0)

#: Seconds to wait after the store itself failed.
STORE_PAUSE = 5.0


class Lane:
    """Moves the deliveries of one destination; the other destinations do not notice.

    :param random: draws from [0, 1), for the spread of retries.
    """

    def __init__(
        self,
        destination: Destination,
        outbox: Outbox,
        *,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.destination = destination
        self.counts: Counter[str] = Counter()
        self.busy = False
        self._outbox = outbox
        self._random = random
        self._pacer = Pacer(destination.name, outbox.clock.monotonic)
        self._wake = asyncio.Event()
        self._fell_short = False

    @property
    def state(self) -> PacerState:
        """How the destination is doing."""
        return self._pacer.state

    def wake(self) -> None:
        """Tell the lane that there may be something to deliver."""
        self._wake.set()

    async def run(self, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        """Deliver until stopped; the round that is under way is finished.

        :param stopping: set, then :meth:`wake`, to stop.
        :param progress: called after each round.
        """
        while not stopping.is_set():
            self._wake.clear()
            wait = await self._guarded_round()
            progress()
            if wait > 0:
                await _happens(self._wake, wait)
            elif self._fell_short:
                await _happens(stopping, LINGER)

    async def round(self) -> float:
        """Deliver once what is due and allowed.

        :return: seconds until the next round makes sense, unless woken; 0 means at once.
        """
        destination, pacer = self.destination, self._pacer
        self._fell_short = False
        allowance = pacer.allowance(destination.batch_size * destination.concurrency)
        if not allowance:
            return pacer.wait
        claimed = await self._outbox.claim(destination.name, allowance, lease=LEASE)
        if not claimed:
            due = await self._outbox.next_due(destination.name)
            return LOOK_AGAIN if due is None else min(due, LOOK_AGAIN)
        size = destination.batch_size
        self._fell_short = len(claimed) < min(size, allowance)
        fresh = await self._bury_stale(await self._skip_opted_out(claimed))
        batches = [fresh[start : start + size] for start in range(0, len(fresh), size)]
        # All of them end before the round does, also when one of them failed or was cancelled.
        ends = await asyncio.gather(
            *(self._deliver(batch) for batch in batches),
            return_exceptions=True,
        )
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return pacer.wait

    async def _guarded_round(self) -> float:
        self.busy = True
        try:
            return await self.round()
        except Exception:
            logger.exception("%s: the store failed, trying again", self.destination.name)
            return STORE_PAUSE
        finally:
            self.busy = False

    async def _skip_opted_out(self, claimed: Sequence[Delivery]) -> Sequence[Delivery]:
        """Send nothing of a user who has opted out: not what was under way, nor a dead letter."""
        try:
            keys = {opt_out_key(delivery.event.telegram_id) for delivery in claimed}
            known = await self._outbox.known_keys(keys)
        except BaseException:
            await self._outbox.release(claimed)
            raise
        if not known:
            return claimed
        unwanted = [one for one in claimed if opt_out_key(one.event.telegram_id) in known]
        await self._settle(unwanted, "skipped", OPTED_OUT)
        return [one for one in claimed if opt_out_key(one.event.telegram_id) not in known]

    async def _bury_stale(self, claimed: Sequence[Delivery]) -> list[Delivery]:
        """Give up what is too old, before a batch is built: one such event may spoil it."""
        by_reason: dict[str | None, list[Delivery]] = {None: []}
        now = utc_from_timestamp(self._outbox.clock.time())
        for delivery in claimed:
            by_reason.setdefault(self._stale(delivery, now), []).append(delivery)
        for reason, deliveries in by_reason.items():
            if reason is not None:
                await self._settle(deliveries, "dead", reason)
        return by_reason[None]

    def _stale(self, delivery: Delivery, now: datetime) -> str | None:
        """Say why a delivery is too old; None when it is not."""
        max_age, retry_for = self.destination.max_age, self.destination.retry_for
        if max_age is not None and now - delivery.event.event_time > max_age:
            return f"over age: the event is older than {_days(max_age)} days"
        if now - delivery.since > retry_for:
            return f"over age: tried for {_days(retry_for)} days, last: {delivery.reason}"
        return None

    async def _deliver(self, batch: Sequence[Delivery]) -> bool:
        """Send a batch and settle it.

        :return: whether the destination took all of it.
        """
        if self._pacer.wait > 0:
            await self._outbox.release(batch)
            return False
        try:
            receipts = await self._send(batch)
        except EventRejected as error:
            self._pacer.succeeded()
            if len(batch) == 1:
                await self._settle(batch, "dead", _with_doubt(batch[0], error.reason))
            else:
                await self._undo_hold(batch)
                await self._search(batch)
        except DeliveryError as error:
            await self._settle_failure(batch, error)
        except asyncio.CancelledError:
            await self._outbox.release(batch)
            raise
        else:
            self._pacer.succeeded()
            await self._settle(batch, "delivered", receipts=receipts)
            return True
        return False

    async def _search(self, rejected: Sequence[Delivery]) -> None:
        """Find the bad events of a rejected batch by halving it; the others are delivered."""
        middle = len(rejected) // 2
        first, second = rejected[:middle], rejected[middle:]
        try:
            taken = await self._deliver(first)
        except BaseException:
            await self._outbox.release(second)
            raise
        if taken and len(second) > 1:
            # The first half was good, so the second is known to be bad: no need to ask again.
            await self._search(second)
        else:
            await self._deliver(second)

    async def _send(self, batch: Sequence[Delivery]) -> Sequence[Receipt]:
        if self.destination.ambiguous == "hold":
            # Written before the request, so that a crash while it is under way is held as well.
            await self._write(batch, "dead", f"{MAY_BE_TAKEN}: no answer", provisional=True)
        try:
            receipts = await self.destination.send([delivery.event for delivery in batch])
        except DeliveryError:
            raise
        except Exception as error:
            # A destination that breaks the contract must not lose events.
            logger.exception("%s: send() failed unexpectedly", self.destination.name)
            reason = f"{type(error).__name__} in send(), see the log"
            raise DeliveryFailed(reason, ambiguous=True) from error
        if receipts is None:
            return [{}] * len(batch)
        if not _fit(receipts, batch):
            name = self.destination.name
            logger.error("%s: send() must return a receipt for each event or None", name)
            return [{}] * len(batch)
        return receipts

    async def _settle_failure(self, batch: Sequence[Delivery], error: DeliveryError) -> None:
        if isinstance(error, EventSkipped):
            await self._settle(batch, "skipped", error.reason)
        elif isinstance(error, RateLimited):
            self._pacer.throttled(error.retry_after, error.reason)
            await self._put_back(batch)
        elif isinstance(error, DestinationMisconfigured):
            probe = self._pacer.state == "refused" and self._pacer.wait == 0
            self._pacer.refused(error.reason)
            # The next probe is another event: one refused for its own sake must not block all.
            await self._put_back(batch, behind=probe)
        else:
            self._pacer.failed(error.reason)
            await self._retry_or_hold(batch, error)

    async def _put_back(self, batch: Sequence[Delivery], *, behind: bool = False) -> None:
        """Undo the claim; no attempt is counted.

        :param behind: let other due events go first.
        """
        if behind or self.destination.ambiguous == "hold":
            await self._write(batch, "pending")
        else:
            await self._outbox.release(batch)

    async def _undo_hold(self, batch: Sequence[Delivery]) -> None:
        """Keep the claim only: none of a rejected batch was taken."""
        if self.destination.ambiguous == "hold":
            await self._write(batch, "pending", provisional=True)

    async def _retry_or_hold(self, batch: Sequence[Delivery], error: DeliveryError) -> None:
        ambiguous = isinstance(error, DeliveryFailed) and error.ambiguous
        if ambiguous and self.destination.ambiguous == "hold":
            await self._settle(batch, "dead", f"{MAY_BE_TAKEN}: {error.reason}")
            return
        await self._record(
            [
                Settlement(
                    delivery,
                    "pending",
                    delay=retry_delay(delivery.attempts, self._random),
                    attempts=delivery.attempts + 1,
                    reason=_with_doubt(delivery, error.reason, ambiguous=ambiguous),
                )
                for delivery in batch
            ],
        )
        self.counts["retried"] += len(batch)

    async def _settle(
        self,
        batch: Sequence[Delivery],
        state: State,
        reason: str | None = None,
        receipts: Sequence[Receipt] | None = None,
    ) -> None:
        """Record the end of deliveries."""
        if state == "dead":
            logger.error("%s: %d event(s) given up: %s", self.destination.name, len(batch), reason)
        await self._write(batch, state, reason, receipts)
        self.counts[state] += len(batch)

    async def _write(
        self,
        batch: Sequence[Delivery],
        state: State,
        reason: str | None = None,
        receipts: Sequence[Receipt] | None = None,
        *,
        provisional: bool = False,
    ) -> None:
        await self._record(
            [
                Settlement(
                    delivery,
                    state,
                    attempts=delivery.attempts,
                    reason=delivery.reason if state == "pending" else reason,
                    receipt=receipt,
                    provisional=provisional,
                )
                for delivery, receipt in zip(batch, receipts or [{}] * len(batch), strict=True)
            ],
        )

    async def _record(self, settlements: Sequence[Settlement]) -> None:
        """Settle, and insist: an outcome that is forgotten is an event sent twice.

        :raises Exception: what the store raised in the end; its leases run out by themselves.
        """
        for pause in SETTLE_PAUSES:
            try:
                await self._outbox.settle(settlements)
            except Exception:  # noqa: PERF203 - one try is the rule
                logger.exception("%s: an outcome could not be stored", self.destination.name)
                await asyncio.sleep(pause)
            else:
                return
        await self._outbox.settle(settlements)


def _with_doubt(delivery: Delivery, reason: str, *, ambiguous: bool = False) -> str:
    """Return a reason that still tells when this try, or one before it, may have succeeded."""
    doubtful = ambiguous or MAY_BE_TAKEN in (delivery.reason or "")
    return f"{MAY_BE_TAKEN}: {reason}" if doubtful else reason


async def _happens(event: asyncio.Event, seconds: float) -> None:
    """Wait for something, but not for long."""
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _fit(receipts: object, batch: Sequence[Delivery]) -> bool:
    """Tell whether a destination returned what the contract says."""
    return (
        isinstance(receipts, Sequence)
        and len(receipts) == len(batch)
        and all(issubclass(kind, Mapping) for kind in set(map(type, receipts)))
    )


def _days(age: timedelta) -> str:
    return f"{age / timedelta(days=1):g}"
