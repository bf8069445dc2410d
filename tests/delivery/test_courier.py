"""From the outbox to the destinations: every outcome, outages, bad events, stopping."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gp_aiogram import (
    Delivery,
    DeliveryFailed,
    Destination,
    DestinationMisconfigured,
    Event,
    EventRejected,
    EventSkipped,
    MemoryStore,
    RateLimited,
    StoreError,
)
from gp_aiogram.delivery.courier import Courier
from gp_aiogram.delivery.lane import LEASE, LOOK_AGAIN, Lane
from gp_aiogram.delivery.pacing import PROBE_LONGEST, PROBE_REFUSED
from gp_aiogram.model.event import utc_from_timestamp
from gp_aiogram.testing import ManualClock

#: The same examples each time, however slow the machine is.
steady = settings(deadline=None, derandomize=True)

HOUR, DAY = 3600.0, 86_400.0

DOWN, FORBIDDEN = "HTTP 502", "HTTP 403"

#: Seconds of real time within which anything prompt has happened, on a slow machine too.
SOON = 5.0

Answer = Callable[[Sequence[Event]], Awaitable[Any]]


class Scripted(Destination):
    """Answers each request with the next thing it was told, and takes everything after that.

    An error is raised, a function is awaited with the events, anything else is returned.
    """

    def __init__(self, *script: Any, name: str = "shop", ambiguous: Any = "retry") -> None:
        self.name = name
        self.ambiguous = ambiguous
        self.script = list(script)
        self.requests: list[list[str]] = []
        self.taken: list[str] = []
        self.closed = 0

    async def send(self, events: Sequence[Event]) -> Any:
        ids = [event.event_id for event in events]
        self.requests.append(ids)
        step = self.script.pop(0) if self.script else None
        if isinstance(step, BaseException):
            raise step
        answer = await step(events) if callable(step) else step
        self.taken += ids
        return answer

    async def close(self) -> None:
        self.closed += 1


class Batching(Scripted):
    """Takes a thousand events in one request, and one request at a time."""

    batch_size: ClassVar[int] = 1000
    concurrency: ClassVar[int] = 1


class Picky(Batching):
    """Refuses every batch that has a bad event in it, without saying which."""

    def __init__(self, bad: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.bad = frozenset(bad)

    async def send(self, events: Sequence[Event]) -> Any:
        if found := self.bad.intersection(event.event_id for event in events):
            self.requests.append([event.event_id for event in events])
            msg = f"HTTP 400: {len(found)} bad of {len(events)}"
            raise EventRejected(msg)
        return await super().send(events)


class Watched(MemoryStore):
    """Counts the rows that are written."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.written: list[str] = []
        self.calls: list[str] = []

    async def claim(self, destination: str, limit: int, *, lease: float) -> list[Delivery]:
        self.calls.append("claim")
        return await super().claim(destination, limit, lease=lease)

    async def settle(self, settlements: Any) -> None:
        self.calls.append("settle")
        self.written += [settlement.delivery.event.event_id for settlement in settlements]
        await super().settle(settlements)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def outbox(clock: ManualClock) -> Watched:
    return Watched(clock)


def middle() -> float:
    """Draw no spread."""
    return 0.5


def lane_to(destination: Destination, outbox: MemoryStore) -> Lane:
    return Lane(destination, outbox, random=middle)


async def accept(outbox: MemoryStore, *ids: str, age: float = 0, to: Sequence[str] = ()) -> None:
    """Put events into the outbox.

    :param age: how many seconds ago they happened.
    """
    happened = utc_from_timestamp(outbox.clock.time() - age)
    for event_id in ids:
        event = Event(event_id=event_id, name="REG", event_time=happened, telegram_id=42)
        assert await outbox.accept(event, to or ["shop"])


async def the(outbox: MemoryStore, event_id: str) -> Delivery:
    (delivery,) = await outbox.deliveries(event_id)
    return delivery


async def states(outbox: MemoryStore) -> dict[str, int]:
    return dict((await outbox.counts()).get("shop", {}))


async def rounds(lane: Lane, clock: ManualClock, seconds: float) -> None:
    """Let the lane run for so long by its clock, which takes no time."""
    end = clock.monotonic() + seconds
    while (left := end - clock.monotonic()) > 0:
        clock.advance(min(await lane.round(), left))


def numbered(count: int) -> list[str]:
    return [f"e{number:04}" for number in range(count)]


# Outcomes


async def test_what_was_taken_is_delivered_with_its_receipt(outbox):
    shop = Scripted([{"event_id": "evt_1"}])
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    assert await lane.round() == 0
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts, delivery.reason) == ("delivered", 0, None)
    assert delivery.receipt == {"event_id": "evt_1"}
    assert shop.requests == [["e1"]]
    assert lane.counts == {"delivered": 1}


async def test_a_destination_may_have_no_receipts(outbox):
    await accept(outbox, "e1")
    await lane_to(Scripted(None), outbox).round()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.receipt) == ("delivered", {})


async def test_each_event_of_a_batch_gets_its_own_receipt(outbox):
    await accept(outbox, "e1", "e2", "e3")
    await lane_to(Batching([{"n": 1}, {"n": 2}, {"n": 3}]), outbox).round()
    assert [(await the(outbox, f"e{n}")).receipt["n"] for n in (1, 2, 3)] == [1, 2, 3]


