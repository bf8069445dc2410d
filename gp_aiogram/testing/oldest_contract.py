"""What every outbox must tell of how long its pending deliveries wait."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

from typing import Any

import pytest

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import Change, DeliveryFilter, Outcome
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import ALL, TOLERANCE, claim_all, claim_one, fill


def about(seconds: float) -> Any:
    """Return what equals so many seconds, as far as a server's clock can be turned."""
    return pytest.approx(seconds, abs=2 * TOLERANCE)


class OldestContract(Contract):
    """``oldest_pending`` of an outbox."""

    async def test_nothing_pending_has_no_age(self, outbox: Outbox) -> None:
        assert await outbox.oldest_pending("a") is None
        await fill(outbox, "e1")
        await outbox.settle([Outcome(await claim_one(outbox), "delivered")])
        assert await outbox.oldest_pending("a") is None

    async def test_the_age_is_that_of_the_delivery_due_longest(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await fill(outbox, "e1")
        await self.advance(clock, 100)
        await fill(outbox, "e2")
        assert await outbox.oldest_pending("a") == about(100)
        assert await outbox.oldest_pending("another") is None

    async def test_a_claim_hides_nothing(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1")
        await self.advance(clock, 50)
        await claim_one(outbox)
        assert await outbox.oldest_pending("a") == about(50)

    async def test_a_retry_is_as_old_as_its_trying(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1")
        await self.advance(clock, 30)
        await outbox.settle([Outcome(await claim_one(outbox), "pending", delay=600, attempts=1)])
        await self.advance(clock, 30)
        assert await outbox.oldest_pending("a") == about(60)

    async def test_the_remains_of_a_rejected_batch_count(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1")
        await outbox.settle([Outcome(await claim_one(outbox), "pending", batch_cap=1)])
        await self.advance(clock, 40)
        await fill(outbox, "e2")
        assert await outbox.oldest_pending("a") == about(40)

    async def test_a_replay_begins_anew(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1")
        await outbox.settle([Outcome(each, "dead") for each in await claim_all(outbox)])
        await self.advance(clock, 100)
        dead = DeliveryFilter(states=frozenset({"dead"}))
        await outbox.transition(dead, Change("pending", restart=True), limit=ALL)
        await self.advance(clock, 5)
        assert await outbox.oldest_pending("a") == about(5)
