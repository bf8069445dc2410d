"""Stopping finishes what is under way, and waits for nothing else."""

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
from gp_aiogram import DestinationMisconfigured, Event, EventRejected, RateLimited
from gp_aiogram.delivery.lane import LEASE


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


@pytest.mark.parametrize(
    "constant",
    ["lane.LOOK_AGAIN", "lane.LINGER", "lane.STORE_PAUSE", "courier._RESTART_PAUSE"],
)
async def test_stopping_interrupts_every_rest(outbox, house, monkeypatch, caplog, constant):
    async def cancel_itself(*_: Any, **__: Any) -> Any:
        raise asyncio.CancelledError

    monkeypatch.setattr(f"gp_aiogram.delivery.{constant}", 3600.0)
    courier = house(Batching())
    if constant == "lane.LINGER":
        await accept(outbox, "e1")
        await until(lambda: "settle" in outbox.calls)
    if constant == "lane.STORE_PAUSE":
        monkeypatch.setattr(outbox, "claim", None)
        await accept(outbox, "e1")
        await until(lambda: "the store failed" in caplog.text)
    if constant == "courier._RESTART_PAUSE":
        monkeypatch.setattr(outbox, "claim", cancel_itself)
        await accept(outbox, "e1")
        await until(lambda: "ended by itself" in caplog.text)
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
