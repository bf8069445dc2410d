"""What the helpers for users' own tests find, and how they say what they did not find."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gp_aiogram import GramPixel, MemoryStore, MetaCAPI, Tracker
from gp_aiogram.testing import (
    ManualClock,
    RecordedEvents,
    RecordingDestination,
    assert_not_tracked,
    assert_tracked,
    caught,
    tracked,
)
from gp_aiogram.testing.recorded import explain

WORKSPACE = "6f1c2b9e-8d3a-4e57-9b1f-2a7c0d4e5f60"


@pytest.fixture
def events():
    with caught() as events:
        yield events


@pytest.fixture
async def funnel(events: RecordedEvents) -> Tracker:
    """A tracker of real addresses, which has recorded REG and FTD, and is not started."""
    destinations = [GramPixel("k", WORKSPACE), MetaCAPI("1234567890123456", "t", only={"FTD"})]
    tracker = Tracker(destinations, store=MemoryStore())
    await tracker.track("REG", telegram_id=7, session_id="gp_a1b2c3")
    await tracker.track(
        "FTD", telegram_id=7, value="49.90", currency="EUR", user_data={"plan": "gold", "n": 1}
    )
    return tracker


async def test_what_is_recorded_is_caught_at_once(funnel, events):
    assert events.names == ["REG", "FTD"]
    assert [recorded.to for recorded in events] == [("grampixel",), ("grampixel", "meta")]
    ftd = events[1]
    assert (ftd.name, ftd.value, ftd.currency) == ("FTD", Decimal("49.90"), "EUR")
    assert (ftd.telegram_id, ftd.session_id) == (7, "gp_a1b2c3")
    assert ftd.user_data == {"plan": "gold", "n": 1}
    assert events.named("FTD") == [ftd]
    assert events[:1] == [events[0]]
    events.clear()
    assert not events


async def test_what_would_be_sent_can_be_seen(funnel, events):
    assert events[1].payload("grampixel")["value"] == 49.9
    assert events[1].payload("meta")["event_name"] == "Purchase"
    with pytest.raises(LookupError, match=r"^REG, user 7, .* does not go to 'meta'$"):
        events[0].payload("meta")


async def test_nothing_is_sent_to_other_machines_and_all_counts_as_delivered(funnel, caplog):
    async with funnel:
        assert await funnel.flush(5)
        stats = await funnel.stats()
    assert stats.destinations["grampixel"].deliveries == {"delivered": 2}
    assert stats.destinations["meta"].deliveries == {"delivered": 1}
    assert stats.destinations["grampixel"].retried == 0


async def test_what_is_duplicate_or_dropped_is_not_caught(events):
    tracker = Tracker([], store=MemoryStore(), before_send=lambda event: None)
    await tracker.track("REG", telegram_id=7)
    tracker = Tracker([], store=MemoryStore())
    for _ in range(2):
        await tracker.track("REG", telegram_id=7, once="user")
    assert events == [tracked("REG")]


async def test_deposits_and_refunds_are_caught(events):
    tracker = Tracker([MetaCAPI("1234567890123456", "t")], store=MemoryStore())
    for order in "ab":
        await tracker.deposit(telegram_id=7, value=5, once=order)
    await tracker.refund("a", telegram_id=7)
    assert events.names[:2] == ["FTD", "DEP"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"value": Decimal("49.9")},
        {"value": 49.9, "currency": "EUR"},
        {"value": "49.90"},
        {"telegram_id": 7, "session_id": "gp_a1b2c3", "bot_id": None},
        {"user_data": {"plan": "gold"}},
        {"to": "meta"},
        {"to": {"meta", "grampixel"}},
    ],
)
async def test_an_event_is_found_by_what_is_named(funnel, fields):
    assert assert_tracked("FTD", times=1, **fields).name == "FTD"
    with pytest.raises(AssertionError, match="was tracked, and should not have been"):
        assert_not_tracked("FTD", **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"value": 49},
        {"value": "much"},
        {"value": None},
        {"currency": "USD"},
        {"user_data": {"plan": "silver"}},
        {"user_data": {"absent": "x"}},
        {"to": ["meta"]},
        {"to": "tiktok"},
    ],
)
async def test_an_event_that_differs_is_not_found(funnel, fields):
    assert_not_tracked("FTD", **fields)
    with pytest.raises(AssertionError, match="was not tracked"):
        assert_tracked("FTD", **fields)


async def test_a_failure_shows_what_was_recorded_nearest_first(funnel, events):
    with pytest.raises(AssertionError) as failure:
        events.assert_tracked("FTD", value=50, currency="EUR", to="meta")
    assert str(failure.value) == (
        "FTD with value=50, currency='EUR', to='meta' was not tracked. Instead, nearest first:\n"
        "  FTD 49.90 EUR, user 7, session gp_a1b2c3, to grampixel, meta, "
        "user_data {'plan': 'gold', 'n': 1}\n"
        "      value: 49.90, not 50\n"
        "  REG, user 7, session gp_a1b2c3, to grampixel\n"
        "      name: 'REG', not 'FTD'\n"
        "      value: none, not 50\n"
        "      currency: none, not 'EUR'\n"
        "      to: grampixel, not 'meta'"
    )


async def test_of_other_names_the_most_alike_is_nearest(events):
    tracker = Tracker([], store=MemoryStore())
    for name in ("REG", "Subscription", "Lead"):
        await tracker.track(name, telegram_id=7)
    with pytest.raises(AssertionError) as failure:
        events.assert_tracked("Subscribe")
    assert "first:\n  Subscription, user 7, no session, to nobody\n" in str(failure.value)


async def test_of_many_events_the_nearest_are_shown(events):
    tracker = Tracker([], store=MemoryStore())
    for number in range(13):
        await tracker.track(f"Event{number}", telegram_id=7)
    with pytest.raises(AssertionError, match=r"… and 3 more$"):
        events.assert_tracked("Event13")


async def test_a_failure_says_that_nothing_was_recorded(events):
    with pytest.raises(AssertionError, match=r"^FTD was not tracked: nothing was$"):
        events.assert_tracked("FTD")


async def test_a_wrong_count_shows_each(funnel, events):
    await funnel.track("REG", telegram_id=8)
    with pytest.raises(AssertionError) as failure:
        events.assert_tracked("REG", times=1)
    assert str(failure.value) == (
        "REG was tracked 2 times, not 1:\n"
        "  REG, user 7, session gp_a1b2c3, to grampixel\n"
        "  REG, user 8, no session, to grampixel"
    )


async def test_a_field_that_no_event_has_is_a_mistake_of_the_test(funnel):
    with pytest.raises(TypeError, match="an event has no 'amount': there are value, currency"):
        assert_tracked("FTD", amount=50)


async def test_events_compare_with_what_is_expected(funnel, events):
    assert events == [tracked("REG"), tracked("FTD", value=49.9)]
    assert events != [tracked("FTD"), tracked("REG")]
    assert events != [tracked("REG")]
    assert explain(events, [tracked("REG"), tracked("FTD", value=50), tracked("DEP")])[1:] == [
        "    REG, user 7, session gp_a1b2c3, to grampixel",
        "  - FTD with value=50",
        f"  + {events[1]}",
        "      value: 49.90, not 50",
        "  - DEP",
    ]


async def test_a_missing_event_does_not_shift_the_others(funnel, events):
    assert explain(events, [tracked("INSTALL"), tracked("REG"), tracked("FTD")])[1:3] == [
        "  - INSTALL",
        "    REG, user 7, session gp_a1b2c3, to grampixel",
    ]


def test_without_the_fixture_it_says_what_is_missing():
    with pytest.raises(RuntimeError, match="give the test the fixture `gp_events`"):
        assert_tracked("FTD")


async def test_after_the_block_all_is_as_before(recorder, store):
    with caught() as events:
        pass
    async with Tracker([recorder], store=store) as tracker:
        await tracker.track("REG", telegram_id=7)
        assert await tracker.flush(5)
    assert not events
    assert [event.name for event in recorder.events] == ["REG"]


async def test_a_recording_destination_keeps_what_was_delivered():
    clock = ManualClock()
    recording = RecordingDestination()
    async with Tracker([recording], store=MemoryStore(clock=clock), clock=clock) as tracker:
        await tracker.track("REG", telegram_id=7)
        assert await tracker.flush(5)
    assert recording.assert_tracked("REG", telegram_id=7).to == ("recording",)
    recording.assert_not_tracked("FTD")
    with pytest.raises(AssertionError, match=r"FTD was not tracked\. Instead"):
        recording.assert_tracked("FTD")


async def test_a_recording_destination_is_sent_to_while_all_is_caught(events):
    recording = RecordingDestination("mine")
    async with Tracker([recording], store=MemoryStore()) as tracker:
        await tracker.track("REG", telegram_id=7)
        assert await tracker.flush(5)
    assert recording.events == events == [tracked("REG", to="mine")]