@pytest.mark.parametrize(
    "receipts", [[], [{"n": 1}], [{}] * 3, {"n": 1, "m": 2}, 5, "ok", [None, None]]
)
async def test_receipts_that_do_not_fit_are_left_out_and_the_events_stay_delivered(
    outbox, clock, caplog, receipts
):
    shop = Batching(receipts)
    await accept(outbox, "e1", "e2")
    lane = lane_to(shop, outbox)
    await rounds(lane, clock, 2 * LEASE)
    assert await states(outbox) == {"delivered": 2}
    assert (await the(outbox, "e1")).receipt == {}
    assert len(shop.requests) == 1
    assert "must return a receipt for each event or None" in caplog.text


async def test_what_is_not_meant_for_a_destination_is_skipped_with_the_reason(outbox):
    await accept(outbox, "e1")
    lane = lane_to(Scripted(EventSkipped("no click")), outbox)
    await lane.round()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts, delivery.reason) == ("skipped", 0, "no click")
    assert await outbox.dead_letters() == []
    assert lane.counts == {"skipped": 1}


async def test_what_will_never_be_taken_is_a_dead_letter_with_the_reason(outbox, caplog):
    await accept(outbox, "e1")
    lane = lane_to(Scripted(EventRejected("HTTP 400: no such event")), outbox)
    await lane.round()
    (letter,) = await outbox.dead_letters()
    assert letter.event.event_id == "e1"
    assert (letter.state, letter.reason) == ("dead", "HTTP 400: no such event")
    assert lane.counts == {"dead": 1}
    assert "shop: 1 event(s) given up: HTTP 400: no such event" in caplog.messages


async def test_what_failed_is_tried_again_later_and_later(outbox, clock):
    shop = Scripted(DeliveryFailed("HTTP 503"), DeliveryFailed("HTTP 500", ambiguous=True))
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.round()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts, delivery.reason) == ("pending", 1, "HTTP 503")
    assert await lane.round() == 2
    clock.advance(2)
    await lane.round()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts) == ("pending", 2)
    assert delivery.reason == "may have been taken: HTTP 500"
    assert await lane.round() == 6
    clock.advance(6)
    await lane.round()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.reason) == ("delivered", None)
    assert shop.requests == [["e1"]] * 3
    assert lane.counts == {"retried": 2, "delivered": 1}


async def test_a_doubt_about_one_try_stays_through_the_next(outbox, clock):
    lost, down = DeliveryFailed("HTTP 500", ambiguous=True), DeliveryFailed("HTTP 503")
    shop = Scripted(lost, down, RateLimited("slow down", retry_after=1), EventRejected("HTTP 400"))
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    reasons = []
    for _ in range(4):
        await lane.round()
        reasons.append((await the(outbox, "e1")).reason)
        clock.advance(60)
    assert reasons == [
        "may have been taken: HTTP 500",
        "may have been taken: HTTP 503",
        "may have been taken: HTTP 503",
        "may have been taken: HTTP 400",
    ]


async def test_retries_are_spread(outbox):
    draws = iter([0.0, 0.25, 0.75])
    await accept(outbox, "e1", "e2", "e3")
    shop = Scripted(*[DeliveryFailed("HTTP 503")] * 3)
    await Lane(shop, outbox, random=lambda: next(draws)).round()
    waits = [(await the(outbox, f"e{n}")).due.timestamp() - outbox.clock.time() for n in (1, 2, 3)]
    assert waits == [1.0, 1.5, 2.5]


async def test_an_error_of_another_kind_loses_nothing_and_is_logged_once_with_its_traceback(
    outbox, clock, caplog
):
    shop = Batching(ZeroDivisionError("division by zero"))
    await accept(outbox, "e1", "e2")
    lane = lane_to(shop, outbox)
    await lane.round()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    assert delivery.reason == "may have been taken: ZeroDivisionError in send(), see the log"
    (record,) = caplog.records
    assert "send() failed unexpectedly" in record.getMessage()
    assert record.exc_info is not None
    await rounds(lane, clock, 10)
    assert await states(outbox) == {"delivered": 2}


async def test_a_reason_that_is_no_text_becomes_one(outbox):
    await accept(outbox, "e1")
    await lane_to(Scripted(EventRejected(ValueError("bad"))), outbox).round()
    assert (await the(outbox, "e1")).reason == "bad"


async def test_events_go_out_in_the_order_in_which_they_were_accepted(outbox):
    shop = Batching()
    ids = numbered(30)
    await accept(outbox, *ids)
    await lane_to(shop, outbox).round()
    assert shop.requests == [ids]


async def test_single_events_go_out_sixteen_at_a_time(outbox, clock):
    under_way = most = 0

    async def slow(_: Sequence[Event]) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    shop = Scripted(*[slow] * 40)
    await accept(outbox, *numbered(40))
    await rounds(lane_to(shop, outbox), clock, 1)
    assert most == 16
    assert await states(outbox) == {"delivered": 40}


async def test_without_anything_due_the_lane_looks_again_after_a_minute_at_most(outbox, clock):
    lane = lane_to(Scripted(*[DeliveryFailed("HTTP 503")] * 5), outbox)
    assert await lane.round() == LOOK_AGAIN
    await accept(outbox, "e1")
    await rounds(lane, clock, 100)
    assert (await the(outbox, "e1")).due > utc_from_timestamp(clock.time() + LOOK_AGAIN)
    assert await lane.round() == LOOK_AGAIN


