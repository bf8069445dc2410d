"""Telegram delivers an update again when it is not sure: what a bot records must not double."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.types import CallbackQuery, TelegramObject

from fixtures import updates
from fixtures.recorder import Feed, Recorder
from gp_aiogram import Event, MemoryStore, SQLiteStore, Tracker, UserTracker, track
from gp_aiogram.stores.contract import Store

Recorded = Callable[[], Awaitable[list[Event]]]
Handler = Callable[..., Awaitable[None]]


def unmarked() -> Handler:
    async def handler(event: TelegramObject) -> None: ...

    return handler


def marked() -> Handler:
    @track("REG")
    async def handler(event: TelegramObject) -> None: ...

    return handler


def marked_twice() -> Handler:
    @track("REG")
    @track("Subscribe")
    async def handler(event: TelegramObject) -> None: ...

    return handler


def calling() -> Handler:
    async def handler(event: TelegramObject, gp: UserTracker) -> None:
        await gp.track("Lead")

    return handler


def calling_twice() -> Handler:
    async def handler(event: TelegramObject, gp: UserTracker) -> None:
        await gp.track("Lead")
        await gp.track("Lead")

    return handler


def both() -> Handler:
    @track("Lead")
    async def handler(event: TelegramObject, gp: UserTracker) -> None:
        await gp.track("Lead")

    return handler


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "gp.sqlite3")


#: Each makes a handler, as a restarted program does, that records these events.
handlers = pytest.mark.parametrize(
    ("make_handler", "expected"),
    [
        (marked, ["REG"]),
        (marked_twice, ["REG", "Subscribe"]),
        (calling, ["Lead"]),
        (calling_twice, ["Lead", "Lead"]),
        (both, ["Lead", "Lead"]),
    ],
)

#: A callback query has no date, so the time of the event differs from one delivery to the next.
kinds = pytest.mark.parametrize("raw", [updates.message("pay"), updates.click("pay")])


def register(dispatcher: Dispatcher, handler: Handler) -> None:
    dispatcher.message.register(handler)
    dispatcher.callback_query.register(handler)


@kinds
@handlers
async def test_an_update_that_comes_twice_counts_once(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    raw: dict[str, Any],
    make_handler: Callable[[], Handler],
    expected: list[str],
) -> None:
    register(dp, make_handler())
    await feed(raw)
    await feed(raw)
    assert sorted(event.name for event in await recorded()) == expected


@kinds
@handlers
async def test_an_update_that_comes_many_times_at_once_counts_once(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    tracker: Tracker,
    raw: dict[str, Any],
    make_handler: Callable[[], Handler],
    expected: list[str],
) -> None:
    register(dp, make_handler())
    await asyncio.gather(*(feed(raw) for _ in range(20)))
    assert sorted(event.name for event in await recorded()) == expected
    assert tracker.counts["duplicates"] == 19 * len(expected)


@kinds
@handlers
async def test_an_update_that_comes_again_after_a_restart_counts_once(
    tmp_path: Path,
    bot: Bot,
    raw: dict[str, Any],
    make_handler: Callable[[], Handler],
    expected: list[str],
) -> None:
    path = tmp_path / "gp.sqlite3"
    before = await run_bot(path, bot, make_handler(), [raw])
    after = await run_bot(path, bot, make_handler(), [raw])
    assert sorted(event.name for event in before) == expected
    assert after == []


async def run_bot(
    path: Path,
    bot: Bot,
    handler: Handler,
    raw_updates: list[dict[str, Any]],
) -> list[Event]:
    """Do all that one run of a program does, and return what it delivered."""
    recorder, dispatcher = Recorder(), Dispatcher()
    tracker = Tracker([recorder], store=SQLiteStore(path))
    tracker.setup(dispatcher)
    register(dispatcher, handler)
    await dispatcher.emit_startup(bot=bot)
    try:
        for raw in raw_updates:
            await dispatcher.feed_raw_update(bot, raw)
        assert await tracker.flush(30)
    finally:
        await dispatcher.emit_shutdown(bot=bot)
    return recorder.events


@kinds
async def test_the_same_number_means_another_update_to_another_bot(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    raw: dict[str, Any],
) -> None:
    register(dp, marked())
    await feed(raw)
    await feed(raw, Bot("43:TEST"))
    assert sorted(event.bot_id for event in await recorded()) == [42, 43]


async def test_the_next_update_counts_again(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    register(dp, both())
    await feed(updates.click("pay"))
    await feed(updates.click("pay"))
    assert len(await recorded()) == 4


async def test_a_handler_that_fails_at_first_records_the_rest_when_the_update_comes_again(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    failures = iter([ConnectionError()])

    @dp.message()
    @track("REG")
    async def handler(event: TelegramObject, gp: UserTracker) -> None:
        await gp.track("Lead")
        for failure in failures:
            raise failure

    raw = updates.message()
    with pytest.raises(ConnectionError):
        await feed(raw)
    assert [event.name for event in await recorded()] == ["Lead"]
    await feed(raw)
    assert [event.name for event in await recorded()] == ["Lead", "REG"]


async def test_once_per_user_holds_for_updates_that_come_at_once(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    register(dp, track("REG", once="user")(unmarked()))
    ours = [updates.click("join") for _ in range(50)]
    others = [updates.click("join", user_id=8) for _ in range(50)]
    await asyncio.gather(*map(feed, ours + others))
    assert sorted(event.telegram_id for event in await recorded()) == [7, 8]


async def test_once_per_user_holds_after_a_restart(tmp_path: Path, bot: Bot) -> None:
    path = tmp_path / "gp.sqlite3"

    def handler() -> Handler:
        return track("REG", once="user")(unmarked())

    assert len(await run_bot(path, bot, handler(), [updates.message(), updates.message()])) == 1
    assert await run_bot(path, bot, handler(), [updates.message()]) == []


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("webhook_first", [False, True])
async def test_a_payment_reported_by_an_update_and_by_a_webhook_counts_once(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    tracker: Tracker,
    webhook_first: bool,
    at_once: bool,
) -> None:
    @dp.callback_query()
    @track("Purchase", value="9.90", currency="EUR", once=F.data)
    async def paid(call: CallbackQuery) -> None: ...

    async def update() -> None:
        await feed(updates.click("order-1"))

    async def webhook() -> None:
        await tracker.track("Purchase", telegram_id=7, value="9.90", once="order-1")

    reports = [webhook, update] if webhook_first else [update, webhook]
    if at_once:
        await asyncio.gather(*(report() for report in reports * 10))
    else:
        for report in reports:
            await report()
    assert len(await recorded()) == 1
    await feed(updates.click("order-2"))
    assert len(await recorded()) == 2
