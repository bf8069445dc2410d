"""A destination that is waited for is called at once when somebody says so."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.delivery import SOON, Scripted, accept, lane_to, numbered, states
from gp_aiogram import (
    ConfigurationError,
    DestinationMisconfigured,
    EventRejected,
    MemoryStore,
    RateLimited,
    Tracker,
)
from gp_aiogram.stores.records import DeliveryFilter


@pytest.mark.parametrize(
    "error", [DestinationMisconfigured("HTTP 401"), RateLimited("HTTP 429", retry_after=600)]
)
async def test_a_paused_lane_goes_on_without_waiting(outbox, error):
    await accept(outbox, "e1")
    lane = lane_to(Scripted(error), outbox)
    assert await lane.run_once() > 0
    assert lane.resume()
    assert lane.wait == 0
    assert await lane.run_once() == 0
    assert lane.state == "healthy"
    assert await states(outbox) == {"delivered": 1}


async def test_one_event_probes_first(outbox):
    shop = Scripted(*[DestinationMisconfigured("HTTP 401")] * 40)
    await accept(outbox, *numbered(30))
    lane = lane_to(shop, outbox)
    await lane.run_once()
    before = len(shop.requests)
    lane.resume()
    await lane.run_once()
    assert len(shop.requests) == before + 1
    assert lane.state == "refused"
    assert lane.wait > 0


async def test_a_healthy_lane_has_nothing_to_resume(outbox):
    assert not lane_to(Scripted(), outbox).resume()


async def _until(reached):
    while not reached():
        await asyncio.sleep(0.01)


async def test_a_running_lane_wakes(house, outbox):
    await accept(outbox, "e1")
    shop = Scripted(DestinationMisconfigured("HTTP 401"))
    courier = house(shop)
    lane = courier.lanes["shop"]
    await asyncio.wait_for(_until(lambda: lane.state == "refused" and not lane.busy), SOON)
    await asyncio.sleep(0)
    assert lane.resume()
    await asyncio.wait_for(_until(lambda: bool(shop.taken)), SOON)
    assert shop.taken == ["e1"]


async def test_a_tracker_resumes_by_name():
    shop = Scripted(DestinationMisconfigured("HTTP 401"))
    tracker = Tracker([shop], store=MemoryStore(), journal=None)
    async with tracker:
        await tracker.track("REG", telegram_id=7, event_id="e1")
        await asyncio.wait_for(_until(lambda: tracker.states["shop"] == "refused"), SOON)
        assert tracker.waits["shop"] > 100
        assert tracker.resume("shop")
        assert await tracker.flush(5)
        assert not tracker.resume("shop")
        with pytest.raises(ConfigurationError, match="no destination 'shpo' to resume, only shop"):
            tracker.resume("shpo")
    assert shop.taken == ["e1"]


async def test_who_only_records_resumes_nothing():
    tracker = Tracker([Scripted()], store=MemoryStore(), journal=None, deliver=False)
    assert not tracker.resume("shop")
    assert tracker.waits == {}


async def test_purged_dead_letters_are_given_up_and_their_events_stay():
    shop = Scripted(*[EventRejected("HTTP 400")] * 3)
    store = MemoryStore()
    async with Tracker([shop], store=store, journal=None) as tracker:
        for number in range(3):
            await tracker.track("REG", telegram_id=7, event_id=f"e{number}")
            assert await tracker.flush(5)
        assert await tracker.purge("another") == 0
        assert await tracker.purge(event_id="e0") == 1
        assert await tracker.purge("shop") == 2
        assert await tracker.purge() == 0
        assert await tracker.replay() == 0
        kept = await store.outbox.select(DeliveryFilter())
        assert [(each.state, each.reason) for each in kept] == [
            ("skipped", "purged: given up for good by hand")
        ] * 3
    assert shop.taken == []
