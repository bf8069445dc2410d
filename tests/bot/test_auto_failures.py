"""Events without a handler when something fails: they survive it, and the bot never notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import ErrorEvent, Message, TelegramObject

from fixtures import updates
from fixtures.auto_updates import AUTO, each, kind_of, told
from fixtures.recorder import Feed, Recorder
from gp_aiogram import (
    Attribution,
    Event,
    EventError,
    MemoryStore,
    Session,
    Store,
    StoreError,
    Tracker,
    UserTracker,
    track,
)
from gp_aiogram.model.clock import SystemClock
from gp_aiogram.stores.memory.outbox import MemoryOutbox
from gp_aiogram.stores.memory.profiles import MemoryProfiles
from gp_aiogram.stores.memory.sessions import MemorySessions

Recorded = Callable[[], Awaitable[list[Event]]]


@pytest.fixture
async def tracker(recorder: Recorder, store: MemoryStore) -> AsyncIterator[Tracker]:
    async with Tracker([recorder], store=store, auto=AUTO) as tracker:
        yield tracker


class NoSessions(MemorySessions):
    async def history(self, *args: Any, **kwargs: Any) -> Sequence[Session]:
        msg = "no sessions"
        raise StoreError(msg)


class NoLinks(MemoryProfiles):
    async def invited(self, link: str) -> str | None:
        msg = "no links"
        raise StoreError(msg)


@each
@pytest.mark.parametrize("marked", [False, True])
async def test_a_session_that_cannot_be_read_costs_no_event(
    recorder: Recorder, bot: Bot, name: str, *, marked: bool
) -> None:
    dp = Dispatcher()
    if marked:

        @dp.observers[kind_of(name)]()
        @track(name, event_id="own")
        async def handler(event: TelegramObject, gp: UserTracker) -> None: ...

    store = Store(sessions=NoSessions(), profiles=NoLinks(), outbox=MemoryOutbox(SystemClock()))
    async with Tracker([recorder], store=store, auto=AUTO) as tracker:
        tracker.setup(dp)
        await dp.feed_raw_update(bot, told(name))
        assert await tracker.flush(5)
    assert [(event.name, event.session_id) for event in recorder.events] == [(name, None)]


async def test_failing_is_logged_and_counted_and_not_the_bots_business(
    dp: Dispatcher,
    feed: Feed,
    tracker: Tracker,
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def accept(*args: Any, **kwargs: Any) -> bool:
        raise error

    errors: list[ErrorEvent] = []

    @dp.error()
    async def on_error(event: ErrorEvent) -> None:
        errors.append(event)

    @dp.message()
    async def handler(message: Message) -> str:
        return "handled"

    monkeypatch.setattr(store.outbox, "accept", accept)
    error = EventError("before_send failed")
    assert await feed(updates.start()) == "handled"
    assert tracker.counts["auto_errors"] == 1
    assert f"an update recorded nothing: {error}" in caplog.text
    for count in (1, 2):
        error = StoreError("the disk is full")
        assert await feed(updates.start()) == "handled"
        assert tracker.counts["journaled"] == count
    assert "StoreError: the disk is full" in caplog.text
    assert caplog.text.count("kept in the journal: event Start of user 7") == 2
    assert errors == []


async def test_the_bots_error_handlers_see_its_own_errors_only(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    errors: list[ErrorEvent] = []

    @dp.error()
    async def on_error(event: ErrorEvent) -> str:
        errors.append(event)
        return "mended"

    @dp.message()
    async def handler(message: Message) -> None:
        raise ZeroDivisionError

    assert await feed(told("Start")) == "mended"
    assert [type(event.exception) for event in errors] == [ZeroDivisionError]
    assert [event.name for event in await recorded()] == ["Start"]


async def test_a_payload_parser_that_fails_costs_the_session_only(
    recorder: Recorder, bot: Bot
) -> None:
    def parse(payload: str) -> str:
        raise LookupError(payload)

    attribution = Attribution(parse=parse)
    tracker = Tracker([recorder], store=MemoryStore(), attribution=attribution, auto="Start")
    dp = Dispatcher()
    tracker.setup(dp)
    async with tracker:
        await dp.feed_raw_update(bot, told("Start"))
        assert await tracker.flush(5)
    assert [(event.name, event.session_id) for event in recorder.events] == [("Start", None)]


async def test_a_task_that_is_cancelled_stays_so(dp: Dispatcher, feed: Feed) -> None:
    @dp.message()
    async def handler(message: Message) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await feed(told("Start"))
