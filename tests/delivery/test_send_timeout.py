"""A request that never ends holds nothing up."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Sequence
from typing import Any

import pytest

from fixtures.delivery import (
    SOON,
    Batching,
    Scripted,
    WatchedOutbox,
    accept,
    dead_letters,
    hang,
    lane_to,
    numbered,
    rounds,
    states,
    the,
    until,
)
from gp_aiogram import DeliveryFailed, Destination, Event, MemoryStore, Tracker
from gp_aiogram.delivery import waiting


class Stubborn(Scripted):
    """Does not end when it is cancelled, before it is told to."""

    def __init__(self, **options: Any) -> None:
        super().__init__(self.ignore, **options)
        self.send_timeout = 0.02
        self.end = asyncio.Event()
        self.error: Exception | None = None

    async def ignore(self, _: Sequence[Event]) -> None:
        while not self.end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.end.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture(autouse=True)
def _short_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gp_aiogram.delivery.waiting.ENDING", 0.03)


def impatient(*script: Any, **options: Any) -> Batching:
    shop = Batching(*script, **options)
    shop.send_timeout = 0.02
    return shop


async def test_a_request_without_end_is_a_failed_try_that_may_have_succeeded(outbox, caplog):
    await accept(outbox, "e1", "e2")
    lane = lane_to(impatient(hang), outbox)
    await lane.run_once()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts, delivery.maybe_delivered) == ("pending", 1, True)
    assert delivery.reason == "may have been taken: no answer within 0.02 s"
    await rounds(lane, outbox, 10)
    assert await states(outbox) == {"delivered": 2}
    assert "left behind" not in caplog.text


async def test_a_request_without_end_is_held_where_ambiguous_ones_are(outbox):
    await accept(outbox, "e1")
    await lane_to(impatient(hang, ambiguous="hold"), outbox).run_once()
    (letter,) = await dead_letters(outbox)
    assert letter.reason == "may have been taken: no answer within 0.02 s"


async def test_requests_without_end_open_the_breaker(outbox):
    shop = Scripted(*[hang] * 5)
    shop.send_timeout = 0.02
    await accept(outbox, *numbered(5))
    lane = lane_to(shop, outbox)
    await lane.run_once()
    assert lane.state == "failing"


async def test_a_request_that_cannot_be_cancelled_is_left_behind_and_told(outbox, caplog):
    shop = Stubborn()
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.run_once()
    assert not lane.busy
    assert (await the(outbox, "e1")).reason == "may have been taken: no answer within 0.02 s"
    assert "shop: send() does not end when it is cancelled, it is left behind" in caplog.messages
    await rounds(lane, outbox, 10)
    assert await states(outbox) == {"delivered": 1}
    shop.end.set()
    await until(lambda: not waiting._left_behind)


async def test_what_a_request_that_was_left_behind_raises_in_the_end_troubles_nobody(
    outbox, caplog
):
    shop = Stubborn()
    shop.error = ZeroDivisionError()
    await accept(outbox, "e1")
    await lane_to(shop, outbox).run_once()
    gc.collect()
    shop.end.set()
    await until(lambda: not waiting._left_behind)
    gc.collect()
    assert len(caplog.messages) == 1


async def test_an_answer_that_comes_while_a_request_is_being_cancelled_counts(outbox):
    async def answer_late(batch: Sequence[Event]) -> list[dict[str, int]]:
        with contextlib.suppress(asyncio.CancelledError):
            await hang(batch)
        return [{"n": 1}]

    await accept(outbox, "e1")
    await lane_to(impatient(answer_late), outbox).run_once()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.receipt) == ("delivered", {"n": 1})


async def test_an_error_that_comes_while_a_request_is_being_cancelled_counts(outbox):
    async def fail_late(batch: Sequence[Event]) -> None:
        try:
            await hang(batch)
        except asyncio.CancelledError:
            msg = "not connected"
            raise DeliveryFailed(msg) from None

    await accept(outbox, "e1")
    await lane_to(impatient(fail_late), outbox).run_once()
    assert (await the(outbox, "e1")).reason == "not connected"


async def test_a_slow_answer_within_the_limit_is_one(outbox):
    async def slow(_: Sequence[Event]) -> None:
        await asyncio.sleep(0.1)

    shop = Scripted(slow)
    assert shop.send_timeout == 60
    await accept(outbox, "e1")
    await lane_to(shop, outbox).run_once()
    assert await states(outbox) == {"delivered": 1}


async def test_stopping_leaves_a_request_behind_that_cannot_be_cancelled(
    outbox: WatchedOutbox, house, monkeypatch
):
    monkeypatch.setattr("gp_aiogram.delivery.courier._CLOSING", SOON)
    shop = Stubborn()
    shop.send_timeout = 60
    await accept(outbox, "e1")
    courier = house(shop)
    await until(lambda: shop.requests)
    started = time.monotonic()
    await courier.stop(grace=0)
    assert time.monotonic() - started < 1
    assert not courier.lanes["shop"].busy
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts, delivery.maybe_delivered) == ("pending", 0, True)
    courier.start()
    await until(lambda: shop.taken)
    shop.end.set()
    await until(lambda: not waiting._left_behind)


# Whatever send() raises


class Odd(BaseException):
    """Is no Exception, as groups of cancellations are."""


@pytest.mark.parametrize(
    "trouble",
    [asyncio.CancelledError(), asyncio.TimeoutError(), Odd(), ZeroDivisionError(), hang],
    ids=lambda trouble: getattr(trouble, "__name__", type(trouble).__name__),
)
async def test_through_a_tracker_a_lane_survives_whatever_a_request_does(caplog, trouble):
    shop, bank = impatient(trouble), Scripted(name="bank")
    destinations: list[Destination] = [shop, bank]
    async with Tracker(destinations, store=MemoryStore(), journal=None) as tracker:
        event = await tracker.track("REG", telegram_id=42)
        await until(lambda: shop.requests)
        assert await tracker.flush()
        for delivery in await tracker.deliveries(event.event_id):
            expected = ("pending", 1) if delivery.destination == "shop" else ("delivered", 0)
            assert (delivery.state, delivery.attempts) == expected
        later = await tracker.track("REG", telegram_id=43)
        await until(lambda: later.event_id in shop.taken)
    assert "ended by itself" not in caplog.text


async def test_a_future_that_is_cancelled_under_a_request_ends_no_lane(caplog):
    async def publish(_: Sequence[Event]) -> None:
        confirmation = asyncio.get_running_loop().create_future()
        confirmation.cancel()
        await confirmation

    shop = Scripted(*[publish] * 3)
    async with Tracker([shop], store=MemoryStore(), journal=None) as tracker:
        for _ in range(4):
            await tracker.track("REG", telegram_id=42)
        await until(lambda: shop.taken)
        assert await tracker.flush()
        stats = await tracker.stats()
    assert stats.destinations["shop"].retried == 3
    assert caplog.text.count("send() failed unexpectedly") == 3
    assert "ended by itself" not in caplog.text
