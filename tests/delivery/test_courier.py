"""All destinations at once, in real time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from fixtures.delivery import (
    SOON,
    Scripted,
    accept,
    hang,
    numbered,
    until,
)
from gp_aiogram import DeliveryFailed, Event


async def test_a_courier_delivers_to_every_destination(outbox, house):
    shop, bank = Scripted(name="shop"), Scripted(name="bank")
    await accept(outbox, "e1", to=["shop", "bank"])
    await accept(outbox, "e2", to=["bank"])
    courier = house(shop, bank)
    assert await courier.flush(SOON)
    assert (shop.taken, sorted(bank.taken)) == (["e1"], ["e1", "e2"])


async def test_what_is_accepted_is_delivered_at_once(outbox, house):
    shop = Scripted()
    courier = house(shop)
    assert await courier.flush(SOON)
    for number in range(20):
        await accept(outbox, f"e{number}")
        started = time.monotonic()
        await until(lambda number=number: len(shop.taken) > number)
        assert time.monotonic() - started < SOON


async def test_an_event_for_one_destination_leaves_the_others_asleep(outbox, house):
    shop, bank = Scripted(name="shop"), Scripted(name="bank")
    house(shop, bank)
    await until(lambda: outbox.calls.count("wait") == 2)
    outbox.claimed_for.clear()
    await accept(outbox, "e1", to=["shop"])
    await until(lambda: shop.taken)
    assert set(outbox.claimed_for) == {"shop"}
    await accept(outbox, "e2", to=["bank"])
    await until(lambda: bank.taken)


async def test_what_comes_during_a_request_is_delivered_right_after_it(outbox, house):
    async def gate(_: Sequence[Event]) -> None:
        await opened.wait()

    opened = asyncio.Event()
    shop = Scripted(gate)
    await accept(outbox, "e1")
    house(shop)
    await until(lambda: shop.requests)
    await accept(outbox, "e2")
    opened.set()
    await until(lambda: shop.taken == ["e1", "e2"])


async def test_a_hanging_destination_costs_another_nothing(outbox, house):
    dead, shop = Scripted(*[hang] * 1000, name="dead"), Scripted()
    await accept(outbox, *numbered(200), to=["shop", "dead"])
    house(shop, dead)
    await until(lambda: len(shop.taken) == 200)
    assert len(dead.requests) == dead.concurrency
    assert (await outbox.counts())["dead"] == {"pending": 200}


async def test_a_failing_destination_costs_another_nothing(outbox, house):
    down, shop = Scripted(*[DeliveryFailed("HTTP 500")] * 1000, name="down"), Scripted()
    await accept(outbox, *numbered(200), to=["shop", "down"])
    courier = house(shop, down)
    await until(lambda: len(shop.taken) == 200)
    assert courier.lanes["shop"].state == "healthy"
    assert courier.lanes["down"].state == "failing"


async def test_a_courier_without_destinations_starts_and_stops(house):
    courier = house()
    assert courier.running
    assert await courier.flush(SOON)
    await courier.stop(grace=SOON)
    assert not courier.running


async def test_starting_twice_delivers_once(outbox, house):
    shop = Scripted()
    courier = house(shop)
    courier.start()
    await accept(outbox, *numbered(50))
    assert await courier.flush(SOON)
    assert len(shop.requests) == 50


# A lane that ends


@pytest.mark.parametrize("end", [None, ZeroDivisionError("?"), asyncio.CancelledError()])
async def test_a_lane_that_ends_by_itself_is_told_and_started_again(
    outbox, house, monkeypatch, caplog, end
):
    ends: list[Any] = []
    shop = Scripted()
    courier = house(shop, started=False)
    lane = courier.lanes["shop"]
    works = lane.run

    async def run_badly_twice(*args: Any) -> None:
        ends.append(end)
        if len(ends) > 2:
            await works(*args)
        elif end is not None:
            raise end

    monkeypatch.setattr(lane, "run", run_badly_twice)
    await accept(outbox, "e1")
    courier.start()
    await until(lambda: shop.taken == ["e1"])
    assert len(ends) == 3
    told = [record for record in caplog.records if "ended by itself" in record.getMessage()]
    assert [record.levelname for record in told] == ["ERROR"] * 2
    assert {record.exc_info[1] for record in told if record.exc_info} == (
        {end} if isinstance(end, ZeroDivisionError) else set()
    )
    await courier.stop(grace=SOON)
    assert len(ends) == 3


async def test_a_courier_ends_when_everything_is_cancelled_as_at_the_end_of_a_program(
    outbox, house
):
    shop = Scripted(hang)
    await accept(outbox, "e1")
    before = asyncio.all_tasks()
    house(shop)
    await until(lambda: shop.requests)
    tasks = asyncio.all_tasks() - before
    for task in tasks:
        task.cancel()
    _, unfinished = await asyncio.wait(tasks, timeout=SOON)
    assert not unfinished
