"""Beside what bots put around handlers: throttles, aiogram's utilities, FSM and its locks."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiogram import BaseMiddleware, Bot, Dispatcher, F, Router, flags
from aiogram.dispatcher.event.bases import CancelHandler
from aiogram.dispatcher.event.handler import HandlerObject
from aiogram.filters import CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.fsm.storage.memory import SimpleEventIsolation
from aiogram.fsm.strategy import FSMStrategy
from aiogram.types import CallbackQuery, Message, Update
from aiogram.utils.callback_answer import CallbackAnswerMiddleware
from aiogram.utils.chat_action import ChatActionMiddleware

from fixtures import updates
from fixtures.recorder import Feed
from fixtures.sandbox_bots import bot_of, keyboard, polling
from gp_aiogram import Event, MemoryStore, Tracker, UserTracker, track
from gp_aiogram.bot import EmitMiddleware
from gp_aiogram.model.session import SessionQuery
from gp_aiogram.sandbox import TelegramSandbox

Recorded = Callable[[], Awaitable[list[Event]]]


async def names(recorded: Recorded) -> list[str]:
    return [event.name for event in await recorded()]


# Throttles and the like


class Throttle(BaseMiddleware):
    """Lets one update of each user through; drops, or refuses, the rest."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self._seen: set[int] = set()
        self._refusal = refusal

    async def __call__(self, handler: Any, event: Any, data: dict[str, Any]) -> Any:
        user_id = data["event_from_user"].id
        if user_id not in self._seen:
            self._seen.add(user_id)
            return await handler(event, data)
        if self._refusal is not None:
            raise self._refusal
        return None


class Copying(BaseMiddleware):
    """Hands the handler a context of its own, and answers in its place."""

    async def __call__(self, handler: Any, event: Any, data: dict[str, Any]) -> Any:
        await handler(event, {**data, "more": 1})
        return "another answer"


class Swallowing(BaseMiddleware):
    """Turns the handler's failures into an answer."""

    async def __call__(self, handler: Any, event: Any, data: dict[str, Any]) -> Any:
        try:
            return await handler(event, data)
        except LookupError:
            return "sorry"


class Committing(BaseMiddleware):
    """Fails when the handler is done, as a database may at the end of a transaction."""

    async def __call__(self, handler: Any, event: Any, data: dict[str, Any]) -> Any:
        await handler(event, data)
        raise LookupError


def place(dp: Dispatcher, router: Router, where: str) -> Any:
    owner = dp if where.startswith("dispatcher") else router
    outer = where.endswith(", outer")
    return owner.message.outer_middleware if outer else owner.message.middleware


PLACES = ["dispatcher", "dispatcher, outer", "router", "router, outer"]


@pytest.fixture(params=["started", "not started"])
def begin(dp: Dispatcher, request: pytest.FixtureRequest) -> Callable[[], Awaitable[None]]:
    """Start the dispatcher; or not, as a bot does that feeds updates by itself."""

    async def begin() -> None:
        if request.param == "started":
            await dp.emit_startup()

    return begin


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("refusal", [None, CancelHandler()], ids=["dropped", "refused"])
async def test_what_a_throttle_keeps_from_the_handler_is_not_recorded(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    store: MemoryStore,
    begin: Callable[[], Awaitable[None]],
    where: str,
    refusal: Exception | None,
) -> None:
    router = Router()
    dp.include_router(router)
    place(dp, router, where)(Throttle(refusal))
    calls: list[str | None] = []

    @router.message()
    @track("REG")
    async def handler(message: Message) -> None:
        calls.append(message.text)

    await begin()
    await feed(updates.start("gp_first"))
    for payload in ("gp_second", "gp_third"):
        if refusal is None:
            await feed(updates.start(payload, date=updates.DATE + 1))
        else:
            with pytest.raises(CancelHandler):
                await feed(updates.start(payload, date=updates.DATE + 1))
    assert calls == ["/start gp_first"]
    assert await names(recorded) == ["REG"]
    session = await store.find_session(SessionQuery(7, 42))
    assert session is not None
    assert session.session_id == "gp_third"


@pytest.mark.parametrize("where", PLACES)
async def test_a_middleware_may_change_the_context_and_the_answer(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    begin: Callable[[], Awaitable[None]],
    where: str,
) -> None:
    router = Router()
    dp.include_router(router)
    place(dp, router, where)(Copying())

    @router.message()
    @track("FTD", value=lambda result: result)
    async def handler(message: Message, gp: UserTracker) -> int:
        await gp.track("Inside")
        return 5

    await begin()
    assert await feed(updates.message()) == "another answer"
    inside, outside = await recorded()
    assert (inside.name, outside.name, outside.value) == ("Inside", "FTD", 5)


@pytest.mark.parametrize("where", PLACES)
async def test_a_swallowed_failure_is_a_failure(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    begin: Callable[[], Awaitable[None]],
    where: str,
) -> None:
    router = Router()
    dp.include_router(router)
    place(dp, router, where)(Swallowing())

    @router.message()
    @track("REG")
    async def handler(message: Message) -> None:
        raise LookupError

    await begin()
    assert await feed(updates.message()) == "sorry"
    assert await recorded() == []


@pytest.mark.parametrize("where", ["dispatcher", "router"])
async def test_what_fails_after_the_handler_is_a_failure(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    begin: Callable[[], Awaitable[None]],
    where: str,
) -> None:
    router = Router()
    dp.include_router(router)
    place(dp, router, where)(Committing())

    @router.message()
    @track("REG")
    async def handler(message: Message) -> None: ...

    await begin()
    with pytest.raises(LookupError):
        await feed(updates.message())
    assert await recorded() == []


