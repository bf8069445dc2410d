"""What every outbox must do when events are taken back, erased or guarded by keys alone."""
# ruff: noqa: PLR2004, S101 - it is a test suite

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import MAY_BE_TAKEN, Settlement, State
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import (
    BOT,
    LEASE,
    OTHER_USER,
    USER,
    claim_one,
    fill,
    ids,
    sample,
)

DAY = timedelta(days=1)


class ErasureContract(Contract):
    """Keys without events, and :meth:`cancel`, :meth:`forget_events`, :meth:`prune_events`."""

    async def test_a_key_that_was_added_lets_no_event_through(self, store: Outbox) -> None:
        assert await store.add_keys(["a", "b"]) == 2
        assert await store.add_keys(["b", "c"]) == 1
        assert await store.add_keys([]) == 0
        assert await store.known_keys(["a", "c", "d"]) == {"a", "c"}
        assert not await store.accept(sample("e1"), ["a"], once=["x", "b"])
        assert await store.accept(sample("e1"), ["a"], once=["x"])

    async def test_the_keys_of_events_are_known(self, store: Outbox) -> None:
        await store.accept(sample("e1"), ["a"], once=["x", "y"])
        assert await store.known_keys(["x", "y", "z"]) == {"x", "y"}
        assert await store.known_keys([]) == set()

    async def test_a_dropped_key_lets_one_event_through(self, store: Outbox) -> None:
        await store.add_keys(["a", "b"])
        await store.drop_keys(["a", "unknown"])
        assert await store.known_keys(["a", "b"]) == {"b"}
        assert await store.accept(sample("e1"), ["a"], once=["a"])
        assert not await store.accept(sample("e2"), ["a"], once=["a"])

    async def test_many_keys_are_added_at_once(self, store: Outbox) -> None:
        keys = [f"user:{number}" for number in range(3000)]
        assert await store.add_keys(keys) == len(keys)
        assert await store.known_keys(keys) == set(keys)

    async def test_all_keys_of_an_event_must_be_new(self, store: Outbox) -> None:
        assert await store.accept(sample("e1"), ["a"], once=["k1", "k2"])
        assert not await store.accept(sample("e2"), ["a"], once=["k2", "k3"])
        assert await store.accept(sample("e3"), ["a"], once=["k3"])

    async def test_one_of_many_at_once_gets_a_shared_key(self, store: Outbox) -> None:
        accepted = await asyncio.gather(
            *(store.accept(sample(f"e{n}"), ["a"], once=[f"k{n}", "shared"]) for n in range(200)),
        )
        assert accepted.count(True) == 1

    async def test_cancelling_skips_what_waits_and_tells_of_the_rest(self, store: Outbox) -> None:
        await store.accept(sample("e1"), ["a", "b", "c"], order="o1")
        await store.accept(sample("e2"), ["a"], order="o2")
        await store.accept(sample("e3"), ["a"])
        await store.settle([Settlement(await claim_one(store, "b"), "delivered")])
        held = await claim_one(store, "c")
        found = await store.cancel("o1", "refunded")
        told = {(one.event.event_id, one.destination): (one.state, one.reason) for one in found}
        assert told == {
            ("e1", "a"): ("skipped", "refunded"),
            ("e1", "b"): ("delivered", None),
            ("e1", "c"): ("pending", None),
        }
        assert await store.cancel("o1", "again") == found
        assert await store.cancel("unknown", "refunded") == []
        assert ids(await store.claim("a", 9, lease=LEASE)) == ["e2", "e3"]
        await store.settle([Settlement(held, "delivered")])
        assert await store.counts() == {
            "a": {"skipped": 1, "pending": 2},
            "b": {"delivered": 1},
            "c": {"delivered": 1},
        }

    async def test_what_may_have_been_taken_is_not_cancelled(self, store: Outbox) -> None:
        outcomes: dict[str, tuple[State, str | None]] = {
            "a": ("pending", "HTTP 503"),
            "b": ("pending", f"{MAY_BE_TAKEN}: HTTP 500"),
            "c": ("dead", "HTTP 400"),
            "d": ("dead", f"over age, last: {MAY_BE_TAKEN}: HTTP 500"),
            "e": ("skipped", "no click"),
        }
        await store.accept(sample("e1"), [*outcomes], order="o1")
        for destination, (state, reason) in outcomes.items():
            claimed = await claim_one(store, destination)
            await store.settle([Settlement(claimed, state, delay=60, attempts=1, reason=reason)])
        found = await store.cancel("o1", "refunded")
        assert [(one.state, one.reason) for one in found] == [
            ("skipped", "refunded"),
            outcomes["b"],
            ("skipped", "refunded"),
            outcomes["d"],
            outcomes["e"],
        ]
        assert await store.replay() == 1

    async def test_cancelling_takes_every_event_of_an_order(self, store: Outbox) -> None:
        await store.accept(sample("e1"), ["a"], order="o1")
        await store.accept(sample("e2", name="FTD"), ["a"], order="o1")
        assert ids(await store.cancel("o1", "refunded")) == ["e1", "e2"]
        assert await store.claim("a", 9, lease=LEASE) == []

    async def test_what_waits_of_a_user_is_cancelled(self, store: Outbox) -> None:
        await fill(store, "e1", "e2", to=["a", "b"])
        await store.accept(sample("e3", telegram_id=OTHER_USER), ["a"])
        held = await claim_one(store)
        assert await store.cancel_user(USER, "opted out") == 3
        assert await store.cancel_user(USER, "opted out") == 0
        assert ids(await store.claim("a", 9, lease=LEASE)) == ["e3"]
        assert await store.claim("b", 9, lease=LEASE) == []
        for kept in await store.deliveries("e2"):
            assert (kept.state, kept.reason) == ("skipped", "opted out")
        await store.settle([Settlement(held, "delivered")])

    async def test_a_forgotten_user_leaves_no_event(self, store: Outbox) -> None:
        await fill(store, "e1", "e2", to=["a", "b"])
        await store.accept(sample("e3", telegram_id=OTHER_USER), ["a"])
        await store.settle([Settlement(await claim_one(store), "delivered")])
        assert await store.forget_events(USER) == 2
        assert await store.forget_events(USER) == 0
        assert await store.deliveries("e1") == []
        assert await store.counts() == {"a": {"pending": 1}}
        assert ids(await store.claim("a", 9, lease=LEASE)) == ["e3"]
        assert await store.bot_of(USER) is None

    async def test_erased_events_are_known_all_the_same(self, store: Outbox) -> None:
        await store.accept(sample("e1"), ["a"], once=["k"])
        await store.forget_events(USER)
        assert not await store.accept(sample("e1"), ["a"])
        assert not await store.accept(sample("e2"), ["a"], once=["k"])
        assert await store.accept(sample("k"), ["a"])
        assert await store.accept(sample("e3"), ["a"], once=["e1"])

    async def test_an_outcome_of_an_erased_event_changes_nothing(self, store: Outbox) -> None:
        await fill(store, "e1")
        held = await claim_one(store)
        await store.forget_events(USER)
        await fill(store, "e2")
        await store.settle([Settlement(held, "delivered")])
        assert await store.counts() == {"a": {"pending": 1}}
        assert ids(await store.claim("a", 9, lease=LEASE)) == ["e2"]

    async def test_old_events_are_pruned_by_what_became_of_them(
        self, store: Outbox, clock: Any
    ) -> None:
        await fill(store, "delivered", "dead", "pending", "skipped")
        await store.accept(sample("for nobody"), [])
        for delivery in await store.claim("a", 9, lease=LEASE):
            state: Any = delivery.event.event_id
            await store.settle([Settlement(delivery, state)])
        await self.advance(clock, DAY.total_seconds())
        await fill(store, "young")
        now = datetime.fromtimestamp(store.clock.time(), timezone.utc)
        assert await store.prune_events(now - 2 * DAY, now - 2 * DAY, 99) == 0
        assert await store.prune_events(now - DAY / 2, now - 2 * DAY, 2) == 2
        assert await store.prune_events(now - DAY / 2, now - 2 * DAY, 99) == 1
        assert await store.counts() == {"a": {"dead": 1, "pending": 2}}
        assert await store.prune_events(now - 2 * DAY, now - DAY / 2, 99) == 1
        assert await store.counts() == {"a": {"pending": 2}}
        assert not await store.accept(sample("delivered"), ["a"])

    async def test_what_was_erased_stays_so_when_the_store_is_opened_again(
        self, store: Outbox
    ) -> None:
        await store.open()
        await store.accept(sample("e1", bot_id=BOT), ["a"], once=["k"])
        await store.add_keys(["extra"])
        await store.forget_events(USER)
        await store.close()
        await store.open()
        assert await store.known_keys(["k", "extra", "new"]) == {"k", "extra"}
        assert not await store.accept(sample("e1"), ["a"])
        assert await store.counts() == {}