# Pauses, asked for or because of credentials


@pytest.mark.parametrize(
    ("error", "state", "wait"),
    [
        (RateLimited("HTTP 429"), "throttled", 60),
        (RateLimited("HTTP 429", retry_after=7), "throttled", 7),
        (DestinationMisconfigured("HTTP 401"), "refused", PROBE_REFUSED),
    ],
)
async def test_a_pause_counts_no_attempt_and_writes_no_row(outbox, error, state, wait):
    await accept(outbox, "e1", "e2")
    before = [await the(outbox, "e1"), await the(outbox, "e2")]
    lane = lane_to(Scripted(error, error), outbox)
    assert await lane.round() == wait
    assert lane.state == state
    assert [await the(outbox, "e1"), await the(outbox, "e2")] == before
    assert outbox.written == []
    assert lane.counts == {}


@pytest.mark.parametrize("error", [RateLimited("HTTP 429"), DestinationMisconfigured("HTTP 401")])
async def test_during_a_pause_the_outbox_is_left_alone(outbox, clock, error):
    await accept(outbox, "e1")
    lane = lane_to(Scripted(error), outbox)
    await lane.round()
    outbox.calls.clear()
    for _ in range(5):
        clock.advance(5)
        assert await lane.round() > 0
    assert outbox.calls == []


async def test_a_throttled_destination_gets_everything_once_it_has_waited(outbox, clock):
    shop = Batching(RateLimited("HTTP 429", retry_after=30))
    await accept(outbox, *numbered(500))
    lane = lane_to(shop, outbox)
    clock.advance(await lane.round())
    await lane.round()
    assert [len(request) for request in shop.requests] == [500, 500]
    assert await states(outbox) == {"delivered": 500}


async def test_throttling_for_days_uses_up_no_attempt(outbox, clock):
    shop = Scripted(*[RateLimited("HTTP 429", retry_after=3600)] * 72)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, clock, 3 * DAY)
    assert (await the(outbox, "e1")).attempts == 0
    await lane.round()
    assert await states(outbox) == {"delivered": 1}


async def test_a_bad_key_pauses_the_destination_and_keeps_every_event_for_days(outbox, clock):
    shop = Batching(*[DestinationMisconfigured("HTTP 401: bad key")] * 10_000)
    ids = numbered(2000)
    await accept(outbox, *ids)
    lane = lane_to(shop, outbox)
    await rounds(lane, clock, 3 * DAY)
    assert lane.state == "refused"
    assert await states(outbox) == {"pending": 2000}
    probes = [len(request) for request in shop.requests[1:]]
    assert set(probes) == {1}
    assert len(probes) == 3 * DAY / PROBE_REFUSED - 1
    assert {(await the(outbox, event_id)).attempts for event_id in ids} == {0}
    # Somebody mends the key.
    shop.script.clear()
    shop.requests.clear()
    await rounds(lane, clock, PROBE_REFUSED + 1)
    assert lane.state == "open"
    assert [len(request) for request in shop.requests] == [1, 10, 100, 1000, 889]
    assert sorted(shop.taken) == ids


@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
async def test_an_event_that_is_refused_for_its_own_sake_does_not_block_the_others(
    outbox, clock, ambiguous
):
    class Firewall(Scripted):
        async def send(self, events: Sequence[Event]) -> Any:
            if events[0].event_id == "evil":
                raise DestinationMisconfigured(FORBIDDEN)
            return await super().send(events)

    shop = Firewall(ambiguous=ambiguous)
    await accept(outbox, "evil", *numbered(200))
    lane = lane_to(shop, outbox)
    await rounds(lane, clock, HOUR)
    assert sorted(shop.taken) == numbered(200)
    evil = await the(outbox, "evil")
    assert (evil.state, evil.attempts) == ("pending", 0)
    await accept(outbox, "later")
    await rounds(lane, clock, HOUR)
    assert "later" in shop.taken


# Age


async def test_an_event_over_the_platforms_age_limit_is_never_sent_and_the_rest_is(outbox):
    shop = Batching()
    shop.max_age = timedelta(days=7)
    await accept(outbox, "old", age=7 * DAY + 1)
    await accept(outbox, "young", age=7 * DAY)
    await accept(outbox, "older", age=8 * DAY)
    await lane_to(shop, outbox).round()
    assert shop.requests == [["young"]]
    assert [letter.event.event_id for letter in await outbox.dead_letters()] == ["old", "older"]
    assert (await the(outbox, "old")).reason == "over age: the event is older than 7 days"


async def test_without_an_age_limit_an_old_event_is_sent(outbox):
    shop = Scripted()
    await accept(outbox, "old", age=10_000 * DAY)
    await lane_to(shop, outbox).round()
    assert shop.taken == ["old"]


async def test_no_age_is_too_long_to_be_a_limit(outbox):
    shop = Scripted()
    shop.max_age = shop.retry_for = timedelta.max
    await accept(outbox, "e1", age=10_000 * DAY)
    await lane_to(shop, outbox).round()
    assert shop.taken == ["e1"]


