"""What every outbox must do with new events."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from gp_aiogram.model.event import Event
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import Settlement
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import (
    BOT,
    HARD_EVENTS,
    OTHER_BOT,
    OTHER_USER,
    TOLERANCE,
    USER,
    claim_one,
    ids,
    sample,
)

CALLERS = 200
YEAR = 365 * 24 * 60 * 60.0


class AcceptContract(Contract):
    """``Outbox.accept``, and what is known of events afterwards."""

    async def test_an_accepted_event_waits_for_each_destination(self, store: Outbox) -> None:
        assert await store.accept(sample(), ["b", "a", "c"])
        waiting = await store.deliveries("e1")
        assert [delivery.destination for delivery in waiting] == ["a", "b", "c"]
        for delivery in waiting:
            assert delivery.event == sample()
            assert (delivery.state, delivery.attempts) == ("pending", 0)
            assert (delivery.reason, delivery.receipt, delivery.token) == (None, {}, "")
            for moment in (delivery.since, delivery.due):
                assert moment.timestamp() == pytest.approx(store.clock.time(), abs=TOLERANCE)
                assert moment.utcoffset() == timedelta(0)

    async def test_an_unknown_event_has_no_deliveries(self, store: Outbox) -> None:
        assert await store.deliveries("e1") == []

    async def test_a_destination_named_twice_gets_one_delivery(self, store: Outbox) -> None:
        assert await store.accept(sample(), ["a", "a"])
        assert await store.counts() == {"a": {"pending": 1}}

    async def test_an_event_for_nobody_is_known_all_the_same(self, store: Outbox) -> None:
        assert await store.accept(sample(), [], once=["k"])
        assert await store.deliveries("e1") == []
        assert not await store.accept(sample(), ["a"])
        assert not await store.accept(sample("e2"), ["a"], once=["k"])

    @pytest.mark.parametrize("event", HARD_EVENTS.values(), ids=HARD_EVENTS)
    async def test_every_field_of_an_event_comes_back(self, store: Outbox, event: Event) -> None:
        assert await store.accept(event, ["a"])
        (kept,) = await store.deliveries(event.event_id)
        claimed = await claim_one(store)
        for found in (kept.event, claimed.event):
            assert found == event
            assert str(found.value) == str(event.value)
            assert found.event_time.utcoffset() is not None

    async def test_an_event_id_is_accepted_once(self, store: Outbox) -> None:
        assert await store.accept(sample(), ["a"])
        assert not await store.accept(sample(name="Purchase"), ["a", "b"])
        (only,) = await store.deliveries("e1")
        assert only.event == sample()
        assert only.destination == "a"

    async def test_a_once_key_lets_one_event_through(self, store: Outbox) -> None:
        assert await store.accept(sample("e1"), ["a"], once=["FTD:42"])
        assert not await store.accept(sample("e2"), ["a"], once=["FTD:42"])
        assert await store.accept(sample("e3"), ["a"], once=["FTD:43"])
        assert await store.accept(sample("e4"), ["a"])
        assert await store.deliveries("e2") == []
        assert await store.counts() == {"a": {"pending": 3}}

    async def test_event_ids_and_once_keys_do_not_meet(self, store: Outbox) -> None:
        assert await store.accept(sample("x"), ["a"], once=["y"])
        assert await store.accept(sample("y"), ["a"], once=["x"])

    @pytest.mark.parametrize("twin", ["Key", "key ", " key", "kéy", "ke\u0301y", "key\n"])
    async def test_keys_are_the_same_only_to_the_letter(self, store: Outbox, twin: str) -> None:
        assert await store.accept(sample("key"), ["a"], once=["key"])
        assert await store.accept(sample(twin), ["a"], once=[twin])
        assert not await store.accept(sample("e1"), ["a"], once=[twin])

    async def test_a_refused_event_leaves_nothing_behind(self, store: Outbox) -> None:
        assert await store.accept(sample("e1"), ["a"], once=["k1"])
        assert not await store.accept(sample("e2"), ["a"], once=["k1"])
        assert await store.accept(sample("e2"), ["a"], once=["k2"])
        assert not await store.accept(sample("e2"), ["a"], once=["k3"])
        assert await store.accept(sample("e3"), ["a"], once=["k3"])

    async def test_an_event_is_kept_whole_or_not_at_all(self, store: Outbox) -> None:
        kept = False
        with suppress(Exception):
            unusable = sample("bad", user_data={"not JSON": object()})
            kept = await store.accept(unusable, ["a", "b"], once=["k"])
        found = [delivery.destination for delivery in await store.deliveries("bad")]
        assert found == (["a", "b"] if kept else [])
        assert await store.accept(sample("e2"), [], once=["k"]) is not kept

    async def test_ids_and_keys_are_remembered_for_ever(self, store: Outbox, clock: Any) -> None:
        assert await store.accept(sample(), ["a"], once=["k"])
        await store.settle([Settlement(await claim_one(store), "delivered")])
        await self.advance(clock, 3 * YEAR)
        assert not await store.accept(sample(), ["a"])
        assert not await store.accept(sample("e2"), ["a"], once=["k"])

    async def test_one_of_many_at_once_gets_a_once_key(self, store: Outbox) -> None:
        events = [sample(f"e{n}") for n in range(CALLERS)]
        accepted = await asyncio.gather(
            *(store.accept(event, ["a", "b"], once=["k"]) for event in events),
        )
        assert accepted.count(True) == 1
        winner = events[accepted.index(True)]
        assert ids(await store.claim("a", CALLERS, lease=1)) == [winner.event_id]
        assert await store.counts() == {"a": {"pending": 1}, "b": {"pending": 1}}

    async def test_one_of_many_at_once_gets_an_event_id(self, store: Outbox) -> None:
        accepted = await asyncio.gather(
            *(store.accept(sample("e1"), ["a"], once=[f"k{n}"]) for n in range(CALLERS)),
        )
        assert accepted.count(True) == 1
        assert await store.counts() == {"a": {"pending": 1}}

    async def test_many_at_once_are_all_kept(self, store: Outbox) -> None:
        events = [sample(f"e{n:03}") for n in range(CALLERS)]
        accepted = await asyncio.gather(*(store.accept(event, ["a"]) for event in events))
        assert all(accepted)
        assert sorted(ids(await store.claim("a", CALLERS, lease=1))) == ids_of(events)

    async def test_the_bot_of_a_user_is_that_of_the_newest_event(self, store: Outbox) -> None:
        assert await store.bot_of(USER) is None
        await store.accept(sample("e1", bot_id=BOT), ["a"])
        assert await store.bot_of(USER) == BOT
        await store.accept(sample("e2", bot_id=OTHER_BOT), ["a"])
        assert await store.bot_of(USER) == OTHER_BOT
        assert await store.bot_of(OTHER_USER) is None

    async def test_an_event_without_a_bot_hides_no_bot(self, store: Outbox) -> None:
        await store.accept(sample("e1"), ["a"])
        assert await store.bot_of(USER) is None
        await store.accept(sample("e2", bot_id=BOT), ["a"])
        await store.accept(sample("e3"), ["a"])
        assert await store.bot_of(USER) == BOT

    async def test_a_refused_event_tells_nothing_about_the_bot(self, store: Outbox) -> None:
        await store.accept(sample("e1", bot_id=BOT), ["a"])
        await store.accept(sample("e1", bot_id=OTHER_BOT), ["a"])
        assert await store.bot_of(USER) == BOT

    async def test_events_outlive_closing(self, store: Outbox) -> None:
        await store.open()
        assert await store.accept(sample("e1", bot_id=BOT), ["a"], once=["k"])
        await store.close()
        await store.close()
        assert not await store.accept(sample("e2"), ["a"], once=["k"])
        assert await store.accept(sample("e3"), ["a"])
        await store.open()
        assert not await store.accept(sample("e1"), ["a"])
        assert await store.bot_of(USER) == BOT
        assert sorted(ids(await store.claim("a", 9, lease=1))) == ["e1", "e3"]


def ids_of(events: list[Event]) -> list[str]:
    """Return the ids in order."""
    return sorted(event.event_id for event in events)
