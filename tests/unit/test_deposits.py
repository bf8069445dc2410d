"""A user's first deposit is an FTD, every later one a DEP, however they are reported."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import Message

from fixtures import updates
from fixtures.banks import STORES, bank, payment
from fixtures.recorder import Feed, Recorder
from gp_aiogram import (
    Event,
    MemoryStore,
    SQLiteStore,
    Store,
    StoreError,
    Tracker,
    UserTracker,
)

Recorded = Callable[[], Awaitable[list[Event]]]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return STORES[request.param](tmp_path)


async def names(recorded: Recorded) -> list[str]:
    return [event.name for event in await recorded()]


async def test_the_first_is_an_ftd_and_the_next_are_deps(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    bank(dp)
    for amount in (10, 20, 30):
        await feed(updates.click(f"deposit:{amount}"))
    await feed(updates.raw("successful_payment_eur"))
    events = await recorded()
    assert [(event.name, str(event.value)) for event in events] == [
        ("FTD", "10.00"),
        ("DEP", "20.00"),
        ("DEP", "30.00"),
        ("DEP", "19.99"),
    ]


async def test_one_of_200_deposits_at_once_is_the_first(
    tracker: Tracker, recorded: Recorded
) -> None:
    deposits = [
        tracker.deposit(telegram_id=7, bot_id=42, value=number, once=f"order-{number}")
        for number in range(1, 201)
    ]
    returned = await asyncio.gather(*deposits)
    assert Counter(event.name for event in returned if event) == {"FTD": 1, "DEP": 199}
    events = await recorded()
    assert Counter(event.name for event in events) == {"FTD": 1, "DEP": 199}
    assert sorted(event.value for event in events) == [*range(1, 201)]


async def test_one_of_200_updates_at_once_is_the_first(
    dp: Dispatcher, feed: Feed, recorded: Recorded, tracker: Tracker
) -> None:
    bank(dp)
    await asyncio.gather(*(feed(updates.click(f"deposit:{n}")) for n in range(1, 201)))
    assert Counter(await names(recorded)) == {"FTD": 1, "DEP": 199}
    assert tracker.counts["decorator_errors"] == 0


async def test_200_users_at_once_are_each_first_once(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    bank(dp)
    clicks = [updates.click("deposit:5", user_id=1 + n % 100) for n in range(200)]
    await asyncio.gather(*map(feed, clicks))
    events = await recorded()
    assert Counter(event.name for event in events) == {"FTD": 100, "DEP": 100}
    assert len({event.telegram_id for event in events if event.name == "FTD"}) == 100


@pytest.mark.parametrize("times", [2, 20])
async def test_what_is_delivered_again_stays_what_it_was(
    dp: Dispatcher, feed: Feed, recorded: Recorded, times: int
) -> None:
    bank(dp)
    for update in (updates.click("deposit:1"), updates.click("deposit:2"), payment()):
        await asyncio.gather(*(feed(update) for _ in range(times)))
        await feed(update)
    assert await names(recorded) == ["FTD", "DEP", "DEP"]


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_first_deposit_by_payment_stays_one_in_another_update(
    dp: Dispatcher, feed: Feed, recorded: Recorded, at_once: bool
) -> None:
    bank(dp)
    reports = [payment("c1") for _ in range(20)]
    if at_once:
        await asyncio.gather(*map(feed, reports))
    else:
        for report in reports:
            await feed(report)
    assert await names(recorded) == ["FTD"]
    await feed(payment("c2"))
    assert await names(recorded) == ["FTD", "DEP"]


@asynccontextmanager
async def running(store: Store, bot: Bot) -> AsyncIterator[tuple[Feed, Recorder, Tracker]]:
    """One run of a bot, from start to end."""
    recorder, dispatcher = Recorder(), Dispatcher()
    tracker = Tracker([recorder], store=store)
    tracker.setup(dispatcher)
    bank(dispatcher)

    async def feed(update: dict[str, Any]) -> Any:
        return await dispatcher.feed_raw_update(bot, update)

    await dispatcher.emit_startup(bot=bot)
    try:
        yield feed, recorder, tracker
        assert await tracker.flush()
    finally:
        await dispatcher.emit_shutdown(bot=bot)


async def test_after_a_restart_everything_is_as_it_was(tmp_path: Path, bot: Bot) -> None:
    path = tmp_path / "gp.sqlite3"
    reports = [updates.click("deposit:1"), updates.click("deposit:2"), payment("c1")]
    async with running(SQLiteStore(path), bot) as (feed, first, _):
        for report in reports:
            await feed(report)
    assert [event.name for event in first.events] == ["FTD", "DEP", "DEP"]
    async with running(SQLiteStore(path), bot) as (feed, second, tracker):
        for report in [*reports, payment("c1")]:
            await feed(report)
        assert tracker.counts["duplicates"] == 4
        await feed(updates.click("deposit:3"))
    assert [event.name for event in second.events] == ["DEP"]


@pytest.mark.parametrize("webhook_first", [False, True])
async def test_a_webhook_and_an_update_report_one_deposit(
    dp: Dispatcher, feed: Feed, recorded: Recorded, tracker: Tracker, webhook_first: bool
) -> None:
    bank(dp)

    async def webhook() -> Event | None:
        return await tracker.deposit(telegram_id=7, bot_id=42, value="19.99", once="c1")

    if webhook_first:
        assert await webhook() is not None
    await feed(payment("c1"))
    assert await webhook() is None
    assert await names(recorded) == ["FTD"]


async def test_an_order_id_lets_a_deposit_through_once(tracker: Tracker) -> None:
    async def deposit(once: Any) -> str | None:
        event = await tracker.deposit(telegram_id=7, value=5, once=once)
        return event and event.name

    assert [await deposit(once) for once in ("o1", "o1", 2, "2", None, None)] == [
        "FTD",
        None,
        "DEP",
        None,
        "DEP",
        "DEP",
    ]


async def test_bots_have_first_deposits_of_their_own(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    bank(dp)
    for bot in (Bot("42:TEST"), Bot("43:TEST")):
        for _ in range(2):
            await feed(updates.click("deposit:1"), bot)
    told = [(event.bot_id, event.name) for event in await recorded()]
    assert told == [(42, "FTD"), (42, "DEP"), (43, "FTD"), (43, "DEP")]


async def test_a_handler_may_deposit_itself(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    @dp.message()
    async def handler(message: Message, gp: UserTracker) -> None:
        await gp.deposit(value=5)
        await gp.deposit(value=6, once="o1")

    update = updates.message()
    for _ in range(3):
        await feed(update)
    assert [(event.name, event.value) for event in await recorded()] == [("FTD", 5), ("DEP", 6)]


async def test_an_ftd_that_counts_once_per_user_is_the_first_deposit(tracker: Tracker) -> None:
    ftd = await tracker.track("FTD", telegram_id=7, value=5, once="user")
    deposit = await tracker.deposit(telegram_id=7, value=5)
    assert ftd is not None
    assert deposit is not None
    assert deposit.name == "DEP"
    other = await tracker.deposit(telegram_id=8, value=5)
    assert other is not None
    assert other.name == "FTD"
    assert await tracker.track("FTD", telegram_id=8, value=5, once="user") is None


class Failing(MemoryStore):
    """Fails at one thing for a while."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.fails = True
        works = getattr(self.outbox, method)

        async def fail(*args: Any, **kwargs: Any) -> Any:
            if self.fails:
                msg = "disk full"
                raise StoreError(msg)
            return await works(*args, **kwargs)

        setattr(self.outbox, method, fail)


@pytest.mark.parametrize("method", ["accept", "known_keys"])
async def test_a_store_that_fails_raises_and_keeps_nothing(method: str) -> None:
    store, recorder = Failing(method), Recorder()
    async with Tracker([recorder], store=store) as tracker:
        with pytest.raises(StoreError, match="disk full"):
            await tracker.deposit(telegram_id=7, value=5, once="o1", event_id="e1")
        store.fails = False
        event = await tracker.deposit(telegram_id=7, value=5, once="o1", event_id="e1")
        assert event is not None
        assert event.name == "FTD"
        assert await tracker.flush()
    assert recorder.events == [event]
