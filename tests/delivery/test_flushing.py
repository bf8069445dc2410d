"""Flushing waits until nothing is due."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from fixtures.delivery import (
    SOON,
    Batching,
    Picky,
    Scripted,
    accept,
    hang,
    numbered,
    states,
    the,
    until,
)
from gp_aiogram import DeliveryFailed, Event, EventRejected


async def test_flush_is_true_once_everything_is_delivered(outbox, house):
    shop = Scripted()
    courier = house(shop)
    await accept(outbox, *numbered(100))
    assert await courier.flush(SOON)
    assert len(shop.taken) == 100


async def test_flush_waits_for_requests_that_are_under_way(outbox, house):
    async def slow(_: Sequence[Event]) -> None:
        await asyncio.sleep(0.03)

    shop = Scripted(slow)
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    started = time.monotonic()
    assert await courier.flush(10 * SOON)
    assert time.monotonic() - started < SOON
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
        await asyncio.sleep(0.01)
    assert await courier.flush(SOON)
    assert shop.requests == [["e1"], ["e2", "e3"]]


async def test_who_flushes_waits_for_a_search_to_end(outbox, house):
    shop = Picky(["e0002"])
    await accept(outbox, *numbered(8))
    courier = house(shop)
    assert await courier.flush(SOON)
    assert await states(outbox) == {"delivered": 7, "dead": 1}


async def test_flush_sees_what_a_round_leaves_that_ends_while_it_looks(outbox, house, monkeypatch):
    async def reject(_: Sequence[Event]) -> None:
        await looking.wait()
        msg = "HTTP 400"
        raise EventRejected(msg)

    async def wait(destination: str, timeout: float) -> bool:
        is_due = await works(destination, timeout)
        if timeout == 0:
            looking.set()
            await asyncio.sleep(0.05)
        return is_due

    works, looking = outbox.wait, asyncio.Event()
    monkeypatch.setattr(outbox, "wait", wait)
    monkeypatch.setattr("gp_aiogram.delivery.lane.LINGER", 0.2)
    shop = Batching(reject)
    await accept(outbox, "e1", "e2")
    courier = house(shop)
    await until(lambda: shop.requests)
    assert await courier.flush(SOON)
    assert sorted(shop.taken) == ["e1", "e2"]