async def test_a_batch_of_nothing_but_old_events_is_not_sent(outbox):
    shop = Batching()
    shop.max_age = timedelta(days=1)
    await accept(outbox, *numbered(5), age=2 * DAY)
    lane = lane_to(shop, outbox)
    await lane.round()
    assert shop.requests == []
    assert await states(outbox) == {"dead": 5}
    assert lane.counts == {"dead": 5}


async def test_an_event_that_never_gets_through_is_given_up_after_30_days_of_trying(outbox, clock):
    shop = Scripted(*[DeliveryFailed("HTTP 500")] * 10_000)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, clock, 29.9 * DAY)
    assert await states(outbox) == {"pending": 1}
    await rounds(lane, clock, 0.2 * DAY)
    (letter,) = await outbox.dead_letters()
    assert letter.reason == "over age: tried for 30 days, last: HTTP 500"
    assert letter.attempts < 30 * 24 * 2


async def test_a_replayed_event_gets_its_days_and_attempts_again_and_keeps_its_id(outbox, clock):
    shop = Scripted(*[DeliveryFailed("HTTP 500")] * 10_000)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, clock, 31 * DAY)
    assert await states(outbox) == {"dead": 1}
    assert await outbox.replay("shop") == 1
    await lane.round()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    shop.script.clear()
    await rounds(lane, clock, 1 * DAY)
    assert shop.taken == ["e1"]
    assert await states(outbox) == {"delivered": 1}


# Outages


async def test_a_seven_day_outage_loses_nothing_that_is_within_the_age_limit(outbox, clock):
    shop = Batching(*[DeliveryFailed("HTTP 502")] * 100_000)
    shop.max_age = timedelta(days=7)
    lane = lane_to(shop, outbox)
    await accept(outbox, *(f"old{number}" for number in range(300)), age=1 * DAY)
    await rounds(lane, clock, HOUR)
    assert lane.state == "failing"

    during: list[str] = []
    for hour in range(1, 7 * 24):
        batch = [f"h{hour}-{number}" for number in range(15)]
        await accept(outbox, *batch)
        during += batch
        await rounds(lane, clock, HOUR)

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
    await rounds(lane, clock, 2 * HOUR)
    assert lane.state == "open"
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
    await lane.round()
    assert lane.state == "failing"
    outbox.calls.clear()
    for _ in range(4):
        assert await lane.round() > 0
        clock.advance(1)
    assert outbox.calls == []
    clock.advance(1)
    await lane.round()
    assert outbox.calls == ["claim", "settle"]


async def test_a_wave_of_failures_counts_once_for_each_event(outbox):
    async def fail_together(_: Sequence[Event]) -> None:
        await asyncio.sleep(0)
        raise DeliveryFailed(DOWN)

    await accept(outbox, *numbered(16))
    lane = lane_to(Scripted(*[fail_together] * 16), outbox)
    assert await lane.round() == 5
    assert [(await the(outbox, event_id)).attempts for event_id in numbered(16)] == [1] * 16
    assert lane.counts == {"retried": 16}


async def test_a_lone_event_meets_the_recovery_within_its_longest_wait(outbox, clock):
    shop = Scripted(*[DeliveryFailed("HTTP 502")] * 10_000)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, clock, 7 * DAY)
    assert (await the(outbox, "e1")).attempts < 7 * 24 + 10
    shop.script.clear()
    await rounds(lane, clock, 1.5 * HOUR)
    assert shop.taken == ["e1"]


async def test_a_new_event_probes_a_failing_destination_without_waiting_for_old_ones(
    outbox, clock
):
    shop = Scripted(*[DeliveryFailed("HTTP 502")] * 10_000)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, clock, 7 * DAY)
    shop.script.clear()
    await accept(outbox, "new")
    await rounds(lane, clock, PROBE_LONGEST + 1)
    assert "new" in shop.taken


async def test_setting_the_wall_clock_back_delays_nothing(outbox, clock):
    shop = Scripted(*[DeliveryFailed("HTTP 502")] * 3)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, clock, 10)
    clock.jump(-30 * DAY)
    await rounds(lane, clock, 2 * HOUR)
    assert shop.taken == ["e1"]


# Bad events in a batch


@pytest.mark.parametrize("position", [0, 1, 2, 124, 333, 499, 500, 501, 624, 750, 998, 999])
async def test_one_bad_event_of_a_thousand_is_found_and_the_others_are_delivered(outbox, position):
    ids = numbered(1000)
    bad = ids[position]
    shop = Picky([bad])
    await accept(outbox, *ids)
    lane = lane_to(shop, outbox)
    await lane.round()
    (letter,) = await outbox.dead_letters()
    assert (letter.event.event_id, letter.reason) == (bad, "HTTP 400: 1 bad of 1")
    assert sorted(shop.taken) == [event_id for event_id in ids if event_id != bad]
    assert await states(outbox) == {"delivered": 999, "dead": 1}
    assert len(shop.requests) - 1 <= 20
    assert lane.state == "open"
    assert lane.counts == {"delivered": 999, "dead": 1}


