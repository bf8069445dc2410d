"""What every store must list for people to look at."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from gp_aiogram.model.session import Session
from gp_aiogram.stores.contract import Outbox, SessionStore
from gp_aiogram.stores.records import DeliveryFilter, EventRecord, Outcome, Span
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import (
    ALL,
    BOT,
    HARD_EVENTS,
    NOON,
    OTHER_USER,
    TOLERANCE,
    claim_one,
    deliveries_of,
    entry,
    fill,
    sample,
)

ANY = DeliveryFilter()
DEAD = DeliveryFilter(states=frozenset({"dead"}))


def named(records: Iterable[EventRecord]) -> list[str]:
    """Return the event ids."""
    return [record.event.event_id for record in records]


async def bury(outbox: Outbox, *event_ids: str, destination: str = "a") -> None:
    """Make dead letters."""
    for event_id in event_ids:
        (delivery,) = [
            each
            for each in await deliveries_of(outbox, event_id)
            if each.destination == destination
        ]
        claim = await outbox.claim(destination, ALL, lease=60)
        claimed = [each for each in claim.deliveries if each.seq == delivery.seq]
        await outbox.settle([Outcome(each, "dead", reason="why") for each in claimed])
        await outbox.release([each for each in claim.deliveries if each.seq != delivery.seq])


class EventListingContract(Contract):
    """``events`` of an outbox."""

    async def test_events_are_listed_from_either_end(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2", "e3", "e4")
        assert named(await outbox.events(ANY, Span())) == ["e1", "e2", "e3", "e4"]
        assert named(await outbox.events(ANY, Span(limit=2))) == ["e1", "e2"]
        latest = await outbox.events(ANY, Span(limit=2, newest=True))
        assert named(latest) == ["e4", "e3"]
        older = await outbox.events(ANY, Span(before=latest[-1].seq, newest=True))
        assert named(older) == ["e2", "e1"]
        assert named(await outbox.events(ANY, Span(after=latest[-1].seq))) == ["e4"]
        assert await outbox.events(ANY, Span(after=latest[0].seq)) == []
        between = Span(after=older[-1].seq, before=latest[0].seq)
        assert named(await outbox.events(ANY, between)) == ["e2", "e3"]

    async def test_an_event_has_all_of_its_deliveries(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1", to=["b", "a"])
        await self.advance(clock, 10)
        await outbox.settle([Outcome(await claim_one(outbox, "b"), "delivered")])
        (record,) = await outbox.events(DeliveryFilter(destination="b"), Span())
        assert record.event == sample("e1")
        assert [*record.deliveries] == await deliveries_of(outbox, "e1")
        assert [each.destination for each in record.deliveries] == ["a", "b"]
        assert record.accepted == record.deliveries[0].since
        assert {each.seq for each in record.deliveries} == {record.seq}

    async def test_what_was_settled_tells_when(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1")
        await self.advance(clock, 100)
        await outbox.settle([Outcome(await claim_one(outbox), "delivered")])
        (delivery,) = await deliveries_of(outbox, "e1")
        took = (delivery.due - delivery.since).total_seconds()
        assert took == pytest.approx(100, abs=2 * TOLERANCE)

    @pytest.mark.parametrize("newest", [False, True])
    async def test_events_are_found_by_their_deliveries(
        self, outbox: Outbox, newest: bool
    ) -> None:
        await fill(outbox, "e1", "e2", "e3", to=["a", "b"])
        await bury(outbox, "e3", "e1")
        await bury(outbox, "e2", destination="b")
        expected = {
            DEAD: ["e1", "e2", "e3"],
            DeliveryFilter(destination="a", states=frozenset({"dead"})): ["e1", "e3"],
            DeliveryFilter(destination="b", states=frozenset({"pending"})): ["e1", "e3"],
            DeliveryFilter(states=frozenset({"delivered"})): [],
            DeliveryFilter(destination="c"): [],
            DeliveryFilter(event_id="e2", states=frozenset({"dead"})): ["e2"],
        }
        for where, ids in expected.items():
            records = await outbox.events(where, Span(newest=newest))
            assert named(records) == (ids[::-1] if newest else ids), where
        (first,) = await outbox.events(DEAD, Span(limit=1, newest=newest))
        (second,) = await outbox.events(
            DEAD,
            Span(before=first.seq, limit=1, newest=True)
            if newest
            else Span(after=first.seq, limit=1),
        )
        assert second.event.event_id == "e2"

    async def test_events_are_found_by_what_they_are(self, outbox: Outbox) -> None:
        await outbox.accept(entry(sample("e1", telegram_id=OTHER_USER)))
        await outbox.accept(entry("e2"))
        await outbox.accept(entry(sample("e3", telegram_id=OTHER_USER, bot_id=BOT)))
        of_user = DeliveryFilter(telegram_id=OTHER_USER)
        assert named(await outbox.events(of_user, Span(newest=True))) == ["e3", "e1"]
        assert named(await outbox.events(of_user, Span(newest=True, limit=1))) == ["e3"]
        assert named(await outbox.events(DeliveryFilter(event_id="e2"), Span())) == ["e2"]
        of_another = DeliveryFilter(telegram_id=OTHER_USER, bot_id=BOT + 1)
        assert named(await outbox.events(of_another, Span())) == ["e1"]

    @pytest.mark.parametrize("what", HARD_EVENTS)
    async def test_events_come_out_as_they_went_in(self, outbox: Outbox, what: str) -> None:
        await outbox.accept(entry(HARD_EVENTS[what]))
        (record,) = await outbox.events(ANY, Span())
        assert record.event == HARD_EVENTS[what]

    async def test_claimed_events_are_left_out_when_asked(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2")
        await claim_one(outbox)
        free = DeliveryFilter(unclaimed=True)
        assert named(await outbox.events(free, Span())) == ["e2"]
        assert named(await outbox.events(ANY, Span())) == ["e1", "e2"]


class TouchListingContract(Contract):
    """``touches`` of a session store that keeps an order."""

    async def test_touches_are_listed_in_the_order_in_which_they_came(
        self, sessions: SessionStore
    ) -> None:
        touches = [
            Session(BOT, 1, "gp_a", "start", NOON, "gp_a"),
            Session(None, 2, "gp_b", "invite", NOON - timedelta(days=1), "gp_b"),
            Session(BOT, 1, "gp_c", "manual", NOON + timedelta(days=1), "gp_c"),
        ]
        for touch in touches:
            await sessions.add(touch)
        await sessions.add(touches[0])
        listed = await sessions.touches(Span())
        assert listed is not None
        assert [record.session for record in listed] == touches
        numbers = [record.number for record in listed]
        assert numbers == sorted(set(numbers))
        latest = await sessions.touches(Span(limit=2, newest=True))
        assert latest == [listed[2], listed[1]]
        assert await sessions.touches(Span(before=numbers[1], newest=True)) == [listed[0]]
        assert await sessions.touches(Span(after=numbers[0], limit=1)) == [listed[1]]
        assert await sessions.touches(Span(after=numbers[2])) == []

    async def test_erased_touches_are_not_listed(self, sessions: SessionStore) -> None:
        for user in (1, 2, 3):
            at = NOON + timedelta(hours=user)
            await sessions.add(Session(BOT, user, f"gp_{user}", "start", at, ""))
        await sessions.erase(2)
        await sessions.prune(NOON + timedelta(hours=1, minutes=1), ALL)
        listed = await sessions.touches(Span())
        assert listed is not None
        assert [record.session.telegram_id for record in listed] == [3]
