"""What every outbox must do when deliveries are cancelled or replayed."""
# ruff: noqa: PLR2004, S101 - it is a test suite

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import Change, DeliveryFilter, Outcome, State
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import (
    ALL,
    LEASE,
    OTHER_USER,
    TOLERANCE,
    USER,
    claim_all,
    claim_one,
    dead_letters,
    deliveries_of,
    entry,
    fill,
    ids,
    sample,
)
from gp_aiogram.testing.select_contract import bury

REPLAY = Change("pending", restart=True)
REFUNDED = Change("skipped", "refunded")
OPTED_OUT = Change("skipped", "opted out")


async def replay(outbox: Outbox, destination: str | None = None, **conditions: Any) -> int:
    """Make dead letters due again."""
    where = DeliveryFilter(destination=destination, states=frozenset({"dead"}), **conditions)
    return await outbox.transition(where, REPLAY, limit=ALL)


async def cancel(outbox: Outbox, order: str, change: Change = REFUNDED) -> int:
    """Skip what certainly has not been delivered of an order, and what nobody is delivering."""
    where = DeliveryFilter(
        order=order,
        states=frozenset({"pending", "dead"}),
        maybe_delivered=False,
        unclaimed=True,
    )
    return await outbox.transition(where, change, limit=ALL)


async def cancel_user(outbox: Outbox, telegram_id: int) -> int:
    """Skip what waits of a user, also what somebody is delivering."""
    where = DeliveryFilter(telegram_id=telegram_id, states=frozenset({"pending"}))
    return await outbox.transition(where, OPTED_OUT, limit=ALL)


