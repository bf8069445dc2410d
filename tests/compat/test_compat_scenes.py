"""Scenes: their actions bypass middlewares, and are tracked all the same."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F, Router
from aiogram.dispatcher.event.bases import REJECTED, UNHANDLED
from aiogram.filters import Command
from aiogram.fsm.scene import Scene, SceneRegistry, ScenesManager, on
from aiogram.types import CallbackQuery, Message

from fixtures import updates
from fixtures.recorder import Feed
from gp_aiogram import Event, Tracker, UserTracker, track
from gp_aiogram.bot import tracked

Recorded = Callable[[], Awaitable[list[Event]]]
Begin = Callable[..., None]


class Failure(Exception):  # noqa: N818 - reads as what happened
    pass


@pytest.fixture(params=["dispatcher", "router"])
def begin(dp: Dispatcher, request: pytest.FixtureRequest) -> Begin:
    """Register scenes, and let ``/go`` enter the first by its own handler, ``/in`` by ours."""

    def begin(*scenes: type[Scene]) -> None:
        router = Router()
        if request.param == "dispatcher":
            registry = SceneRegistry(dp)
            dp.include_router(router)
        else:
            dp.include_router(router)
            registry = SceneRegistry(router)
        router.message.register(scenes[0].as_handler(), Command("go"))

        @router.message(Command("in"))
        async def enter(message: Message, scenes: ScenesManager) -> None:
            await scenes.enter(first)

        first = scenes[0]
        registry.register(*scenes)

    return begin


async def names(recorded: Recorded) -> list[str]:
    return [event.name for event in await recorded()]


@pytest.mark.parametrize("command", ["/go", "/in"])
async def test_actions_are_recorded_with_their_session(
    feed: Feed,
    recorded: Recorded,
    begin: Begin,
    command: str,
) -> None:
    class Quiz(Scene, state="quiz"):
        @on.message.enter()
        @tracked("Entered", value=F.text.len(), user_data={"text": lambda message: message.text})
        async def enter(self, message: Message) -> None: ...

        @on.message.leave()
        @tracked("Left")
        async def leave(self, message: Message) -> None: ...

        @on.message.exit()
        @tracked("Exited", value=lambda event: len(event.text))
        async def exit(self, message: Message) -> None: ...

        @on.message(F.text == "leave")
        async def leaving(self, message: Message) -> None:
            await self.wizard.leave()

        @on.message(F.text == "exit")
        async def exiting(self, message: Message) -> None:
            await self.wizard.exit()

    begin(Quiz)
    await feed(updates.start("gp_a1b2c3", date=int(time.time())))
    for text in (command, "leave", "exit"):
        await feed(updates.message(text, date=int(time.time())))
    entered, left, exited = await recorded()
    assert (entered.name, left.name, exited.name) == ("Entered", "Left", "Exited")
    assert (entered.value, exited.value) == (3, 4)
    assert entered.user_data == {"text": command}
    assert (entered.telegram_id, entered.bot_id, entered.session_id) == (7, 42, "gp_a1b2c3")


async def test_an_action_happened_when_telegram_says(
    feed: Feed,
    recorded: Recorded,
    begin: Begin,
) -> None:
    class Quiz(Scene, state="quiz"):
        @on.message.enter()
        @tracked("Entered")
        async def enter(self, message: Message) -> None: ...

    begin(Quiz)
    await feed(updates.message("/in"))
    (event,) = await recorded()
    assert event.event_time == datetime.fromtimestamp(updates.DATE, timezone.utc)


async def test_going_back_and_on_with_other_updates(
    feed: Feed,
    recorded: Recorded,
    begin: Begin,
) -> None:
    class First(Scene, state="first"):
        @on.message.enter()
        @on.callback_query.enter()
        @tracked("First", user_data={"kind": lambda event: type(event).__name__})
        async def enter(self, event: Any) -> None: ...

        @on.message.back()
        async def unused(self, message: Message) -> None: ...

        @on.callback_query(F.data == "next")
        async def forward(self, call: CallbackQuery) -> None:
            await self.wizard.goto(Second, amount=5)

    class Second(Scene, state="second"):
        @on.callback_query.enter()
        @tracked("Second", value=lambda amount, callback_query: amount + len(callback_query.data))
        async def enter(self, call: CallbackQuery, amount: int) -> None: ...

        @on.callback_query(F.data == "back")
        @track("Back")
        async def back(self, call: CallbackQuery) -> None:
            await self.wizard.back()

    begin(First, Second)
    await feed(updates.message("/go"))
    await feed(updates.click("next"))
    await feed(updates.click("back"))
    events = await recorded()
    assert [event.name for event in events] == ["First", "Second", "First", "Back"]
    assert events[1].value == 9
    assert [event.user_data["kind"] for event in events[::2]] == ["Message", "CallbackQuery"]


async def test_what_an_action_asks_for_is_what_aiogram_gives(
    feed: Feed,
    recorded: Recorded,
    begin: Begin,
) -> None:
    seen: list[Any] = []

    class Quiz(Scene, state="quiz"):
        @on.message.enter()
        @tracked(
            "REG", value=lambda result, bot: result + bot.id, once=lambda step: f"step {step}"
        )
        async def enter(self, message: Message, state: Any, gp: UserTracker, step: int = 0) -> int:
            """Ask."""
            seen.extend([type(self), await state.get_state(), gp.telegram_id, step])
            return 1

        @on.message(F.text == "again")
        async def again(self, message: Message) -> None:
            await self.wizard.retake(step=3)

    begin(Quiz)
    parameters = inspect.signature(Quiz.enter).parameters
    assert list(parameters) == ["self", "message", "state", "gp", "step"]
    await feed(updates.message("/in"))
    await feed(updates.message("again"))
    assert seen == [Quiz, "quiz", 7, 0, Quiz, "quiz", 7, 3]
    (event,) = await recorded()
    assert event.value == 43


async def test_the_same_update_twice_is_one_event(
    feed: Feed,
    recorded: Recorded,
    begin: Begin,
    tracker: Tracker,
) -> None:
    class Quiz(Scene, state="quiz"):
        @on.message.enter()
        @tracked("A")
        @tracked("A")
        async def enter(self, message: Message) -> None: ...

    begin(Quiz)
    update = updates.message("/go")
    await feed(update)
    await feed(updates.message("/go"))
    await feed(update)
    assert await names(recorded) == ["A"] * 4
    assert tracker.counts["duplicates"] == 2


async def test_a_failing_action_records_nothing(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    begin: Begin,
) -> None:
    class Quiz(Scene, state="quiz"):
        @on.message.enter()
        @tracked("A")
        async def enter(self, message: Message) -> None:
            raise Failure

    begin(Quiz)
    with pytest.raises(Failure):
        await feed(updates.message("/go"))
    assert await recorded() == []


@pytest.mark.parametrize("sign", [UNHANDLED, REJECTED])
async def test_an_action_that_says_it_did_nothing_records_nothing(
    feed: Feed, recorded: Recorded, begin: Begin, sign: object
) -> None:
    entered: list[str] = []

    class Quiz(Scene, state="quiz"):
        @on.message.enter()
        @tracked("A")
        async def enter(self, message: Message) -> object:
            entered.append("quiz")
            return sign

    begin(Quiz)
    await feed(updates.message("/go"))
    assert entered == ["quiz"]
    assert await recorded() == []


async def test_an_error_of_tracking_stays_out_of_the_scene(
    feed: Feed,
    recorded: Recorded,
    begin: Begin,
    tracker: Tracker,
) -> None:
    entered: list[str] = []

    class Quiz(Scene, state="quiz"):
        @on.message.enter()
        @tracked("FTD", value=lambda missing: missing)
        @tracked("FTD")
        @tracked("Good")
        async def enter(self, message: Message) -> None:
            entered.append("quiz")

    begin(Quiz)
    await feed(updates.message("/go"))
    assert entered == ["quiz"]
    assert await names(recorded) == ["Good"]
    assert tracker.counts["decorator_errors"] == 2


async def test_a_plain_function_and_foreign_decorators_work(
    feed: Feed,
    recorded: Recorded,
    begin: Begin,
) -> None:
    entered: list[str] = []

    def foreign(action: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(action)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await action(*args, **kwargs)

        return wrapper

    class Plain(Scene, state="plain"):
        @on.message.enter()
        @tracked("A")
        @tracked("Plain")
        def enter(self, message: Message) -> None:
            entered.append("plain")

        @on.message(F.text == "next")
        async def forward(self, message: Message) -> None:
            await self.wizard.goto(Wrapped)

    class Wrapped(Scene, state="wrapped"):
        @on.message.enter()
        @foreign
        @tracked("B")
        @foreign
        async def enter(self, message: Message) -> None:
            entered.append("wrapped")

    begin(Plain, Wrapped)
    await feed(updates.message("/go"))
    await feed(updates.message("next"))
    assert entered == ["plain", "wrapped"]
    assert await names(recorded) == ["Plain", "A", "B"]


async def test_a_handler_of_a_scene_may_be_tracked_too(
    feed: Feed,
    recorded: Recorded,
    begin: Begin,
) -> None:
    class Quiz(Scene, state="quiz"):
        @on.message(F.text == "handler")
        @tracked("Handler", value=F.text.len())
        async def handler(self, message: Message) -> None: ...

    begin(Quiz)
    await feed(updates.message("/go"))
    await feed(updates.message("handler"))
    (event,) = await recorded()
    assert event.value == 7


@pytest.mark.parametrize("decorator", [on.message.enter(), on.message(F.text)])
def test_a_decorator_above_the_scenes_is_refused_at_once(decorator: Any) -> None:
    with pytest.raises(TypeError, match=r"put @tracked\('A'\) below the scene's decorator"):

        @tracked("A")
        @decorator
        async def enter(self: Any, message: Message) -> None: ...


async def test_a_missing_setup_is_reported_and_costs_the_scene_nothing(
    bot: Bot,
    caplog: pytest.LogCaptureFixture,
) -> None:
    entered: list[str] = []

    class Quiz(Scene, state="quiz"):
        @on.message.enter()
        @tracked("A")
        async def enter(self, message: Message) -> None:
            entered.append("quiz")

    dp = Dispatcher()
    dp.message.register(Quiz.as_handler())
    SceneRegistry(dp).add(Quiz)
    await dp.feed_raw_update(bot, updates.message())
    assert entered == ["quiz"]
    assert "call tracker.setup(dp)" in caplog.text
