"""A destination that asks to wait, or refuses its credentials, is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fixtures.delivery import (
    DAY,
    HOUR,
    Batching,
    Scripted,
    accept,
    lane_to,
    numbered,
    rounds,
    states,
    the,
)
from gp_aiogram import DestinationMisconfigured, Event, RateLimited
from gp_aiogram.delivery.pacing import PROBE_REFUSED


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
    assert await lane.run_once() == wait
    assert lane.state == state
    assert [await the(outbox, "e1"), await the(outbox, "e2")] == before
    assert outbox.written == []
    assert lane.counts == {}


@pytest.mark.parametrize("error", [RateLimited("HTTP 429"), DestinationMisconfigured("HTTP 401")])
async def test_during_a_pause_the_outbox_is_left_alone(outbox, clock, error):
    await accept(outbox, "e1")
    lane = lane_to(Scripted(error), outbox)
    await lane.run_once()
    outbox.calls.clear()
    for _ in range(5):
        clock.advance(5)
        assert await lane.run_once() > 0
    assert outbox.calls == []


async def test_a_batch_that_is_not_sent_yet_when_another_meets_a_pause_is_given_back(outbox):
    class Wide(Batching):
        concurrency = 2

    shop = Wide(RateLimited("HTTP 429"))
    await accept(outbox, *numbered(1001))
    # The first batch is still being prepared when the second has its answer.
    await lane_to(shop, outbox).run_once()
    assert shop.requests == [["e1000"]]
    assert outbox.written == []
    assert await outbox.wait("shop", 0)


async def test_a_throttled_destination_gets_everything_once_it_has_waited(outbox, clock):
    shop = Batching(RateLimited("HTTP 429", retry_after=30))
    await accept(outbox, *numbered(500))
    lane = lane_to(shop, outbox)
    clock.advance(await lane.run_once())
    await lane.run_once()
    assert [len(request) for request in shop.requests] == [500, 500]
    assert await states(outbox) == {"delivered": 500}


async def test_throttling_for_days_uses_up_no_attempt(outbox):
    shop = Scripted(*[RateLimited("HTTP 429", retry_after=3600)] * 72)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, outbox, 3 * DAY)
    assert (await the(outbox, "e1")).attempts == 0
    await lane.run_once()
    assert await states(outbox) == {"delivered": 1}


async def test_a_bad_key_pauses_the_destination_and_keeps_every_event_for_days(outbox):
    shop = Batching(*[DestinationMisconfigured("HTTP 401: bad key")] * 10_000)
    ids = numbered(2000)
    await accept(outbox, *ids)
    lane = lane_to(shop, outbox)
    await rounds(lane, outbox, 3 * DAY)
    assert lane.state == "refused"
    assert await states(outbox) == {"pending": 2000}
    probes = [len(request) for request in shop.requests[1:]]
    assert set(probes) == {1}
    assert len(probes) == 3 * DAY / PROBE_REFUSED - 1
    assert {(await the(outbox, event_id)).attempts for event_id in ids} == {0}
    # Somebody fixes the key.
    shop.script.clear()
    shop.requests.clear()
    await rounds(lane, outbox, PROBE_REFUSED + 1)
    assert lane.state == "healthy"
    assert [len(request) for request in shop.requests] == [1, 10, 100, 1000, 889]
    assert sorted(shop.taken) == ids


@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
async def test_an_event_that_is_refused_for_its_own_sake_does_not_block_the_others(
    outbox, ambiguous
):
    class Firewall(Scripted):
        async def send(self, events: Sequence[Event]) -> Any:
            if events[0].event_id == "evil":
                msg = "HTTP 403"
                raise DestinationMisconfigured(msg)
            return await super().send(events)

    shop = Firewall(ambiguous=ambiguous)
    await accept(outbox, "evil", *numbered(200))
    lane = lane_to(shop, outbox)
    await rounds(lane, outbox, HOUR)
    assert sorted(shop.taken) == numbered(200)
    evil = await the(outbox, "evil")
    assert (evil.state, evil.attempts) == ("pending", 0)
    await accept(outbox, "later")
    await rounds(lane, outbox, HOUR)
    assert "later" in shop.taken
