"""What every outbox must do with claims: one holder at a time, and only for a time."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import MAX_DELAY, Change, Claim, DeliveryFilter, Outcome
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import (
    LEASE,
    TOLERANCE,
    claim_all,
    claim_one,
    deliveries_of,
    entry,
    fill,
    ids,
)

#: More than the largest batch.
MANY = 1200

DAY = 24 * 60 * 60.0
HOUR = 60 * 60.0


class ClaimContract(Contract):
    """``claim``, ``extend`` and ``release`` of an outbox."""

    async def test_nothing_is_due_in_an_empty_outbox(self, outbox: Outbox) -> None:
        assert list(await claim_all(outbox)) == []
        assert list(await claim_all(outbox, capped=True)) == []

    async def test_a_claimed_delivery_says_what_it_is(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        claimed = await claim_one(outbox)
        assert claimed.token
        (seen,) = await deliveries_of(outbox, "e1")
        assert seen.token == ""
        assert claimed._replace(token="") == seen

    async def test_a_claim_has_one_token(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2", "e3")
        first = await outbox.claim("a", 2, lease=LEASE)
        second = await outbox.claim("a", 2, lease=LEASE)
        for claim in (first, second):
            assert {delivery.token for delivery in claim.deliveries} == {claim.token}
        assert first.token != second.token

    async def test_a_claim_tells_the_time_of_the_store(self, outbox: Outbox, clock: Any) -> None:
        for jump in (0, 10 * DAY, -20 * DAY):
            await self.jump(clock, jump)
            claim = await outbox.claim("a", 1, lease=LEASE)
            assert claim.now.timestamp() == pytest.approx(self.now(clock), abs=TOLERANCE)
            assert claim.now.utcoffset() == timedelta(0)

    async def test_the_longest_due_comes_first(self, outbox: Outbox, clock: Any) -> None:
        for event_id in ("late", "early", "middle"):
            await fill(outbox, event_id)
        late, early, middle = await claim_all(outbox)
        assert {late.destination, early.destination, middle.destination} == {"a"}
        by_id = {delivery.event.event_id: delivery for delivery in (late, early, middle)}
        delays = {"early": 10, "middle": 20, "late": 30}
        await outbox.settle(
            [Outcome(by_id[name], "pending", delay=delay) for name, delay in delays.items()],
        )
        await self.advance(clock, HOUR)
        await fill(outbox, "new")
        assert ids(await claim_all(outbox)) == ["early", "middle", "late", "new"]

    async def test_events_are_due_in_the_order_they_came(self, outbox: Outbox, clock: Any) -> None:
        for event_id in ("c", "a", "b"):
            await fill(outbox, event_id)
            await self.advance(clock, 1)
        assert ids(await claim_all(outbox)) == ["c", "a", "b"]

    async def test_no_more_are_claimed_than_asked_for(self, outbox: Outbox, clock: Any) -> None:
        for event_id in ("e1", "e2", "e3"):
            await fill(outbox, event_id)
            await self.advance(clock, 1)
        assert list(await claim_all(outbox, limit=0)) == []
        assert ids(await claim_all(outbox, limit=2)) == ["e1", "e2"]
        assert ids(await claim_all(outbox, limit=2)) == ["e3"]
        assert list(await claim_all(outbox, limit=2)) == []

    async def test_each_destination_has_claims_of_its_own(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", to=("a", "b"))
        await claim_one(outbox, "a")
        assert list(await claim_all(outbox, "nobody")) == []
        assert await outbox.wait("b", 0)
        assert (await claim_one(outbox, "b")).destination == "b"

    async def test_a_claimed_delivery_is_not_due(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1")
        await claim_one(outbox)
        await self.advance(clock, LEASE - TOLERANCE)
        assert list(await claim_all(outbox)) == []
        assert not await outbox.wait("a", 0)

    async def test_a_lease_that_is_over_makes_it_due_again(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await fill(outbox, "e1")
        first = await claim_one(outbox)
        await self.advance(clock, LEASE + 1)
        assert await outbox.wait("a", 0)
        second = await claim_one(outbox)
        assert second.attempts == 0
        assert second.token != first.token
        assert list(await claim_all(outbox)) == []

    async def test_nobody_gets_what_another_has_claimed(self, outbox: Outbox) -> None:
        everything = [f"e{n:03}" for n in range(100)]
        await asyncio.gather(*(fill(outbox, event_id) for event_id in everything))

        async def claim_to_the_end() -> list[Claim]:
            claims: list[Claim] = []
            while (claim := await outbox.claim("a", 7, lease=LEASE)).deliveries:
                claims.append(claim)
                assert len(claims) <= len(everything)
            return claims

        claims = [
            claim
            for own in await asyncio.gather(*(claim_to_the_end() for _ in range(10)))
            for claim in own
        ]
        claimed = [event_id for claim in claims for event_id in ids(claim.deliveries)]
        assert sorted(claimed) == everything
        assert len({claim.token for claim in claims}) == len(claims)

    async def test_a_released_delivery_is_as_it_was(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1")
        await outbox.settle(
            [Outcome(await claim_one(outbox), "pending", attempts=3, reason="no answer")],
        )
        await self.advance(clock, HOUR)
        await fill(outbox, "e2")
        before = await deliveries_of(outbox, "e1")
        await outbox.release([await claim_one(outbox)])
        assert await deliveries_of(outbox, "e1") == before
        assert await outbox.wait("a", 0)
        assert ids(await claim_all(outbox)) == ["e1", "e2"]

    async def test_a_claim_may_be_released_in_part(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2", "e3")
        first, second, third = await claim_all(outbox)
        await outbox.release([first, third])
        assert ids(await claim_all(outbox)) == ["e1", "e3"]
        await outbox.settle([Outcome(second, "delivered")])
        assert await outbox.counts() == {"a": {"delivered": 1, "pending": 2}}

    async def test_releasing_nothing_is_harmless(self, outbox: Outbox) -> None:
        await outbox.release([])

    async def test_a_release_that_comes_late_changes_nothing(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await fill(outbox, "e1")
        slow = await claim_one(outbox)
        await self.advance(clock, LEASE + 1)
        await claim_one(outbox)
        await outbox.release([slow])
        assert list(await claim_all(outbox)) == []

    async def test_a_release_after_settling_changes_nothing(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        delivery = await claim_one(outbox)
        await outbox.settle([Outcome(delivery, "delivered")])
        await outbox.release([delivery])
        assert await outbox.counts() == {"a": {"delivered": 1}}
        assert not await outbox.wait("a", 0)

    async def test_a_delivery_only_looked_at_is_nobodys_to_release(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        await claim_one(outbox)
        await outbox.release(await deliveries_of(outbox, "e1"))
        assert list(await claim_all(outbox)) == []

    async def test_an_extended_claim_lasts_from_now(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1", "e2")
        claim = await outbox.claim("a", 2, lease=LEASE)
        await self.advance(clock, LEASE / 2)
        await outbox.extend(claim, LEASE)
        await self.advance(clock, LEASE - TOLERANCE)
        assert list(await claim_all(outbox)) == []
        await self.advance(clock, 1 + TOLERANCE)
        assert ids(await claim_all(outbox)) == ["e1", "e2"]

    async def test_an_extended_claim_settles(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1")
        claim = await outbox.claim("a", 1, lease=LEASE)
        await outbox.extend(claim, 3 * LEASE)
        await self.advance(clock, 2 * LEASE)
        await outbox.settle([Outcome(delivery, "delivered") for delivery in claim.deliveries])
        assert await outbox.counts() == {"a": {"delivered": 1}}

    async def test_what_was_given_back_is_not_extended(self, outbox: Outbox) -> None:
        await fill(outbox, "settled", "released", "held")
        claim = await outbox.claim("a", 3, lease=LEASE)
        settled, released, _ = claim.deliveries
        await outbox.settle([Outcome(settled, "pending")])
        await outbox.release([released])
        await outbox.extend(claim, LEASE)
        assert ids(await claim_all(outbox)) == ["settled", "released"]

    async def test_a_claim_that_is_over_is_not_extended(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1")
        over = await outbox.claim("a", 1, lease=LEASE)
        await self.advance(clock, LEASE + 1)
        await outbox.extend(over, LEASE)
        await claim_one(outbox)

    async def test_a_claim_of_somebody_else_is_not_extended(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await fill(outbox, "e1")
        over = await outbox.claim("a", 1, lease=LEASE)
        await self.advance(clock, LEASE + 1)
        await claim_one(outbox)
        await outbox.extend(over, 9 * LEASE)
        await self.advance(clock, LEASE + 1)
        await claim_one(outbox)

    async def test_extending_an_empty_claim_is_harmless(self, outbox: Outbox) -> None:
        await outbox.extend(await outbox.claim("a", 1, lease=LEASE), LEASE)

    async def test_what_is_settled_is_not_due(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2", "e3")
        for state in ("delivered", "skipped", "dead"):
            await outbox.settle([Outcome(await claim_one(outbox), state)])
        assert not await outbox.wait("a", 0)
        assert list(await claim_all(outbox)) == []

    async def test_many_are_delivered_together(self, outbox: Outbox, clock: Any) -> None:
        await asyncio.gather(*(fill(outbox, f"e{n}") for n in range(MANY)))
        claim = await outbox.claim("a", MANY, lease=LEASE)
        await outbox.extend(claim, 2 * LEASE)
        await self.advance(clock, LEASE + 1)
        first, rest = claim.deliveries[:-100], claim.deliveries[-100:]
        await outbox.release(rest)
        await outbox.settle([Outcome(delivery, "delivered") for delivery in first])
        assert await outbox.counts() == {"a": {"delivered": MANY - 100, "pending": 100}}
        skip = Change("skipped", "no")
        assert await outbox.transition(DeliveryFilter(), skip, limit=MANY) == MANY
        assert len(await outbox.select(DeliveryFilter(), limit=MANY)) == MANY
        assert await outbox.erase(DeliveryFilter(), limit=MANY) == MANY
        assert await outbox.counts() == {}

    async def test_a_clock_set_back_delays_nothing_for_long(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await fill(outbox, "e1", "e2")
        await outbox.settle([Outcome(await claim_one(outbox), "pending", delay=HOUR)])
        await self.jump(clock, -10 * DAY)
        assert await outbox.wait("a", 0)
        assert sorted(ids(await claim_all(outbox))) == ["e1", "e2"]
        assert not await outbox.wait("a", 0)

    async def test_after_a_clock_set_back_new_retries_hide_no_old_ones(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await fill(outbox, "old")
        await self.jump(clock, -10 * DAY)
        await outbox.accept(entry("new", ["b", "a"]))
        claimed = {delivery.event.event_id: delivery for delivery in await claim_all(outbox)}
        await outbox.settle([Outcome(claimed["new"], "pending", delay=MAX_DELAY)])
        await outbox.release([claimed["old"]])
        assert await outbox.wait("a", 0)
        assert ids(await claim_all(outbox)) == ["old"]
        assert not await outbox.wait("a", 0)
        await self.advance(clock, MAX_DELAY + TOLERANCE)
        assert "new" in ids(await claim_all(outbox))

    async def test_a_clock_set_forth_delays_nothing(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1")
        await outbox.settle([Outcome(await claim_one(outbox), "pending", delay=HOUR)])
        await self.jump(clock, 10 * DAY)
        assert await outbox.wait("a", 0)
        assert ids(await claim_all(outbox)) == ["e1"]
