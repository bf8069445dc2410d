"""Eight days of Meta being down, in milliseconds."""

from __future__ import annotations

import json
from datetime import timedelta

import httpx

from gp_aiogram import MemoryStore, MetaCAPI
from gp_aiogram.delivery.lane import Lane
from gp_aiogram.model.event import new_event, utc_from_timestamp
from gp_aiogram.testing import ManualClock

HOUR, DAY = 3600.0, 86_400.0
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


async def test_after_eight_days_only_what_is_over_age_is_lost_and_says_so() -> None:
    clock = ManualClock()
    store, meta = MemoryStore(clock=clock), Meta(clock)
    destination = MetaCAPI("123", "token", transport=httpx.MockTransport(meta))
    lane = Lane(destination, store, random=lambda: 0.5)
    tracked: dict[str, float] = {}

    async def track() -> None:
        now = clock.time()
        event = new_event("REG", telegram_id=7, event_time=utc_from_timestamp(now))
        await store.accept(event, ["meta"])
        tracked[event.event_id] = now

    while clock.time() < meta.up_at:
        await track()
        until = min(clock.time() + EVERY, meta.up_at)
        while clock.time() < until:
            clock.advance(min(max(await lane.round(), 0.1), until - clock.time()))
    # While it was down, the breaker let one event probe now and then.
    assert 8 * DAY / 300 * 0.5 < meta.requests_while_down < 8 * DAY / 300 * 1.5

    recovered = clock.time()
    while sum(map(len, meta.batches)) + len(await store.dead_letters(limit=10_000)) < len(tracked):
        clock.advance(max(await lane.round(), 0.1))
    assert clock.time() - recovered < 2 * HOUR

    delivered = [event_id for batch in meta.batches for event_id in batch]
    dead = await store.dead_letters(limit=10_000)
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
