from __future__ import annotations

import asyncio
import inspect
import json
import logging
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import httpx
import pytest
from aiogram import Bot, Dispatcher, Router
from aiogram.filters import CommandStart
from aiogram.types import Message
from aioresponses import CallbackResult, aioresponses

from fixtures import updates
from fixtures.recorder import Feed, Recorder
from gp_aiogram import (
    ConfigurationError,
    GramPixel,
    MemoryStore,
    SQLiteStore,
    StoreLocked,
    Tracker,
    UserTracker,
    track,
)
from gp_aiogram.bot import CaptureMiddleware, EmitMiddleware, setup

WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"


class Answer(aiohttp.ClientResponse):
    """What aioresponses makes answers of; since aiohttp 3.14 they want to know their writer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "stream_writer" in inspect.signature(aiohttp.ClientResponse).parameters:
            kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


async def test_a_bot_in_ten_lines(tmp_path: Path) -> None:
    """The README's example: an ad click becomes a delivered conversion."""
    posted: list[dict[str, Any]] = []

    def grampixel(request: httpx.Request) -> httpx.Response:
        posted.append(json.loads(request.content))
        data = {"event_id": "evt_1", "session_id": "gp_a1b2c3", "status": "processed"}
        return httpx.Response(200, json={"ok": True, "data": data})

    destination = GramPixel("key", WORKSPACE, transport=httpx.MockTransport(grampixel))
    tracker = Tracker([destination], store=SQLiteStore(tmp_path / "gp.sqlite3"))
    router = Router()

    @router.message(CommandStart())
    @track("REG", once="user")
    async def start(message: Message, gp: UserTracker) -> None:
        await message.answer(f"session {gp.session.session_id if gp.session else 'organic'}")

    dp = Dispatcher()
    dp.include_router(router)
    tracker.setup(dp)
    bot = Bot("42:TEST")
    with aioresponses() as telegram:
        telegram.post(
            "https://api.telegram.org/bot42:TEST/sendMessage",
            payload={"ok": True, "result": updates.raw_message("session gp_a1b2c3")},
            response_class=Answer,
        )
        await dp.emit_startup(bot=bot)
        await dp.feed_raw_update(bot, updates.start("gp_a1b2c3", date=int(time.time())))
        assert await tracker.flush(5)
        await dp.emit_shutdown(bot=bot)
        ((call,),) = telegram.requests.values()
    await bot.session.close()
    assert call.kwargs["data"]._fields[1][2] == "session gp_a1b2c3"
    assert posted == [
        {
            "event_name": "REG",
            "telegram_id": 7,
            "workspace_id": WORKSPACE,
            "session_id": "gp_a1b2c3",
        },
    ]


def middlewares(dp: Dispatcher, kind: type[Any]) -> int:
    managers = [dp.update.outer_middleware]
    managers += [observer.middleware for observer in dp.observers.values()]
    return sum(isinstance(one, kind) for manager in managers for one in manager)


async def test_installing_twice_is_harmless(dp: Dispatcher, tracker: Tracker) -> None:
    before = middlewares(dp, EmitMiddleware)
    tracker.setup(dp)
    setup(dp, tracker)
    await dp.emit_startup()
    await dp.emit_startup()
    assert middlewares(dp, CaptureMiddleware) == 1
    assert middlewares(dp, EmitMiddleware) == before
    assert len(dp.startup.handlers) == 1


async def test_middlewares_added_by_hand_are_not_added_again(
    tracker: Tracker,
    bot: Bot,
    recorder: Recorder,
) -> None:
    dp = Dispatcher()
    dp.update.outer_middleware(CaptureMiddleware(tracker))
    dp.message.middleware(EmitMiddleware(tracker))
    router = Router()
    router.message.middleware(EmitMiddleware(tracker))
    dp.include_router(router)
    tracker.setup(dp)

    @router.message()
    @track("REG")
    async def handler(message: Message) -> None: ...

    await dp.emit_startup()
    assert middlewares(dp, CaptureMiddleware) == 1
    assert len([one for one in dp.message.middleware if isinstance(one, EmitMiddleware)]) == 1
    await dp.feed_raw_update(bot, updates.message())
    assert await tracker.flush(5)
    assert [event.name for event in recorder.events] == ["REG"]


