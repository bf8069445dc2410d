"""What every outbox must do for those who wait for work."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import Change, DeliveryFilter, Outcome
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import (
    ALL,
    LEASE,
    TOLERANCE,
    claim_all,
    claim_one,
    entry,
    fill,
)

#: Seconds: what wakes does so much sooner than the wait would end.
SOON, LONG = 5.0, 60.0

#: Seconds for a wait to begin.
MOMENT = 0.05


@asynccontextmanager
async def woken(outbox: Outbox, destination: str = "a") -> AsyncIterator[None]:
    """Check that what is done meanwhile ends a wait, which did not end before."""
    waiting = asyncio.create_task(outbox.wait(destination, LONG))
    await asyncio.sleep(MOMENT)
    assert not waiting.done()
    try:
        yield
        assert await asyncio.wait_for(waiting, SOON)
    finally:
        waiting.cancel()


class WaitContract(Contract):
    """``wait`` of an outbox."""

    async def test_what_is_due_is_not_waited_for(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        assert await outbox.wait("a", 0)
        began = monotonic()
        assert await outbox.wait("a", LONG)
        assert monotonic() - began < SOON

    async def test_nothing_is_waited_for_in_vain(self, outbox: Outbox) -> None:
        assert not await outbox.wait("a", 0)
        began = monotonic()
        assert not await outbox.wait("a", 0.1)
        assert 0.09 <= monotonic() - began < SOON  # noqa: PLR2004

    async def test_what_is_claimed_is_not_waited_for(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2")
        await claim_one(outbox)
        assert await outbox.wait("a", 0)
        await claim_one(outbox)
        assert not await outbox.wait("a", MOMENT)

    async def test_a_capped_delivery_is_waited_for(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        await outbox.settle([Outcome(await claim_one(outbox), "pending", batch_cap=1)])
        assert await outbox.wait("a", 0)
        await claim_all(outbox, capped=True)
        assert not await outbox.wait("a", 0)

    async def test_an_accepted_event_wakes(self, outbox: Outbox) -> None:
        async with woken(outbox):
            await fill(outbox, "e1")

    async def test_a_release_wakes(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        claimed = await claim_one(outbox)
        async with woken(outbox):
            await outbox.release([claimed])

    @pytest.mark.parametrize("batch_cap", [None, 1])
    async def test_an_outcome_that_makes_it_due_wakes(
        self, outbox: Outbox, batch_cap: int | None
    ) -> None:
        await fill(outbox, "e1")
        claimed = await claim_one(outbox)
        async with woken(outbox):
            await outbox.settle([Outcome(claimed, "pending", batch_cap=batch_cap)])

    async def test_a_replay_wakes(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        await outbox.settle([Outcome(await claim_one(outbox), "dead", attempts=9)])
        async with woken(outbox):
            await outbox.transition(
                DeliveryFilter(states=frozenset({"dead"})),
                Change("pending", restart=True),
                limit=ALL,
            )

    async def test_a_restart_of_what_waits_wakes(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        await outbox.settle([Outcome(await claim_one(outbox), "pending", LEASE, attempts=1)])
        async with woken(outbox):
            await outbox.transition(
                DeliveryFilter(states=frozenset({"pending"})),
                Change("pending", restart=True),
                limit=ALL,
            )

    async def test_the_time_of_a_retry_is_waited_for(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1", "e2")
        first, second = await claim_all(outbox)
        await outbox.settle(
            [Outcome(first, "pending", delay=LONG), Outcome(second, "pending", delay=0.3)],
        )
        assert not await outbox.wait("a", 0)
        async with woken(outbox):
            await self.advance(clock, 0.3)

    async def test_a_retry_that_takes_its_place_before_others_wakes(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await fill(outbox, "e1", "e2")
        first, second = await claim_all(outbox)
        await outbox.settle([Outcome(first, "pending", delay=LONG)])
        async with woken(outbox):
            await outbox.settle([Outcome(second, "pending", delay=0.2)])
            await self.advance(clock, 0.2)

    async def test_retries_are_due_one_after_the_other(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1", "e2")
        assert await outbox.wait("a", 0)
        first, second = await claim_all(outbox)
        await outbox.settle(
            [Outcome(first, "pending", delay=100), Outcome(second, "pending", delay=50)],
        )
        assert not await outbox.wait("a", 0)
        assert list(await claim_all(outbox)) == []
        await self.advance(clock, 50 - TOLERANCE)
        assert not await outbox.wait("a", 0)
        await self.advance(clock, 2 * TOLERANCE)
        assert await outbox.wait("a", 0)
        await claim_one(outbox)
        assert not await outbox.wait("a", 0)
        await self.advance(clock, 50)
        assert await outbox.wait("a", 0)

    async def test_work_for_another_destination_wakes_nobody(self, outbox: Outbox) -> None:
        waiting = asyncio.create_task(outbox.wait("a", LONG))
        await asyncio.sleep(MOMENT)
        await outbox.accept(entry("e1", ["b"]))
        await asyncio.sleep(MOMENT)
        assert not waiting.done()
        waiting.cancel()
        assert await outbox.wait("b", 0)

    async def test_everybody_who_waits_is_woken(self, outbox: Outbox) -> None:
        async with woken(outbox), woken(outbox), woken(outbox, "b"):
            await outbox.accept(entry("e1", ["a", "b"]))

    async def test_a_wait_may_be_cancelled(self, outbox: Outbox) -> None:
        waiting = asyncio.create_task(outbox.wait("a", LONG))
        await asyncio.sleep(MOMENT)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with woken(outbox):
            await fill(outbox, "e1")
