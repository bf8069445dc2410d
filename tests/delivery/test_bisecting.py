"""Bad events of a batch are found by halving it, while fresh ones go on."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.delivery import (
    HOUR,
    SOON,
    Batching,
    Picky,
    Scripted,
    WatchedOutbox,
    accept,
    dead_letters,
    drain,
    lane_to,
    next_due,
    numbered,
    replay,
    rounds,
    states,
    the,
)
from gp_aiogram import (
    DeliveryFailed,
    DestinationMisconfigured,
    Event,
    EventRejected,
    RateLimited,
    SQLiteStore,
)
from gp_aiogram.delivery.lane import LEASE, LOOK_AGAIN, Lane
from gp_aiogram.delivery.pacing import FAILURES_TO_OPEN, PROBE_REFUSED
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import DeliveryFilter, Entry
from gp_aiogram.testing import ManualClock


async def test_a_rejected_batch_is_pending_again_with_half_its_size(outbox):
    shop = Batching(EventRejected("HTTP 400"))
    await accept(outbox, *numbered(7))
    lane = lane_to(shop, outbox)
    assert await lane.run_once() == 0
    for event_id in numbered(7):
        delivery = await the(outbox, event_id)
        assert (delivery.state, delivery.attempts, delivery.batch_cap) == ("pending", 0, 4)
        assert (delivery.reason, delivery.maybe_delivered) == ("HTTP 400", False)
    assert await next_due(outbox) == 0
    assert lane.counts == {}


@pytest.mark.parametrize("position", [0, 1, 2, 124, 333, 499, 500, 501, 624, 750, 998, 999])
async def test_one_bad_event_of_a_thousand_is_found_and_the_others_are_delivered(outbox, position):
    ids = numbered(1000)
    bad = ids[position]
    shop = Picky([bad])
    await accept(outbox, *ids)
    lane = lane_to(shop, outbox)
    await drain(lane)
    (letter,) = await dead_letters(outbox)
    assert (letter.event.event_id, letter.reason) == (bad, "HTTP 400: 1 bad of 1")
    assert sorted(shop.taken) == [event_id for event_id in ids if event_id != bad]
    assert await states(outbox) == {"delivered": 999, "dead": 1}
    assert len(shop.requests) - 1 <= 20
    assert lane.state == "healthy"
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
    await drain(lane)
    assert [letter.event.event_id for letter in await dead_letters(outbox)] == bad_ids
    assert sorted(shop.taken) == sorted(set(ids) - set(bad_ids))
    assert len(shop.requests) - 1 <= 20 * len(bad_ids)
    assert await lane.run_once() == LOOK_AGAIN


@given(st.sets(st.integers(min_value=0, max_value=32)), st.sampled_from(["retry", "hold"]))
def test_the_search_gives_every_event_its_due(bad, ambiguous):
    async def deliver() -> None:
        outbox = WatchedOutbox(ManualClock())
        ids = numbered(33)
        bad_ids = [ids[position] for position in sorted(bad)]
        shop = Picky(bad_ids, ambiguous=ambiguous)
        await accept(outbox, *ids)
        await drain(lane_to(shop, outbox))
        dead = [letter.event.event_id for letter in await dead_letters(outbox)]
        assert dead == bad_ids
        assert sorted(shop.taken) == sorted(set(ids) - set(bad_ids))

    asyncio.run(deliver())


async def test_a_batch_that_is_rejected_for_another_reason_is_delivered_piece_by_piece(outbox):
    shop = Batching(EventRejected("HTTP 413"))
    await accept(outbox, *numbered(8))
    await drain(lane_to(shop, outbox))
    assert sorted(shop.taken) == numbered(8)
    assert await states(outbox) == {"delivered": 8}


@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
@pytest.mark.parametrize(
    "error", [RateLimited("HTTP 429", retry_after=30), DestinationMisconfigured("HTTP 401")]
)
async def test_a_pause_in_the_middle_of_the_search_puts_the_rest_back(outbox, error, ambiguous):
    shop = Batching(EventRejected("HTTP 400"), error, ambiguous=ambiguous)
    await accept(outbox, *numbered(8))
    lane = lane_to(shop, outbox)
    await drain(lane)
    assert len(shop.requests) == 2
    assert await states(outbox) == {"pending": 8}
    assert {(await the(outbox, event_id)).batch_cap for event_id in numbered(8)} == {4}
    await rounds(lane, outbox, 2 * PROBE_REFUSED)
    assert sorted(shop.taken) == numbered(8)
    assert {(await the(outbox, event_id)).attempts for event_id in numbered(8)} == {0}


async def test_a_failure_in_the_middle_of_the_search_concerns_its_part_only(outbox):
    shop = Batching(EventRejected("HTTP 400"), DeliveryFailed("HTTP 503"))
    await accept(outbox, *numbered(8))
    lane = lane_to(shop, outbox)
    await drain(lane)
    assert await states(outbox) == {"pending": 4, "delivered": 4}
    await rounds(lane, outbox, 10)
    assert await states(outbox) == {"delivered": 8}


async def test_events_that_are_not_sent_do_not_count_into_the_size_of_a_batch(outbox):
    class Choosy(Batching):
        def prepare(self, event: Event) -> Event:
            if event.event_id == "e0000":
                msg = "no value"
                raise EventRejected(msg)
            return event

    await accept(outbox, *numbered(5))
    await lane_to(Choosy(EventRejected("HTTP 400")), outbox).run_once()
    assert {(await the(outbox, event_id)).batch_cap for event_id in numbered(5)[1:]} == {2}


async def test_remains_that_fail_are_tried_again_in_no_larger_batch(outbox):
    shop = Batching(EventRejected("HTTP 400"), DeliveryFailed("HTTP 503"))
    await accept(outbox, *numbered(8))
    lane = lane_to(shop, outbox)
    await drain(lane)
    assert (await the(outbox, "e0000")).batch_cap == 4
    await rounds(lane, outbox, 10)
    assert [len(request) for request in shop.requests] == [8, 4, 4, 4]


async def test_a_replayed_event_goes_out_with_the_others(outbox):
    shop = Picky(["e0002"])
    await accept(outbox, *numbered(8))
    lane = lane_to(shop, outbox)
    await drain(lane)
    shop.bad = frozenset()
    shop.requests.clear()
    assert await replay(outbox) == 1
    await accept(outbox, "new")
    await drain(lane)
    assert shop.requests == [["e0002", "new"]]


async def test_a_destination_that_takes_single_events_now_gets_the_remains_of_its_batches(outbox):
    await accept(outbox, *numbered(8))
    await lane_to(Batching(EventRejected("HTTP 400")), outbox).run_once()
    shop = Scripted()
    await drain(lane_to(shop, outbox))
    assert sorted(shop.taken) == numbered(8)


async def test_fresh_events_do_not_starve_the_remains(outbox):
    class Small(Batching):
        batch_size = 4

    shop = Small(EventRejected("HTTP 400"))
    await accept(outbox, *numbered(4))
    lane = lane_to(shop, outbox)
    await lane.run_once()
    await accept(outbox, *(f"new{number}" for number in range(8)))
    shop.requests.clear()
    await lane.run_once()
    assert shop.requests == [["new0", "new1", "new2", "new3"], ["e0000", "e0001"]]


async def test_a_search_does_not_wait_for_more_events_to_gather(outbox, house, monkeypatch):
    class Small(Picky):
        batch_size = 8

    monkeypatch.setattr("gp_aiogram.delivery.lane.LINGER", 3600)
    await accept(outbox, *numbered(8))
    courier = house(Small(["e0002"]))
    assert await courier.flush(SOON)
    assert await states(outbox) == {"delivered": 7, "dead": 1}


async def test_a_rejected_batch_shows_that_the_destination_answers(outbox, caplog):
    down = [DeliveryFailed("HTTP 503")] * (FAILURES_TO_OPEN - 1)
    shop = Batching(*down, EventRejected("HTTP 400"), *down)
    await accept(outbox, *numbered(8))
    lane = lane_to(shop, outbox)
    await rounds(lane, outbox, HOUR)
    assert "its events wait" not in caplog.text
    assert await states(outbox) == {"delivered": 8}
    assert len(shop.requests) >= 2 * FAILURES_TO_OPEN


async def test_on_the_way_back_from_an_outage_remains_take_no_more_than_the_ramp_has_room_for(
    outbox, clock
):
    shop = Batching(EventRejected("HTTP 400"))
    await accept(outbox, *numbered(64))
    lane = lane_to(shop, outbox)
    await lane.run_once()
    shop.script = [DestinationMisconfigured("HTTP 401")]
    await lane.run_once()
    clock.advance(PROBE_REFUSED)
    await accept(outbox, "new")
    shop.requests.clear()
    await drain(lane)
    assert [len(request) for request in shop.requests] == [1, 10, 32, 22]
    assert shop.requests[0] == ["new"]


# Many bad events, and what goes on meanwhile


class Busy(Picky):
    """Takes 0.4 s for a batch, in which a fresh event is accepted."""

    def __init__(self, bad: Sequence[str], outbox: WatchedOutbox) -> None:
        super().__init__(bad)
        self.outbox = outbox
        self.fresh: list[str] = []

    async def send(self, batch: Sequence[Event]) -> Any:
        if not batch[0].event_id.startswith("fresh"):
            self.outbox.clock.advance(0.4)
            self.fresh.append(f"fresh{len(self.fresh)}")
            await accept(self.outbox, self.fresh[-1])
        return await super().send(batch)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("count", [1, 10, 100, 1000])
async def test_a_search_is_short_loses_nothing_and_holds_up_no_fresh_event(
    outbox, count, restarts
):
    ids = numbered(1000)
    bad = ids[7 :: 1000 // count] if count < 1000 else ids
    shop = Busy(bad, outbox)
    await accept(outbox, *ids)
    lane = lane_to(shop, outbox)
    accepted: list[str] = []
    while await lane.run_once() == 0:
        assert set(shop.taken).issuperset(accepted)
        accepted = list(shop.fresh)
        if restarts:
            lane = lane_to(shop, outbox)
    searched = [request for request in shop.requests if not request[0].startswith("fresh")]
    assert len(searched) <= 1 + 2 * count * (math.log2(1000 / count) + 1.1)
    assert sorted(shop.taken) == sorted({*ids, *shop.fresh} - set(bad))
    assert {letter.event.event_id for letter in await dead_letters(outbox)} == set(bad)
    assert {letter.attempts for letter in await dead_letters(outbox)} == {0}


async def test_two_workers_share_a_search(outbox):
    async def slowly(_: Sequence[Event]) -> None:
        await asyncio.sleep(0)

    ids = numbered(1000)
    bad = ids[::50]
    shops = [Picky(bad), Picky(bad)]
    for shop in shops:
        shop.script = [slowly] * 1000
    await accept(outbox, *ids)
    lanes = [lane_to(shop, outbox) for shop in shops]
    while await outbox.wait("shop", 0):
        await asyncio.gather(*(lane.run_once() for lane in lanes))
    assert all(len(shop.requests) > 50 for shop in shops)
    assert sorted(shops[0].taken + shops[1].taken) == sorted(set(ids) - set(bad))
    assert await states(outbox) == {"delivered": 980, "dead": 20}


async def test_a_crash_in_the_middle_of_a_search_costs_one_lease(outbox, clock):
    shop = Picky(["e0002"])
    await accept(outbox, *numbered(8))
    await lane_to(shop, outbox).run_once()
    await outbox.claim("shop", 1000, lease=LEASE, capped=True)  # and this worker is gone
    lane = lane_to(shop, outbox)
    await drain(lane)
    assert sorted(shop.taken) == numbered(8)[4:]
    clock.advance(LEASE)
    await drain(lane)
    assert sorted(shop.taken) == sorted(set(numbered(8)) - {"e0002"})


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Outbox]:
    store = SQLiteStore(path)
    await store.open()
    try:
        yield store.outbox
    finally:
        await store.close()


async def test_a_search_goes_on_where_it_was_when_the_program_starts_again(tmp_path):
    ids = numbered(64)
    shop = Picky(["e0003", "e0040"])
    path = tmp_path / "gp.sqlite3"
    async with opened(path) as outbox:
        for event_id in ids:
            event = Event(event_id, "REG", datetime.now(timezone.utc), telegram_id=42)
            assert await outbox.accept(Entry(event, ["shop"])) == "stored"
    is_due = True
    while is_due:
        async with opened(path) as outbox:
            await Lane(shop, outbox).run_once()
            is_due = await outbox.wait("shop", 0)
            dead = await outbox.select(DeliveryFilter(states=frozenset({"dead"})))
    assert sorted(shop.taken) == sorted(set(ids) - shop.bad)
    assert {letter.event.event_id for letter in dead} == shop.bad
    assert len(shop.requests) <= 2 * 2 * 7
