"""What every outbox must tell of what it has."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import combinations
from typing import Any

import pytest

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import Change, Delivery, DeliveryFilter, Outcome, State
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import (
    ALL,
    BOT,
    LEASE,
    OTHER_BOT,
    OTHER_USER,
    USER,
    claim_all,
    dead_letters,
    entry,
    fill,
    ids,
    sample,
)

HOUR = 60 * 60.0

#: What :meth:`SelectContract.store_everything` stores that each of these filters means.
MEANT: dict[str, tuple[dict[str, Any], str]] = {
    "everything": ({}, "1a 1b 2a 3a 4a 5a 6b"),
    "event_id": ({"event_id": "1"}, "1a 1b"),
    "event_id of several names": ({"event_id": "4"}, "4a 5a"),
    "event_id that is unknown": ({"event_id": "0"}, ""),
    "order": ({"order": "o1"}, "1a 1b 2a"),
    "order that is unknown": ({"order": "O1"}, ""),
    "telegram_id": ({"telegram_id": OTHER_USER}, "2a 6b"),
    "bot_id": ({"bot_id": BOT}, "1a 1b 3a 4a 5a"),
    "bot_id of another": ({"bot_id": OTHER_BOT}, "2a 3a 6b"),
    "accepted_before": ({"accepted_before": HOUR / 2}, "1a 1b 2a 3a"),
    "accepted_before all": ({"accepted_before": 2 * HOUR}, ""),
    "accepted_before any": ({"accepted_before": -HOUR}, "1a 1b 2a 3a 4a 5a 6b"),
    "destination": ({"destination": "b"}, "1b 6b"),
    "destination that is unknown": ({"destination": "c"}, ""),
    "states": ({"states": frozenset({"pending"})}, "1b 4a 5a 6b"),
    "several states": ({"states": frozenset({"dead", "skipped"})}, "1a 3a"),
    "no states": ({"states": frozenset()}, ""),
    "maybe_delivered": ({"maybe_delivered": True}, "1a 4a"),
    "not maybe_delivered": ({"maybe_delivered": False}, "1b 2a 3a 5a 6b"),
    "unclaimed": ({"unclaimed": True}, "1a 1b 2a 3a 4a 6b"),
}


class SelectContract(Contract):
    """``select`` and ``counts`` of an outbox, and what each part of a filter means."""

    async def store_everything(self, outbox: Outbox, clock: Any) -> None:
        """Store deliveries that differ in all that a filter can tell apart.

        Events 1 to 6; the last but one has the id of the one before it, and is claimed.
        """
        await outbox.accept(entry(sample("1", bot_id=BOT), ["a", "b"], order="o1"))
        other_users = sample("2", bot_id=OTHER_BOT, telegram_id=OTHER_USER)
        await outbox.accept(entry(other_users, order="o1"))
        await outbox.accept(entry("3", order="o2"))
        dead, delivered, skipped = await claim_all(outbox)
        await outbox.settle(
            [
                Outcome(dead, "dead", maybe_delivered=True),
                Outcome(delivered, "delivered"),
                Outcome(skipped, "skipped"),
            ],
        )
        await self.advance(clock, HOUR)
        await outbox.accept(entry(sample("4", bot_id=BOT)))
        (retried,) = await claim_all(outbox)
        await outbox.settle([Outcome(retried, "pending", LEASE, maybe_delivered=True)])
        await outbox.accept(entry(sample("4", bot_id=BOT, name="Purchase")))
        await claim_all(outbox)
        other_users = sample("6", bot_id=OTHER_BOT, telegram_id=OTHER_USER)
        await outbox.accept(entry(other_users, ["b"]))

    def filter(self, clock: Any, conditions: dict[str, Any]) -> DeliveryFilter:
        """Make a filter; ``accepted_before`` is seconds ago."""
        where = DeliveryFilter(**conditions)
        if "accepted_before" not in conditions:
            return where
        moment = self.now(clock) - conditions["accepted_before"]
        return replace(where, accepted_before=datetime.fromtimestamp(moment, timezone.utc))

    async def labels(self, outbox: Outbox, where: DeliveryFilter) -> str:
        """Tell what a filter means: the number of each event, and the destination."""
        everything = await outbox.select(DeliveryFilter(), limit=ALL)
        seqs = sorted({delivery.seq for delivery in everything})
        return " ".join(
            f"{seqs.index(delivery.seq) + 1}{delivery.destination}"
            for delivery in await outbox.select(where, limit=ALL)
        )

    @pytest.mark.parametrize(("conditions", "meant"), MEANT.values(), ids=MEANT)
    async def test_a_filter_means_what_it_says(
        self, outbox: Outbox, clock: Any, conditions: dict[str, Any], meant: str
    ) -> None:
        await self.store_everything(outbox, clock)
        assert await self.labels(outbox, self.filter(clock, conditions)) == meant

    async def test_two_parts_of_a_filter_mean_what_both_mean(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await self.store_everything(outbox, clock)
        for (one, its), (other, others) in combinations(MEANT.values(), 2):
            if one.keys() & other.keys():
                continue
            meant = " ".join(label for label in its.split() if label in others.split())
            where = self.filter(clock, {**one, **other})
            assert await self.labels(outbox, where) == meant, where

    async def test_all_parts_of_a_filter_may_be_given(self, outbox: Outbox, clock: Any) -> None:
        await self.store_everything(outbox, clock)
        conditions: dict[str, Any] = {
            "event_id": "1",
            "order": "o1",
            "telegram_id": USER,
            "bot_id": BOT,
            "accepted_before": HOUR / 2,
            "destination": "a",
            "states": frozenset({"dead"}),
            "maybe_delivered": True,
            "unclaimed": True,
        }
        assert await self.labels(outbox, self.filter(clock, conditions)) == "1a"

    @pytest.mark.parametrize("twin", ["Order", "order ", "o_der", "o%", "órder", "order\n", "'"])
    async def test_an_order_is_found_only_to_the_letter(self, outbox: Outbox, twin: str) -> None:
        await outbox.accept(entry("e1", order="order"))
        await outbox.accept(entry("e2", order=twin))
        assert ids(await outbox.select(DeliveryFilter(order="order"))) == ["e1"]
        assert ids(await outbox.select(DeliveryFilter(order=twin))) == ["e2"]

    async def test_a_moment_may_be_of_any_time_zone(self, outbox: Outbox, clock: Any) -> None:
        await self.store_everything(outbox, clock)
        where = self.filter(clock, {"accepted_before": HOUR / 2})
        assert where.accepted_before is not None
        elsewhere = where.accepted_before.astimezone(timezone(timedelta(hours=-8)))
        where = DeliveryFilter(accepted_before=elsewhere)
        assert await self.labels(outbox, where) == "1a 1b 2a 3a"

    async def test_what_was_accepted_just_then_was_not_accepted_before(
        self, outbox: Outbox
    ) -> None:
        await fill(outbox, "e1")
        (delivery,) = await outbox.select(DeliveryFilter())
        assert await outbox.select(DeliveryFilter(accepted_before=delivery.since)) == []

    async def test_a_delivery_that_was_selected_is_claimed_by_nobody(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2")
        await outbox.claim("a", 1, lease=LEASE)
        found = await outbox.select(DeliveryFilter())
        assert [delivery.token for delivery in found] == ["", ""]

    async def test_a_delivery_is_unclaimed_again_after_its_lease(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await fill(outbox, "e1")
        await outbox.claim("a", 1, lease=LEASE)
        assert await outbox.select(DeliveryFilter(unclaimed=True)) == []
        await self.advance(clock, LEASE + 1)
        assert ids(await outbox.select(DeliveryFilter(unclaimed=True))) == ["e1"]

    async def test_deliveries_are_listed_oldest_event_first(
        self, outbox: Outbox, clock: Any
    ) -> None:
        for event_id in ("e3", "e1", "e2"):
            await fill(outbox, event_id, to=("a", "b"))
            await self.advance(clock, 1)
        await bury(outbox, "b")
        await self.advance(clock, 1)
        await bury(outbox, "a")

        async def dead(destination: str | None = None, limit: int = ALL) -> list[Delivery]:
            where = DeliveryFilter(destination=destination, states=frozenset({"dead"}))
            return await outbox.select(where, limit=limit)

        assert ids(await dead("a")) == ["e3", "e1", "e2"]
        assert ids(await dead()) == ["e3", "e3", "e1", "e1", "e2", "e2"]
        assert [letter.destination for letter in await dead()] == ["a", "b"] * 3
        assert ids(await dead("b", limit=2)) == ["e3", "e1"]
        assert ids(await dead(limit=3)) == ["e3", "e3", "e1"]
        assert await dead(limit=0) == []
        assert await dead("c") == []

    @pytest.mark.parametrize("limit", [1, 2, 3, 5, ALL])
    async def test_pages_follow_each_other(self, outbox: Outbox, limit: int) -> None:
        for event_id in ("e3", "e1", "e2"):
            await fill(outbox, event_id, to=("a", "b"))
        await outbox.accept(entry(sample("e1", name="Purchase")))
        everything = await outbox.select(DeliveryFilter(), limit=ALL)
        listed: list[Delivery] = []
        while page := await outbox.select(
            DeliveryFilter(), limit=limit, after=listed[-1] if listed else None
        ):
            assert len(page) == min(limit, len(everything) - len(listed))
            listed += page
        assert listed == everything

    async def test_pages_are_of_what_a_filter_means(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2", "e3", to=("a", "b"))
        where = DeliveryFilter(destination="b", states=frozenset({"pending"}))
        (first,) = await outbox.select(where, limit=1)
        assert ids(await outbox.select(where, after=first)) == ["e2", "e3"]
        (of_a, *_) = await outbox.select(DeliveryFilter(event_id="e2"))
        assert ids(await outbox.select(where, after=of_a)) == ["e2", "e3"]

    async def test_a_page_follows_a_delivery_that_has_changed(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2", "e3")
        where = DeliveryFilter(states=frozenset({"pending"}))
        first, *_ = await outbox.select(where, limit=1)
        await bury(outbox, "a")
        await fill(outbox, "e4")
        assert ids(await outbox.select(where, after=first)) == ["e4"]
        await outbox.erase(DeliveryFilter(event_id="e1"), limit=1)
        dead = DeliveryFilter(states=frozenset({"dead"}))
        assert ids(await outbox.select(dead, after=first)) == ["e2", "e3"]

    async def test_only_the_dead_are_dead_letters(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2", "e3", "e4")
        dead, delivered, skipped, waiting = await claim_all(outbox)
        await outbox.settle(
            [
                Outcome(dead, "dead", attempts=7, reason="over age"),
                Outcome(delivered, "delivered"),
                Outcome(skipped, "skipped"),
                Outcome(waiting, "pending"),
            ],
        )
        (letter,) = await dead_letters(outbox)
        assert letter.event == dead.event
        assert (letter.state, letter.attempts, letter.reason) == ("dead", 7, "over age")
        assert (letter.destination, letter.token) == ("a", "")

    async def test_an_empty_outbox_counts_nothing(self, outbox: Outbox) -> None:
        assert await outbox.counts() == {}
        assert await outbox.select(DeliveryFilter()) == []

    async def test_every_delivery_counts_in_its_state(self, outbox: Outbox, clock: Any) -> None:
        await self.store_everything(outbox, clock)
        assert await outbox.counts() == {
            "a": {"dead": 1, "delivered": 1, "skipped": 1, "pending": 2},
            "b": {"pending": 2},
        }
        await bury(outbox, "b")
        assert (await outbox.counts())["b"] == {"dead": 2}

    async def test_what_is_counted_is_what_is_there(self, outbox: Outbox) -> None:
        await fill(outbox, *(f"e{n}" for n in range(40)), to=("a", "b"))
        held = await claim_all(outbox, limit=20)
        dead = DeliveryFilter(states=frozenset({"dead"}))
        of_b = DeliveryFilter(destination="b")
        await asyncio.gather(
            *(outbox.settle([Outcome(delivery, "dead")]) for delivery in held),
            outbox.transition(dead, Change("pending", restart=True), limit=7),
            outbox.transition(of_b, Change("skipped", "no"), limit=15),
            *(outbox.erase(DeliveryFilter(event_id=f"e{n}"), limit=1) for n in range(10, 30)),
            fill(outbox, "e40", "e10", "e41", to=("a", "c")),
        )
        found: dict[str, Counter[State]] = defaultdict(Counter)
        for delivery in await outbox.select(DeliveryFilter(), limit=ALL):
            found[delivery.destination][delivery.state] += 1
        assert await outbox.counts() == found
        assert found["c"] == {"pending": 2}

    async def test_what_is_counted_outlives_closing(self, outbox: Outbox, clock: Any) -> None:
        await self.store_everything(outbox, clock)
        before = await outbox.counts()
        await outbox.close()
        await outbox.open()
        assert await outbox.counts() == before


async def bury(outbox: Outbox, destination: str) -> None:
    """Settle everything that is due as dead."""
    claimed = await claim_all(outbox, destination)
    await outbox.settle(
        [Outcome(delivery, "dead", attempts=5, reason="no") for delivery in claimed],
    )
