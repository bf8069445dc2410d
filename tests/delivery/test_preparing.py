"""What is built of an event before a request, and what follows when it cannot be."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from fixtures.delivery import (
    DAY,
    Batching,
    WatchedOutbox,
    accept,
    dead_letters,
    drain,
    lane_to,
    numbered,
    states,
    the,
)
from gp_aiogram import (
    DeliveryFailed,
    DestinationMisconfigured,
    Event,
    EventRejected,
    EventSkipped,
    RateLimited,
)
from gp_aiogram.delivery.pacing import FAILURES_TO_OPEN


class Building(Batching):
    """Sends the ids of events; a bad one raises what the test says."""

    def __init__(self, *script: Any, bad: dict[str, BaseException], **options: Any) -> None:
        super().__init__(*script, **options)
        self.bad = bad
        self.sent: list[list[str]] = []
        self.prepared: list[str] = []

    def prepare(self, event: Event) -> Event:
        self.prepared.append(event.event_id)
        if event.event_id in self.bad:
            raise self.bad[event.event_id]
        return event


REJECTED = EventRejected("a Purchase needs a value")


async def test_a_destination_is_sent_what_it_prepared(outbox):
    class Upper(Batching):
        def prepare(self, event: Event) -> str:
            return event.event_id.upper()

        async def send(self, batch: Any) -> None:
            sent.append(list(batch))

    sent: list[list[str]] = []
    await accept(outbox, "e1", "e2")
    await lane_to(Upper(), outbox).run_once()
    assert sent == [["E1", "E2"]]
    assert await states(outbox) == {"delivered": 2}


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (REJECTED, "dead", "a Purchase needs a value"),
        (EventSkipped("no click"), "skipped", "no click"),
        (KeyError("price"), "dead", "KeyError in prepare(), see the log"),
        (DeliveryFailed("?"), "dead", "DeliveryFailed in prepare(), see the log"),
        (RateLimited("?"), "dead", "RateLimited in prepare(), see the log"),
        (asyncio.CancelledError(), "dead", "CancelledError in prepare(), see the log"),
    ],
)
@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
async def test_an_event_that_cannot_be_built_is_settled_alone_and_the_others_are_sent(
    outbox, ambiguous, error, state, reason
):
    shop = Building([{"n": 1}, {"n": 3}], bad={"e2": error}, ambiguous=ambiguous)
    await accept(outbox, "e1", "e2", "e3")
    lane = lane_to(shop, outbox)
    await lane.run_once()
    bad = await the(outbox, "e2")
    assert (bad.state, bad.reason, bad.attempts) == (state, reason, 0)
    assert not bad.maybe_delivered
    assert shop.requests == [["e1", "e3"]]
    assert (await the(outbox, "e3")).receipt == {"n": 3}
    assert lane.counts == {"delivered": 2, state: 1}


@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
async def test_with_nothing_left_to_send_there_is_no_request(outbox, ambiguous):
    shop = Building(bad=dict.fromkeys(numbered(3), REJECTED), ambiguous=ambiguous)
    await accept(outbox, *numbered(3))
    await lane_to(shop, outbox).run_once()
    assert shop.requests == []
    assert await states(outbox) == {"dead": 3}


async def test_what_breaks_the_contract_is_logged_once_with_its_traceback(outbox, caplog):
    bad: dict[str, BaseException] = dict.fromkeys(numbered(100), KeyError("price"))
    shop = Building(bad=bad | {"e0007": ZeroDivisionError("division by zero")})
    await accept(outbox, *numbered(100))
    await lane_to(shop, outbox).run_once()
    failures = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in failures] == [
        "shop: prepare() failed unexpectedly"
    ] * 2
    assert {record.exc_info[0] for record in failures} == {KeyError, ZeroDivisionError}
    assert "shop: 99 event(s) given up: KeyError in prepare(), see the log" in caplog.messages


async def test_what_is_over_age_is_not_built(outbox):
    shop = Building(bad={})
    shop.max_age = timedelta(days=7)
    await accept(outbox, "old", age=8 * DAY)
    await accept(outbox, "young")
    await lane_to(shop, outbox).run_once()
    assert shop.prepared == ["young"]


async def test_an_earlier_doubt_outlives_an_event_that_can_no_longer_be_built(outbox, clock):
    shop = Building(DeliveryFailed("HTTP 500", ambiguous=True), bad={})
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.run_once()
    shop.bad = {"e1": REJECTED}
    clock.advance(2)
    await lane.run_once()
    (letter,) = await dead_letters(outbox)
    assert letter.reason == "may have been taken: a Purchase needs a value"
    assert letter.maybe_delivered


async def test_preparing_a_full_batch_lets_a_bot_go_on_meanwhile(outbox):
    async def bot() -> None:
        while True:
            prepared.append(len(shop.prepared))
            await asyncio.sleep(0)

    prepared: list[int] = []
    shop = Building(bad={})
    await accept(outbox, *numbered(1000))
    running = asyncio.create_task(bot())
    await lane_to(shop, outbox).run_once()
    running.cancel()
    steps = [after - before for before, after in pairwise(prepared)]
    assert max(steps) == 50


# What it says of the destination: nothing


@pytest.mark.parametrize(
    "error", [REJECTED, EventSkipped("no click"), KeyError("price"), DeliveryFailed("?")]
)
@pytest.mark.parametrize(
    ("trouble", "state"),
    [
        (DeliveryFailed("HTTP 503"), "failing"),
        (DestinationMisconfigured("HTTP 401"), "refused"),
        (RateLimited("HTTP 429"), "throttled"),
    ],
)
async def test_an_event_that_cannot_be_built_says_nothing_of_a_destination_in_trouble(
    outbox: WatchedOutbox, caplog, trouble, state, error
):
    class Down(Building):
        batch_size = 1
        concurrency = 16

    shop = Down(*[trouble] * 100, bad={"bad": error})
    await accept(outbox, *numbered(FAILURES_TO_OPEN))
    lane = lane_to(shop, outbox)
    await lane.run_once()
    assert lane.state == state
    outbox.clock.advance(await lane.run_once())
    # The probe is an event that cannot be built: due for longer than what has failed.
    await accept(outbox, "bad")
    while (await the(outbox, "bad")).state == "pending":
        await lane.run_once()
        assert lane.state == state
        outbox.clock.advance(60)
    assert "answers again" not in caplog.text


async def test_events_that_cannot_be_built_open_no_breaker(outbox):
    shop = Building(bad=dict.fromkeys(numbered(100), KeyError("price")))
    await accept(outbox, *numbered(100))
    lane = lane_to(shop, outbox)
    await drain(lane)
    assert lane.state == "healthy"