async def test_middlewares_may_be_of_any_make(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    passed: list[int] = []

    async def function(handler: Any, event: Any, data: dict[str, Any]) -> Any:
        return await handler(event, data)

    async def takes_more(number: int, handler: Any, event: Any, data: dict[str, Any]) -> Any:
        passed.append(number)
        return await handler(event, data)

    dp.message.middleware(function)
    dp.message.middleware(functools.partial(takes_more, 5))
    dp.message.middleware(Throttle())

    @dp.message()
    @track("REG")
    async def handler(message: Message) -> None: ...

    for _ in range(2):
        await feed(updates.message())
    assert passed == [5, 5]
    assert await names(recorded) == ["REG"]


async def test_emission_may_be_called_by_hand(
    tracker: Tracker,
    bot: Bot,
    recorded: Recorded,
) -> None:
    @track("FTD", value=lambda result: result)
    async def handler(message: Message) -> None: ...

    async def called(event: Any, data: dict[str, Any]) -> int:
        return 5

    update = Update.model_validate(updates.message())
    data = {
        "bot": bot,
        "handler": HandlerObject(handler),
        "event_update": update,
        "event_from_user": update.message.from_user,
    }
    assert await EmitMiddleware(tracker)(called, update.message, data) == 5
    (event,) = await recorded()
    assert event.value == 5


# aiogram's own utilities, on a Telegram that answers


async def test_chat_actions_and_answers_to_callbacks_come_as_ever(
    tracker: Tracker,
    recorded: Recorded,
) -> None:
    dp = Dispatcher()
    dp.message.middleware(ChatActionMiddleware())
    tracker.setup(dp)
    dp.callback_query.middleware(CallbackAnswerMiddleware())

    @dp.message(CommandStart())
    @track("REG")
    @flags.chat_action("upload_photo")
    async def start(message: Message) -> None:
        buttons = keyboard(("Pay", {"callback_data": "pay"}))
        await message.answer("hello", reply_markup=buttons)

    @dp.callback_query(F.data == "pay")
    @flags.callback_answer(text="Thank you!")
    @track("FTD", value=5)
    async def pay(call: CallbackQuery) -> None:
        await call.message.edit_text("paid")

    async with TelegramSandbox(timeout=2.0) as telegram, bot_of(telegram) as bot:
        async with polling(dp, bot):
            user = telegram.user(7)
            await user.start("gp_a1b2c3")
            assert (await user.click("Pay")).text == "paid"
            await telegram.wait_until(lambda: user.answers)
        assert [answer.text for answer in user.answers] == ["Thank you!"]
        actions = [call for call in telegram.calls if call.method == "sendChatAction"]
        assert [call.params["action"] for call in actions] == ["upload_photo"]
    events = await recorded()
    assert [(event.name, event.session_id) for event in events] == [
        ("REG", "gp_a1b2c3"),
        ("FTD", "gp_a1b2c3"),
    ]


# FSM


@pytest.fixture(params=list(FSMStrategy), ids=lambda strategy: strategy.name)
async def with_fsm(tracker: Tracker, request: pytest.FixtureRequest) -> AsyncIterator[Dispatcher]:
    dp = Dispatcher(fsm_strategy=request.param, events_isolation=SimpleEventIsolation())
    tracker.setup(dp)
    yield dp
    await dp.fsm.close()


async def test_people_are_told_apart_by_whatever_strategy_their_states_are(
    with_fsm: Dispatcher,
    bot: Bot,
    recorded: Recorded,
) -> None:
    @with_fsm.message(F.text == "pay")
    @track("FTD", value=5)
    async def pay(message: Message, state: FSMContext, gp: UserTracker) -> None:
        await gp.track("Inside", user_data={"session": gp.session and gp.session.session_id})
        await state.clear()

    async def say(text: str, user_id: int, **changes: Any) -> None:
        raw = updates.message(text, user_id=user_id, date=int(time.time()), **changes)
        await with_fsm.feed_raw_update(bot, raw)

    topic = {"chat": updates.GROUP, "message_thread_id": 5, "is_topic_message": True}
    for user_id in (7, 8):
        await say(f"/start gp_{user_id}", user_id)
    await asyncio.gather(
        *(say("pay", user_id, **where) for user_id in (7, 8) for where in ({}, topic)),
    )
    events = sorted(
        (event.name, event.telegram_id, event.session_id) for event in await recorded()
    )
    expected = [(name, who, f"gp_{who}") for name in ("FTD", "Inside") for who in (7, 7, 8, 8)]
    assert events == expected
    assert {event.user_data.get("session") for event in await recorded()} == {None, "gp_7", "gp_8"}


async def test_updates_of_one_user_are_recorded_in_their_order(
    with_fsm: Dispatcher,
    bot: Bot,
    recorded: Recorded,
) -> None:
    @with_fsm.message()
    @track("Counted", value=lambda result: result)
    async def count(message: Message, state: FSMContext) -> int:
        number = (await state.get_data()).get("number", 0) + 1
        await asyncio.sleep(0)
        await state.update_data(number=number)
        return int(number)

    await asyncio.gather(
        *(with_fsm.feed_raw_update(bot, updates.message()) for _ in range(20)),
    )
    assert [event.value for event in await recorded()] == list(range(1, 21))


async def test_a_bot_without_fsm_is_tracked_too(
    tracker: Tracker,
    bot: Bot,
    recorded: Recorded,
) -> None:
    dp = Dispatcher(disable_fsm=True)
    tracker.setup(dp)

    @dp.message()
    @track("REG")
    async def handler(message: Message, gp: UserTracker) -> None: ...

    await dp.feed_raw_update(bot, updates.start("gp_a1b2c3", date=int(time.time())))
    (event,) = await recorded()
    assert event.session_id == "gp_a1b2c3"
