"""Outages of days, in milliseconds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta

import httpx

from fixtures.delivery import (
    DAY,
    HOUR,
    Batching,
    Scripted,
    WatchedOutbox,
    accept,
    dead_letters,
    lane_to,
    numbered,
    rounds,
    states,
    the,
)
from gp_aiogram import DeliveryFailed, Event, MetaCAPI
from gp_aiogram.delivery.pacing import PROBE_LONGEST
from gp_aiogram.model.event import new_event, utc_from_timestamp
from gp_aiogram.stores.records import Entry
from gp_aiogram.testing import ManualClock


async def test_a_seven_day_outage_loses_nothing_that_is_within_the_age_limit(outbox):
    shop = Batching(*[DeliveryFailed("HTTP 502")] * 100_000)
    shop.max_age = timedelta(days=7)
    lane = lane_to(shop, outbox)
    await accept(outbox, *(f"old{number}" for number in range(300)), age=1 * DAY)
    await rounds(lane, outbox, HOUR)
    assert lane.state == "failing"

    during: list[str] = []
    for hour in range(1, 7 * 24):
        batch = [f"h{hour}-{number}" for number in range(15)]
        await accept(outbox, *batch)
        during += batch
        await rounds(lane, outbox, HOUR)

    # Only failed requests and what grew too old were written; a backlog costs nothing.
    failed = sum(len(request) for request in shop.requests)
    dead = (await states(outbox))["dead"]
    assert len(outbox.written) == failed + dead
    assert len(shop.requests) < 7 * DAY / PROBE_LONGEST + 20
    assert {len(request) for request in shop.requests[6:]} == {1}
    assert await states(outbox) == {"dead": dead, "pending": 300 - dead + len(during)}
    attempts = [(await the(outbox, event_id)).attempts for event_id in during]
    assert max(attempts) < 10
    assert sum(attempts) < len(shop.requests)

    shop.script.clear()
    shop.requests.clear()
    await rounds(lane, outbox, 2 * HOUR)
    assert lane.state == "healthy"
    sizes = [len(request) for request in shop.requests]
    for size, most in zip(sizes, (1, 10, 100), strict=False):
        assert size <= most
    assert max(sizes) > 900
    assert sorted(shop.taken) == sorted(during)
    assert await states(outbox) == {"dead": 300, "delivered": len(during)}


async def test_while_the_breaker_is_open_the_outbox_is_left_alone(outbox, clock):
    shop = Scripted(*[DeliveryFailed("HTTP 502")] * 100)
    await accept(outbox, *numbered(100))
    lane = lane_to(shop, outbox)
    await lane.run_once()
    assert lane.state == "failing"
    outbox.calls.clear()
    for _ in range(4):
        assert await lane.run_once() > 0
        clock.advance(1)
    assert outbox.calls == []
    clock.advance(1)
    await lane.run_once()
    assert outbox.calls == ["claim", "settle"]


async def test_a_wave_of_failures_counts_once_for_each_event(outbox):
    async def fail_together(_: Sequence[Event]) -> None:
        await asyncio.sleep(0)
        msg = "HTTP 502"
        raise DeliveryFailed(msg)

    await accept(outbox, *numbered(16))
    lane = lane_to(Scripted(*[fail_together] * 16), outbox)
    assert await lane.run_once() == 5
    assert [(await the(outbox, event_id)).attempts for event_id in numbered(16)] == [1] * 16
    assert lane.counts == {"retried": 16}


async def test_a_lone_event_meets_the_recovery_within_its_longest_wait(outbox):
    shop = Scripted(*[DeliveryFailed("HTTP 502")] * 10_000)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, outbox, 7 * DAY)
    assert (await the(outbox, "e1")).attempts < 7 * 24 + 10
    shop.script.clear()
    await rounds(lane, outbox, 1.5 * HOUR)
    assert shop.taken == ["e1"]


async def test_a_new_event_probes_a_failing_destination_without_waiting_for_old_ones(outbox):
    shop = Scripted(*[DeliveryFailed("HTTP 502")] * 10_000)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, outbox, 7 * DAY)
    shop.script.clear()
    await accept(outbox, "new")
    await rounds(lane, outbox, PROBE_LONGEST + 1)
    assert "new" in shop.taken


async def test_setting_the_wall_clock_back_delays_nothing(outbox, clock):
    shop = Scripted(*[DeliveryFailed("HTTP 502")] * 3)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, outbox, 10)
    clock.jump(-30 * DAY)
    await rounds(lane, outbox, 2 * HOUR)
    assert shop.taken == ["e1"]


# Eight days of Meta being down

OUTAGE = 8 * DAY
EVERY = 10 * 60.0


class Meta:
    """Down for eight days; then it takes what it takes, and refuses a batch with an old event."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.up_at = clock.time() + OUTAGE
        self.requests_while_down = 0
        self.batches: list[list[str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self._clock.time() < self.up_at:
            self.requests_while_down += 1
            return httpx.Response(503)
        events = json.loads(request.content)["data"]
        oldest = self._clock.time() - 7 * DAY
        if any(event["event_time"] < int(oldest) for event in events):
            error = {"code": 100, "error_subcode": 2804003, "message": "Invalid parameter"}
            return httpx.Response(400, json={"error": error})
        self.batches.append([event["event_id"] for event in events])
        return httpx.Response(200, json={"events_received": len(events)})


async def test_after_eight_days_only_what_is_over_age_is_lost_and_says_so(
    outbox: WatchedOutbox,
    clock: ManualClock,
) -> None:
    meta = Meta(clock)
    destination = MetaCAPI("123", "token", transport=httpx.MockTransport(meta))
    lane = lane_to(destination, outbox)
    tracked: dict[str, float] = {}

    async def track() -> None:
        now = clock.time()
        event = new_event("REG", telegram_id=7, event_time=utc_from_timestamp(now))
        await outbox.accept(Entry(event, ["meta"]))
        tracked[event.event_id] = now

    while clock.time() < meta.up_at:
        await track()
        until = min(clock.time() + EVERY, meta.up_at)
        while clock.time() < until:
            clock.advance(min(max(await lane.run_once(), 0.1), until - clock.time()))
    # While it was down, the breaker let one event probe now and then.
    assert 8 * DAY / 300 * 0.5 < meta.requests_while_down < 8 * DAY / 300 * 1.5

    recovered = clock.time()
    while sum(map(len, meta.batches)) + len(await dead_letters(outbox)) < len(tracked):
        clock.advance(max(await lane.run_once(), 0.1))
    assert clock.time() - recovered < 2 * HOUR

    delivered = [event_id for batch in meta.batches for event_id in batch]
    dead = await dead_letters(outbox)
    assert len(delivered) == len(set(delivered))
    assert {*delivered, *(letter.event.event_id for letter in dead)} == set(tracked)
    assert {letter.reason for letter in dead} == {"over age: the event is older than 7 days"}
    edge = recovered - 7 * DAY
    assert all(tracked[letter.event.event_id] <= edge + 2 * HOUR for letter in dead)
    assert all(tracked[event_id] >= edge for event_id in delivered)
    assert len(dead) < DAY / EVERY + 2 * HOUR / EVERY

    sizes = [len(batch) for batch in meta.batches]
    assert sizes[0] == 1
    assert sizes[1] <= 10
    assert sizes[2] <= 100
    assert max(sizes) > 100
    assert timedelta(seconds=clock.time() - recovered) < timedelta(hours=2)
