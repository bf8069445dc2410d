"""What is kept of each failed try."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest

from fixtures.delivery import (
    DAY,
    Batching,
    Picky,
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
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    EventSkipped,
    RateLimited,
)
from gp_aiogram.delivery.tries import FIRST, LAST, LONGEST_REASON
from gp_aiogram.destinations.base import Processing
from gp_aiogram.model.clock import from_ms
from gp_aiogram.stores.records import Delivery, Try


def moment(clock):
    return from_ms(round(clock.time() * 1000))


async def tried(outbox, clock, *script, **options):
    """Send an event until the script has ended, and return its tries and their moments."""
    await accept(outbox, "e1")
    lane = lane_to(Scripted(*script, **options), outbox)
    moments = []
    for _ in script:
        clock.advance(60 * 60)
        moments.append(moment(clock))
        await lane.run_once()
    return (await the(outbox, "e1")).tries, moments


async def test_each_failed_try_is_kept_with_its_answer(outbox, clock):
    tries, (first, second, third, _) = await tried(
        outbox,
        clock,
        DeliveryFailed("HTTP 503: try later", status=HTTPStatus.SERVICE_UNAVAILABLE),
        DeliveryFailed("no answer", ambiguous=True),
        DeliveryFailed("HTTP 502: nginx", ambiguous=True, status=502),
        None,
    )
    assert tries == (
        Try(1, first, "failed", 503, "HTTP 503: try later"),
        Try(2, second, "unsure", None, "no answer"),
        Try(3, third, "unsure", 502, "HTTP 502: nginx"),
    )
    assert await states(outbox) == {"delivered": 1}


async def test_what_is_delivered_at_once_has_none(outbox, clock):
    assert await tried(outbox, clock, None) == ((), [moment(clock)])


@pytest.mark.parametrize(
    "answer",
    [
        EventSkipped("no click"),
        RateLimited("HTTP 429", retry_after=1, status=429),
        DestinationMisconfigured("HTTP 401", status=401),
    ],
)
async def test_what_is_no_failure_of_the_event_is_no_try(outbox, clock, answer):
    tries, _ = await tried(outbox, clock, answer)
    assert tries == ()


async def test_what_cannot_be_prepared_was_not_tried(outbox, clock):
    class Choosy(Scripted):
        def prepare(self, event):
            raise EventRejected(event.event_id)

    await accept(outbox, "e1")
    await lane_to(Choosy(), outbox).run_once()
    dead = await the(outbox, "e1")
    assert (dead.state, dead.tries) == ("dead", ())


async def test_a_dead_letter_tells_its_tries_and_a_replay_goes_on_counting(outbox, clock):
    rejection = EventRejected("HTTP 400: no", status=400)
    await accept(outbox, "e1")
    lane = lane_to(Scripted(rejection, DeliveryFailed("HTTP 503", status=503)), outbox)
    first = moment(clock)
    await lane.run_once()
    assert (await the(outbox, "e1")).tries == (Try(1, first, "rejected", 400, "HTTP 400: no"),)
    clock.advance(60)
    await replay(outbox)
    await lane.run_once()
    again = await the(outbox, "e1")
    assert again.attempts == 1
    assert [(one.number, one.outcome) for one in again.tries] == [(1, "rejected"), (2, "failed")]


async def test_a_try_that_is_held_is_kept_once(outbox, clock):
    doubt = DeliveryFailed("no answer", ambiguous=True)
    tries, (first,) = await tried(outbox, clock, doubt, ambiguous="hold")
    assert tries == (Try(1, first, "unsure", None, "no answer"),)
    await accept(outbox, "e2")
    await lane_to(Scripted(ambiguous="hold"), outbox).run_once()
    taken = await the(outbox, "e2")
    assert (taken.state, taken.tries) == ("delivered", ())


async def test_a_try_that_was_cut_off_is_kept(outbox, clock):
    await accept(outbox, "e1")
    shop = Scripted(hang)
    lane = asyncio.create_task(lane_to(shop, outbox).run_once())
    await until(lambda: shop.requests)
    lane.cancel()
    await asyncio.wait([lane])
    (one,) = (await the(outbox, "e1")).tries
    assert one == Try(1, moment(clock), "stopped", None, "stopped before an answer came")


async def test_a_rejected_batch_is_a_try_of_all_of_its_events(outbox):
    await accept(outbox, *numbered(4))
    await drain(lane_to(Picky(bad=["e0002"]), outbox))
    (dead,) = await dead_letters(outbox)
    assert [(one.number, one.outcome, one.reason) for one in dead.tries] == [
        (1, "batch rejected", "HTTP 400: 1 bad of 4"),
        (2, "batch rejected", "HTTP 400: 1 bad of 2"),
        (3, "rejected", "HTTP 400: 1 bad of 1"),
    ]
    assert len((await the(outbox, "e0000")).tries) == 1


async def test_a_rejected_batch_keeps_its_status(outbox):
    await accept(outbox, "e1", "e2")
    await lane_to(Batching(EventRejected("no", status=422)), outbox).run_once()
    assert [one.status for one in (await the(outbox, "e1")).tries] == [422]


async def test_events_of_one_request_have_their_own_answers(outbox):
    await accept(outbox, "e1", "e2")
    answers = [{}, EventRejected("HTTP 207: no", status=207)]
    await lane_to(Batching(answers), outbox).run_once()
    assert (await the(outbox, "e1")).tries == ()
    assert [one.status for one in (await the(outbox, "e2")).tries] == [207]


async def test_questions_that_fail_are_tries_too(outbox, clock):
    class Slow(Scripted):
        async def follow_up(self, receipts):
            msg = "HTTP 500"
            raise DeliveryFailed(msg, status=500)

    await accept(outbox, "e1")
    lane = lane_to(Slow([Processing({"upload": 1}, 60)]), outbox)
    await lane.run_once()
    assert (await the(outbox, "e1")).tries == ()
    clock.advance(61)
    await lane.run_once()
    asked = await the(outbox, "e1")
    assert (asked.receipt, [one.status for one in asked.tries]) == ({"upload": 1}, [500])


async def test_of_many_tries_the_first_and_the_last_are_kept(outbox):
    await accept(outbox, "e1")
    errors = [DeliveryFailed(f"HTTP 503: number {n}") for n in range(1, 31)]
    await rounds(lane_to(Scripted(*errors), outbox), outbox, 20 * DAY)
    delivered = await the(outbox, "e1")
    assert (delivered.state, FIRST, LAST) == ("delivered", 1, 10)
    assert [one.number for one in delivered.tries] == [1, *range(21, 31)]
    assert [one.reason for one in delivered.tries[:2]] == [
        "HTTP 503: number 1",
        "HTTP 503: number 21",
    ]
    assert delivered.tries_left_out == 19


def test_none_of_no_tries_is_left_out(outbox):
    delivery = Delivery(None, "shop", "pending", 0, from_ms(0), from_ms(0))
    assert delivery.tries_left_out == 0
    one = Try(1, from_ms(0), "failed", None, "no")
    assert delivery._replace(tries=(one,)).tries_left_out == 0


async def test_a_long_reason_is_cut(outbox, clock):
    (one, two), _ = await tried(
        outbox, clock, DeliveryFailed("x" * LONGEST_REASON), DeliveryFailed("y" * 5000)
    )
    assert one.reason == "x" * LONGEST_REASON
    assert two.reason == "y" * (LONGEST_REASON - 1) + "…"


async def test_a_reason_drives_no_terminal(outbox, clock):
    (one,), _ = await tried(outbox, clock, DeliveryFailed("\x1b[2J"))
    assert one.reason == r"\x1b[2J"


async def test_a_status_that_is_no_number_is_none(outbox, clock):
    class Odd(DeliveryFailed):
        status = "teapot"

        def __init__(self):
            self.reason = "no"

    (one,), _ = await tried(outbox, clock, Odd())
    assert (one.status, one.reason) == (None, "no")


async def test_an_outbox_that_keeps_none_is_delivered_from_all_the_same(outbox, clock):
    settle = outbox.settle

    async def forgetful(outcomes):
        await settle([outcome._replace(tries=None) for outcome in outcomes])

    outbox.settle = forgetful
    tries, _ = await tried(outbox, clock, DeliveryFailed("no"), DeliveryFailed("no"), None)
    assert (tries, await states(outbox)) == ((), {"delivered": 1})