@pytest.mark.parametrize(
    "bad",
    [
        [0, 999],
        [499, 500],
        [0, 1, 2, 3],
        [3, 250, 500, 750, 999],
        range(0, 1000, 100),
        range(500),
        range(1000),
    ],
)
async def test_several_bad_events_are_found_and_the_others_are_delivered(outbox, bad):
    ids = numbered(1000)
    bad_ids = [ids[position] for position in bad]
    shop = Picky(bad_ids)
    await accept(outbox, *ids)
    lane = lane_to(shop, outbox)
    await lane.round()
    assert [letter.event.event_id for letter in await outbox.dead_letters(limit=1000)] == bad_ids
    assert sorted(shop.taken) == sorted(set(ids) - set(bad_ids))
    assert len(shop.requests) - 1 <= 20 * len(bad_ids)
    assert await lane.round() == LOOK_AGAIN


@steady
@given(st.sets(st.integers(min_value=0, max_value=32)), st.sampled_from(["retry", "hold"]))
def test_the_search_gives_every_event_its_due(bad, ambiguous):
    async def deliver() -> None:
        outbox = Watched(ManualClock())
        ids = numbered(33)
        bad_ids = [ids[position] for position in sorted(bad)]
        shop = Picky(bad_ids, ambiguous=ambiguous)
        await accept(outbox, *ids)
        await lane_to(shop, outbox).round()
        dead = [letter.event.event_id for letter in await outbox.dead_letters()]
        assert dead == bad_ids
        assert sorted(shop.taken) == sorted(set(ids) - set(bad_ids))

    asyncio.run(deliver())


async def test_a_batch_that_is_rejected_for_another_reason_is_delivered_piece_by_piece(outbox):
    shop = Batching(EventRejected("HTTP 413"))
    await accept(outbox, *numbered(8))
    await lane_to(shop, outbox).round()
    assert sorted(shop.taken) == numbered(8)
    assert await states(outbox) == {"delivered": 8}


@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
@pytest.mark.parametrize(
    "error", [RateLimited("HTTP 429", retry_after=30), DestinationMisconfigured("HTTP 401")]
)
async def test_a_pause_in_the_middle_of_the_search_puts_the_rest_back(
    outbox, clock, error, ambiguous
):
    shop = Batching(EventRejected("HTTP 400"), error, ambiguous=ambiguous)
    await accept(outbox, *numbered(8))
    lane = lane_to(shop, outbox)
    await lane.round()
    assert len(shop.requests) == 2
    assert await states(outbox) == {"pending": 8}
    await rounds(lane, clock, 2 * PROBE_REFUSED)
    assert sorted(shop.taken) == numbered(8)
    assert {(await the(outbox, event_id)).attempts for event_id in numbered(8)} == {0}


async def test_a_failure_in_the_middle_of_the_search_concerns_its_part_only(outbox, clock):
    shop = Batching(EventRejected("HTTP 400"), DeliveryFailed("HTTP 503"))
    await accept(outbox, *numbered(8))
    lane = lane_to(shop, outbox)
    await lane.round()
    assert await states(outbox) == {"pending": 4, "delivered": 4}
    await rounds(lane, clock, 10)
    assert await states(outbox) == {"delivered": 8}


# Holding back what may have been taken


def held(*script: Any, kind: type[Scripted] = Scripted) -> Scripted:
    return kind(*script, ambiguous="hold")


async def test_held_or_not_a_failure_that_took_nothing_is_tried_again(outbox, clock):
    shop = held(DeliveryFailed("refused"), DeliveryFailed("HTTP 503"))
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.round()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts, delivery.reason) == ("pending", 1, "refused")
    await rounds(lane, clock, 60)
    assert (await the(outbox, "e1")).state == "delivered"
    assert len(shop.requests) == 3
    assert await outbox.dead_letters() == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeliveryFailed("HTTP 500", ambiguous=True), "may have been taken: HTTP 500"),
        (OSError("?"), "may have been taken: OSError in send(), see the log"),
    ],
)
async def test_a_failure_that_may_hide_a_success_is_held(outbox, clock, error, reason):
    shop = held(error)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, clock, 31 * DAY)
    (letter,) = await outbox.dead_letters()
    assert (letter.event.event_id, letter.reason) == ("e1", reason)
    assert shop.requests == [["e1"]]
    assert lane.counts == {"dead": 1}


async def test_a_held_event_is_sent_with_the_same_id_when_somebody_decides_so(outbox, clock):
    shop = held(DeliveryFailed("HTTP 500", ambiguous=True))
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.round()
    assert await outbox.replay(event_id="e1") == 1
    await rounds(lane, clock, 1)
    assert shop.taken == ["e1"]
    assert await states(outbox) == {"delivered": 1}


async def test_a_held_success_is_delivered_and_no_dead_letter(outbox):
    await accept(outbox, "e1", "e2")
    lane = lane_to(held([{"n": 1}], EventRejected("HTTP 400")), outbox)
    await lane.round()
    first, second = await the(outbox, "e1"), await the(outbox, "e2")
    assert (first.state, first.reason, first.receipt) == ("delivered", None, {"n": 1})
    assert (second.state, second.reason) == ("dead", "HTTP 400")
    assert lane.counts == {"delivered": 1, "dead": 1}


async def test_while_a_held_request_is_under_way_a_crash_would_find_it_held(outbox):
    async def look(_: Sequence[Event]) -> None:
        seen.append(await the(outbox, "e1"))

    seen: list[Delivery] = []
    await accept(outbox, "e1")
    await lane_to(held(look), outbox).round()
    (during,) = seen
    assert (during.state, during.reason) == ("dead", "may have been taken: no answer")


