"""The way from the outbox to one destination: claims what is due and has it sent."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress

from gp_aiogram.delivery.gathering import Gatherer
from gp_aiogram.delivery.lease import Lease
from gp_aiogram.delivery.pacing import Pacer, PacerState
from gp_aiogram.delivery.sending import Sender
from gp_aiogram.delivery.stats import DeliveryCount
from gp_aiogram.delivery.trusted_time import TrustedTime
from gp_aiogram.delivery.waiting import unless
from gp_aiogram.destinations.base import Destination
from gp_aiogram.model.clock import Clock, SystemClock
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import Claim
from gp_aiogram.telemetry.telemetry import Telemetry

logger = logging.getLogger("gp_aiogram.courier")

#: Seconds after which a claimed delivery is due again if whoever claimed it is gone. While a
#: request is under way, its claim is extended in time.
LEASE = 30.0

#: The same for a store that only this process can use: nobody else waits for its claims, and its
#: event loop may stand still for a while without an event being sent twice.
LONE_LEASE = 120.0

#: Seconds to wait for a delivery to become due before looking all the same. Nobody is told when a
#: claim ends, so that with the lease this is how long a killed worker's deliveries may wait: less
#: than a minute.
LOOK_AGAIN = 20.0

#: Seconds for more events to gather when a destination of batches was just sent less than one.
LINGER = 0.05

#: Seconds to wait after the store itself failed.
STORE_PAUSE = 5.0


class Lane:
    """Moves the deliveries of one destination; the other destinations do not notice.

    :param clock: its monotonic time paces the requests; this machine's unless a test turns it.
    :param trusted_time: by which ages are judged; shared by the lanes of a courier, so that a
        jump of the clock is told once.
    :param random: draws from [0, 1), for the spread of retries.
    :param telemetry: observes what happens.
    """

    def __init__(
        self,
        destination: Destination,
        outbox: Outbox,
        *,
        clock: Clock | None = None,
        trusted_time: TrustedTime | None = None,
        random: Callable[[], float] = random.random,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.destination = destination
        self._outbox = outbox
        clock = clock or SystemClock()
        self._monotonic = clock.monotonic
        self._trusted_time = trusted_time or TrustedTime(clock.monotonic)
        self._pacer = Pacer(destination.name, clock.monotonic)
        self._sender = Sender(
            destination,
            outbox,
            self._pacer,
            random=random,
            clock=clock,
            telemetry=telemetry or Telemetry(),
        )
        self._gatherer = Gatherer(destination, outbox, clock.monotonic)
        self._rounds_under_way = 0
        self._resumed = asyncio.Event()
        self._fell_short = False

    @property
    def state(self) -> PacerState:
        """How the destination is doing."""
        return self._pacer.state

    @property
    def busy(self) -> bool:
        """Whether deliveries are under way."""
        return self._rounds_under_way > 0

    @property
    def counts(self) -> Counter[DeliveryCount]:
        """How many deliveries ended, in each state, and how many tries failed."""
        return self._sender.counts

    @property
    def wait(self) -> float:
        """Seconds until the destination may be called."""
        return self._pacer.wait

    def resume(self) -> bool:
        """Call a destination at once that is waited for; False when it is not."""
        resumed = self._pacer.resume()
        if resumed:
            self._resumed.set()
        return resumed

    def hurried(self) -> AbstractContextManager[None]:
        """Hold back nothing meanwhile for a batch to fill."""
        return self._gatherer.hurried()

    async def run(self, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        """Deliver until stopped; the round that is under way is finished.

        :param stopping: set to stop.
        :param progress: called after each round.
        """
        while not stopping.is_set():
            await self._run_and_rest(stopping, progress)

    async def run_once(self) -> float:
        """Deliver once what is due and allowed.

        :return: seconds to rest, unless a delivery becomes due sooner where nothing was; 0 means
            that there may be more to deliver.
        """
        self._rounds_under_way += 1
        try:
            return await self._run_round()
        finally:
            self._rounds_under_way -= 1

    async def _run_and_rest(self, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        try:
            pause = await self.run_once()
            progress()
            await self._rest(pause, stopping)
        except Exception:
            logger.exception("%s: the store failed, trying again", self.destination.name)
            progress()
            await unless(stopping, asyncio.sleep(STORE_PAUSE))

    async def _run_round(self) -> float:
        self._fell_short = False
        allowance = self._pacer.allowance(self._most)
        if not allowance:
            return self._pacer.wait
        lease = Lease(self._monotonic, self._lease_seconds)
        claims = await self._claim(allowance)
        if not claims:
            return self._gatherer.left or LOOK_AGAIN
        async with self._extended(claims, lease):
            await self._deliver(claims, lease)
        return self._pacer.wait

    async def _rest(self, pause: float, stopping: asyncio.Event) -> None:
        """Wait until another round makes sense.

        :param pause: what the last round returned.
        """
        if (wait := self._pacer.wait) > 0:
            await unless(stopping, self._pause(wait))
        elif pause > 0 and self._gatherer.left > 0:
            await unless(stopping, self._gatherer.rest())
        elif pause > 0:
            await unless(stopping, self._outbox.wait(self.destination.name, pause))
        elif self._fell_short:
            await unless(stopping, asyncio.sleep(LINGER))

    async def _pause(self, seconds: float) -> None:
        """Wait, unless somebody resumes the destination."""
        self._resumed.clear()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._resumed.wait(), seconds)

    @property
    def _lease_seconds(self) -> float:
        return LONE_LEASE if self._outbox.one_process else LEASE

    @property
    def _most(self) -> int:
        return self.destination.batch_size * self.destination.concurrency

    async def _claim(self, allowance: int) -> list[Claim]:
        """Claim what is due, and one batch more of the remains of rejected batches.

        The remains wait while the way back from an outage has room for fresh events only.
        """
        size = self.destination.batch_size
        fresh = await self._claim_gathered(allowance)
        count = len(fresh.deliveries)
        self._fell_short = 0 < count < min(size, allowance)
        room = size if allowance == self._most else min(size, allowance - count)
        if not room:
            return [fresh] if count else []
        try:
            remains = await self._claim_due(room, capped=True)
        except BaseException:
            with suppress(Exception):
                await self._outbox.release(fresh.deliveries)
            raise
        return [claim for claim in (fresh, remains) if claim.deliveries]

    async def _claim_gathered(self, limit: int) -> Claim:
        """Claim what is due, unless it is to wait for others."""
        name = self.destination.name
        claim = await self._outbox.claim(name, limit, lease=self._lease_seconds)
        goes = False
        try:
            goes = await self._gatherer.lets_go(claim, min(self.destination.batch_size, limit))
        finally:
            if not goes:
                await self._outbox.release(claim.deliveries)
        if goes:
            return self._judged(claim)
        return claim._replace(deliveries=())

    async def _claim_due(self, limit: int, *, capped: bool = False) -> Claim:
        """Claim what is due; ``now`` is then the time by which ages are judged."""
        name = self.destination.name
        claim = await self._outbox.claim(name, limit, lease=self._lease_seconds, capped=capped)
        return self._judged(claim)

    def _judged(self, claim: Claim) -> Claim:
        return claim._replace(now=self._trusted_time.judge(claim.now))

    async def _deliver(self, claims: Sequence[Claim], lease: Lease) -> None:
        """Send all batches together.

        :raises Exception: what the store raised, once every batch has ended.
        """
        size = self.destination.batch_size
        ends = await asyncio.gather(
            *(
                self._sender.deliver(claim.deliveries[start : start + size], claim.now, lease)
                for claim in claims
                for start in range(0, len(claim.deliveries), size)
            ),
            return_exceptions=True,
        )
        for end in ends:
            if end is not None:
                raise end

    @asynccontextmanager
    async def _extended(self, claims: Sequence[Claim], lease: Lease) -> AsyncIterator[None]:
        """Keep claims from ending while deliveries are under way."""
        keeper = asyncio.create_task(self._extend(claims, lease))
        try:
            yield
        finally:
            keeper.cancel()

    async def _extend(self, claims: Sequence[Claim], lease: Lease) -> None:
        seconds = self._lease_seconds
        while True:
            await asyncio.sleep(seconds / 3)
            asked = self._monotonic()
            try:
                await asyncio.gather(*(self._outbox.extend(claim, seconds) for claim in claims))
            except Exception:
                logger.exception("%s: a claim could not be extended", self.destination.name)
            else:
                lease.renewed(asked)