async def test_a_second_tracker_is_refused(dp: Dispatcher) -> None:
    with pytest.raises(ConfigurationError, match="another tracker"):
        Tracker([], store=MemoryStore()).setup(dp)


async def test_internal_observers_are_left_alone(dp: Dispatcher) -> None:
    await dp.emit_startup()
    assert not any(isinstance(one, EmitMiddleware) for one in dp.update.middleware)
    assert not any(isinstance(one, EmitMiddleware) for one in dp.error.middleware)


async def test_startup_and_shutdown_run_the_tracker(
    dp: Dispatcher,
    feed: Feed,
    tracker: Tracker,
    recorder: Recorder,
) -> None:
    @dp.message()
    async def handler(message: Message, gp: UserTracker) -> None:
        await gp.track("REG")

    await dp.emit_startup()
    await feed(updates.message())
    assert await tracker.flush(5)
    assert len(recorder.events) == 1
    await dp.emit_shutdown()
    await feed(updates.message())
    assert not await tracker.flush(0.01)
    await dp.emit_startup()
    assert await tracker.flush(5)
    assert len(recorder.events) == 2


async def test_a_locked_file_stops_the_start_with_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "gp.sqlite3"
    dp = Dispatcher()
    Tracker([], store=SQLiteStore(path)).setup(dp)
    async with Tracker([], store=SQLiteStore(path)):
        with pytest.raises(StoreLocked, match="a file of its own"):
            await dp.emit_startup()


async def test_a_decorator_above_the_routers_is_reported_at_startup(
    dp: Dispatcher,
    feed: Feed,
    recorder: Recorder,
    tracker: Tracker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    router = Router()
    dp.include_router(router)

    @track("REG")
    @router.message()
    async def too_high(message: Message) -> None: ...

    await dp.emit_startup()
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "too_high" in record.message
    assert "'REG'" in record.message
    assert "below the router's decorator" in record.message
    await feed(updates.message())
    assert await tracker.flush(5)
    assert recorder.events == []


async def test_a_decorator_in_its_place_is_not_reported(
    dp: Dispatcher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @dp.message()
    @track("REG")
    async def well_placed(message: Message) -> None: ...

    await dp.emit_startup()
    assert "well_placed" not in caplog.text


async def test_a_decorator_without_setup_is_reported_at_start(
    tracker: Tracker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @track("REG")
    async def never_heard(message: Message) -> None: ...

    await tracker.start()
    assert "never_heard" in caplog.text
    assert "tracker.setup(dp)" in caplog.text


async def test_with_setup_nothing_is_reported(
    dp: Dispatcher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await dp.emit_startup()
    assert "tracker.setup(dp)" not in caplog.text


async def test_polling_starts_and_stops_the_tracker(
    dp: Dispatcher,
    tracker: Tracker,
    recorder: Recorder,
    bot: Bot,
) -> None:
    @dp.message()
    @track("REG")
    async def handler(message: Message) -> None: ...

    async def get_updates(url: Any, **_: Any) -> Any:
        await asyncio.sleep(0.01)
        update = updates.message(update_id=900)
        return CallbackResult(payload={"ok": True, "result": [update]}, response_class=Answer)

    api = "https://api.telegram.org/bot42:TEST"
    me = {"id": 42, "is_bot": True, "first_name": "Bot", "username": "my_bot"}
    with aioresponses() as telegram:
        telegram.post(f"{api}/getMe", payload={"ok": True, "result": me}, response_class=Answer)
        telegram.post(f"{api}/getUpdates", callback=get_updates, repeat=True)
        polling = asyncio.create_task(dp.start_polling(bot, handle_signals=False))
        while not recorder.events:
            await asyncio.sleep(0.01)
        await dp.stop_polling()
        await polling
    assert [event.name for event in recorder.events] == ["REG"]
