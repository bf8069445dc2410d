"""What every outbox must do with outcomes."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import MAX_DELAY, Change, DeliveryFilter, Outcome, State, Try
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import (
    ALL,
    LEASE,
    NOON,
    OTHER_USER,
    TOLERANCE,
    USER,
    claim_all,
    claim_one,
    dead_letters,
    deliveries_of,
    entry,
    fill,
    sample,
)

HOUR = 60 * 60.0
FINAL: tuple[State, ...] = ("delivered", "skipped", "dead")
PENDING_OF_USER = DeliveryFilter(telegram_id=USER, states=frozenset({"pending"}))
OPTED_OUT = Change("skipped", "opted out")


class SettleContract(Contract):
    """``settle`` of an outbox."""

    @pytest.mark.parametrize("state", FINAL)
    async def test_an_outcome_is_recorded(self, outbox: Outbox, state: State) -> None:
        await fill(outbox, "e1", to=("a", "b"))
        receipt = {"id": "r1", "messages": ["ok", "✓ \ud83c"], "n": 2**60}
        await outbox.settle(
            [Outcome(await claim_one(outbox), state, 0, 4, "because ✓", receipt)],
        )
        settled, untouched = await deliveries_of(outbox, "e1")
        assert (settled.state, settled.attempts, settled.reason) == (state, 4, "because ✓")
        assert settled.receipt == receipt
        assert untouched.state == "pending"
        assert await outbox.counts() == {"a": {state: 1}, "b": {"pending": 1}}

    async def test_a_pending_delivery_keeps_its_receipt_through_claims(
        self, outbox: Outbox, clock: Any
    ) -> None:
        """A destination that judges later is asked by it."""
        await fill(outbox, "e1")
        receipt = {"upload": "7", "n": 2**60}
        taken = Outcome(await claim_one(outbox), "pending", 60, receipt=receipt)
        await outbox.settle([taken._replace(maybe_delivered=True)])
        await self.advance(clock, 61)
        claimed = await claim_one(outbox)
        assert (claimed.receipt, claimed.maybe_delivered) == (receipt, True)
        await outbox.release([claimed])
        released = await claim_one(outbox)
        assert (released.receipt, released.due) == (receipt, claimed.due)

    async def test_what_fails_is_tried_again_after_its_delay(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await fill(outbox, "e1")
        await outbox.settle(
            [Outcome(await claim_one(outbox), "pending", delay=100, attempts=1, reason="no")],
        )
        await self.advance(clock, 90)
        assert list(await claim_all(outbox)) == []
        await self.advance(clock, 11)
        again = await claim_one(outbox)
        assert (again.attempts, again.reason) == (1, "no")
        assert again.due.timestamp() == pytest.approx(self.now(clock) - 1, abs=TOLERANCE)

    async def test_without_a_delay_it_is_due_at_once(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        await outbox.settle([Outcome(await claim_one(outbox), "pending", attempts=1)])
        assert (await claim_one(outbox)).attempts == 1

    @pytest.mark.parametrize("delay", [MAX_DELAY, MAX_DELAY + 1, 1e9, float("inf")])
    async def test_no_delay_is_longer_than_the_longest(
        self, outbox: Outbox, clock: Any, delay: float
    ) -> None:
        await fill(outbox, "e1")
        await outbox.settle([Outcome(await claim_one(outbox), "pending", delay=delay)])
        (settled,) = await deliveries_of(outbox, "e1")
        longest = self.now(clock) + MAX_DELAY
        assert settled.due.timestamp() == pytest.approx(longest, abs=TOLERANCE)
        await self.advance(clock, MAX_DELAY - TOLERANCE)
        assert list(await claim_all(outbox)) == []
        await self.advance(clock, TOLERANCE)
        await claim_one(outbox)

    async def test_the_last_outcome_replaces_what_was_known(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        await outbox.settle(
            [Outcome(await claim_one(outbox), "pending", attempts=2, reason="no answer")],
        )
        await outbox.settle([Outcome(await claim_one(outbox), "delivered", receipt={"id": 1})])
        (delivery,) = await deliveries_of(outbox, "e1")
        assert (delivery.attempts, delivery.reason, delivery.receipt) == (0, None, {"id": 1})

    async def test_trying_began_at_acceptance_or_at_the_last_replay(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await fill(outbox, "e1")
        (accepted,) = await deliveries_of(outbox, "e1")
        await self.advance(clock, HOUR)
        await outbox.settle([Outcome(await claim_one(outbox), "pending", attempts=1)])
        await outbox.release([await claim_one(outbox)])
        retried = await claim_one(outbox)
        assert retried.since == accepted.since
        await outbox.settle([Outcome(retried, "dead")])
        await self.advance(clock, HOUR)
        (dead,) = await dead_letters(outbox)
        assert dead.since == accepted.since
        await outbox.transition(DeliveryFilter(), Change("pending", restart=True), limit=ALL)
        replayed = await claim_one(outbox)
        assert replayed.since.timestamp() == pytest.approx(self.now(clock), abs=TOLERANCE)

    async def test_what_may_have_been_delivered_is_told(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        for maybe_delivered in (True, False, True):
            delivery = await claim_one(outbox)
            await outbox.settle(
                [Outcome(delivery, "pending", maybe_delivered=maybe_delivered)],
            )
            (seen,) = await deliveries_of(outbox, "e1")
            assert seen.maybe_delivered is maybe_delivered
        assert (await claim_one(outbox)).maybe_delivered

    @pytest.mark.parametrize("state", FINAL)
    async def test_every_outcome_tells_its_flags(self, outbox: Outbox, state: State) -> None:
        await fill(outbox, "e1", to=("a", "b"))
        delivery = await claim_one(outbox)
        await outbox.settle([Outcome(delivery, state, maybe_delivered=True, batch_cap=3)])
        settled, untouched = await deliveries_of(outbox, "e1")
        assert (settled.maybe_delivered, settled.batch_cap) == (True, 3)
        assert (untouched.maybe_delivered, untouched.batch_cap) == (False, None)

    async def test_a_reason_may_be_any_text(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        reason = f"answered 🎉, half of one \ud83c, and a nul \0 {'x' * 5000}"
        await outbox.settle([Outcome(await claim_one(outbox), "dead", reason=reason)])
        (dead,) = await dead_letters(outbox)
        assert dead.reason is not None
        assert dead.reason.startswith("answered 🎉, half of one")

    async def test_failed_tries_are_kept_or_none_is_shown(self, outbox: Outbox) -> None:
        """An outbox that keeps them has a contract of its own, :class:`.TriesContract`."""
        await fill(outbox, "e1")
        tries = (Try(1, NOON, "failed", 503, "HTTP 503: try later"),)
        await outbox.settle([Outcome(await claim_one(outbox), "pending", 0, 1, "no", tries=tries)])
        claimed = await claim_one(outbox)
        assert (claimed.attempts, claimed.reason) == (1, "no")
        assert tuple(claimed.tries) in {(), tries}

    async def test_many_are_settled_in_one_call(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2", "e3", to=("a", "b"))
        claimed = [
            *await claim_all(outbox),
            *await claim_all(outbox, "b", 2),
        ]
        states: tuple[State, ...] = ("delivered", "skipped", "dead", "delivered", "delivered")
        await outbox.settle(list(map(Outcome, claimed, states)))
        assert await outbox.counts() == {
            "a": {"delivered": 1, "skipped": 1, "dead": 1},
            "b": {"delivered": 2, "pending": 1},
        }

    async def test_settling_nothing_is_harmless(self, outbox: Outbox) -> None:
        await outbox.settle([])

    async def test_an_outcome_after_the_lease_changes_nothing(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await fill(outbox, "e1")
        slow = await claim_one(outbox)
        await self.advance(clock, LEASE + 1)
        await outbox.settle([Outcome(slow, "dead", attempts=9, reason="late")])
        assert await outbox.counts() == {"a": {"pending": 1}}
        assert (await claim_one(outbox)).attempts == 0

    async def test_whoever_claimed_last_settles(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1")
        slow = await claim_one(outbox)
        await self.advance(clock, LEASE + 1)
        holder = await claim_one(outbox)
        await outbox.settle([Outcome(slow, "dead", reason="late")])
        assert list(await claim_all(outbox)) == []
        await outbox.settle([Outcome(holder, "delivered")])
        await outbox.settle([Outcome(slow, "dead", reason="too late")])
        assert await outbox.counts() == {"a": {"delivered": 1}}

    async def test_a_stale_outcome_spoils_no_other(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1")
        slow = await claim_one(outbox)
        await self.advance(clock, LEASE + 1)
        await fill(outbox, "e2")
        held = {one.event.event_id: one for one in await claim_all(outbox)}
        await outbox.settle([Outcome(slow, "dead"), Outcome(held["e2"], "delivered")])
        assert await outbox.counts() == {"a": {"pending": 1, "delivered": 1}}

    async def test_a_claim_is_settled_once(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        delivery = await claim_one(outbox)
        await outbox.settle([Outcome(delivery, "skipped"), Outcome(delivery, "dead")])
        await outbox.settle([Outcome(delivery, "dead")])
        assert await outbox.counts() == {"a": {"skipped": 1}}

    async def test_of_outcomes_at_once_one_counts(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        delivery = await claim_one(outbox)
        await asyncio.gather(
            *(outbox.settle([Outcome(delivery, "dead", attempts=n)]) for n in range(20)),
        )
        (dead,) = await dead_letters(outbox)
        await outbox.settle([Outcome(delivery, "delivered")])
        assert await deliveries_of(outbox, "e1") == [dead]

    async def test_a_released_claim_settles_nothing(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        delivery = await claim_one(outbox)
        await outbox.release([delivery])
        await outbox.settle([Outcome(delivery, "dead")])
        assert await outbox.counts() == {"a": {"pending": 1}}

    async def test_a_delivery_only_looked_at_is_nobodys_to_settle(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        await claim_one(outbox)
        (seen,) = await deliveries_of(outbox, "e1")
        await outbox.settle([Outcome(seen, "dead")])
        assert await outbox.counts() == {"a": {"pending": 1}}

    async def test_an_outcome_under_an_old_token_changes_nothing(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        old = await claim_one(outbox)
        await outbox.release([old])
        holder = await claim_one(outbox)
        late = Outcome(old, "dead", 9, 9, "late", {"id": 1}, maybe_delivered=True, batch_cap=1)
        before = await deliveries_of(outbox, "e1")
        await outbox.settle([late])
        assert await deliveries_of(outbox, "e1") == before
        await outbox.settle([late._replace(delivery=holder)])
        (settled,) = await deliveries_of(outbox, "e1")
        assert settled.reason == "late"

    async def test_what_was_skipped_meanwhile_is_not_tried_again(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        held = await claim_one(outbox)
        assert await outbox.transition(PENDING_OF_USER, OPTED_OUT, limit=ALL) == 1
        (skipped,) = await deliveries_of(outbox, "e1")
        await outbox.settle([Outcome(held, "pending", 0, 3, "no answer", maybe_delivered=True)])
        assert await deliveries_of(outbox, "e1") == [skipped]
        assert (skipped.state, skipped.reason) == ("skipped", "opted out")
        assert not await outbox.wait("a", 0)
        assert list(await claim_all(outbox)) == []

    async def test_whatever_comes_first_a_skipped_one_stays_so(self, outbox: Outbox) -> None:
        await fill(outbox, *(f"e{n}" for n in range(50)))
        held = await claim_all(outbox)
        await asyncio.gather(
            *(outbox.settle([Outcome(delivery, "pending", attempts=1)]) for delivery in held[::2]),
            outbox.transition(PENDING_OF_USER, OPTED_OUT, limit=ALL),
            *(
                outbox.settle([Outcome(delivery, "pending", attempts=1)])
                for delivery in held[1::2]
            ),
        )
        assert await outbox.counts() == {"a": {"skipped": 50}}
        assert not await outbox.wait("a", 0)

    async def test_the_claim_of_what_was_skipped_ends_with_its_outcome(
        self, outbox: Outbox
    ) -> None:
        await fill(outbox, "e1")
        held = await claim_one(outbox)
        await outbox.transition(PENDING_OF_USER, OPTED_OUT, limit=ALL)
        await outbox.settle([Outcome(held, "pending")])
        await outbox.settle([Outcome(held, "delivered")])
        assert await outbox.counts() == {"a": {"skipped": 1}}

    @pytest.mark.parametrize("state", ["delivered", "dead"])
    async def test_what_became_of_it_is_told_of_a_skipped_one(
        self, outbox: Outbox, state: State
    ) -> None:
        await fill(outbox, "e1")
        held = await claim_one(outbox)
        await outbox.transition(PENDING_OF_USER, OPTED_OUT, limit=ALL)
        await outbox.settle([Outcome(held, state, reason="no")])
        (settled,) = await deliveries_of(outbox, "e1")
        assert (settled.state, settled.reason) == (state, "no")

    async def test_one_that_was_skipped_spoils_no_other(self, outbox: Outbox) -> None:
        await outbox.accept(entry("e1"))
        await outbox.accept(entry(sample("e2", telegram_id=OTHER_USER)))
        first, second = await claim_all(outbox)
        await outbox.transition(PENDING_OF_USER, OPTED_OUT, limit=ALL)
        await outbox.settle([Outcome(first, "pending"), Outcome(second, "pending", attempts=1)])
        (again,) = await claim_all(outbox)
        assert (again.event.event_id, again.attempts) == ("e2", 1)

    async def test_a_provisional_outcome_keeps_the_claim(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        delivery = await claim_one(outbox)
        await outbox.settle([Outcome(delivery, "dead", reason="no answer", provisional=True)])
        assert await outbox.counts() == {"a": {"dead": 1}}
        assert list(await claim_all(outbox)) == []
        await outbox.settle([Outcome(delivery, "delivered", receipt={"id": 1})])
        (settled,) = await deliveries_of(outbox, "e1")
        assert (settled.state, settled.reason, settled.receipt) == ("delivered", None, {"id": 1})
        await outbox.settle([Outcome(delivery, "dead")])
        assert await outbox.counts() == {"a": {"delivered": 1}}

    async def test_a_provisional_outcome_may_be_followed_by_another_try(
        self, outbox: Outbox
    ) -> None:
        await fill(outbox, "e1")
        delivery = await claim_one(outbox)
        await outbox.settle([Outcome(delivery, "dead", provisional=True)])
        await outbox.settle([Outcome(delivery, "pending", attempts=1)])
        assert await dead_letters(outbox) == []
        assert (await claim_one(outbox)).attempts == 1

    async def test_a_provisional_outcome_stands_if_no_other_follows(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await fill(outbox, "e1", "e2")
        lost, given_back = await claim_all(outbox, limit=2)
        await outbox.settle(
            [Outcome(one, "dead", reason="?", provisional=True) for one in (lost, given_back)],
        )
        await outbox.release([given_back])
        await self.advance(clock, LEASE + 1)
        await outbox.settle([Outcome(one, "delivered") for one in (lost, given_back)])
        assert not await outbox.wait("a", 0)
        assert list(await claim_all(outbox)) == []
        assert await outbox.counts() == {"a": {"dead": 2}}

    async def test_outcomes_outlive_closing(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1", "e2", "e3")
        one, other, _ = await claim_all(outbox)
        await outbox.settle([Outcome(one, "dead", reason="no"), Outcome(other, "delivered")])
        await outbox.close()
        await outbox.open()
        assert await outbox.counts() == {"a": {"dead": 1, "delivered": 1, "pending": 1}}
        (dead,) = await dead_letters(outbox)
        assert dead.reason == "no"
        await self.advance(clock, LEASE + 1)
        assert len(await claim_all(outbox)) == 1
