"""What every outbox must do with the remains of rejected batches."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

from typing import Any

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import Outcome
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import (
    LEASE,
    claim_all,
    claim_one,
    deliveries_of,
    fill,
    ids,
)


async def cap(outbox: Outbox, *caps: int, delay: float = 0) -> None:
    """Fill the outbox with deliveries that have these caps: e1, e2 …."""
    await fill(outbox, *(f"e{number}" for number, _ in enumerate(caps, 1)))
    claimed = await claim_all(outbox)
    await outbox.settle(
        [
            Outcome(delivery, "pending", delay, attempts=1, batch_cap=batch_cap)
            for delivery, batch_cap in zip(claimed, caps, strict=True)
        ],
    )


class CappedContract(Contract):
    """``claim(capped=True)`` of an outbox."""

    async def test_deliveries_with_a_cap_are_claimed_apart(self, outbox: Outbox) -> None:
        await cap(outbox, 5, 5)
        await fill(outbox, "fresh")
        assert ids(await claim_all(outbox)) == ["fresh"]
        capped = await claim_all(outbox, capped=True)
        assert ids(capped) == ["e1", "e2"]
        assert [(delivery.batch_cap, delivery.attempts) for delivery in capped] == [(5, 1)] * 2
        assert list(await claim_all(outbox, capped=True)) == []

    async def test_as_many_are_claimed_as_fit_into_one_batch(self, outbox: Outbox) -> None:
        await cap(outbox, 2, 2, 2, 2, 2)
        assert ids(await claim_all(outbox, capped=True)) == ["e1", "e2"]
        assert ids(await claim_all(outbox, capped=True)) == ["e3", "e4"]
        assert ids(await claim_all(outbox, capped=True)) == ["e5"]

    async def test_no_more_capped_ones_are_claimed_than_asked_for(self, outbox: Outbox) -> None:
        await cap(outbox, 4, 4, 4, 4)
        assert list(await claim_all(outbox, limit=0, capped=True)) == []
        assert ids(await claim_all(outbox, limit=3, capped=True)) == ["e1", "e2", "e3"]

    async def test_the_cap_of_the_first_is_that_of_the_claim(self, outbox: Outbox) -> None:
        await cap(outbox, 1, 4, 4)
        assert ids(await claim_all(outbox, capped=True)) == ["e1"]
        assert ids(await claim_all(outbox, capped=True)) == ["e2", "e3"]

    async def test_no_delivery_gets_into_a_batch_beyond_its_cap(self, outbox: Outbox) -> None:
        await cap(outbox, 4, 1, 4, 2)
        claims = [await claim_all(outbox, capped=True) for _ in range(4)]
        for claimed in filter(None, claims):
            assert len(claimed) <= min(delivery.batch_cap or 0 for delivery in claimed)
        found = [event_id for claimed in claims for event_id in ids(claimed)]
        assert sorted(found) == ["e1", "e2", "e3", "e4"]

    async def test_a_capped_delivery_waits_for_its_time(self, outbox: Outbox, clock: Any) -> None:
        await cap(outbox, 2, 2, delay=100)
        assert list(await claim_all(outbox, capped=True)) == []
        await self.advance(clock, 101)
        assert ids(await claim_all(outbox, capped=True)) == ["e1", "e2"]

    async def test_the_longest_due_capped_one_comes_first(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await cap(outbox, 9, 9, 9)
        late, early, middle = await claim_all(outbox, capped=True)
        await outbox.settle(
            [
                Outcome(late, "pending", 30, batch_cap=9),
                Outcome(early, "pending", 10, batch_cap=9),
                Outcome(middle, "pending", 20, batch_cap=9),
            ],
        )
        await self.advance(clock, 60)
        assert ids(await claim_all(outbox, capped=True)) == ["e2", "e3", "e1"]

    async def test_a_claimed_capped_delivery_is_nobody_elses(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await cap(outbox, 1, 1)
        (first,) = await claim_all(outbox, capped=True)
        assert ids(await claim_all(outbox, capped=True)) == ["e2"]
        assert list(await claim_all(outbox, capped=True)) == []
        await outbox.release([first])
        assert ids(await claim_all(outbox, capped=True)) == ["e1"]
        await self.advance(clock, LEASE + 1)
        assert await outbox.wait("a", 0)

    async def test_a_cap_may_be_lowered_and_lifted(self, outbox: Outbox) -> None:
        await cap(outbox, 4, 4, 4)
        first, second, third = await claim_all(outbox, capped=True)
        await outbox.settle(
            [
                Outcome(first, "pending", batch_cap=1),
                Outcome(second, "pending"),
                Outcome(third, "dead", batch_cap=1),
            ],
        )
        assert (await claim_one(outbox)).event == second.event
        assert ids(await claim_all(outbox, capped=True)) == ["e1"]
        (dead,) = await deliveries_of(outbox, "e3")
        assert (dead.state, dead.batch_cap) == ("dead", 1)
        assert not await outbox.wait("a", 0)