@pytest.mark.parametrize(
    "error", [RateLimited("HTTP 429", retry_after=30), DestinationMisconfigured("HTTP 401")]
)
async def test_a_held_request_that_meets_a_pause_is_put_back(outbox, clock, error):
    shop = held(error)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.round()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts) == ("pending", 0)
    await rounds(lane, clock, PROBE_REFUSED + 1)
    assert await states(outbox) == {"delivered": 1}


# The courier, in real time


class House:
    """Couriers that are stopped when the test ends."""

    def __init__(self, outbox: MemoryStore) -> None:
        self.outbox = outbox
        self.couriers: list[Courier] = []

    def __call__(self, *destinations: Destination, started: bool = True) -> Courier:
        courier = Courier(destinations, self.outbox, random=middle)
        self.couriers.append(courier)
        if started:
            courier.start()
        return courier


@pytest.fixture
async def house(outbox: Watched, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr("gp_aiogram.delivery.courier._CLOSING", 0.05)
    monkeypatch.setattr("gp_aiogram.delivery.lane.STORE_PAUSE", 0.01)
    house = House(outbox)
    yield house
    for courier in house.couriers:
        await courier.stop(grace=0)


async def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, "this takes too long"
        await asyncio.sleep(0.001)


async def hang(_: Sequence[Event]) -> None:
    await asyncio.Event().wait()


async def test_a_courier_delivers_to_every_destination(outbox, house):
    shop, bank = Scripted(name="shop"), Scripted(name="bank")
    await accept(outbox, "e1", to=["shop", "bank"])
    await accept(outbox, "e2", to=["bank"])
    courier = house(shop, bank)
    assert await courier.flush(SOON)
    assert (shop.taken, sorted(bank.taken)) == (["e1"], ["e1", "e2"])


async def test_waking_a_courier_delivers_at_once(outbox, house):
    shop = Scripted()
    courier = house(shop)
    assert await courier.flush(SOON)
    for number in range(20):
        await accept(outbox, f"e{number}")
        courier.wake(["shop"])
        started = time.monotonic()
        await until(lambda number=number: len(shop.taken) > number)
        assert time.monotonic() - started < SOON


async def test_waking_one_destination_leaves_the_others_asleep(outbox, house):
    shop, bank = Scripted(name="shop"), Scripted(name="bank")
    courier = house(shop, bank)
    await until(lambda: outbox.calls == ["claim", "claim"])
    await accept(outbox, "e1", to=["shop", "bank"])
    courier.wake(["shop"])
    await until(lambda: shop.taken)
    assert bank.taken == []
    courier.wake(["bank"])
    await until(lambda: bank.taken)


async def test_what_comes_during_a_request_is_delivered_right_after_it(outbox, house):
    async def gate(_: Sequence[Event]) -> None:
        await opened.wait()

    opened = asyncio.Event()
    shop = Scripted(gate)
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    await accept(outbox, "e2")
    courier.wake(["shop"])
    opened.set()
    await until(lambda: shop.taken == ["e1", "e2"])


async def test_a_hanging_destination_costs_another_nothing(outbox, house):
    dead, shop = Scripted(*[hang] * 1000, name="dead"), Scripted()
    await accept(outbox, *numbered(200), to=["shop", "dead"])
    house(shop, dead)
    await until(lambda: len(shop.taken) == 200)
    assert len(dead.requests) == dead.concurrency
    assert (await outbox.counts())["dead"] == {"pending": 200}


async def test_a_failing_destination_costs_another_nothing(outbox, house):
    down, shop = Scripted(*[DeliveryFailed("HTTP 500")] * 1000, name="down"), Scripted()
    await accept(outbox, *numbered(200), to=["shop", "down"])
    courier = house(shop, down)
    await until(lambda: len(shop.taken) == 200)
    assert courier.lanes["shop"].state == "open"
    assert courier.lanes["down"].state == "failing"


async def test_a_courier_without_destinations_starts_and_stops(house):
    courier = house()
    assert courier.running
    assert await courier.flush(SOON)
    await courier.stop(grace=SOON)
    assert not courier.running


async def test_starting_twice_delivers_once(outbox, house):
    shop = Scripted()
    courier = house(shop)
    courier.start()
    await accept(outbox, *numbered(50))
    courier.wake(["shop"])
    assert await courier.flush(SOON)
    assert len(shop.requests) == 50


# Stopping


async def test_stopping_lets_a_request_that_is_under_way_finish(outbox, house):
    async def slow(_: Sequence[Event]) -> list[dict[str, int]]:
        await asyncio.sleep(0.05)
        return [{"n": 1}]

    shop = Scripted(slow)
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    started = time.monotonic()
    await courier.stop(grace=SOON)
    assert time.monotonic() - started < SOON
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.receipt) == ("delivered", {"n": 1})
    assert shop.closed == 1
    assert not courier.running


async def test_stopping_begins_no_further_request(outbox, house):
    async def slow(_: Sequence[Event]) -> None:
        await asyncio.sleep(0.02)

    shop = Scripted(*[slow] * 100)
    await accept(outbox, *numbered(100))
    courier = house(shop)
    await until(lambda: shop.requests)
    await courier.stop(grace=SOON)
    assert len(shop.requests) == shop.concurrency
    assert await states(outbox) == {"delivered": 16, "pending": 84}


