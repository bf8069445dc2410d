"""The way from the outbox to one destination: claims what is due and has it sent."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from gp_aiogram.delivery.pacing import Pacer, PacerState
from gp_aiogram.delivery.sending import Sender
from gp_aiogram.delivery.stats import DeliveryCount
from gp_aiogram.delivery.trusted_time import TrustedTime
from gp_aiogram.delivery.waiting import unless
from gp_aiogram.destinations.base import Destination
from gp_aiogram.model.clock import Clock, SystemClock
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import Claim

logger = logging.getLogger("gp_aiogram.courier")

#: Seconds after which a claimed delivery is due again if whoever claimed it is gone. A claim that
#: is under way for longer is extended.
LEASE = 120.0

#: Seconds to wait for a delivery to become due before looking all the same.
LOOK_AGAIN = 60.0

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
    """

    def __init__(
        self,
        destination: Destination,
        outbox: Outbox,
        *,
        clock: Clock | None = None,
        trusted_time: TrustedTime | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.destination = destination
        self._outbox = outbox
        monotonic = (clock or SystemClock()).monotonic
        self._trusted_time = trusted_time or TrustedTime(monotonic)
        self._pacer = Pacer(destination.name, monotonic)
        self._sender = Sender(destination, outbox, self._pacer, random)
        self._rounds_under_way = 0
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
        claims = await self._claim(allowance)
        if not claims:
            return LOOK_AGAIN
        async with self._extended(claims):
            await self._deliver(claims)
        return self._pacer.wait

    async def _rest(self, pause: float, stopping: asyncio.Event) -> None:
        """Wait until another round makes sense.

        :param pause: what the last round returned.
        """
        if (wait := self._pacer.wait) > 0:
            await unless(stopping, asyncio.sleep(wait))
        elif pause > 0:
            await unless(stopping, self._outbox.wait(self.destination.name, pause))
        elif self._fell_short:
            await unless(stopping, asyncio.sleep(LINGER))

    @property
    def _most(self) -> int:
        return self.destination.batch_size * self.destination.concurrency

    async def _claim(self, allowance: int) -> list[Claim]:
        """Claim what is due, and one batch more of the remains of rejected batches.

        The remains wait while the way back from an outage has room for fresh events only.
        """
        size = self.destination.batch_size
        fresh = await self._claim_due(allowance)
        count = len(fresh.deliveries)
        self._fell_short = 0 < count < min(size, allowance)
        room = size if allowance == self._most else min(size, allowance - count)
        if not room:
            return [fresh]
        try:
            remains = await self._claim_due(room, capped=True)
        except BaseException:
            with suppress(Exception):
                await self._outbox.release(fresh.deliveries)
            raise
        return [claim for claim in (fresh, remains) if claim.deliveries]

    async def _claim_due(self, limit: int, *, capped: bool = False) -> Claim:
        """Claim what is due; ``now`` is then the time by which ages are judged."""
        name = self.destination.name
        claim = await self._outbox.claim(name, limit, lease=LEASE, capped=capped)
        return claim._replace(now=self._trusted_time.judge(claim.now))

    async def _deliver(self, claims: Sequence[Claim]) -> None:
        """Send all batches together.

        :raises Exception: what the store raised, once every batch has ended.
        """
        size = self.destination.batch_size
        ends = await asyncio.gather(
            *(
                self._sender.deliver(claim.deliveries[start : start + size], claim.now)
                for claim in claims
                for start in range(0, len(claim.deliveries), size)
            ),
            return_exceptions=True,
        )
        for end in ends:
            if end is not None:
                raise end

    @asynccontextmanager
    async def _extended(self, claims: Sequence[Claim]) -> AsyncIterator[None]:
        """Keep claims from ending while deliveries are under way."""
        keeper = asyncio.create_task(self._extend(claims))
        try:
            yield
        finally:
            keeper.cancel()

    async def _extend(self, claims: Sequence[Claim]) -> None:
        while True:
            await asyncio.sleep(LEASE / 3)
            try:
                await asyncio.gather(*(self._outbox.extend(claim, LEASE) for claim in claims))
            except Exception:
                logger.exception("%s: a claim could not be extended", self.destination.name)
