"""What every outbox must do with new events."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from gp_aiogram.model.event import Event
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.keys import opt_out_key
from gp_aiogram.stores.records import Change, DeliveryFilter, Outcome
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import (
    BOT,
    HARD_EVENTS,
    OTHER_BOT,
    OTHER_USER,
    TOLERANCE,
    USER,
    claim_all,
    claim_one,
    deliveries_of,
    entry,
    ids,
    key,
    sample,
)

CALLERS = 200
YEAR = 365 * 24 * 60 * 60.0
OPT_OUT = opt_out_key(USER)


class AcceptContract(Contract):
    """``accept`` and ``bot_of`` of an outbox."""

    async def test_an_accepted_event_waits_for_each_destination(
        self, outbox: Outbox, clock: Any
    ) -> None:
        assert await outbox.accept(entry(to=["b", "a", "c"])) == "stored"
        waiting = await deliveries_of(outbox, "e1")
        assert [delivery.destination for delivery in waiting] == ["a", "b", "c"]
        for delivery in waiting:
            assert delivery.event == sample()
            assert (delivery.state, delivery.attempts) == ("pending", 0)
            assert (delivery.reason, delivery.receipt, delivery.token) == (None, {}, "")
            assert (delivery.maybe_delivered, delivery.batch_cap) == (False, None)
            for moment in (delivery.since, delivery.due):
                assert moment.timestamp() == pytest.approx(self.now(clock), abs=TOLERANCE)
                assert moment.utcoffset() == timedelta(0)

    async def test_a_later_event_has_a_higher_number(self, outbox: Outbox) -> None:
        for event_id in ("c", "a", "b"):
            await outbox.accept(entry(event_id, ["x", "y"]))
        numbers = [delivery.seq for delivery in await outbox.select(DeliveryFilter())]
        first, second, third = numbers[::2]
        assert numbers[1::2] == [first, second, third]
        assert first < second < third

    async def test_an_unknown_event_has_no_deliveries(self, outbox: Outbox) -> None:
        assert await deliveries_of(outbox, "e1") == []

    async def test_a_destination_named_twice_gets_one_delivery(self, outbox: Outbox) -> None:
        assert await outbox.accept(entry(to=["a", "a"])) == "stored"
        assert await outbox.counts() == {"a": {"pending": 1}}

    async def test_an_event_for_nobody_is_known_all_the_same(self, outbox: Outbox) -> None:
        assert await outbox.accept(entry(to=[], once=[key("k")])) == "stored"
        assert await deliveries_of(outbox, "e1") == []
        assert await outbox.accept(entry()) == "duplicate"
        assert await outbox.accept(entry("e2", once=[key("k")])) == "duplicate"

    @pytest.mark.parametrize("event", HARD_EVENTS.values(), ids=HARD_EVENTS)
    async def test_every_field_of_an_event_comes_back(self, outbox: Outbox, event: Event) -> None:
        assert await outbox.accept(entry(event)) == "stored"
        (seen,) = await deliveries_of(outbox, event.event_id)
        claimed = await claim_one(outbox)
        for found in (seen.event, claimed.event):
            assert found == event
            assert str(found.value) == str(event.value)
            assert found.event_time.utcoffset() is not None

    async def test_an_event_is_accepted_once(self, outbox: Outbox) -> None:
        assert await outbox.accept(entry()) == "stored"
        again = sample(value=Decimal(5), currency="USD")
        assert await outbox.accept(entry(again, ["a", "b"])) == "duplicate"
        (only,) = await deliveries_of(outbox, "e1")
        assert only.event == sample()
        assert only.destination == "a"

    async def test_the_same_id_under_another_name_is_another_event(self, outbox: Outbox) -> None:
        events = [sample(name=name) for name in ("REG", "Purchase", "purchase")]
        for event in events:
            assert await outbox.accept(entry(event)) == "stored"
            assert await outbox.accept(entry(event)) == "duplicate"
        found = await deliveries_of(outbox, "e1")
        assert [delivery.event for delivery in found] == events
        assert [delivery.event for delivery in await claim_all(outbox)] == events

    async def test_a_once_key_lets_one_event_through(self, outbox: Outbox) -> None:
        assert await outbox.accept(entry("e1", once=[key("42")])) == "stored"
        assert await outbox.accept(entry("e2", once=[key("42")])) == "duplicate"
        assert await outbox.accept(entry("e3", once=[key("43")])) == "stored"
        assert await outbox.accept(entry("e4")) == "stored"
        assert await deliveries_of(outbox, "e2") == []
        assert await outbox.counts() == {"a": {"pending": 3}}

    async def test_all_keys_of_an_event_must_be_new(self, outbox: Outbox) -> None:
        assert await outbox.accept(entry("e1", once=[key("k1"), key("k2")])) == "stored"
        assert await outbox.accept(entry("e2", once=[key("k2"), key("k3")])) == "duplicate"
        assert await outbox.accept(entry("e3", once=[key("k3")])) == "stored"

    async def test_a_key_given_twice_is_one(self, outbox: Outbox) -> None:
        assert await outbox.accept(entry("e1", once=[key("k"), key("k")])) == "stored"
        assert await outbox.accept(entry("e2", once=[key("k")])) == "duplicate"

    async def test_event_ids_and_once_keys_do_not_meet(self, outbox: Outbox) -> None:
        assert await outbox.accept(entry("x", once=[key("y")])) == "stored"
        assert await outbox.accept(entry("y", once=[key("x")])) == "stored"

    @pytest.mark.parametrize("twin", ["Key", "key ", " key", "kéy", "ke\u0301y", "key\n"])
    async def test_keys_are_the_same_only_to_the_letter(self, outbox: Outbox, twin: str) -> None:
        assert await outbox.accept(entry("key", once=[key("key")])) == "stored"
        assert await outbox.accept(entry(twin, once=[key(twin)])) == "stored"
        assert await outbox.accept(entry("e1", once=[key(twin)])) == "duplicate"

    async def test_a_refused_event_leaves_nothing_behind(self, outbox: Outbox) -> None:
        assert await outbox.accept(entry("e1", once=[key("k1")])) == "stored"
        assert await outbox.accept(entry("e2", once=[key("k1")])) == "duplicate"
        assert await outbox.accept(entry("e2", once=[key("k2")])) == "stored"
        assert await outbox.accept(entry("e2", once=[key("k3")])) == "duplicate"
        assert await outbox.accept(entry("e3", once=[key("k3")])) == "stored"

    async def test_an_event_is_blocked_by_a_key_that_is_known(self, outbox: Outbox) -> None:
        await outbox.add_keys([OPT_OUT])
        wanted = entry("e1", once=[key("k")], unless=[key("other"), OPT_OUT])
        assert await outbox.accept(wanted) == "blocked"
        assert await outbox.counts() == {}
        assert await outbox.known_keys([key("k"), key("other")]) == set()
        assert await outbox.bot_of(USER) is None
        assert await outbox.accept(entry("e1", once=[key("k")])) == "stored"

    async def test_an_event_that_nothing_blocks_is_stored(self, outbox: Outbox) -> None:
        await outbox.add_keys([opt_out_key(OTHER_USER)])
        assert await outbox.accept(entry("e1", unless=[OPT_OUT])) == "stored"
        assert await outbox.known_keys([OPT_OUT]) == set()

    async def test_a_dropped_key_blocks_no_more(self, outbox: Outbox) -> None:
        await outbox.add_keys([OPT_OUT])
        await outbox.drop_keys([OPT_OUT])
        assert await outbox.accept(entry("e1", unless=[OPT_OUT])) == "stored"

    async def test_an_opt_out_amid_accepting_leaves_nothing_pending(self, outbox: Outbox) -> None:
        where = DeliveryFilter(telegram_id=USER, states=frozenset({"pending"}))

        async def opt_out() -> None:
            await outbox.add_keys([OPT_OUT])
            await outbox.transition(where, Change("skipped", "opted out"), limit=CALLERS)

        entries = [entry(f"e{n}", unless=[OPT_OUT]) for n in range(CALLERS)]
        first, second = entries[: CALLERS // 2], entries[CALLERS // 2 :]
        *results, _ = await asyncio.gather(*map(outbox.accept, first), opt_out())
        results += await asyncio.gather(*map(outbox.accept, second))
        assert set(results[len(first) :]) == {"blocked"}
        stored = results.count("stored")
        assert await outbox.counts() == ({"a": {"skipped": stored}} if stored else {})

    async def test_blocked_is_told_before_duplicate(self, outbox: Outbox) -> None:
        await outbox.accept(entry("e1", once=[key("k")]))
        await outbox.add_keys([OPT_OUT])
        assert await outbox.accept(entry("e1", unless=[OPT_OUT])) == "blocked"
        assert await outbox.accept(entry("e2", once=[key("k")], unless=[OPT_OUT])) == "blocked"
        assert await outbox.accept(entry("e1", unless=[key("new")])) == "duplicate"

    async def test_the_keys_of_an_event_may_block_another(self, outbox: Outbox) -> None:
        assert await outbox.accept(entry("e1", once=[key("k")], unless=[key("k")])) == "stored"
        assert await outbox.accept(entry("e2", unless=[key("k")])) == "blocked"

    async def test_a_mark_becomes_known_with_the_event(self, outbox: Outbox) -> None:
        wanted = entry("e1", once=[key("k")], marks=[key("mark"), key("k")])
        assert await outbox.accept(wanted) == "stored"
        assert await outbox.known_keys([key("k"), key("mark")]) == {key("k"), key("mark")}
        assert await outbox.accept(entry("e2", once=[key("mark")])) == "duplicate"
        assert await outbox.accept(entry("e2", unless=[key("mark")])) == "blocked"

    async def test_a_mark_that_is_known_speaks_against_no_event(self, outbox: Outbox) -> None:
        await outbox.add_keys([key("mark")])
        for event_id in ("e1", "e2"):
            assert await outbox.accept(entry(event_id, marks=[key("mark")])) == "stored"

    async def test_a_refused_event_leaves_no_mark(self, outbox: Outbox) -> None:
        await outbox.add_keys([OPT_OUT, key("k")])
        marks = [key("mark")]
        assert await outbox.accept(entry("e1", unless=[OPT_OUT], marks=marks)) == "blocked"
        assert await outbox.accept(entry("e1", once=[key("k")], marks=marks)) == "duplicate"
        assert await outbox.known_keys(marks) == set()

    async def test_an_event_is_kept_whole_or_not_at_all(self, outbox: Outbox) -> None:
        result = None
        with suppress(Exception):
            unusable = sample("bad", user_data={"not JSON": object()})
            result = await outbox.accept(entry(unusable, ["a", "b"], once=[key("k")]))
        is_kept = result == "stored"
        found = [delivery.destination for delivery in await deliveries_of(outbox, "bad")]
        assert found == (["a", "b"] if is_kept else [])
        second = await outbox.accept(entry("e2", [], once=[key("k")]))
        assert second == ("duplicate" if is_kept else "stored")

    async def test_an_event_that_cannot_be_kept_harms_no_other(self, outbox: Outbox) -> None:
        unusable = sample("bad", user_data={"not JSON": object()})
        first, _, second = await asyncio.gather(
            outbox.accept(entry("e1")),
            outbox.accept(entry(unusable, ["b"])),
            outbox.accept(entry("e2")),
            return_exceptions=True,
        )
        assert (first, second) == ("stored", "stored")
        assert (await outbox.counts())["a"] == {"pending": 2}

    async def test_ids_and_keys_are_remembered_for_ever(self, outbox: Outbox, clock: Any) -> None:
        assert await outbox.accept(entry(once=[key("k")])) == "stored"
        await outbox.settle([Outcome(await claim_one(outbox), "delivered")])
        await self.advance(clock, 3 * YEAR)
        assert await outbox.accept(entry()) == "duplicate"
        assert await outbox.accept(entry("e2", once=[key("k")])) == "duplicate"

    async def test_one_of_many_at_once_gets_a_once_key(self, outbox: Outbox) -> None:
        events = [sample(f"e{n}") for n in range(CALLERS)]
        results = await asyncio.gather(
            *(outbox.accept(entry(event, ["a", "b"], once=[key("k")])) for event in events),
        )
        assert results.count("stored") == 1
        assert results.count("duplicate") == CALLERS - 1
        winner = events[results.index("stored")]
        assert ids(await claim_all(outbox, "a", CALLERS)) == [winner.event_id]
        assert await outbox.counts() == {"a": {"pending": 1}, "b": {"pending": 1}}

    async def test_one_of_many_at_once_gets_a_shared_key(self, outbox: Outbox) -> None:
        results = await asyncio.gather(
            *(
                outbox.accept(entry(f"e{n}", once=[key(f"k{n}"), key("shared")]))
                for n in range(CALLERS)
            ),
        )
        assert results.count("stored") == 1

    async def test_one_of_many_at_once_gets_an_event_id(self, outbox: Outbox) -> None:
        results = await asyncio.gather(
            *(outbox.accept(entry("e1", once=[key(f"k{n}")])) for n in range(CALLERS)),
        )
        assert results.count("stored") == 1
        assert await outbox.counts() == {"a": {"pending": 1}}

    async def test_many_at_once_are_all_kept(self, outbox: Outbox) -> None:
        events = [sample(f"e{n:03}") for n in range(CALLERS)]
        results = await asyncio.gather(*(outbox.accept(entry(event)) for event in events))
        assert set(results) == {"stored"}
        assert sorted(ids(await claim_all(outbox, "a", CALLERS))) == [
            event.event_id for event in events
        ]

    async def test_the_bot_of_a_user_is_that_of_the_newest_event(self, outbox: Outbox) -> None:
        assert await outbox.bot_of(USER) is None
        await outbox.accept(entry(sample("e1", bot_id=BOT)))
        assert await outbox.bot_of(USER) == BOT
        await outbox.accept(entry(sample("e2", bot_id=OTHER_BOT)))
        assert await outbox.bot_of(USER) == OTHER_BOT
        assert await outbox.bot_of(OTHER_USER) is None

    async def test_an_event_without_a_bot_hides_no_bot(self, outbox: Outbox) -> None:
        await outbox.accept(entry("e1"))
        assert await outbox.bot_of(USER) is None
        await outbox.accept(entry(sample("e2", bot_id=BOT)))
        await outbox.accept(entry("e3"))
        assert await outbox.bot_of(USER) == BOT

    async def test_a_refused_event_tells_nothing_about_the_bot(self, outbox: Outbox) -> None:
        await outbox.accept(entry(sample("e1", bot_id=BOT)))
        await outbox.accept(entry(sample("e1", bot_id=OTHER_BOT)))
        assert await outbox.bot_of(USER) == BOT

    async def test_events_outlive_closing(self, outbox: Outbox) -> None:
        await outbox.open()
        assert await outbox.accept(entry(sample("e1", bot_id=BOT), once=[key("k")])) == "stored"
        await outbox.close()
        await outbox.close()
        assert await outbox.accept(entry("e2", once=[key("k")])) == "duplicate"
        assert await outbox.accept(entry("e3")) == "stored"
        await outbox.open()
        assert await outbox.accept(entry("e1")) == "duplicate"
        assert await outbox.bot_of(USER) == BOT
        assert sorted(ids(await claim_all(outbox))) == ["e1", "e3"]
