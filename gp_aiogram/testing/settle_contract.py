"""What every outbox must do with outcomes."""
# ruff: noqa: PLR2004, S101 - it is a test suite

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import MAX_DELAY, Settlement, State
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import LEASE, TOLERANCE, claim_one, fill, ids

HOUR = 60 * 60.0
FINAL: tuple[State, ...] = ("delivered", "skipped", "dead")


class SettleContract(Contract):
    """``settle``, ``dead_letters``, ``replay`` and ``counts`` of an outbox."""

    @pytest.mark.parametrize("state", FINAL)
    async def test_a_settlement_is_recorded(self, store: Outbox, state: State) -> None:
        await fill(store, "e1", to=("a", "b"))
        receipt = {"id": "r1", "messages": ["ok", "✓ \ud83c"], "n": 2**60}
        await store.settle(
            [Settlement(await claim_one(store), state, 0, 4, "because ✓", receipt)],
        )
        settled, untouched = await store.deliveries("e1")
        assert (settled.state, settled.attempts, settled.reason) == (state, 4, "because ✓")
        assert settled.receipt == receipt
        assert untouched.state == "pending"
        assert await store.counts() == {"a": {state: 1}, "b": {"pending": 1}}

    async def test_what_fails_is_tried_again_after_its_delay(
        self, store: Outbox, clock: Any
    ) -> None:
        await fill(store, "e1")
        await store.settle(
            [Settlement(await claim_one(store), "pending", delay=100, attempts=1, reason="no")],
        )
        await self.advance(clock, 90)
        assert await store.claim("a", 9, lease=LEASE) == []
        await self.advance(clock, 11)
        again = await claim_one(store)
        assert (again.attempts, again.reason) == (1, "no")
        assert again.due.timestamp() == pytest.approx(store.clock.time() - 1, abs=TOLERANCE)

    async def test_without_a_delay_it_is_due_at_once(self, store: Outbox) -> None:
        await fill(store, "e1")
        await store.settle([Settlement(await claim_one(store), "pending", attempts=1)])
        assert (await claim_one(store)).attempts == 1

    @pytest.mark.parametrize("delay", [MAX_DELAY, MAX_DELAY + 1, 1e9, float("inf")])
    async def test_no_delay_is_longer_than_the_longest(
        self, store: Outbox, clock: Any, delay: float
    ) -> None:
        await fill(store, "e1")
        await store.settle([Settlement(await claim_one(store), "pending", delay=delay)])
        assert await store.next_due("a") == pytest.approx(MAX_DELAY, abs=TOLERANCE)
        await self.advance(clock, MAX_DELAY - TOLERANCE)
        assert await store.claim("a", 9, lease=LEASE) == []
        await self.advance(clock, TOLERANCE)
        await claim_one(store)

    async def test_the_last_settlement_replaces_what_was_known(self, store: Outbox) -> None:
        await fill(store, "e1")
        await store.settle(
            [Settlement(await claim_one(store), "pending", attempts=2, reason="no answer")],
        )
        await store.settle([Settlement(await claim_one(store), "delivered", receipt={"id": 1})])
        (delivery,) = await store.deliveries("e1")
        assert (delivery.attempts, delivery.reason, delivery.receipt) == (0, None, {"id": 1})

    async def test_trying_began_at_acceptance_or_at_the_last_replay(
        self, store: Outbox, clock: Any
    ) -> None:
        await fill(store, "e1")
        (accepted,) = await store.deliveries("e1")
        await self.advance(clock, HOUR)
        await store.settle([Settlement(await claim_one(store), "pending", attempts=1)])
        await store.release([await claim_one(store)])
        retried = await claim_one(store)
        assert retried.since == accepted.since
        await store.settle([Settlement(retried, "dead")])
        await self.advance(clock, HOUR)
        (dead,) = await store.dead_letters()
        assert dead.since == accepted.since
        await store.replay()
        replayed = await claim_one(store)
        assert replayed.since.timestamp() == pytest.approx(store.clock.time(), abs=TOLERANCE)

    async def test_a_reason_may_be_any_text(self, store: Outbox) -> None:
        await fill(store, "e1")
        reason = f"answered 🎉, half of one \ud83c, and a nul \0 {'x' * 5000}"
        await store.settle([Settlement(await claim_one(store), "dead", reason=reason)])
        (dead,) = await store.dead_letters()
        assert dead.reason is not None
        assert dead.reason.startswith("answered 🎉, half of one")

    async def test_many_are_settled_in_one_call(self, store: Outbox) -> None:
        await fill(store, "e1", "e2", "e3", to=("a", "b"))
        claimed = [
            *await store.claim("a", 9, lease=LEASE),
            *await store.claim("b", 2, lease=LEASE),
        ]
        states: tuple[State, ...] = ("delivered", "skipped", "dead", "delivered", "delivered")
        await store.settle(list(map(Settlement, claimed, states)))
        assert await store.counts() == {
            "a": {"delivered": 1, "skipped": 1, "dead": 1},
            "b": {"delivered": 2, "pending": 1},
        }

    async def test_settling_nothing_is_harmless(self, store: Outbox) -> None:
        await store.settle([])

    async def test_a_settlement_after_the_lease_changes_nothing(
        self, store: Outbox, clock: Any
    ) -> None:
        await fill(store, "e1")
        slow = await claim_one(store)
        await self.advance(clock, LEASE + 1)
        await store.settle([Settlement(slow, "dead", attempts=9, reason="late")])
        assert await store.counts() == {"a": {"pending": 1}}
        assert (await claim_one(store)).attempts == 0

    async def test_whoever_claimed_last_settles(self, store: Outbox, clock: Any) -> None:
        await fill(store, "e1")
        slow = await claim_one(store)
        await self.advance(clock, LEASE + 1)
        holder = await claim_one(store)
        await store.settle([Settlement(slow, "dead", reason="late")])
        assert await store.claim("a", 9, lease=LEASE) == []
        await store.settle([Settlement(holder, "delivered")])
        await store.settle([Settlement(slow, "dead", reason="too late")])
        assert await store.counts() == {"a": {"delivered": 1}}

    async def test_a_stale_settlement_spoils_no_other(self, store: Outbox, clock: Any) -> None:
        await fill(store, "e1")
        slow = await claim_one(store)
        await self.advance(clock, LEASE + 1)
        await fill(store, "e2")
        held = {one.event.event_id: one for one in await store.claim("a", 9, lease=LEASE)}
        await store.settle([Settlement(slow, "dead"), Settlement(held["e2"], "delivered")])
        assert await store.counts() == {"a": {"pending": 1, "delivered": 1}}

    async def test_a_claim_is_settled_once(self, store: Outbox) -> None:
        await fill(store, "e1")
        delivery = await claim_one(store)
        await store.settle([Settlement(delivery, "skipped"), Settlement(delivery, "dead")])
        await store.settle([Settlement(delivery, "dead")])
        assert await store.counts() == {"a": {"skipped": 1}}

    async def test_of_settlements_at_once_one_counts(self, store: Outbox) -> None:
        await fill(store, "e1")
        delivery = await claim_one(store)
        await asyncio.gather(
            *(store.settle([Settlement(delivery, "dead", attempts=n)]) for n in range(20)),
        )
        (dead,) = await store.dead_letters()
        await store.settle([Settlement(delivery, "delivered")])
        assert await store.deliveries("e1") == [dead]

    async def test_a_released_claim_settles_nothing(self, store: Outbox) -> None:
        await fill(store, "e1")
        delivery = await claim_one(store)
        await store.release([delivery])
        await store.settle([Settlement(delivery, "dead")])
        assert await store.counts() == {"a": {"pending": 1}}

    async def test_a_delivery_only_looked_at_is_nobodys_to_settle(self, store: Outbox) -> None:
        await fill(store, "e1")
        await claim_one(store)
        (seen,) = await store.deliveries("e1")
        await store.settle([Settlement(seen, "dead")])
        assert await store.counts() == {"a": {"pending": 1}}

    async def test_a_provisional_settlement_keeps_the_claim(self, store: Outbox) -> None:
        await fill(store, "e1")
        delivery = await claim_one(store)
        await store.settle([Settlement(delivery, "dead", reason="no answer", provisional=True)])
        assert await store.counts() == {"a": {"dead": 1}}
        assert await store.claim("a", 9, lease=LEASE) == []
        await store.settle([Settlement(delivery, "delivered", receipt={"id": 1})])
        (settled,) = await store.deliveries("e1")
        assert (settled.state, settled.reason, settled.receipt) == ("delivered", None, {"id": 1})
        await store.settle([Settlement(delivery, "dead")])
        assert await store.counts() == {"a": {"delivered": 1}}

    async def test_a_provisional_settlement_may_be_followed_by_another_try(
        self, store: Outbox
    ) -> None:
        await fill(store, "e1")
        delivery = await claim_one(store)
        await store.settle([Settlement(delivery, "dead", provisional=True)])
        await store.settle([Settlement(delivery, "pending", attempts=1)])
        assert await store.dead_letters() == []
        assert (await claim_one(store)).attempts == 1

    async def test_a_provisional_settlement_stands_if_no_other_follows(
        self, store: Outbox, clock: Any
    ) -> None:
        await fill(store, "e1", "e2")
        lost, given_back = await store.claim("a", 2, lease=LEASE)
        await store.settle(
            [Settlement(one, "dead", reason="?", provisional=True) for one in (lost, given_back)],
        )
        await store.release([given_back])
        await self.advance(clock, LEASE + 1)
        await store.settle([Settlement(one, "delivered") for one in (lost, given_back)])
        assert await store.next_due("a") is None
        assert await store.claim("a", 9, lease=LEASE) == []
        assert await store.counts() == {"a": {"dead": 2}}

    async def test_dead_letters_are_listed_oldest_event_first(
        self, store: Outbox, clock: Any
    ) -> None:
        for event_id in ("e3", "e1", "e2"):
            await fill(store, event_id, to=("a", "b"))
            await self.advance(clock, 1)
        await bury(store, "b")
        await self.advance(clock, 1)
        await bury(store, "a")
        assert ids(await store.dead_letters("a")) == ["e3", "e1", "e2"]
        assert ids(await store.dead_letters()) == ["e3", "e3", "e1", "e1", "e2", "e2"]
        assert ids(await store.dead_letters("b", limit=2)) == ["e3", "e1"]
        assert ids(await store.dead_letters(limit=3)) == ["e3", "e3", "e1"]
        assert await store.dead_letters("c") == []

    async def test_only_the_dead_are_dead_letters(self, store: Outbox) -> None:
        await fill(store, "e1", "e2", "e3", "e4")
        dead, delivered, skipped, waiting = await store.claim("a", 4, lease=LEASE)
        await store.settle(
            [
                Settlement(dead, "dead", attempts=7, reason="over age"),
                Settlement(delivered, "delivered"),
                Settlement(skipped, "skipped"),
                Settlement(waiting, "pending"),
            ],
        )
        (letter,) = await store.dead_letters()
        assert letter.event == dead.event
        assert (letter.state, letter.attempts, letter.reason) == ("dead", 7, "over age")
        assert (letter.destination, letter.token) == ("a", "")

    async def test_replayed_dead_letters_are_due_again(self, store: Outbox, clock: Any) -> None:
        await fill(store, "e1")
        await bury(store, "a")
        await self.advance(clock, 10)
        assert await store.replay() == 1
        assert await store.dead_letters() == []
        assert await store.next_due("a") == 0
        again = await claim_one(store)
        assert (again.event.event_id, again.state, again.attempts) == ("e1", "pending", 0)
        await store.settle([Settlement(again, "delivered")])
        assert await store.counts() == {"a": {"delivered": 1}}

    async def test_replay_may_be_for_one_destination_or_event(self, store: Outbox) -> None:
        await fill(store, "e1", "e2", to=("a", "b"))
        await bury(store, "a")
        await bury(store, "b")
        assert await store.replay("a", event_id="e1") == 1
        assert await store.replay("a", event_id="e1") == 0
        assert ids(await store.dead_letters("a")) == ["e2"]
        assert await store.replay(event_id="e2") == 2
        assert ids(await store.dead_letters()) == ["e1"]
        assert await store.replay("a") == 0
        assert await store.replay("b") == 1
        assert await store.counts() == {"a": {"pending": 2}, "b": {"pending": 2}}

    async def test_replay_revives_nothing_but_the_dead(self, store: Outbox) -> None:
        assert await store.replay() == 0
        await fill(store, "e1", "e2", "e3", to=("a",))
        delivered, skipped, waiting = await store.claim("a", 3, lease=LEASE)
        await store.settle(
            [
                Settlement(delivered, "delivered"),
                Settlement(skipped, "skipped"),
                Settlement(waiting, "pending", delay=100, attempts=3),
            ],
        )
        assert await store.replay() == 0
        assert await store.replay("a", event_id="unknown") == 0
        assert await store.counts() == {"a": {"delivered": 1, "skipped": 1, "pending": 1}}
        assert await store.next_due("a") == pytest.approx(100, abs=TOLERANCE)

    async def test_of_replays_at_once_one_counts(self, store: Outbox) -> None:
        await fill(store, *(f"e{n}" for n in range(20)))
        await bury(store, "a")
        assert sum(await asyncio.gather(*(store.replay() for _ in range(10)))) == 20

    async def test_an_empty_outbox_counts_nothing(self, store: Outbox) -> None:
        assert await store.counts() == {}
        assert await store.dead_letters() == []

    async def test_outcomes_outlive_closing(self, store: Outbox, clock: Any) -> None:
        await fill(store, "e1", "e2", "e3")
        one, other, _ = await store.claim("a", 3, lease=LEASE)
        await store.settle([Settlement(one, "dead", reason="no"), Settlement(other, "delivered")])
        await store.close()
        await store.open()
        assert await store.counts() == {"a": {"dead": 1, "delivered": 1, "pending": 1}}
        (dead,) = await store.dead_letters()
        assert dead.reason == "no"
        await self.advance(clock, LEASE + 1)
        assert len(await store.claim("a", 9, lease=LEASE)) == 1


async def bury(store: Outbox, destination: str) -> None:
    """Settle everything that is due as dead."""
    claimed = await store.claim(destination, 99, lease=LEASE)
    await store.settle([Settlement(one, "dead", attempts=5, reason="no") for one in claimed])
