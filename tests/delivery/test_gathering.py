"""Events of a destination whose calls are precious gather until a batch is worth one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fixtures.delivery import (
    SOON,
    Batching,
    Scripted,
    WatchedOutbox,
    accept,
    lane_to,
    numbered,
    states,
    the,
    until,
)
from gp_aiogram import ConfigurationError, DeliveryFailed, MemoryStore, SQLiteStore, Tracker
from gp_aiogram.delivery.courier import Courier
from gp_aiogram.testing import ManualClock


class Gathering(Batching):
    """Takes three events in one request, and waits for them for a minute."""

    batch_size = 3
    gather_for = 60.0


class Kinds(Gathering):
    """Takes events with an even number and those with an odd one apart."""

    gather_for = 0.0
    batch_size = 1000

    def kind_of(self, prepared: object) -> object:
        return int(prepared.event_id[1:]) % 2


@pytest.fixture
def outbox() -> WatchedOutbox:
    return WatchedOutbox(ManualClock())


async def test_a_batch_that_is_not_full_waits_for_the_time_it_was_told(outbox):
    shop = Gathering()
    lane = lane_to(shop, outbox)
    await accept(outbox, "e1")
    assert await lane.run_once() == 60
    outbox.clock.advance(20)
    await accept(outbox, "e2")
    assert await lane.run_once() == 40
    assert shop.requests == []
    outbox.clock.advance(40)
    assert await lane.run_once() == 0
    assert shop.requests == [["e1", "e2"]]


async def test_a_full_batch_goes_out_at_once(outbox):
    shop = Gathering()
    lane = lane_to(shop, outbox)
    await accept(outbox, *numbered(2))
    assert await lane.run_once() == 60
    await accept(outbox, "e9")
    assert await lane.run_once() == 0
    assert shop.requests == [["e0000", "e0001", "e9"]]


async def test_an_event_is_not_held_again_after_a_restart(outbox):
    await accept(outbox, "e1")
    assert await lane_to(Gathering(), outbox).run_once() == 60
    outbox.clock.advance(59)
    shop = Gathering()
    lane = lane_to(shop, outbox)
    assert await lane.run_once() == 1
    outbox.clock.advance(1)
    await lane.run_once()
    assert shop.requests == [["e1"]]


async def test_a_wait_ends_though_the_clock_of_the_store_goes_back(outbox):
    shop = Gathering()
    lane = lane_to(shop, outbox)
    await accept(outbox, "e1")
    outbox.clock.advance(30)
    assert await lane.run_once() == 30
    outbox.clock.jump(-20)
    assert await lane.run_once() == 30
    outbox.clock.advance(30)
    await lane.run_once()
    assert shop.requests == [["e1"]]


async def test_what_waits_is_pending_and_nobody_has_claimed_it(outbox):
    lane = lane_to(Gathering(), outbox)
    await accept(outbox, "e1")
    await lane.run_once()
    assert await states(outbox) == {"pending": 1}
    (delivery,) = (await outbox.claim("shop", 10, lease=1)).deliveries
    assert (delivery.attempts, delivery.reason) == (0, None)


async def test_a_probe_of_a_destination_that_fails_does_not_wait_for_others(outbox):
    shop = Gathering(*[DeliveryFailed("503")] * 5)
    lane = lane_to(shop, outbox)
    await accept(outbox, *numbered(3))
    for _ in range(5):
        await lane.run_once()
        outbox.clock.advance(3600)
    assert lane.state == "failing"
    await lane.run_once()
    assert len(shop.requests[-1]) == 1


async def test_what_a_batch_lacks_is_noticed_when_it_comes(outbox):
    shop = Gathering()
    shop.gather_for = 3.0
    lane = lane_to(shop, outbox)
    stopping = asyncio.Event()
    running = asyncio.create_task(lane.run(stopping, lambda: None))
    await accept(outbox, "e1", "e2")
    await until(lambda: outbox.calls.count("claim") == 1)
    await asyncio.sleep(0.1)
    assert outbox.calls.count("claim") == 1
    assert shop.requests == []
    await accept(outbox, "e3")
    await until(lambda: shop.requests)
    assert shop.requests == [["e1", "e2", "e3"]]
    stopping.set()
    await asyncio.wait_for(running, SOON)


async def test_events_of_two_kinds_share_no_request_and_are_sought_apart(outbox):
    shop = Kinds()
    lane = lane_to(shop, outbox)
    await accept(outbox, *numbered(6))
    await lane.run_once()
    assert shop.requests == [["e0000", "e0002", "e0004"], ["e0001", "e0003", "e0005"]]


async def test_a_kind_that_cannot_be_told_is_one_dead_letter(outbox):
    shop = Kinds()
    lane = lane_to(shop, outbox)
    await accept(outbox, "e0000", "exx", "e0002")
    await lane.run_once()
    assert shop.requests == [["e0000", "e0002"]]
    assert (await the(outbox, "exx")).state == "dead"


async def test_a_kind_that_tells_nothing_apart_is_a_dead_letter(outbox):
    shop = Kinds()
    shop.kind_of = lambda prepared: [prepared]  # not hashable
    lane = lane_to(shop, outbox)
    await accept(outbox, "e1")
    await lane.run_once()
    assert (await the(outbox, "e1")).state == "dead"


async def test_an_error_of_one_kind_concerns_the_other_not(outbox):
    shop = Kinds(DeliveryFailed("503"))
    lane = lane_to(shop, outbox)
    await accept(outbox, "e0000", "e0001")
    await lane.run_once()
    assert await states(outbox) == {"pending": 1, "delivered": 1}
    assert (await the(outbox, "e0000")).attempts == 1


@pytest.fixture
async def courier(outbox: WatchedOutbox) -> AsyncIterator[Courier]:
    courier = Courier([Gathering()], outbox, clock=outbox.clock)
    courier.start()
    yield courier
    await courier.stop(grace=1)


async def test_flush_sends_what_has_gathered(outbox, courier):
    shop = courier.lanes["shop"].destination
    await accept(outbox, "e1")
    await until(lambda: "claim" in outbox.calls)
    assert shop.requests == []
    assert await courier.flush(SOON)
    assert shop.requests == [["e1"]]
    # Afterwards others gather again.
    await accept(outbox, "e2")
    await until(lambda: outbox.calls.count("wait") > 2)
    assert not await outbox.wait("shop", 0) or shop.requests == [["e1"]]


async def test_what_gathers_survives_a_stop(tmp_path):
    first = Gathering()
    async with Tracker([first], store=SQLiteStore(tmp_path / "gp.sqlite3")) as tracker:
        await tracker.track("REG", telegram_id=7, event_id="e1")
    assert first.requests == []
    second = Gathering()
    async with Tracker([second], store=SQLiteStore(tmp_path / "gp.sqlite3")) as tracker:
        assert await tracker.flush(SOON)
    assert second.requests == [["e1"]]


@pytest.mark.parametrize("wrong", [-1, "60", None, float("nan"), 3601, float("inf")])
def test_a_destination_that_gathers_for_no_time_is_refused(wrong):
    shop = Scripted()
    shop.gather_for = wrong
    with pytest.raises(ConfigurationError, match="gather_for must be seconds, 0 to 3600"):
        Tracker([shop], store=MemoryStore())