@pytest.mark.parametrize("grace", [0, 0.05])
async def test_stopping_does_not_wait_for_a_request_that_hangs(outbox, house, grace):
    shop = Scripted(*[hang] * 3)
    await accept(outbox, *numbered(3))
    courier = house(shop)
    await until(lambda: len(shop.requests) == 3)
    started = time.monotonic()
    await courier.stop(grace)
    assert grace <= time.monotonic() - started + 0.01 < grace + 1
    assert await states(outbox) == {"pending": 3}
    assert {(await the(outbox, event_id)).attempts for event_id in numbered(3)} == {0}
    assert shop.closed == 1


async def test_stopping_does_not_wait_for_a_request_that_cannot_be_cancelled(outbox, house):
    async def stubborn(_: Sequence[Event]) -> None:
        while not opened.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await opened.wait()

    opened = asyncio.Event()
    shop = Scripted(stubborn)
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    started = time.monotonic()
    await courier.stop(grace=0.02)
    assert time.monotonic() - started < 1
    opened.set()
    await until(lambda: shop.taken)


async def test_a_destination_that_cannot_close_holds_nothing_up(outbox, house, caplog):
    class Stuck(Scripted):
        async def close(self) -> None:
            await hang([])

    class Broken(Scripted):
        async def close(self) -> None:
            raise OSError

    shop = Scripted()
    courier = house(Stuck(name="stuck"), Broken(name="broken"), shop)
    await asyncio.sleep(0)
    started = time.monotonic()
    await courier.stop(grace=1)
    assert time.monotonic() - started < 1
    assert shop.closed == 1
    assert "failed" in caplog.text


async def test_stopping_right_after_starting_takes_no_time(house):
    courier = house(Scripted())
    started = time.monotonic()
    await courier.stop(grace=SOON)
    assert time.monotonic() - started < 1


async def test_stopping_what_was_never_started_does_nothing(house):
    shop = Scripted()
    courier = house(shop, started=False)
    await courier.stop(grace=SOON)
    assert not courier.running
    assert shop.closed == 0


async def test_what_is_accepted_during_and_after_stopping_is_delivered_by_the_next_start(
    outbox, house
):
    shop = Scripted(hang)
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    stopping = asyncio.create_task(courier.stop(grace=0.03))
    await asyncio.sleep(0.01)
    await accept(outbox, "e2")
    courier.wake(["shop"])
    await stopping
    await accept(outbox, "e3")
    courier.wake(["shop"])
    await asyncio.sleep(0.01)
    assert shop.taken == []
    courier.start()
    assert await courier.flush(SOON)
    assert sorted(shop.taken) == ["e1", "e2", "e3"]


async def test_starting_while_stopping_goes_on_with_delivering(outbox, house):
    async def slow(_: Sequence[Event]) -> None:
        await asyncio.sleep(0.03)

    shop = Scripted(slow)
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    stopping = asyncio.create_task(courier.stop(grace=SOON))
    await asyncio.sleep(0)
    courier.start()
    await accept(outbox, "e2")
    courier.wake(["shop"])
    await stopping
    assert await courier.flush(SOON)
    assert sorted(shop.taken) == ["e1", "e2"]
    assert len(shop.requests) == 2


async def test_a_held_request_that_is_cut_off_by_stopping_is_held(outbox, house, clock):
    shop = held(hang)
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    await courier.stop(grace=0)
    (letter,) = await outbox.dead_letters()
    assert letter.reason == "may have been taken: no answer"
    clock.advance(2 * LEASE)
    courier.start()
    assert await courier.flush(SOON)
    assert shop.requests == [["e1"]]
    assert await outbox.replay() == 1
    courier.wake(["shop"])
    await until(lambda: shop.taken == ["e1"])


@pytest.mark.parametrize(
    ("ambiguous", "after"),
    [("retry", {"pending": 8}), ("hold", {"dead": 4, "pending": 4})],
)
async def test_stopping_in_the_middle_of_a_search_holds_only_what_was_under_way(
    outbox, house, ambiguous, after
):
    shop = Batching(EventRejected("HTTP 400"), hang, ambiguous=ambiguous)
    await accept(outbox, *numbered(8))
    courier = house(shop)
    await until(lambda: len(shop.requests) == 2)
    await courier.stop(grace=0)
    assert await states(outbox) == after
    courier.start()
    assert await courier.flush(SOON)
    await outbox.replay()
    courier.wake(["shop"])
    assert await courier.flush(SOON)
    assert sorted(shop.taken) == numbered(8)


# flush


async def test_flush_is_true_once_everything_is_delivered(outbox, house):
    shop = Scripted()
    courier = house(shop)
    await accept(outbox, *numbered(100))
    courier.wake(["shop"])
    assert await courier.flush(SOON)
    assert len(shop.taken) == 100


async def test_flush_waits_for_requests_that_are_under_way(outbox, house):
    async def slow(_: Sequence[Event]) -> None:
        await asyncio.sleep(0.03)

    shop = Scripted(slow)
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    assert await courier.flush(SOON)
    assert shop.taken == ["e1"]


