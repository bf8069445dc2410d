"""A user who opts out: nothing more is recorded of him, and what waits is not sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import Message

from fixtures import updates
from fixtures.banks import STORES
from fixtures.recorder import Feed, Recorder
from gp_aiogram import (
    DeliveryFailed,
    Destination,
    Event,
    EventError,
    EventRejected,
    RateLimited,
    SQLiteStore,
    Store,
    Tracker,
    UserTracker,
    track,
)
from gp_aiogram.model.session import SessionQuery
from gp_aiogram.stores.memory.store import MemoryStore
from gp_aiogram.stores.records import Claim
from gp_aiogram.testing import ManualClock


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return STORES[request.param](tmp_path)


async def everything(tracker: Tracker, telegram_id: int) -> list[Any]:
    """Do all that records something of a user, and return what came of it."""
    await tracker.identify(telegram_id, email="ada@example.org")
    return [
        await tracker.capture(telegram_id, "gp_a", bot_id=42),
        await tracker.track("REG", telegram_id=telegram_id, once="user"),
        await tracker.track("Lead", telegram_id=telegram_id, session_id="gp_named"),
        await tracker.deposit(telegram_id=telegram_id, value=5, once="o1"),
        await tracker.refund("o1", telegram_id=telegram_id),
    ]


async def test_nothing_more_is_recorded(
    tracker: Tracker, store: Store, recorder: Recorder
) -> None:
    await tracker.opt_out(7)
    async with tracker:
        assert await everything(tracker, 7) == [None] * 5
        assert all(await everything(tracker, 8))
        assert await tracker.flush()
        assert await store.find_session(SessionQuery(7)) is None
        assert (await store.profiles.profile(7, None)).traits == {}
        assert tracker.counts["opted_out"] == 6
    assert {event.telegram_id for event in recorder.events} == {8}


async def test_nothing_was_used_up_by_what_was_not_recorded(tracker: Tracker) -> None:
    await tracker.opt_out(7)
    await everything(tracker, 7)
    await tracker.opt_in(7)
    *_, deposit, refund = kept = await everything(tracker, 7)
    assert all(kept)
    assert deposit.name == "FTD"
    assert refund.value == 5


async def test_opting_in_without_having_opted_out_is_harmless(tracker: Tracker) -> None:
    await tracker.opt_in(7)
    assert await tracker.track("REG", telegram_id=7) is not None
    await tracker.opt_out(7)
    await tracker.opt_out(7)
    await tracker.opt_in(7)
    assert await tracker.track("REG", telegram_id=7) is not None


async def test_what_waits_is_not_sent(tracker: Tracker, recorder: Recorder) -> None:
    waiting = await tracker.track("REG", telegram_id=7)
    await tracker.track("REG", telegram_id=8)
    assert waiting is not None
    await tracker.opt_out(7)
    (delivery,) = await tracker.deliveries(waiting.event_id)
    assert (delivery.state, delivery.reason) == (
        "skipped",
        "the user opted out before it was sent",
    )
    async with tracker:
        assert await tracker.flush()
    assert [event.telegram_id for event in recorder.events] == [8]


async def test_it_holds_for_every_bot_and_for_handlers(
    dp: Dispatcher, feed: Feed, recorded: Any, tracker: Tracker
) -> None:
    @dp.message()
    @track("REG")
    async def handler(message: Message, gp: UserTracker) -> None:
        if message.text == "stop":
            await gp.opt_out()
        elif message.text == "go on":
            await gp.opt_in()
        await gp.track("Lead")

    for text in ("stop", "/start gp_a"):
        for bot in (Bot("42:TEST"), Bot("43:TEST")):
            await feed(updates.message(text), bot)
    assert await recorded() == []
    assert tracker.counts["captured"] == tracker.counts["decorator_errors"] == 0
    await feed(updates.message("go on"))
    assert sorted(event.name for event in await recorded()) == ["Lead", "REG"]


async def test_it_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "gp.sqlite3"
    async with Tracker([], store=SQLiteStore(path)) as tracker:
        await tracker.opt_out(7)
    async with Tracker([], store=SQLiteStore(path)) as tracker:
        assert await everything(tracker, 7) == [None] * 5
        await tracker.opt_in(7)
    async with Tracker([], store=SQLiteStore(path)) as tracker:
        assert all(await everything(tracker, 7))


async def test_forgetting_a_user_does_not_forget_his_wish(tracker: Tracker) -> None:
    await tracker.opt_out(7)
    await tracker.forget(7)
    assert await everything(tracker, 7) == [None] * 5


@pytest.mark.parametrize("wrong", ["7", 0, None, True])
async def test_a_user_has_an_id(tracker: Tracker, wrong: Any) -> None:
    for wish in (tracker.opt_out, tracker.opt_in, tracker.forget):
        with pytest.raises(EventError, match="telegram_id"):
            await wish(wrong)


class Unsteady(Destination):
    """Fails with an error until it is mended, and waits before it does."""

    name = "unsteady"

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self.busy, self.go_on = asyncio.Event(), asyncio.Event()
        self.events: list[Event] = []

    async def send(self, events: Sequence[Event]) -> None:
        self.busy.set()
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        self.events += events


@pytest.fixture
async def clock() -> AsyncIterator[ManualClock]:
    return ManualClock()


async def test_what_is_under_way_is_not_tried_again(clock: ManualClock) -> None:
    unsteady = Unsteady(DeliveryFailed("down"))
    async with Tracker([unsteady], store=MemoryStore(clock=clock), clock=clock) as tracker:
        event = await tracker.track("REG", telegram_id=7)
        await unsteady.busy.wait()
        await tracker.opt_out(7)
        unsteady.go_on.set()
        assert await tracker.flush()
        unsteady.error = None
        clock.advance(3600)
        await tracker.track("REG", telegram_id=8)  # wakes whoever sleeps
        assert await tracker.flush()
        assert event is not None
        (delivery,) = await tracker.deliveries(event.event_id)
    assert (delivery.state, delivery.reason) == (
        "skipped",
        "the user opted out before it was sent",
    )
    assert [event.telegram_id for event in unsteady.events] == [8]


@pytest.mark.parametrize("error", [RateLimited("wait", retry_after=1), DeliveryFailed("no")])
async def test_what_is_held_while_it_is_under_way_is_not_tried_again(
    clock: ManualClock, error: Exception
) -> None:
    unsteady = Unsteady(error)
    unsteady.ambiguous = "hold"
    async with Tracker([unsteady], store=MemoryStore(clock=clock), clock=clock) as tracker:
        await tracker.track("REG", telegram_id=7)
        await unsteady.busy.wait()
        await tracker.opt_out(7)
        unsteady.go_on.set()
        assert await tracker.flush()
        stats = await tracker.stats()
    assert stats.destinations["unsteady"].deliveries == {"skipped": 1}


async def test_a_dead_letter_is_not_replayed() -> None:
    unsteady = Unsteady(EventRejected("no"))
    unsteady.go_on.set()
    async with Tracker([unsteady], store=MemoryStore()) as tracker:
        await tracker.track("REG", telegram_id=7)
        assert await tracker.flush()
        await tracker.opt_out(7)
        unsteady.error = None
        assert await tracker.replay() == 1
        assert await tracker.flush()
        stats = await tracker.stats()
    assert stats.destinations["unsteady"].deliveries == {"skipped": 1}
    assert unsteady.events == []


async def test_an_event_that_was_being_reviewed_meanwhile_is_not_sent(
    recorder: Recorder, store: Store
) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def ask(event: Event) -> Event:
        asked.set()
        await answered.wait()
        return event

    async with Tracker([recorder], store=store, before_send=ask) as tracker:
        tracking = asyncio.create_task(tracker.track("REG", telegram_id=7))
        await asked.wait()
        await tracker.opt_out(7)
        answered.set()
        await tracking
        assert await tracker.flush()
    assert recorder.events == []


async def test_a_store_that_cannot_tell_loses_nothing(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    async with Tracker([recorder], store=store) as tracker:
        works, failures = store.outbox.claim, iter([OSError("disk")])

        async def fail_once(*args: Any, **kwargs: Any) -> Claim:
            for failure in failures:
                raise failure
            return await works(*args, **kwargs)

        monkeypatch.setattr("gp_aiogram.delivery.lane.STORE_PAUSE", 0.01)
        monkeypatch.setattr(store.outbox, "claim", fail_once)
        event = await tracker.track("REG", telegram_id=7)
        await asyncio.sleep(0.1)
        assert await tracker.flush()
    assert recorder.events == [event]
    assert next(failures, None) is None
