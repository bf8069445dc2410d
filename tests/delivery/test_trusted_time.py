"""A wall clock that jumps makes nothing too old before it is known to be right."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import pytest

from fixtures.delivery import (
    DAY,
    HOUR,
    Scripted,
    accept,
    dead_letters,
    lane_to,
    rounds,
    states,
    until,
)
from gp_aiogram import DeliveryFailed, MemoryStore, Tracker
from gp_aiogram.delivery.trusted_time import CONFIRMED_AFTER, TOLERANCE, TrustedTime
from gp_aiogram.model.event import utc_from_timestamp
from gp_aiogram.testing import ManualClock

LASTING = CONFIRMED_AFTER.total_seconds()


class Watch:
    """Looks at a clock as a lane does, and says by how many seconds ages are judged otherwise."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.time = TrustedTime(clock.monotonic)

    def now(self) -> datetime:
        return utc_from_timestamp(self.clock.time())

    def behind(self) -> float:
        now = self.now()
        return (now - self.time.judge(now)).total_seconds()


@pytest.fixture
def watch(clock: ManualClock) -> Watch:
    return Watch(clock)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def told(log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in log.records]


JUMPED = (
    "the wall clock has jumped ahead by 40 days, 0:00:00: nothing is given up as over age because "
    "of it until this has lasted for 0:30:00"
)
CONFIRMED = (
    "the wall clock has been ahead by 40 days, 0:00:00 for 0:30:00: ages are judged by it from "
    "now on"
)


@pytest.mark.parametrize("passed", [0, 1, HOUR, 40 * DAY, 4000 * DAY])
def test_time_that_passes_is_trusted_however_much_it_is(watch, clock, log, passed):
    for _ in range(3):
        assert watch.time.judge(watch.now()) == watch.now()
        clock.advance(passed)
    assert log.records == []


def test_the_first_look_is_trusted(watch, clock, log):
    clock.jump(40 * DAY)
    assert watch.behind() == 0
    assert log.records == []


def test_a_jump_ahead_is_not_trusted_and_told_once(watch, clock, log):
    watch.behind()
    clock.jump(40 * DAY)
    for _ in range(int(LASTING / 60)):
        assert watch.behind() == 40 * DAY
        clock.advance(59)
    assert told(log) == [("WARNING", JUMPED)]


def test_a_jump_ahead_that_lasts_is_trusted_and_told_once(watch, clock, log):
    watch.behind()
    clock.jump(40 * DAY)
    watch.behind()
    clock.advance(LASTING - 1)
    assert watch.behind() == 40 * DAY
    clock.advance(1)
    assert watch.behind() == 0
    clock.advance(1)
    assert watch.behind() == 0
    assert told(log) == [("WARNING", JUMPED), ("WARNING", CONFIRMED)]


def test_time_without_a_look_confirms_nothing(watch, clock):
    watch.behind()
    clock.advance(DAY)
    clock.jump(40 * DAY)
    assert watch.behind() == 40 * DAY


def test_a_clock_that_comes_back_from_its_jump_is_trusted_again(watch, clock, log):
    watch.behind()
    clock.jump(40 * DAY)
    watch.behind()
    clock.advance(60)
    clock.jump(-40 * DAY)
    assert watch.behind() == 0
    assert told(log) == [
        ("WARNING", JUMPED),
        ("INFO", "the wall clock is back from its jump ahead"),
    ]
    clock.jump(40 * DAY)
    clock.advance(LASTING)
    assert watch.behind() == 40 * DAY


@pytest.mark.parametrize("further", [DAY, -DAY])
def test_a_jump_within_a_jump_begins_anew(watch, clock, further):
    watch.behind()
    clock.jump(40 * DAY)
    watch.behind()
    clock.advance(LASTING - 1)
    clock.jump(further)
    assert watch.behind() == 40 * DAY + further
    clock.advance(LASTING - 1)
    assert watch.behind() == 40 * DAY + further
    clock.advance(1)
    assert watch.behind() == 0


def test_a_clock_that_goes_back_is_trusted_at_once_and_told(watch, clock, log):
    watch.behind()
    clock.jump(-40 * DAY)
    assert watch.behind() == 0
    assert watch.behind() == 0
    assert told(log) == [("WARNING", "the wall clock has gone back by 40 days, 0:00:00")]


@pytest.mark.parametrize("sign", [1, -1])
def test_small_corrections_are_trusted_and_not_worth_a_line(watch, clock, log, sign):
    watch.behind()
    for _ in range(100):
        clock.advance(HOUR)
        clock.jump(sign * TOLERANCE.total_seconds() * 0.9)
        assert watch.behind() == 0
    assert log.records == []


# Deliveries


async def test_a_jump_gives_up_nothing_that_is_tried_again_and_again(outbox, clock):
    shop = Scripted(*[DeliveryFailed("HTTP 500")] * 10_000)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.run_once()
    clock.jump(40 * DAY)
    await rounds(lane, outbox, LASTING - 1)
    assert await states(outbox) == {"pending": 1}
    clock.jump(-40 * DAY)
    await rounds(lane, outbox, 29 * DAY)
    assert await states(outbox) == {"pending": 1}
    await rounds(lane, outbox, 2 * DAY)
    assert await states(outbox) == {"dead": 1}


async def test_a_jump_that_lasts_gives_up_what_is_over_age_by_it(outbox, clock):
    shop = Scripted(*[DeliveryFailed("HTTP 500")] * 10_000)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.run_once()
    clock.jump(40 * DAY)
    await rounds(lane, outbox, LASTING + 2 * HOUR)
    (letter,) = await dead_letters(outbox)
    assert letter.reason == "over age: tried for 30 days, last: HTTP 500"


async def test_what_only_a_jump_makes_too_old_is_sent_as_if_there_was_none(outbox, clock):
    shop = Scripted()
    shop.max_age = timedelta(days=7)
    lane = lane_to(shop, outbox)
    await lane.run_once()
    await accept(outbox, "e1")
    await accept(outbox, "old", age=8 * DAY)
    clock.jump(40 * DAY)
    await rounds(lane, outbox, 60)
    assert shop.taken == ["e1"]
    assert [letter.event.event_id for letter in await dead_letters(outbox)] == ["old"]


async def test_after_a_real_outage_what_is_too_old_is_given_up_at_once(outbox, clock):
    shop = Scripted()
    shop.max_age = timedelta(days=7)
    await accept(outbox, "e1")
    clock.advance(40 * DAY)
    await lane_to(shop, outbox).run_once()
    assert await states(outbox) == {"dead": 1}


async def test_a_tracker_of_several_destinations_tells_of_a_jump_once(caplog):
    clock = ManualClock()
    shops = [Scripted(DeliveryFailed("HTTP 500"), name=f"shop{number}") for number in range(3)]
    for shop in shops:
        shop.max_age = timedelta(days=7)
    store = MemoryStore(clock=clock)
    async with Tracker(shops, store=store, clock=clock, journal=None) as tracker:
        await tracker.track("REG", telegram_id=42)
        await until(lambda: all(shop.requests for shop in shops))
        assert await tracker.flush()
        clock.jump(40 * DAY)
        await tracker.track("REG", telegram_id=43)
        await until(lambda: all(len(shop.taken) == 2 for shop in shops))
    assert caplog.text.count("has jumped ahead") == 1