class TransitionContract(Contract):
    """``transition`` of an outbox."""

    async def test_cancelling_skips_what_waits(self, outbox: Outbox) -> None:
        await outbox.accept(entry("e1", ["a", "b", "c"], order="o1"))
        await outbox.accept(entry("e2", order="o2"))
        await outbox.accept(entry("e3"))
        await outbox.settle([Outcome(await claim_one(outbox, "b"), "delivered")])
        held = await claim_one(outbox, "c")
        assert await cancel(outbox, "o1") == 1
        found = await outbox.select(DeliveryFilter(order="o1"))
        told = {delivery.destination: (delivery.state, delivery.reason) for delivery in found}
        assert told == {
            "a": ("skipped", "refunded"),
            "b": ("delivered", None),
            "c": ("pending", None),
        }
        assert await cancel(outbox, "o1", Change("skipped", "again")) == 0
        assert await outbox.select(DeliveryFilter(order="o1")) == found
        assert await cancel(outbox, "unknown") == 0
        assert ids(await claim_all(outbox)) == ["e2", "e3"]
        await outbox.settle([Outcome(held, "delivered")])
        assert await outbox.counts() == {
            "a": {"skipped": 1, "pending": 2},
            "b": {"delivered": 1},
            "c": {"delivered": 1},
        }

    async def test_what_may_have_been_taken_is_not_cancelled(self, outbox: Outbox) -> None:
        outcomes: dict[str, tuple[State, str, bool]] = {
            "a": ("pending", "HTTP 503", False),
            "b": ("pending", "no answer", True),
            "c": ("dead", "HTTP 400", False),
            "d": ("dead", "over age", True),
            "e": ("skipped", "no click", False),
        }
        await outbox.accept(entry("e1", [*outcomes], order="o1"))
        for destination, (state, reason, maybe_delivered) in outcomes.items():
            claimed = await claim_one(outbox, destination)
            outcome = Outcome(claimed, state, delay=60, attempts=1, reason=reason)
            await outbox.settle([outcome._replace(maybe_delivered=maybe_delivered)])
        assert await cancel(outbox, "o1") == 2
        found = await outbox.select(DeliveryFilter(order="o1"))
        assert [(one.state, one.reason) for one in found] == [
            ("skipped", "refunded"),
            ("pending", "no answer"),
            ("skipped", "refunded"),
            ("dead", "over age"),
            ("skipped", "no click"),
        ]
        assert await replay(outbox) == 1

    async def test_cancelling_takes_every_event_of_an_order(self, outbox: Outbox) -> None:
        await outbox.accept(entry("e1", order="o1"))
        await outbox.accept(entry(sample("e2", name="FTD"), order="o1"))
        assert await cancel(outbox, "o1") == 2
        assert list(await claim_all(outbox)) == []

    async def test_what_waits_of_a_user_is_cancelled(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2", to=["a", "b"])
        await outbox.accept(entry(sample("e3", telegram_id=OTHER_USER)))
        await outbox.settle([Outcome(await claim_one(outbox), "delivered")])
        assert await cancel_user(outbox, USER) == 3
        assert await cancel_user(outbox, USER) == 0
        assert ids(await claim_all(outbox)) == ["e3"]
        assert list(await claim_all(outbox, "b")) == []
        for delivery in await deliveries_of(outbox, "e2"):
            assert (delivery.state, delivery.reason) == ("skipped", "opted out")

    async def test_what_is_claimed_is_changed_and_stays_claimed(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        held = await claim_one(outbox)
        assert await cancel_user(outbox, USER) == 1
        assert await outbox.counts() == {"a": {"skipped": 1}}
        skipped = DeliveryFilter(states=frozenset({"skipped"}))
        assert await outbox.transition(skipped, REPLAY, limit=ALL) == 1
        assert list(await claim_all(outbox)) == []
        await outbox.settle([Outcome(held, "delivered")])
        assert await outbox.counts() == {"a": {"delivered": 1}}

    async def test_what_is_claimed_may_be_left_out(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1", "e2")
        await claim_one(outbox)
        unclaimed = DeliveryFilter(telegram_id=USER, unclaimed=True)
        assert await outbox.transition(unclaimed, OPTED_OUT, limit=ALL) == 1
        assert ids(await outbox.select(DeliveryFilter(states=frozenset({"pending"})))) == ["e1"]
        await self.advance(clock, LEASE + 1)
        assert await outbox.transition(unclaimed, OPTED_OUT, limit=ALL) == 1

    async def test_no_more_are_changed_than_the_limit(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2", "e3", to=("a", "b"))
        where = DeliveryFilter(destination="a")
        assert await outbox.transition(where, OPTED_OUT, limit=0) == 0
        assert await outbox.transition(where, OPTED_OUT, limit=2) == 2
        assert await outbox.transition(where, OPTED_OUT, limit=2) == 1
        assert await outbox.transition(where, OPTED_OUT, limit=2) == 0
        assert await outbox.counts() == {"a": {"skipped": 3}, "b": {"pending": 3}}

    async def test_what_is_as_wanted_is_not_changed(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2")
        everything = DeliveryFilter()
        first = DeliveryFilter(event_id="e1")
        assert await outbox.transition(everything, Change("pending"), limit=ALL) == 0
        assert await outbox.transition(first, Change("skipped", "no"), limit=ALL) == 1
        assert await outbox.transition(everything, Change("skipped", "no"), limit=ALL) == 1
        assert await outbox.transition(everything, Change("skipped"), limit=ALL) == 0
        assert await outbox.transition(first, Change("skipped", "because"), limit=ALL) == 1
        assert await outbox.transition(everything, Change("skipped", "because"), limit=1) == 1
        reasons = [delivery.reason for delivery in await outbox.select(everything)]
        assert reasons == ["because", "because"]

    async def test_a_reason_stays_unless_another_is_given(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        receipt = {"id": 1}
        outcome = Outcome(await claim_one(outbox), "dead", 0, 3, "HTTP 400", receipt)
        await outbox.settle([outcome._replace(maybe_delivered=True, batch_cap=2)])
        (dead,) = await dead_letters(outbox)
        assert await outbox.transition(DeliveryFilter(), Change("skipped"), limit=ALL) == 1
        (skipped,) = await deliveries_of(outbox, "e1")
        assert (skipped.state, skipped.reason, skipped.attempts) == ("skipped", "HTTP 400", 3)
        assert (skipped.since, skipped.due) == (dead.since, dead.due)
        assert (skipped.maybe_delivered, skipped.batch_cap) == (True, 2)
        assert skipped.receipt == receipt
        assert await outbox.transition(DeliveryFilter(), REFUNDED, limit=ALL) == 1
        (refunded,) = await deliveries_of(outbox, "e1")
        assert refunded.reason == "refunded"

    async def test_a_restart_is_as_if_just_accepted(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1")
        outcome = Outcome(await claim_one(outbox), "dead", 0, 3, "HTTP 400")
        await outbox.settle([outcome._replace(maybe_delivered=True, batch_cap=2)])
        await self.advance(clock, 3600)
        assert await replay(outbox) == 1
        (again,) = await deliveries_of(outbox, "e1")
        assert (again.state, again.attempts, again.batch_cap) == ("pending", 0, None)
        assert (again.maybe_delivered, again.reason) == (True, "HTTP 400")
        for moment in (again.since, again.due):
            assert moment.timestamp() == pytest.approx(self.now(clock), abs=TOLERANCE)
        assert (await claim_one(outbox)).event == again.event

    async def test_what_waits_for_a_retry_may_be_restarted(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await fill(outbox, "e1", "e2")
        retried, capped = await claim_all(outbox)
        await outbox.settle(
            [
                Outcome(retried, "pending", 3600, attempts=9),
                Outcome(capped, "pending", 0, attempts=9, batch_cap=1),
            ],
        )
        where = DeliveryFilter(states=frozenset({"pending"}))
        assert await outbox.transition(where, REPLAY, limit=ALL) == 2
        restarted = await outbox.select(where)
        assert [delivery.attempts for delivery in restarted] == [0, 0]
        await self.advance(clock, 10)
        assert await outbox.transition(where, REPLAY, limit=ALL) == 0
        assert await outbox.select(where) == restarted
        assert len(await claim_all(outbox)) == 2

    async def test_a_capped_one_that_is_skipped_is_not_claimed(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2")
        await outbox.settle(
            [Outcome(claimed, "pending", batch_cap=1) for claimed in await claim_all(outbox)],
        )
        await outbox.transition(DeliveryFilter(event_id="e1"), OPTED_OUT, limit=ALL)
        assert ids(await claim_all(outbox, capped=True)) == ["e2"]
        assert list(await claim_all(outbox, capped=True)) == []

    async def test_replayed_dead_letters_are_due_again(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1")
        await bury(outbox, "a")
        await self.advance(clock, 10)
        assert await replay(outbox) == 1
        assert await dead_letters(outbox) == []
        assert await outbox.wait("a", 0)
        again = await claim_one(outbox)
        assert (again.event.event_id, again.state, again.attempts) == ("e1", "pending", 0)
        await outbox.settle([Outcome(again, "delivered")])
        assert await outbox.counts() == {"a": {"delivered": 1}}

    async def test_replay_may_be_for_one_destination_or_event(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2", to=("a", "b"))
        await bury(outbox, "a")
        await bury(outbox, "b")
        assert await replay(outbox, "a", event_id="e1") == 1
        assert await replay(outbox, "a", event_id="e1") == 0
        dead_of_a = DeliveryFilter(destination="a", states=frozenset({"dead"}))
        assert ids(await outbox.select(dead_of_a)) == ["e2"]
        assert await replay(outbox, event_id="e2") == 2
        assert ids(await dead_letters(outbox)) == ["e1"]
        assert await replay(outbox, "a") == 0
        assert await replay(outbox, "b") == 1
        assert await outbox.counts() == {"a": {"pending": 2}, "b": {"pending": 2}}

    async def test_replay_revives_nothing_but_the_dead(self, outbox: Outbox) -> None:
        assert await replay(outbox) == 0
        await fill(outbox, "e1", "e2", "e3", to=("a",))
        delivered, skipped, waiting = await claim_all(outbox)
        await outbox.settle(
            [
                Outcome(delivered, "delivered"),
                Outcome(skipped, "skipped"),
                Outcome(waiting, "pending", delay=100, attempts=3),
            ],
        )
        before = await outbox.select(DeliveryFilter())
        assert await replay(outbox) == 0
        assert await replay(outbox, "a", event_id="unknown") == 0
        assert await outbox.counts() == {"a": {"delivered": 1, "skipped": 1, "pending": 1}}
        assert await outbox.select(DeliveryFilter()) == before

    async def test_of_replays_at_once_one_counts(self, outbox: Outbox) -> None:
        await fill(outbox, *(f"e{n}" for n in range(20)))
        await bury(outbox, "a")
        assert sum(await asyncio.gather(*(replay(outbox) for _ in range(10)))) == 20

    async def test_changes_outlive_closing(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2")
        await bury(outbox, "a")
        await replay(outbox, event_id="e1")
        await outbox.transition(DeliveryFilter(event_id="e2"), REFUNDED, limit=ALL)
        before = await outbox.select(DeliveryFilter())
        await outbox.close()
        await outbox.open()
        assert await outbox.select(DeliveryFilter()) == before
        assert await outbox.counts() == {"a": {"pending": 1, "skipped": 1}}
