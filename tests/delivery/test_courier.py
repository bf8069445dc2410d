"""All destinations at once, in real time: starting, stopping, flushing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

import pytest

from fixtures.delivery import (
    SOON,
    Batching,
    Picky,
    Scripted,
    accept,
    dead_letters,
    hang,
    numbered,
    replay,
    states,
    the,
    until,
)
from gp_aiogram import (
    DeliveryFailed,
    DestinationMisconfigured,
    Event,
    EventRejected,
    RateLimited,
)
from gp_aiogram.delivery.lane import LEASE


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


# Stopping


async def test_stopping_lets_a_request_that_is_under_way_finish(outbox, house):
    async def slow(_: Sequence[Event]) -> list[dict[str, int]]:
        await asyncio.sleep(0.05)
        return [{"n": 1}]

    shop = Scripted(slow)
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    started = time.monotonic()
    await courier.stop(grace=SOON)
    assert time.monotonic() - started < SOON
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.receipt) == ("delivered", {"n": 1})
    assert shop.closed == 1
    assert not courier.running


async def test_stopping_begins_no_further_request(outbox, house):
    async def slow(_: Sequence[Event]) -> None:
        await asyncio.sleep(0.02)

    shop = Scripted(*[slow] * 100)
    await accept(outbox, *numbered(100))
    courier = house(shop)
    await until(lambda: shop.requests)
    await courier.stop(grace=SOON)
    assert len(shop.requests) == shop.concurrency
    assert await states(outbox) == {"delivered": 16, "pending": 84}


@pytest.mark.parametrize("grace", [0, 0.05])
async def test_stopping_does_not_wait_for_a_request_that_hangs(outbox, house, grace):
    shop = Scripted(*[hang] * 3)
    await accept(outbox, *numbered(3))
    courier = house(shop)
    await until(lambda: len(shop.requests) == 3)
    started = time.monotonic()
    await courier.stop(grace)
    assert grace <= time.monotonic() - started + 0.01 < grace + 1
    assert await states(outbox) == {"pending": 3}
    assert {(await the(outbox, event_id)).attempts for event_id in numbered(3)} == {0}
    assert {(await the(outbox, event_id)).maybe_delivered for event_id in numbered(3)} == {True}
    assert shop.closed == 1


async def test_stopping_does_not_wait_for_a_request_that_cannot_be_cancelled(outbox, house):
    async def stubborn(_: Sequence[Event]) -> None:
        while not opened.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await opened.wait()

    opened = asyncio.Event()
    shop = Scripted(stubborn)
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    started = time.monotonic()
    await courier.stop(grace=0.02)
    assert time.monotonic() - started < 1
    opened.set()
    await until(lambda: shop.taken)


async def test_a_destination_that_cannot_close_holds_nothing_up(outbox, house, caplog):
    class Stuck(Scripted):
        async def close(self) -> None:
            await hang([])

    class Broken(Scripted):
        async def close(self) -> None:
            raise OSError

    shop = Scripted()
    courier = house(Stuck(name="stuck"), Broken(name="broken"), shop)
    await asyncio.sleep(0)
    started = time.monotonic()
    await courier.stop(grace=1)
    assert time.monotonic() - started < 1
    assert shop.closed == 1
    assert "failed" in caplog.text


async def test_stopping_right_after_starting_takes_no_time(house):
    courier = house(Scripted())
    started = time.monotonic()
    await courier.stop(grace=SOON)
    assert time.monotonic() - started < 1


async def test_stopping_what_was_never_started_does_nothing(house):
    shop = Scripted()
    courier = house(shop, started=False)
    await courier.stop(grace=SOON)
    assert not courier.running
    assert shop.closed == 0


async def test_what_is_accepted_during_and_after_stopping_is_delivered_by_the_next_start(
    outbox, house
):
    shop = Scripted(hang)
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    stopping = asyncio.create_task(courier.stop(grace=0.03))
    await asyncio.sleep(0.01)
    await accept(outbox, "e2")
    await stopping
    await accept(outbox, "e3")
    await asyncio.sleep(0.01)
    assert shop.taken == []
    courier.start()
    assert await courier.flush(SOON)
    assert sorted(shop.taken) == ["e1", "e2", "e3"]


async def test_starting_while_stopping_goes_on_with_delivering(outbox, house):
    async def slow(_: Sequence[Event]) -> None:
        await asyncio.sleep(0.03)

    shop = Scripted(slow)
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    stopping = asyncio.create_task(courier.stop(grace=SOON))
    await asyncio.sleep(0)
    courier.start()
    await accept(outbox, "e2")
    await stopping
    assert await courier.flush(SOON)
    assert sorted(shop.taken) == ["e1", "e2"]
    assert len(shop.requests) == 2


async def test_a_held_request_that_is_cut_off_by_stopping_is_held(outbox, house, clock):
    shop = Scripted(hang, ambiguous="hold")
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    await courier.stop(grace=0)
    (letter,) = await dead_letters(outbox)
    assert letter.reason == "may have been taken: no answer"
    clock.advance(2 * LEASE)
    courier.start()
    assert await courier.flush(SOON)
    assert shop.requests == [["e1"]]
    assert await replay(outbox) == 1
    await until(lambda: shop.taken == ["e1"])


@pytest.mark.parametrize(
    ("ambiguous", "after"),
    [("retry", {"pending": 8}), ("hold", {"dead": 4, "pending": 4})],
)
async def test_stopping_in_the_middle_of_a_search_holds_only_what_was_under_way(
    outbox, house, ambiguous, after
):
    shop = Batching(EventRejected("HTTP 400"), hang, ambiguous=ambiguous)
    await accept(outbox, *numbered(8))
    courier = house(shop)
    await until(lambda: len(shop.requests) == 2)
    await courier.stop(grace=0)
    assert await states(outbox) == after
    courier.start()
    assert await courier.flush(SOON)
    await replay(outbox)
    assert await courier.flush(SOON)
    assert sorted(shop.taken) == numbered(8)


@pytest.mark.parametrize("constant", ["lane.LOOK_AGAIN", "lane.LINGER", "lane.STORE_PAUSE"])
async def test_stopping_interrupts_every_rest(outbox, house, monkeypatch, caplog, constant):
    monkeypatch.setattr(f"gp_aiogram.delivery.{constant}", 3600.0)
    courier = house(Batching())
    if constant == "lane.LINGER":
        await accept(outbox, "e1")
        await until(lambda: "settle" in outbox.calls)
    if constant == "lane.STORE_PAUSE":
        monkeypatch.setattr(outbox, "claim", None)
        await accept(outbox, "e1")
        await until(lambda: "the store failed" in caplog.text)
    await asyncio.sleep(0.01)
    started = time.monotonic()
    await courier.stop(grace=SOON)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "error",
    [RateLimited("HTTP 429", retry_after=3600), DestinationMisconfigured("HTTP 401")],
)
async def test_stopping_interrupts_a_pause(outbox, house, error):
    courier = house(Scripted(error))
    await accept(outbox, "e1")
    await until(lambda: courier.lanes["shop"].state != "healthy")
    await asyncio.sleep(0.01)
    started = time.monotonic()
    await courier.stop(grace=SOON)
    assert time.monotonic() - started < 1


async def test_during_a_pause_new_events_wake_nobody(outbox, house):
    courier = house(Scripted(RateLimited("HTTP 429", retry_after=3600)))
    await accept(outbox, "e1")
    await until(lambda: courier.lanes["shop"].state == "throttled")
    await asyncio.sleep(0.01)
    outbox.calls.clear()
    await accept(outbox, "e2")
    await asyncio.sleep(0.01)
    assert outbox.calls == []


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


# Flushing


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
