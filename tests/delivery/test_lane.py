"""What becomes of a delivery."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fixtures.delivery import (
    HOUR,
    Batching,
    Scripted,
    WatchedOutbox,
    accept,
    dead_letters,
    lane_to,
    next_due,
    numbered,
    rounds,
    states,
    the,
    until,
)
from gp_aiogram import (
    DeliveryFailed,
    Destination,
    DestinationMisconfigured,
    Event,
    EventRejected,
    EventSkipped,
    RateLimited,
    StoreError,
)
from gp_aiogram.delivery.lane import LEASE, LOOK_AGAIN, Lane
from gp_aiogram.delivery.pacing import PROBE_REFUSED
from gp_aiogram.destinations.http import TOTAL_TIMEOUT
from gp_aiogram.model.clock import SystemClock
from gp_aiogram.model.event import utc_from_timestamp

# Outcomes


async def test_what_was_taken_is_delivered_with_its_receipt(outbox):
    shop = Scripted([{"event_id": "evt_1"}])
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    assert await lane.run_once() == 0
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts, delivery.reason) == ("delivered", 0, None)
    assert delivery.receipt == {"event_id": "evt_1"}
    assert shop.requests == [["e1"]]
    assert lane.counts == {"delivered": 1}


async def test_a_destination_may_have_no_receipts(outbox):
    await accept(outbox, "e1")
    await lane_to(Scripted(None), outbox).run_once()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.receipt) == ("delivered", {})


async def test_each_event_of_a_batch_gets_its_own_receipt(outbox):
    await accept(outbox, "e1", "e2", "e3")
    await lane_to(Batching([{"n": 1}, {"n": 2}, {"n": 3}]), outbox).run_once()
    assert [(await the(outbox, f"e{n}")).receipt["n"] for n in (1, 2, 3)] == [1, 2, 3]


@pytest.mark.parametrize(
    "receipts", [[], [{"n": 1}], [{}] * 3, {"n": 1, "m": 2}, 5, "ok", [None, None]]
)
async def test_receipts_that_do_not_fit_are_left_out_and_the_events_stay_delivered(
    outbox, caplog, receipts
):
    shop = Batching(receipts)
    await accept(outbox, "e1", "e2")
    lane = lane_to(shop, outbox)
    await rounds(lane, outbox, 2 * LEASE)
    assert await states(outbox) == {"delivered": 2}
    assert (await the(outbox, "e1")).receipt == {}
    assert len(shop.requests) == 1
    assert "must return a receipt for each event or None" in caplog.text


async def test_what_is_not_meant_for_a_destination_is_skipped_with_the_reason(outbox):
    await accept(outbox, "e1")
    lane = lane_to(Scripted(EventSkipped("no click")), outbox)
    await lane.run_once()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts, delivery.reason) == ("skipped", 0, "no click")
    assert await dead_letters(outbox) == []
    assert lane.counts == {"skipped": 1}


async def test_what_will_never_be_taken_is_a_dead_letter_with_the_reason(outbox, caplog):
    await accept(outbox, "e1")
    lane = lane_to(Scripted(EventRejected("HTTP 400: no such event")), outbox)
    await lane.run_once()
    (letter,) = await dead_letters(outbox)
    assert letter.event.event_id == "e1"
    assert (letter.state, letter.reason) == ("dead", "HTTP 400: no such event")
    assert lane.counts == {"dead": 1}
    assert "shop: 1 event(s) given up: HTTP 400: no such event" in caplog.messages


async def test_what_failed_is_tried_again_later_and_later(outbox, clock):
    shop = Scripted(DeliveryFailed("HTTP 503"), DeliveryFailed("HTTP 500", ambiguous=True))
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.run_once()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts, delivery.reason) == ("pending", 1, "HTTP 503")
    assert await next_due(outbox) == 2
    clock.advance(2)
    await lane.run_once()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts) == ("pending", 2)
    assert delivery.reason == "may have been taken: HTTP 500"
    assert await next_due(outbox) == 6
    clock.advance(6)
    await lane.run_once()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.reason) == ("delivered", None)
    assert shop.requests == [["e1"]] * 3
    assert lane.counts == {"retried": 2, "delivered": 1}


async def test_retries_are_spread(outbox):
    draws = iter([0.0, 0.25, 0.75])
    await accept(outbox, "e1", "e2", "e3")
    shop = Scripted(*[DeliveryFailed("HTTP 503")] * 3)
    await Lane(shop, outbox, clock=outbox.clock, random=lambda: next(draws)).run_once()
    waits = [(await the(outbox, f"e{n}")).due.timestamp() - outbox.clock.time() for n in (1, 2, 3)]
    assert waits == [1.0, 1.5, 2.5]


async def test_an_error_of_another_kind_loses_nothing_and_is_logged_once_with_its_traceback(
    outbox, caplog
):
    shop = Batching(ZeroDivisionError("division by zero"))
    await accept(outbox, "e1", "e2")
    lane = lane_to(shop, outbox)
    await lane.run_once()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    assert delivery.reason == "may have been taken: ZeroDivisionError in send(), see the log"
    (record,) = caplog.records
    assert "send() failed unexpectedly" in record.getMessage()
    assert record.exc_info is not None
    await rounds(lane, outbox, 10)
    assert await states(outbox) == {"delivered": 2}


@pytest.mark.parametrize("error", [asyncio.CancelledError(), asyncio.TimeoutError()])
async def test_a_request_that_cancels_itself_is_a_failed_try(outbox, caplog, error):
    shop = Scripted(error)
    await accept(outbox, "e1", "e2")
    lane = lane_to(shop, outbox)
    await lane.run_once()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    assert delivery.reason.endswith(f"{type(error).__name__} in send(), see the log")
    assert delivery.maybe_delivered
    assert "send() failed unexpectedly" in caplog.text
    await rounds(lane, outbox, 10)
    assert await states(outbox) == {"delivered": 2}


async def test_a_destination_whose_send_is_no_coroutine_loses_nothing(outbox):
    class Plain(Destination):
        name = "shop"

        def send(self, batch: Sequence[Event]) -> Any:
            raise OSError

    await accept(outbox, "e1")
    await lane_to(Plain(), outbox).run_once()
    assert (
        await the(outbox, "e1")
    ).reason == "may have been taken: OSError in send(), see the log"


async def test_a_reason_that_is_no_text_becomes_one(outbox):
    await accept(outbox, "e1")
    await lane_to(Scripted(EventRejected(ValueError("bad"))), outbox).run_once()
    assert (await the(outbox, "e1")).reason == "bad"


async def test_events_go_out_in_the_order_in_which_they_were_accepted(outbox):
    shop = Batching()
    ids = numbered(30)
    await accept(outbox, *ids)
    await lane_to(shop, outbox).run_once()
    assert shop.requests == [ids]


async def test_single_events_go_out_sixteen_at_a_time(outbox):
    under_way = most = 0

    async def slow(_: Sequence[Event]) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    shop = Scripted(*[slow] * 40)
    await accept(outbox, *numbered(40))
    await rounds(lane_to(shop, outbox), outbox, 1)
    assert most == 16
    assert await states(outbox) == {"delivered": 40}


async def test_without_anything_due_the_lane_looks_again_after_a_minute_at_most(outbox, clock):
    lane = lane_to(Scripted(*[DeliveryFailed("HTTP 503")] * 5), outbox)
    assert await lane.run_once() == LOOK_AGAIN
    await accept(outbox, "e1")
    await rounds(lane, outbox, 100)
    assert (await the(outbox, "e1")).due > utc_from_timestamp(clock.time() + LOOK_AGAIN)
    assert await lane.run_once() == LOOK_AGAIN


# An answer for each event


async def test_each_event_of_a_batch_may_have_an_outcome_of_its_own(outbox):
    shop = Batching(
        [
            {"n": 1},
            EventRejected("HTTP 400"),
            EventSkipped("no click"),
            DeliveryFailed("HTTP 500", ambiguous=True),
            DeliveryFailed("HTTP 503"),
        ]
    )
    await accept(outbox, *numbered(5))
    lane = lane_to(shop, outbox)
    assert await lane.run_once() == 0
    ends = [await the(outbox, event_id) for event_id in numbered(5)]
    assert [(end.state, end.attempts, end.reason) for end in ends] == [
        ("delivered", 0, None),
        ("dead", 0, "HTTP 400"),
        ("skipped", 0, "no click"),
        ("pending", 1, "may have been taken: HTTP 500"),
        ("pending", 1, "HTTP 503"),
    ]
    assert [end.maybe_delivered for end in ends] == [False, False, False, True, False]
    assert [end.batch_cap for end in ends] == [None] * 5
    assert lane.counts == {"delivered": 1, "dead": 1, "skipped": 1, "retried": 2}
    assert len(shop.requests) == 1


@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
@pytest.mark.parametrize(
    ("error", "state", "wait"),
    [
        (RateLimited("HTTP 429", retry_after=7), "throttled", 7),
        (DestinationMisconfigured("HTTP 401"), "refused", PROBE_REFUSED),
    ],
)
async def test_a_pause_for_some_events_of_a_batch_settles_the_others(
    outbox, ambiguous, error, state, wait
):
    shop = Batching([{"n": 1}, error, error], ambiguous=ambiguous)
    await accept(outbox, *numbered(3))
    lane = lane_to(shop, outbox)
    assert await lane.run_once() == wait
    assert lane.state == state
    assert (await the(outbox, "e0000")).state == "delivered"
    paused = await the(outbox, "e0001")
    assert (paused.state, paused.attempts, paused.reason) == ("pending", 0, None)
    assert not paused.maybe_delivered
    await rounds(lane, outbox, 3 * PROBE_REFUSED)
    assert await states(outbox) == {"delivered": 3}


async def test_the_longest_of_several_requested_waits_counts(outbox):
    shop = Batching([RateLimited("HTTP 429", retry_after=wait) for wait in (5, 90, 30)])
    await accept(outbox, *numbered(3))
    assert await lane_to(shop, outbox).run_once() == 90


async def test_a_request_counts_as_one_failure_however_many_events_failed(outbox):
    shop = Batching([DeliveryFailed("HTTP 500") for _ in range(100)])
    await accept(outbox, *numbered(100))
    lane = lane_to(shop, outbox)
    await lane.run_once()
    assert lane.state == "healthy"
    assert await states(outbox) == {"pending": 100}


async def test_a_destination_that_judges_some_events_is_healthy(outbox):
    async def half(batch: Sequence[Event]) -> list[Any]:
        return [{}, *[DeliveryFailed("HTTP 500") for _ in batch[1:]]]

    shop = Batching(*[half] * 20)
    await accept(outbox, *numbered(20))
    lane = lane_to(shop, outbox)
    await rounds(lane, outbox, HOUR)
    assert len(shop.requests) > 5
    assert lane.state == "healthy"


async def test_a_rejected_probe_proves_that_the_destination_is_back(outbox, clock):
    shop = Scripted(*[DeliveryFailed("HTTP 502")] * 5, EventRejected("HTTP 400"))
    await accept(outbox, *numbered(5))
    lane = lane_to(shop, outbox)
    clock.advance(await lane.run_once())
    assert lane.state == "failing"
    await lane.run_once()
    assert lane.state == "healthy"
    assert (await states(outbox))["dead"] == 1


# Long requests


async def test_a_claim_is_extended_for_as_long_as_a_request_takes(monkeypatch):
    async def slow(_: Sequence[Event]) -> None:
        started.set()
        await asyncio.sleep(0.5)

    monkeypatch.setattr("gp_aiogram.delivery.lane.LEASE", 0.15)
    started = asyncio.Event()
    outbox = WatchedOutbox(SystemClock())
    shop, other = Batching(slow), Batching()
    await accept(outbox, "e1", "e2")
    running = asyncio.create_task(lane_to(shop, outbox).run_once())
    await started.wait()
    while not running.done():
        await lane_to(other, outbox).run_once()
        await asyncio.sleep(0.01)
    assert other.requests == []
    assert await states(outbox) == {"delivered": 2}
    assert not any(task.get_coro().__name__ == "_extend" for task in asyncio.all_tasks())


async def test_a_claim_that_cannot_be_extended_is_tried_again(monkeypatch, caplog):
    async def fail(*_: Any) -> None:
        msg = "disk full"
        raise StoreError(msg)

    async def slow(_: Sequence[Event]) -> None:
        await until(lambda: caplog.text.count("could not be extended") > 1)

    monkeypatch.setattr("gp_aiogram.delivery.lane.LEASE", 0.05)
    outbox = WatchedOutbox(SystemClock())
    monkeypatch.setattr(outbox, "extend", fail)
    await accept(outbox, "e1")
    await lane_to(Scripted(slow), outbox).run_once()


def test_a_killed_workers_claims_are_back_within_a_minute():
    assert LEASE + LOOK_AGAIN < 60


def test_a_request_needs_no_second_extension_of_its_claim():
    assert LEASE > TOTAL_TIMEOUT
