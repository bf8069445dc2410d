"""Events that are recorded without a handler: which, when, of whom, and never twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, Router
from aiogram.dispatcher.event.bases import UNHANDLED, CancelHandler, SkipHandler
from aiogram.types import Message, TelegramObject

from fixtures import updates
from fixtures.auto_updates import AUTO, NAMES, TOLD, each, kind_of, told
from fixtures.recorder import Feed, Recorder
from gp_aiogram import (
    ConfigurationError,
    Event,
    MemoryStore,
    Tracker,
    track,
)
from gp_aiogram.bot import AutoMiddleware, CaptureMiddleware, EmitMiddleware
from gp_aiogram.model.event import AUTO_NAMES

Recorded = Callable[[], Awaitable[list[Event]]]
Auto = frozenset[str]


@pytest.fixture
def auto() -> Auto:
    """What the tracker of a test records by itself."""
    return AUTO


@pytest.fixture
async def tracker(recorder: Recorder, store: MemoryStore, auto: Auto) -> AsyncIterator[Tracker]:
    async with Tracker([recorder], store=store, auto=auto) as tracker:
        yield tracker


def test_every_event_is_tested() -> None:
    assert set(TOLD) == AUTO_NAMES


@each
async def test_recorded_without_a_handler(feed: Feed, recorded: Recorded, name: str) -> None:
    raw = told(name)
    assert await feed(raw) is UNHANDLED
    (event,) = await recorded()
    expected = {"session_id": None, "value": None, "currency": None, **TOLD[name][1]}
    assert event.name == name
    assert (event.telegram_id, event.bot_id) == (7, 42)
    assert {key: getattr(event, key) for key in expected} == expected
    if "date" in raw[kind_of(name)]:
        assert event.event_time.timestamp() == raw[kind_of(name)]["date"]


async def nothing() -> None: ...


async def fails() -> None:
    msg = "the handler's own"
    raise ZeroDivisionError(msg)


async def skips() -> None:
    raise SkipHandler


async def cancels() -> None:
    raise CancelHandler


@each
@pytest.mark.parametrize(
    ("handle", "raised"),
    [(nothing, None), (skips, None), (fails, ZeroDivisionError), (cancels, CancelHandler)],
)
async def test_recorded_whatever_a_handler_does(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    name: str,
    handle: Callable[[], Awaitable[None]],
    raised: type[Exception] | None,
) -> None:
    calls: list[TelegramObject] = []

    @dp.observers[kind_of(name)]()
    async def handler(event: TelegramObject) -> str:
        calls.append(event)
        await handle()
        return "handled"

    if raised is None:
        assert await feed(told(name)) == ("handled" if handle is nothing else UNHANDLED)
    else:
        with pytest.raises(raised):
            await feed(told(name))
    assert len(calls) == 1
    assert [event.name for event in await recorded()] == [name]


@each
@pytest.mark.parametrize("auto", [frozenset()])
async def test_not_recorded_unless_wanted(
    dp: Dispatcher, feed: Feed, recorded: Recorded, name: str
) -> None:
    await feed(told(name))
    assert await recorded() == []
    assert not any(isinstance(one, AutoMiddleware) for one in dp.update.outer_middleware)
    assert dp.resolve_used_update_types() == []


@each
async def test_one_of_them_may_be_wanted_alone(
    recorder: Recorder, bot: Bot, name: str, auto: Auto
) -> None:
    async with Tracker([recorder], store=MemoryStore(), auto=name) as tracker:
        dp = Dispatcher()
        tracker.setup(dp)
        assert dp.resolve_used_update_types() == [kind_of(name)]
        for number, other in enumerate(sorted(auto)):
            await dp.feed_raw_update(bot, told(other, 100 + number))
        assert await tracker.flush(5)
    assert [event.name for event in recorder.events] == [name]


@pytest.mark.parametrize("names", [{"Purchased"}, ["Start", "start"], "Join", {"FTD"}])
def test_unknown_names_are_refused(names: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"auto=.* may name Blocked, JoinRequest, "):
        Tracker([], store=MemoryStore(), auto=names)


# The bot's own handlers


async def test_handlers_before_and_after_setup_are_called_once(
    tracker: Tracker, bot: Bot, recorded: Recorded
) -> None:
    dp, router = Dispatcher(), Router()
    calls: list[str] = []

    def add(observers: Any, name: str, *filters: Any) -> None:
        @observers.chat_join_request(*filters)
        async def handler(event: TelegramObject) -> str:
            calls.append(name)
            return name

    async def never(event: TelegramObject) -> bool:
        return False

    add(dp, "refused", never)
    add(router, "of a router", lambda request: request.from_user.id == 7)
    dp.include_router(router)
    tracker.setup(dp)
    add(dp, "after", lambda request: request.from_user.id == 8)
    assert await dp.feed_raw_update(bot, told("JoinRequest")) == "of a router"
    eight = updates.raw("chat_join_request", update_id=2, **{"from": {"id": 8}})
    assert await dp.feed_raw_update(bot, eight) == "after"
    assert calls == ["of a router", "after"]
    assert sorted((event.name, event.telegram_id) for event in await recorded()) == [
        ("JoinRequest", 7),
        ("JoinRequest", 8),
    ]


@pytest.mark.parametrize("before_setup", [True, False])
async def test_updates_that_the_bots_own_middlewares_drop_are_recorded(
    tracker: Tracker, bot: Bot, recorded: Recorded, *, before_setup: bool
) -> None:
    async def throttle(handler: Any, event: TelegramObject, data: dict[str, Any]) -> None: ...

    dp = Dispatcher()
    if before_setup:
        dp.update.outer_middleware(throttle)
    tracker.setup(dp)
    if not before_setup:
        dp.update.outer_middleware(throttle)
    await dp.feed_raw_update(bot, told("Start"))
    assert [event.name for event in await recorded()] == ["Start"]


# Middlewares added by hand


async def test_setup_adds_what_is_missing_beside_a_middleware_added_by_hand(
    tracker: Tracker, bot: Bot, recorded: Recorded
) -> None:
    dp = Dispatcher()
    dp.update.outer_middleware(CaptureMiddleware(tracker))
    tracker.setup(dp)
    await dp.feed_raw_update(bot, told("Start"))
    assert [event.name for event in await recorded()] == ["Start"]
    assert "chat_member" in dp.resolve_used_update_types()


async def test_all_may_be_added_by_hand_and_again_by_setup(
    tracker: Tracker, bot: Bot, recorded: Recorded
) -> None:
    dp = Dispatcher()
    dp.update.outer_middleware(AutoMiddleware(tracker))
    dp.update.outer_middleware(CaptureMiddleware(tracker))
    dp.message.middleware(EmitMiddleware(tracker))

    @dp.message()
    @track("Start", once="user")
    async def handler(message: Message) -> None: ...

    for _ in range(2):
        await dp.feed_raw_update(bot, updates.start())
        tracker.setup(dp)
    assert [event.name for event in await recorded()] == ["Start"]
    kinds = [type(one) for one in dp.update.outer_middleware]
    assert (kinds.count(CaptureMiddleware), kinds.count(AutoMiddleware)) == (1, 1)


# Whom nothing is recorded of


async def test_who_opted_out_is_left_alone(
    feed: Feed, recorded: Recorded, tracker: Tracker
) -> None:
    await tracker.opt_out(7)
    for name in NAMES:
        await feed(told(name))
    assert await recorded() == []
    await tracker.opt_in(7)
    await feed(told("Blocked"))
    assert [event.name for event in await recorded()] == ["Blocked"]


def anonymous(kind: str, text: str) -> dict[str, Any]:
    content = updates.raw_message(text, chat=updates.GROUP, sender_chat=updates.GROUP)
    del content["from"]
    return updates.update(kind, content)


POLL = {
    "id": "1",
    "question": "?",
    "options": [],
    "total_voter_count": 0,
    "is_closed": False,
    "is_anonymous": True,
    "type": "regular",
    "allows_multiple_answers": False,
    "allows_revoting": False,
    "members_only": False,
}


@pytest.mark.parametrize(
    "raw",
    [
        anonymous("message", "/start"),
        anonymous("channel_post", "/start"),
        updates.update("poll", POLL),
        updates.start(chat=updates.GROUP),
        updates.start(**{"from": updates.person(is_bot=True)}),
        updates.message("start"),
        updates.update("edited_message", updates.raw_message("/start", edit_date=updates.DATE)),
        updates.update("business_message", updates.raw_message("/start gp_x")),
        updates.click("/start"),
        updates.raw("pre_checkout_query_eur"),
        updates.raw("my_chat_member_unblocked"),
        updates.update("not_there_yet", {"from": updates.person()}),
    ],
    ids=lambda raw: list(raw)[1],
)
@pytest.mark.filterwarnings("ignore:Detected unknown update type")
async def test_all_else_is_nothing(
    feed: Feed, recorded: Recorded, tracker: Tracker, raw: dict[str, Any]
) -> None:
    await feed(raw)
    assert await recorded() == []
    assert tracker.counts["auto_errors"] == 0


@pytest.mark.filterwarnings("ignore:Detected unknown update type")
async def test_an_aiogram_that_cannot_ask_for_an_update_is_reported(
    bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    dp = Dispatcher()
    dp.observers.pop("subscription", None)
    tracker = Tracker([], store=MemoryStore(), auto="Subscription")
    tracker.setup(dp)
    assert "this version of aiogram does not know subscription updates" in caplog.text
    await dp.feed_raw_update(bot, updates.raw("subscription_active"))
    assert tracker.counts["auto_errors"] == 0
