"""What every outbox must do with claims: one holder at a time, and only for a time."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import MAX_DELAY, Delivery, Settlement
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import LEASE, TOLERANCE, claim_one, fill, ids, sample

DAY = 24 * 60 * 60.0
HOUR = 60 * 60.0


class ClaimContract(Contract):
    """``claim``, ``release`` and ``next_due`` of :class:`~gp_aiogram.stores.contract.Outbox`."""

    async def test_nothing_is_due_in_an_empty_outbox(self, store: Outbox) -> None:
        assert await store.claim("a", 9, lease=LEASE) == []
        assert await store.next_due("a") is None

    async def test_a_claimed_delivery_says_what_it_is(self, store: Outbox) -> None:
        await fill(store, "e1")
        claimed = await claim_one(store)
        assert claimed.token
        (seen,) = await store.deliveries("e1")
        assert seen.token == ""
        assert replace(claimed, token="") == seen

    async def test_the_longest_due_comes_first(self, store: Outbox, clock: Any) -> None:
        for event_id in ("late", "early", "middle"):
            await fill(store, event_id)
        late, early, middle = await store.claim("a", 3, lease=LEASE)
        assert {late.destination, early.destination, middle.destination} == {"a"}
        by_id = {one.event.event_id: one for one in (late, early, middle)}
        delays = {"early": 10, "middle": 20, "late": 30}
        await store.settle(
            [Settlement(by_id[name], "pending", delay=delay) for name, delay in delays.items()],
        )
        await self.advance(clock, HOUR)
        await fill(store, "new")
        assert ids(await store.claim("a", 9, lease=LEASE)) == ["early", "middle", "late", "new"]

    async def test_events_are_due_in_the_order_they_came(self, store: Outbox, clock: Any) -> None:
        for event_id in ("c", "a", "b"):
            await fill(store, event_id)
            await self.advance(clock, 1)
        assert ids(await store.claim("a", 9, lease=LEASE)) == ["c", "a", "b"]

    async def test_no_more_are_claimed_than_asked_for(self, store: Outbox, clock: Any) -> None:
        for event_id in ("e1", "e2", "e3"):
            await fill(store, event_id)
            await self.advance(clock, 1)
        assert await store.claim("a", 0, lease=LEASE) == []
        assert ids(await store.claim("a", 2, lease=LEASE)) == ["e1", "e2"]
        assert ids(await store.claim("a", 2, lease=LEASE)) == ["e3"]
        assert await store.claim("a", 2, lease=LEASE) == []

    async def test_each_destination_has_claims_of_its_own(self, store: Outbox) -> None:
        await fill(store, "e1", to=("a", "b"))
        await claim_one(store, "a")
        assert await store.claim("nobody", 9, lease=LEASE) == []
        assert await store.next_due("b") == 0
        assert (await claim_one(store, "b")).destination == "b"

    async def test_a_claimed_delivery_is_not_due(self, store: Outbox, clock: Any) -> None:
        await fill(store, "e1")
        await claim_one(store)
        await self.advance(clock, LEASE - TOLERANCE)
        assert await store.claim("a", 9, lease=LEASE) == []
        assert await store.next_due("a") is None

    async def test_a_lease_that_is_over_makes_it_due_again(
        self, store: Outbox, clock: Any
    ) -> None:
        await fill(store, "e1")
        first = await claim_one(store)
        await self.advance(clock, LEASE + 1)
        assert await store.next_due("a") == 0
        second = await claim_one(store)
        assert second.attempts == 0
        assert second.token != first.token
        assert await store.claim("a", 9, lease=LEASE) == []

    async def test_nobody_gets_what_another_has_claimed(self, store: Outbox) -> None:
        everything = [f"e{n:03}" for n in range(100)]
        await asyncio.gather(*(fill(store, event_id) for event_id in everything))

        async def claimer() -> list[Delivery]:
            mine: list[Delivery] = []
            while batch := await store.claim("a", 7, lease=LEASE):
                mine += batch
            return mine

        claimed = [
            one for mine in await asyncio.gather(*(claimer() for _ in range(10))) for one in mine
        ]
        assert sorted(ids(claimed)) == everything
        assert len({delivery.token for delivery in claimed}) == len(everything)

    async def test_a_released_delivery_is_as_it_was(self, store: Outbox, clock: Any) -> None:
        await fill(store, "e1")
        await store.settle(
            [Settlement(await claim_one(store), "pending", attempts=3, reason="no answer")],
        )
        await self.advance(clock, HOUR)
        await fill(store, "e2")
        before = await store.deliveries("e1")
        await store.release([await claim_one(store)])
        assert await store.deliveries("e1") == before
        assert await store.next_due("a") == 0
        assert ids(await store.claim("a", 9, lease=LEASE)) == ["e1", "e2"]

    async def test_releasing_nothing_is_harmless(self, store: Outbox) -> None:
        await store.release([])

    async def test_a_release_that_comes_late_changes_nothing(
        self, store: Outbox, clock: Any
    ) -> None:
        await fill(store, "e1")
        slow = await claim_one(store)
        await self.advance(clock, LEASE + 1)
        await claim_one(store)
        await store.release([slow])
        assert await store.claim("a", 9, lease=LEASE) == []

    async def test_a_release_after_settling_changes_nothing(self, store: Outbox) -> None:
        await fill(store, "e1")
        delivery = await claim_one(store)
        await store.settle([Settlement(delivery, "delivered")])
        await store.release([delivery])
        assert await store.counts() == {"a": {"delivered": 1}}
        assert await store.next_due("a") is None

    async def test_a_delivery_only_looked_at_is_nobodys_to_release(self, store: Outbox) -> None:
        await fill(store, "e1")
        await claim_one(store)
        await store.release(await store.deliveries("e1"))
        assert await store.claim("a", 9, lease=LEASE) == []

    async def test_next_due_tells_how_long_to_wait(self, store: Outbox, clock: Any) -> None:
        await fill(store, "e1", "e2")
        assert await store.next_due("a") == 0
        one, other = await store.claim("a", 2, lease=LEASE)
        await store.settle(
            [Settlement(one, "pending", delay=100), Settlement(other, "pending", delay=50)],
        )
        assert await store.next_due("a") == pytest.approx(50, abs=TOLERANCE)
        assert await store.claim("a", 9, lease=LEASE) == []
        await self.advance(clock, 30)
        assert await store.next_due("a") == pytest.approx(20, abs=TOLERANCE)
        await self.advance(clock, 30)
        assert await store.next_due("a") == 0
        await claim_one(store)
        assert await store.next_due("a") == pytest.approx(40, abs=TOLERANCE)

    async def test_what_is_settled_is_not_due(self, store: Outbox) -> None:
        await fill(store, "e1", "e2", "e3")
        for state in ("delivered", "skipped", "dead"):
            await store.settle([Settlement(await claim_one(store), state)])
        assert await store.next_due("a") is None
        assert await store.claim("a", 9, lease=LEASE) == []

    async def test_a_clock_set_back_delays_nothing_for_long(
        self, store: Outbox, clock: Any
    ) -> None:
        await fill(store, "e1", "e2")
        await store.settle([Settlement(await claim_one(store), "pending", delay=HOUR)])
        await self.jump(clock, -10 * DAY)
        assert await store.next_due("a") == 0
        assert sorted(ids(await store.claim("a", 9, lease=LEASE))) == ["e1", "e2"]
        assert await store.next_due("a") is None

    async def test_after_a_clock_set_back_new_retries_hide_no_old_ones(
        self, store: Outbox, clock: Any
    ) -> None:
        await fill(store, "old")
        await self.jump(clock, -10 * DAY)
        await store.accept(sample("new"), ["b", "a"])
        claimed = {one.event.event_id: one for one in await store.claim("a", 9, lease=LEASE)}
        await store.settle([Settlement(claimed["new"], "pending", delay=MAX_DELAY)])
        await store.release([claimed["old"]])
        assert await store.next_due("a") == 0
        assert ids(await store.claim("a", 9, lease=LEASE)) == ["old"]
        assert await store.next_due("a") == pytest.approx(MAX_DELAY, abs=TOLERANCE)

    async def test_a_clock_set_forth_delays_nothing(self, store: Outbox, clock: Any) -> None:
        await fill(store, "e1")
        await store.settle([Settlement(await claim_one(store), "pending", delay=HOUR)])
        await self.jump(clock, 10 * DAY)
        assert await store.next_due("a") == 0
        assert ids(await store.claim("a", 9, lease=LEASE)) == ["e1"]