@pytest.mark.parametrize("timeout", [0, 0.03])
async def test_flush_is_false_when_something_is_still_under_way(outbox, house, timeout):
    shop = Scripted(hang)
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    started = time.monotonic()
    assert not await courier.flush(timeout)
    assert time.monotonic() - started < timeout + 1


async def test_flush_is_false_while_the_breaker_keeps_events_back(outbox, house):
    courier = house(Scripted(*[DeliveryFailed("HTTP 500")] * 100))
    await accept(outbox, *numbered(50))
    courier.wake(["shop"])
    assert not await courier.flush(0.05)


async def test_flush_does_not_wait_for_a_retry_that_is_due_later(outbox, house):
    shop = Scripted(DeliveryFailed("HTTP 500"))
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    assert await courier.flush(SOON)
    assert (await the(outbox, "e1")).attempts == 1


async def test_flush_of_a_stopped_courier_tells_whether_something_is_due(outbox, house):
    courier = house(Scripted(), started=False)
    assert await courier.flush(SOON)
    await accept(outbox, "e1")
    started = time.monotonic()
    assert not await courier.flush(SOON)
    assert time.monotonic() - started < 1


async def test_several_may_flush_at_once(outbox, house):
    async def slow(_: Sequence[Event]) -> None:
        await asyncio.sleep(0.01)

    shop = Scripted(*[slow] * 40)
    await accept(outbox, *numbered(40))
    courier = house(shop)
    assert await asyncio.gather(*(courier.flush(SOON) for _ in range(5))) == [True] * 5
    assert len(shop.taken) == 40


async def test_after_a_short_batch_more_events_may_gather(outbox, house, monkeypatch):
    monkeypatch.setattr("gp_aiogram.delivery.lane.LINGER", 0.3)
    shop = Batching()
    courier = house(shop)
    for event_id in ("e1", "e2", "e3"):
        await accept(outbox, event_id)
        courier.wake(["shop"])
        await asyncio.sleep(0.01)
    assert await courier.flush(SOON)
    assert shop.requests == [["e1"], ["e2", "e3"]]


# A store that fails


def fail_once(outbox: MemoryStore, monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Have the next call of this method fail, and tell when it has."""
    works, failed = getattr(outbox, name), []

    async def fails(*args: Any, **options: Any) -> Any:
        if not failed:
            failed.append(name)
            msg = "disk full"
            raise StoreError(msg)
        return await works(*args, **options)

    monkeypatch.setattr(outbox, name, fails)
    return failed


async def test_an_outcome_that_cannot_be_stored_is_stored_later_and_not_sent_again(
    outbox, house, monkeypatch, caplog
):
    failed = fail_once(outbox, monkeypatch, "settle")
    shop = Scripted()
    await accept(outbox, "e1", "e2")
    courier = house(shop)
    await until(lambda: failed)
    assert await courier.flush(SOON)
    assert sorted(shop.taken) == ["e1", "e2"]
    assert await states(outbox) == {"delivered": 2}
    assert "an outcome could not be stored" in caplog.text


@pytest.mark.parametrize("name", ["claim", "settle", "next_due"])
async def test_a_store_that_fails_does_not_end_delivery(
    outbox, house, clock, monkeypatch, caplog, name
):
    monkeypatch.setattr("gp_aiogram.delivery.lane.SETTLE_PAUSES", ())
    failed = fail_once(outbox, monkeypatch, name)
    shop = Scripted()
    await accept(outbox, "e1", "e2")
    courier = house(shop)
    await until(lambda: failed)
    await until(lambda: "the store failed, trying again" in caplog.text)
    await accept(outbox, "e3")
    courier.wake(["shop"])
    await until(lambda: "e3" in shop.taken)
    # What could not be settled comes back when its lease is over.
    clock.advance(LEASE + 1)
    courier.wake(["shop"])
    await until(lambda: len(shop.taken) >= (4 if name == "settle" else 3))
    assert await courier.flush(SOON)
    assert await states(outbox) == {"delivered": 3}


async def test_a_store_that_fails_during_the_search_loses_nothing(
    outbox, house, clock, monkeypatch
):
    monkeypatch.setattr("gp_aiogram.delivery.lane.SETTLE_PAUSES", ())
    failed = fail_once(outbox, monkeypatch, "settle")
    shop = Picky(["e0002"])
    await accept(outbox, *numbered(8))
    courier = house(shop)
    await until(lambda: failed)
    await until(lambda: not courier.lanes["shop"].busy)
    clock.advance(LEASE + 1)
    courier.wake(["shop"])
    await until(lambda: set(shop.taken) == set(numbered(8)) - {"e0002"})
    assert await courier.flush(SOON)
    assert await states(outbox) == {"delivered": 7, "dead": 1}


async def test_when_settling_fails_the_other_requests_of_the_round_are_still_waited_for(
    outbox, house, monkeypatch
):
    async def slow(_: Sequence[Event]) -> None:
        await asyncio.sleep(0.03)

    failed = fail_once(outbox, monkeypatch, "settle")
    shop = Scripted(None, slow)
    await accept(outbox, "e1", "e2")
    courier = house(shop)
    await until(lambda: failed)
    assert courier.lanes["shop"].busy
    assert await courier.flush(SOON)
    assert (await the(outbox, "e2")).state == "delivered"
