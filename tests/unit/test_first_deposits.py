"""Which first deposits are FTDs: what is imported, and what the rules of a bot say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from aiogram import Dispatcher

from fixtures import updates
from fixtures.banks import STORES, bank, payment
from fixtures.recorder import Feed
from gp_aiogram import Event, EventError, SQLiteStore, Store, Tracker

Recorded = Callable[[], Awaitable[list[Event]]]

NOON = datetime(2026, 9, 21, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return STORES[request.param](tmp_path)


async def names(recorded: Recorded) -> list[str]:
    return [event.name for event in await recorded()]


@pytest.mark.parametrize(
    ("known_with", "expected"),
    [(42, {42: "DEP", 43: "FTD"}), (None, {42: "DEP", 43: "DEP"})],
)
async def test_who_had_deposited_before_is_no_first(
    tracker: Tracker, known_with: int | None, expected: dict[int, str]
) -> None:
    ids = [*range(1, 1001), 7, 7]
    assert await tracker.mark_deposited(ids, bot_id=known_with) == 1000
    assert await tracker.mark_deposited([7, 1001], bot_id=known_with) == 1
    for bot_id, name in expected.items():
        event = await tracker.deposit(telegram_id=7, bot_id=bot_id, value=5)
        assert event is not None
        assert event.name == name
        new = await tracker.deposit(telegram_id=2000, bot_id=bot_id, value=5)
        assert new is not None
        assert new.name == "FTD"


@pytest.mark.parametrize("known_with", [42, None])
async def test_who_had_deposited_before_has_no_ftd_by_name_either(
    tracker: Tracker, known_with: int | None
) -> None:
    await tracker.mark_deposited([7], bot_id=known_with)
    ftd = {"name": "FTD", "value": 5, "bot_id": 42, "once": "user"}
    assert await tracker.track(telegram_id=7, **ftd) is None
    assert tracker.counts["duplicates"] == 1
    assert await tracker.track(telegram_id=8, **ftd) is not None


async def test_events_do_not_wait_for_an_import(tmp_path: Path) -> None:
    async with Tracker([], store=SQLiteStore(tmp_path / "gp.sqlite3")) as tracker:
        importing = asyncio.create_task(tracker.mark_deposited(range(1, 50_001)))
        tracked = 0
        while not importing.done():
            assert await tracker.track("REG", telegram_id=7) is not None
            tracked += 1
        assert importing.result() == 50_000
    assert tracked > 3


@pytest.mark.parametrize("wrong", ["7", 0, -5, None, True])
async def test_an_import_with_a_wrong_id_imports_nothing(tracker: Tracker, wrong: Any) -> None:
    with pytest.raises(EventError, match="telegram_id"):
        await tracker.mark_deposited([7, wrong])
    assert await tracker.mark_deposited(7) == 1
    assert await tracker.mark_deposited([7, 8]) == 1


@pytest.mark.parametrize(
    ("age", "name"),
    [(timedelta(0), "FTD"), (7 * DAY, "FTD"), (7 * DAY + timedelta(seconds=1), "DEP")],
    ids=str,
)
async def test_a_first_deposit_may_have_to_come_soon(
    dp: Dispatcher, feed: Feed, recorded: Recorded, tracker: Tracker, age: timedelta, name: str
) -> None:
    bank(dp, ftd_within=7 * DAY)
    await tracker.capture(7, "gp_a", bot_id=42, at=NOON - age)
    await feed(updates.raw("successful_payment_eur", date=int(NOON.timestamp())))
    assert await names(recorded) == [name]


async def test_a_deposit_that_came_too_late_was_the_first_all_the_same(tracker: Tracker) -> None:
    await tracker.capture(7, "gp_a", at=NOON - 8 * DAY)
    rule = {"telegram_id": 7, "value": 5, "ftd_within": 7 * DAY}
    late = await tracker.deposit(**rule, event_time=NOON)
    await tracker.capture(7, "gp_b", at=NOON + DAY)
    next_one = await tracker.deposit(**rule, event_time=NOON + DAY)
    assert [late and late.name, next_one and next_one.name] == ["DEP", "DEP"]


async def test_a_click_that_telegrams_clock_dates_ahead_counts_as_just_now(
    dp: Dispatcher, feed: Feed, recorded: Recorded, tracker: Tracker
) -> None:
    """A button press has no date of Telegram's: this machine's clock may be behind."""
    bank(dp, ftd_within=7 * DAY)
    ahead = datetime.now(timezone.utc) + timedelta(seconds=30)
    await tracker.capture(7, "gp_a", bot_id=42, at=ahead)
    await feed(updates.click("deposit:5"))
    (event,) = await recorded()
    assert (event.name, event.session_id) == ("FTD", "gp_a")


@pytest.mark.parametrize("rule", [{"ftd_within": DAY}, {"ftd_needs_session": True}], ids=str)
async def test_a_first_deposit_may_need_a_session(
    dp: Dispatcher, feed: Feed, recorded: Recorded, tracker: Tracker, rule: dict[str, Any]
) -> None:
    bank(dp, **rule)
    await feed(updates.click("deposit:1", user_id=7))
    await tracker.capture(8, "gp_a", bot_id=42)
    await feed(updates.click("deposit:1", user_id=8))
    named = await tracker.deposit(telegram_id=9, value=1, session_id="gp_named", **rule)
    told = {event.telegram_id: event.name for event in await recorded()}
    assert told == {7: "DEP", 8: "FTD", 9: "FTD"}
    assert named is not None


@pytest.mark.parametrize("within", [7, "7 days", timedelta(seconds=-1)])
async def test_a_window_that_is_none_is_refused_for_every_user(
    tracker: Tracker, within: Any
) -> None:
    await tracker.mark_deposited([8])
    for telegram_id in (7, 8):
        with pytest.raises(EventError, match="ftd_within must be a positive timedelta"):
            await tracker.deposit(telegram_id=telegram_id, value=5, ftd_within=within)
    assert tracker.counts["tracked"] == 0


async def test_a_renewal_is_no_first_deposit_and_what_follows_it_neither(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    bank(dp)
    await feed(updates.raw("successful_payment_stars_recurring_renewal"))
    await feed(payment("c1"))
    assert await names(recorded) == ["DEP", "DEP"]


async def test_a_subscription_begins_with_an_ftd_and_goes_on_with_deps(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    bank(dp)
    await feed(updates.raw("successful_payment_stars_recurring_first"))
    await feed(updates.raw("successful_payment_stars_recurring_renewal"))
    first, renewal = await recorded()
    assert (first.name, first.user_data["is_first_recurring"]) == ("FTD", True)
    assert (renewal.name, renewal.user_data["is_recurring"]) == ("DEP", True)
    assert "is_first_recurring" not in renewal.user_data


async def test_who_reports_renewals_himself_may_say_so(tracker: Tracker) -> None:
    renewal = await tracker.deposit(telegram_id=7, value=5, renewal=True)
    assert renewal is not None
    assert renewal.name == "DEP"


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": None},
        {"value": -5},
        {"currency": "ZZZ"},
        {"once": "user"},
        {"once": ""},
        {"to": "nowhere"},
        {"telegram_id": 0},
    ],
    ids=str,
)
async def test_a_deposit_that_makes_no_sense_takes_nothing(
    tracker: Tracker, wrong: dict[str, Any]
) -> None:
    good = {"telegram_id": 7, "value": 5}
    with pytest.raises(EventError):
        await tracker.deposit(**{**good, **wrong})
    first = await tracker.deposit(**good)
    assert first is not None
    assert first.name == "FTD"


async def test_an_event_of_another_name_is_no_deposit(tracker: Tracker) -> None:
    for name in ("Purchase", "DEP", "FTD"):
        await tracker.track(name, telegram_id=7, value=5)
    first = await tracker.deposit(telegram_id=7, value=5)
    assert first is not None
    assert first.name == "FTD"
