"""Every kind of event that a handler can record counts once, however often its update comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import TelegramObject

from fixtures import updates
from fixtures.banks import STORES
from fixtures.recorder import Recorder
from gp_aiogram import SQLiteStore, Store, Tracker, track


class Kind(NamedTuple):
    """How an event is recorded, and from which update."""

    #: Of the events.
    name: str
    #: One of those kept in ``tests/data/updates``.
    update: str
    #: Makes the mark anew, as a restarted program does.
    mark: Callable[[], Any]
    #: Recorded by others before, so that the event has its name.
    before: Callable[[Tracker], Any] | None = None

    @property
    def observer(self) -> str:
        _, kind = updates.raw(self.update)
        return kind


async def deposited(tracker: Tracker) -> None:
    await tracker.deposit(telegram_id=7, bot_id=42, value=1, once="earlier", event_id="earlier")


async def bought(tracker: Tracker) -> None:
    paid = updates.raw("refunded_payment_stars")["message"]["refunded_payment"]
    charge_id = paid["telegram_payment_charge_id"]
    await tracker.track("Purchase", telegram_id=7, bot_id=42, value=1, once=charge_id)


def plain(name: str) -> Callable[[], Any]:
    return lambda: track(name)


EVERY_KIND = [
    Kind("REG", "start", lambda: track("REG", once="user")),
    Kind("REG", "contact", plain("REG")),
    Kind("FTD", "callback_query", lambda: track("FTD", value=5, once="user")),
    Kind("FTD", "callback_query", lambda: track.deposit(value=5)),
    Kind("FTD", "successful_payment_eur", track.deposit),
    Kind("FTD", "successful_payment_stars_recurring_first", lambda: track("FTD")),
    Kind("DEP", "callback_query", lambda: track.deposit(value=5), deposited),
    Kind("DEP", "successful_payment_jpy", track.deposit, deposited),
    Kind("DEP", "successful_payment_stars_recurring_renewal", track.deposit),
    Kind("Purchase", "successful_payment_eur", plain("Purchase")),
    Kind("Purchase", "successful_payment_stars", plain("Purchase")),
    Kind("Purchase", "purchased_paid_media", lambda: track("Purchase", value=1, currency="XTR")),
    Kind("Refund", "refunded_payment_stars", plain("Refund")),
    Kind("Refund", "refunded_payment_stars", plain("Refund"), bought),
    Kind("InitiateCheckout", "pre_checkout_query_eur", plain("InitiateCheckout")),
    Kind("My event", "message_text", plain("My event")),
    Kind("JoinRequest", "chat_join_request", plain("JoinRequest")),
    Kind("Subscribe", "chat_member_joined_by_link", plain("Subscribe")),
    Kind("Leave", "chat_member_left", plain("Leave")),
    Kind("Blocked", "my_chat_member_blocked", plain("Blocked")),
    Kind("Added", "my_chat_member_added_to_group", plain("Added")),
    Kind("App", "web_app_data", plain("App")),
    Kind("Subscription", "subscription_active", plain("Subscription")),
    Kind("Subscription", "subscription_canceled", plain("Subscription")),
]

#: Those that the installed aiogram knows.
KINDS = [kind for kind in EVERY_KIND if kind.observer in Dispatcher().observers]

kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.name}-{kind.update}")


class Run:
    """One run of a bot that records one kind of event."""

    def __init__(self, kind: Kind, store: Store) -> None:
        self.dispatcher, self.recorder, self.bot = Dispatcher(), Recorder(), Bot("42:TEST")
        self.tracker = Tracker([self.recorder], store=store)
        self.tracker.setup(self.dispatcher)

        @kind.mark()
        async def handler(event: TelegramObject) -> None: ...

        self.dispatcher.observers[kind.observer].register(handler)

    async def feed(self, update: dict[str, Any]) -> None:
        await self.dispatcher.feed_raw_update(self.bot, update)

    async def recorded(self, times: int) -> None:
        """Wait until so many updates have been recorded or refused, also those aside."""
        counts = self.tracker.counts
        for _ in range(500):
            if counts["tracked"] + counts["duplicates"] >= times:
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"not all was recorded: {counts}")


@asynccontextmanager
async def running(kind: Kind, store: Store) -> AsyncIterator[Run]:
    run = Run(kind, store)
    await run.dispatcher.emit_startup(bot=run.bot)
    try:
        if kind.before is not None:
            await kind.before(run.tracker)
            assert await run.tracker.flush()
            run.recorder.events.clear()
            run.tracker.counts.clear()
        yield run
        assert await run.tracker.flush()
    finally:
        await run.dispatcher.emit_shutdown(bot=run.bot)


def test_there_are_as_many_kinds_as_this_aiogram_knows() -> None:
    left_out = {kind.observer for kind in EVERY_KIND} - {kind.observer for kind in KINDS}
    assert left_out <= {"subscription"}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return STORES[request.param](tmp_path)


@kinds
@pytest.mark.parametrize("at_once", [False, True])
async def test_an_update_that_comes_again_counts_once(
    kind: Kind, store: Store, at_once: bool
) -> None:
    update = updates.raw(kind.update)
    async with running(kind, store) as run:
        if at_once:
            await asyncio.gather(*(run.feed(update) for _ in range(20)))
        else:
            for _ in range(20):
                await run.feed(update)
        await run.recorded(20)
    assert [event.name for event in run.recorder.events] == [kind.name]
    assert run.tracker.counts["duplicates"] == 19


@kinds
async def test_an_update_that_comes_again_after_a_restart_counts_once(
    kind: Kind, tmp_path: Path
) -> None:
    path = tmp_path / "gp.sqlite3"
    update = updates.raw(kind.update)
    for expected in ([kind.name], []):
        async with running(kind, SQLiteStore(path)) as run:
            await run.feed(update)
            await run.recorded(1)
        assert [event.name for event in run.recorder.events] == expected
        assert run.tracker.counts["decorator_errors"] == 0


@kinds
async def test_an_update_that_comes_again_once_its_user_is_forgotten_counts_once(
    kind: Kind, tmp_path: Path
) -> None:
    update = updates.raw(kind.update)
    async with running(kind, SQLiteStore(tmp_path / "gp.sqlite3")) as run:
        await run.feed(update)
        await run.recorded(1)
        assert await run.tracker.flush()
        (event,) = run.recorder.events
        await run.tracker.forget(event.telegram_id)
        await run.feed(update)
        await run.recorded(2)
    assert run.recorder.events == [event]
