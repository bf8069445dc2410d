"""A destination that takes events and tells later what became of them."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.delivery import Batching, WatchedOutbox, accept, lane_to, replay, states, the
from gp_aiogram import (
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    RateLimited,
    SQLiteStore,
    Tracker,
)
from gp_aiogram.destinations.base import Processing
from gp_aiogram.testing import ManualClock

TAKEN = Processing({"upload": 7}, check_after=600)


class Slow(Batching):
    """Takes everything, and answers questions as it was told."""

    def __init__(self, *answers: Any, **options: Any) -> None:
        super().__init__(**options)
        self.answers = list(answers)
        self.asked: list[list[Any]] = []

    async def send(self, batch):
        await super().send(batch)
        return [TAKEN] * len(batch)

    async def follow_up(self, receipts):
        self.asked.append([dict(receipt) for receipt in receipts])
        answer = self.answers.pop(0) if self.answers else {"status": "done"}
        if isinstance(answer, BaseException):
            raise answer
        return [answer] * len(receipts)


@pytest.fixture
def outbox() -> WatchedOutbox:
    return WatchedOutbox(ManualClock())


async def test_an_event_is_asked_about_and_not_sent_again(outbox):
    shop = Slow()
    lane = lane_to(shop, outbox)
    await accept(outbox, "e1", "e2")
    await lane.run_once()
    taken = await the(outbox, "e1")
    assert (taken.state, taken.receipt, taken.maybe_delivered) == ("pending", {"upload": 7}, True)
    assert lane.counts["delivered"] == 0
    assert await lane.run_once() > 0
    outbox.clock.advance(600)
    await lane.run_once()
    assert shop.requests == [["e1", "e2"]]
    assert shop.asked == [[{"upload": 7}, {"upload": 7}]]
    done = await the(outbox, "e1")
    assert (done.state, done.receipt, done.reason) == ("delivered", {"status": "done"}, None)
    assert lane.counts["delivered"] == 2


async def test_it_is_asked_again_until_it_knows(outbox):
    again = Processing({"upload": 7, "checks": 1}, check_after=300)
    shop = Slow(again)
    lane = lane_to(shop, outbox)
    await accept(outbox, "e1")
    await lane.run_once()
    outbox.clock.advance(600)
    await lane.run_once()
    assert (await the(outbox, "e1")).receipt == {"upload": 7, "checks": 1}
    outbox.clock.advance(300)
    await lane.run_once()
    assert shop.asked == [[{"upload": 7}], [{"upload": 7, "checks": 1}]]
    assert await states(outbox) == {"delivered": 1}


@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
async def test_a_question_that_fails_is_asked_again(outbox, ambiguous):
    shop = Slow(DeliveryFailed("no answer", ambiguous=True), ambiguous=ambiguous)
    lane = lane_to(shop, outbox)
    await accept(outbox, "e1")
    await lane.run_once()
    outbox.clock.advance(600)
    await lane.run_once()
    waiting = await the(outbox, "e1")
    assert (waiting.state, waiting.receipt, waiting.attempts) == ("pending", {"upload": 7}, 1)
    outbox.clock.advance(3600)
    await lane.run_once()
    assert (shop.requests, len(shop.asked)) == ([["e1"]], 2)
    assert await states(outbox) == {"delivered": 1}


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (RateLimited("slow down", retry_after=5), "throttled"),
        (DestinationMisconfigured("the token is gone"), "refused"),
    ],
)
async def test_a_question_may_have_to_wait_as_a_request_does(outbox, error, state):
    shop = Slow(error)
    lane = lane_to(shop, outbox)
    await accept(outbox, "e1")
    await lane.run_once()
    outbox.clock.advance(600)
    await lane.run_once()
    assert lane.state == state
    assert (await the(outbox, "e1")).receipt == {"upload": 7}
    outbox.clock.advance(200)
    await lane.run_once()
    assert shop.requests == [["e1"]]
    assert await states(outbox) == {"delivered": 1}


async def test_what_was_refused_after_all_is_a_dead_letter_that_can_be_sent_again(outbox):
    shop = Slow(EventRejected("no such goal"))
    lane = lane_to(shop, outbox)
    await accept(outbox, "e1")
    await lane.run_once()
    outbox.clock.advance(600)
    await lane.run_once()
    dead = await the(outbox, "e1")
    assert (dead.state, dead.receipt) == ("dead", {})
    assert "no such goal" in dead.reason
    assert await replay(outbox) == 1
    await lane.run_once()
    assert shop.requests == [["e1"], ["e1"]]


async def test_what_nobody_ever_tells_is_given_up_in_the_end(outbox):
    shop = Slow(*[TAKEN] * 10_000)
    lane = lane_to(shop, outbox)
    await accept(outbox, "e1")
    await lane.run_once()
    while (await the(outbox, "e1")).state == "pending":
        outbox.clock.advance(3600)
        await lane.run_once()
    dead = await the(outbox, "e1")
    assert (dead.state, dead.maybe_delivered) == ("dead", True)
    assert "nobody told what became of it" in dead.reason
    assert shop.requests == [["e1"]]
    assert 24 * 29 < len(shop.asked) <= 24 * 30


async def test_fresh_events_go_out_beside_those_that_are_asked_about(outbox):
    shop = Slow()
    lane = lane_to(shop, outbox)
    await accept(outbox, "e1")
    await lane.run_once()
    outbox.clock.advance(600)
    await accept(outbox, "e2")
    await lane.run_once()
    assert (shop.requests, shop.asked) == ([["e1"], ["e2"]], [[{"upload": 7}]])


async def test_a_destination_that_answers_questions_badly_loses_nothing(outbox, caplog):
    shop = Slow(RuntimeError("a bug"))
    lane = lane_to(shop, outbox)
    await accept(outbox, "e1")
    await lane.run_once()
    outbox.clock.advance(600)
    await lane.run_once()
    assert "shop: follow_up() failed unexpectedly" in caplog.text
    assert (await the(outbox, "e1")).receipt == {"upload": 7}


async def test_what_is_asked_later_survives_a_restart(tmp_path):
    path = tmp_path / "gp.sqlite3"
    soon = Processing({"upload": 7}, check_after=0)

    class Quick(Slow):
        async def send(self, batch):
            await super().send(batch)
            return [soon] * len(batch)

    first, second = Quick(*[soon] * 10_000), Quick()
    async with Tracker([first], store=SQLiteStore(path)) as tracker:
        await tracker.track("REG", telegram_id=7, event_id="e1")
        await tracker.flush(0.2)
    async with Tracker([second], store=SQLiteStore(path)) as tracker:
        assert await tracker.flush(5)
        (delivery,) = await tracker.deliveries("e1")
    assert (first.requests, second.requests) == ([["e1"]], [])
    assert second.asked == [[{"upload": 7}]]
    assert (delivery.state, delivery.receipt) == ("delivered", {"status": "done"})
