"""A checkout that waits for its answer is never kept waiting by tracking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.methods import AnswerPreCheckoutQuery
from aiogram.types import PreCheckoutQuery

from fixtures import updates
from fixtures.recorder import Feed, Recorder
from gp_aiogram import Event, MemoryStore, Session, Tracker, UserTracker, track
from gp_aiogram.model.clock import Clock
from gp_aiogram.model.session import SessionQuery
from gp_aiogram.stores.memory.outbox import MemoryOutbox
from gp_aiogram.stores.records import AcceptResult, ContextQuery, Entry, UserContext

Recorded = Callable[[], Awaitable[list[Event]]]

#: Seconds; the store of these tests would take for ever.
PATIENCE = 5.0


class HangingStore(MemoryStore):
    """Answers nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()
        self.outbox = HangingOutbox(self.clock, self.answers)

    async def load_context(self, query: ContextQuery) -> UserContext:
        await self.answers.wait()
        return await super().load_context(query)

    async def find_session(self, query: SessionQuery) -> Session | None:
        await self.answers.wait()
        return await super().find_session(query)


class HangingOutbox(MemoryOutbox):
    def __init__(self, clock: Clock, answers: asyncio.Event) -> None:
        super().__init__(clock)
        self.answers = answers

    async def accept(self, entry: Entry) -> AcceptResult:
        await self.answers.wait()
        return await super().accept(entry)


@pytest.fixture
def store() -> HangingStore:
    return HangingStore()


@pytest.fixture
async def tracker(recorder: Recorder, store: HangingStore) -> AsyncIterator[Tracker]:
    tracker = Tracker([recorder], store=store)
    yield tracker
    store.answers.set()
    await tracker.close(grace=1)


@pytest.fixture
def feed(dp: Dispatcher, bot: Bot) -> Feed:
    """Feed an update that must not wait for the store."""

    async def feed(update: dict[str, Any]) -> Any:
        return await asyncio.wait_for(dp.feed_raw_update(bot, update), PATIENCE)

    return feed


def approve(dp: Dispatcher) -> None:
    @dp.pre_checkout_query()
    @track("InitiateCheckout")
    async def approve(query: PreCheckoutQuery) -> AnswerPreCheckoutQuery:
        return query.answer(ok=True)


async def test_neither_the_handler_nor_its_answer_waits_for_the_store(
    dp: Dispatcher,
    bot: Bot,
    store: HangingStore,
    recorded: Recorded,
) -> None:
    approve(dp)
    update = updates.raw("pre_checkout_query_eur")
    answer = await asyncio.wait_for(dp.feed_webhook_update(bot, update), PATIENCE)
    assert isinstance(answer, AnswerPreCheckoutQuery)
    assert (answer.pre_checkout_query_id, answer.ok) == (update["pre_checkout_query"]["id"], True)
    store.answers.set()
    await asyncio.sleep(0.05)
    (event,) = await recorded()
    assert (event.name, event.value, event.currency) == (
        "InitiateCheckout",
        Decimal("19.99"),
        "EUR",
    )
    assert event.user_data == {"invoice_payload": "course:basic"}


async def test_a_handler_that_asks_for_gp_waits_for_the_session_but_not_for_long(
    dp: Dispatcher,
    feed: Feed,
    tracker: Tracker,
) -> None:
    seen: list[Any] = []

    @dp.pre_checkout_query()
    async def approve(query: PreCheckoutQuery, gp: UserTracker) -> None:
        seen.append(gp.session)

    await feed(updates.raw("pre_checkout_query_eur"))
    assert seen == [None]
    assert tracker.counts["session_errors"] == 1


async def test_a_checkout_in_stars_that_comes_again_counts_once(
    dp: Dispatcher,
    feed: Feed,
    store: HangingStore,
    tracker: Tracker,
    recorded: Recorded,
) -> None:
    approve(dp)
    for _ in range(3):
        await feed(updates.raw("pre_checkout_query_stars"))
    store.answers.set()
    await asyncio.sleep(0.05)
    (event,) = await recorded()
    assert (event.value, event.currency) == (Decimal("3.25"), "USD")
    assert tracker.counts["duplicates"] == 2


async def test_closing_waits_for_checkouts(
    dp: Dispatcher, feed: Feed, store: HangingStore, tracker: Tracker
) -> None:
    approve(dp)
    await feed(updates.raw("pre_checkout_query_eur"))
    asyncio.get_running_loop().call_later(0.05, store.answers.set)
    await tracker.close()
    assert tracker.counts["tracked"] == 1


async def test_what_cannot_be_recorded_before_closing_is_told(
    dp: Dispatcher,
    feed: Feed,
    tracker: Tracker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    approve(dp)
    await feed(updates.raw("pre_checkout_query_eur"))
    before = asyncio.all_tasks()
    await tracker.close(grace=0.05)
    assert "1 handler(s) had nothing recorded" in caplog.text
    assert all(task.done() for task in before - {asyncio.current_task()})
    assert tracker.counts["tracked"] == 0
