"""What may have been taken although no answer says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from fixtures.delivery import (
    DAY,
    HOUR,
    Batching,
    Scripted,
    accept,
    dead_letters,
    drain,
    hang,
    lane_to,
    numbered,
    replay,
    rounds,
    states,
    the,
    until,
)
from gp_aiogram import (
    Delivery,
    DeliveryFailed,
    DestinationMisconfigured,
    Event,
    EventRejected,
    EventSkipped,
    RateLimited,
)
from gp_aiogram.delivery.pacing import PROBE_REFUSED

# One doubtful try


async def test_a_doubt_about_one_try_stays_through_the_next(outbox, clock):
    lost, down = DeliveryFailed("HTTP 500", ambiguous=True), DeliveryFailed("HTTP 503")
    shop = Scripted(lost, down, RateLimited("slow down", retry_after=1), EventRejected("HTTP 400"))
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    reasons = []
    for _ in range(4):
        await lane.run_once()
        delivery = await the(outbox, "e1")
        assert delivery.maybe_delivered
        reasons.append(delivery.reason)
        clock.advance(60)
    assert reasons == [
        "may have been taken: HTTP 500",
        "may have been taken: HTTP 503",
        "may have been taken: HTTP 503",
        "may have been taken: HTTP 400",
    ]


@pytest.mark.parametrize(
    ("error", "maybe_delivered"),
    [
        (DeliveryFailed("HTTP 500", ambiguous=True), True),
        (OSError("?"), True),
        (DeliveryFailed("HTTP 503"), False),
        (DeliveryFailed("may have been taken: says the platform"), False),
        (EventRejected("may have been taken: says the platform"), False),
        (EventSkipped("no click"), False),
        (RateLimited("HTTP 429"), False),
        (DestinationMisconfigured("HTTP 401"), False),
    ],
)
@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
async def test_only_an_ambiguous_failure_may_have_delivered(
    outbox, ambiguous, error, maybe_delivered
):
    await accept(outbox, "e1")
    await lane_to(Scripted(error, ambiguous=ambiguous), outbox).run_once()
    assert (await the(outbox, "e1")).maybe_delivered is maybe_delivered


async def test_a_doubt_ends_with_delivery(outbox):
    shop = Scripted(DeliveryFailed("HTTP 500", ambiguous=True))
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, outbox, 10)
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.reason) == ("delivered", None)
    assert not delivery.maybe_delivered


@pytest.mark.parametrize("end", [EventSkipped("no click"), EventRejected("HTTP 400")])
async def test_a_doubt_outlives_any_other_end(outbox, end):
    shop = Scripted(DeliveryFailed("HTTP 500", ambiguous=True), end)
    await accept(outbox, "e1")
    await rounds(lane_to(shop, outbox), outbox, 10)
    delivery = await the(outbox, "e1")
    assert delivery.state in ("skipped", "dead")
    assert delivery.maybe_delivered


async def test_a_doubt_outlives_the_age_limit_and_is_told_there(outbox):
    shop = Scripted(*[DeliveryFailed("HTTP 500", ambiguous=True)] * 10_000)
    shop.retry_for = timedelta(hours=1)
    await accept(outbox, "e1")
    await rounds(lane_to(shop, outbox), outbox, 3 * HOUR)
    (letter,) = await dead_letters(outbox)
    assert letter.reason.endswith("days, last: may have been taken: HTTP 500")
    assert letter.maybe_delivered


async def test_a_doubt_about_one_event_of_a_rejected_batch_stays_its_own(outbox, clock):
    shop = Batching(DeliveryFailed("HTTP 500", ambiguous=True), EventRejected("HTTP 400"))
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.run_once()
    await accept(outbox, "e2")
    clock.advance(2)
    await lane.run_once()
    first, second = await the(outbox, "e1"), await the(outbox, "e2")
    assert (first.maybe_delivered, first.reason) == (True, "may have been taken: HTTP 400")
    assert (second.maybe_delivered, second.reason) == (False, "HTTP 400")


async def test_a_request_that_is_cut_off_may_have_delivered(outbox):
    shop = Batching(hang)
    await accept(outbox, "e1", "e2")
    lane = lane_to(shop, outbox)
    running = asyncio.create_task(lane.run_once())
    await until(lambda: shop.requests)
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts, delivery.maybe_delivered) == ("pending", 0, True)
    assert delivery.reason == "may have been taken: stopped before an answer came"
    await lane.run_once()
    assert shop.taken == ["e1", "e2"]


async def test_an_answer_that_comes_in_spite_of_a_cancellation_counts(outbox):
    async def stubborn(_: Sequence[Event]) -> list[dict[str, int]]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return [{"n": 1}]

    shop = Scripted(stubborn)
    await accept(outbox, "e1")
    running = asyncio.create_task(lane_to(shop, outbox).run_once())
    await until(lambda: shop.requests)
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.receipt) == ("delivered", {"n": 1})


@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
async def test_a_pause_keeps_the_reason_of_the_last_failure(outbox, clock, ambiguous):
    shop = Scripted(DeliveryFailed("HTTP 503"), RateLimited("HTTP 429"), ambiguous=ambiguous)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.run_once()
    clock.advance(2)
    await lane.run_once()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts, delivery.reason) == ("pending", 1, "HTTP 503")


# Holding back


def held(*script: Any, kind: type[Scripted] = Scripted) -> Scripted:
    return kind(*script, ambiguous="hold")


async def test_held_or_not_a_failure_that_took_nothing_is_tried_again(outbox):
    shop = held(DeliveryFailed("refused"), DeliveryFailed("HTTP 503"))
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.run_once()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts, delivery.reason) == ("pending", 1, "refused")
    await rounds(lane, outbox, 60)
    assert (await the(outbox, "e1")).state == "delivered"
    assert len(shop.requests) == 3
    assert await dead_letters(outbox) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeliveryFailed("HTTP 500", ambiguous=True), "may have been taken: HTTP 500"),
        (OSError("?"), "may have been taken: OSError in send(), see the log"),
    ],
)
async def test_a_failure_that_may_hide_a_success_is_held(outbox, error, reason):
    shop = held(error)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, outbox, 31 * DAY)
    (letter,) = await dead_letters(outbox)
    assert (letter.event.event_id, letter.reason) == ("e1", reason)
    assert letter.maybe_delivered
    assert shop.requests == [["e1"]]
    assert lane.counts == {"dead": 1}


async def test_a_held_event_is_sent_with_the_same_id_when_somebody_decides_so(outbox):
    shop = held(DeliveryFailed("HTTP 500", ambiguous=True))
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.run_once()
    assert await replay(outbox) == 1
    await rounds(lane, outbox, 1)
    assert shop.taken == ["e1"]
    assert await states(outbox) == {"delivered": 1}


async def test_a_held_success_is_delivered_and_no_dead_letter(outbox, caplog):
    await accept(outbox, "e1", "e2")
    lane = lane_to(held([{"n": 1}], EventRejected("HTTP 400")), outbox)
    await lane.run_once()
    first, second = await the(outbox, "e1"), await the(outbox, "e2")
    assert (first.state, first.reason, first.receipt) == ("delivered", None, {"n": 1})
    assert (second.state, second.reason) == ("dead", "HTTP 400")
    assert caplog.messages == ["shop: 1 event(s) given up: HTTP 400"]
    assert lane.counts == {"delivered": 1, "dead": 1}


async def test_while_a_held_request_is_under_way_a_crash_would_find_it_held(outbox):
    async def look(_: Sequence[Event]) -> None:
        seen.append(await the(outbox, "e1"))

    seen: list[Delivery] = []
    await accept(outbox, "e1")
    await lane_to(held(look), outbox).run_once()
    (during,) = seen
    assert (during.state, during.reason) == ("dead", "may have been taken: no answer")
    assert during.maybe_delivered


@pytest.mark.parametrize(
    "error", [RateLimited("HTTP 429", retry_after=30), DestinationMisconfigured("HTTP 401")]
)
async def test_a_held_request_that_meets_a_pause_is_put_back(outbox, error):
    shop = held(error)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.run_once()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts, delivery.reason) == ("pending", 0, None)
    assert not delivery.maybe_delivered
    await rounds(lane, outbox, PROBE_REFUSED + 1)
    assert await states(outbox) == {"delivered": 1}


async def test_a_held_batch_that_is_rejected_is_searched_without_doubt(outbox):
    shop = held(EventRejected("HTTP 400"), kind=Batching)
    await accept(outbox, *numbered(4))
    lane = lane_to(shop, outbox)
    await lane.run_once()
    delivery = await the(outbox, "e0000")
    assert (delivery.state, delivery.maybe_delivered, delivery.batch_cap) == ("pending", False, 2)
    await drain(lane)
    assert await states(outbox) == {"delivered": 4}
    assert lane.counts == {"delivered": 4}
