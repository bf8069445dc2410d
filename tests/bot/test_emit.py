from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from aiogram import BaseMiddleware, Bot, Dispatcher, F, Router, flags
from aiogram.dispatcher.event.bases import REJECTED, UNHANDLED, CancelHandler, SkipHandler
from aiogram.dispatcher.event.telegram import TelegramEventObserver
from aiogram.filters import Command, CommandStart
from aiogram.fsm.scene import Scene, SceneRegistry, ScenesManager, on
from aiogram.handlers import MessageHandler
from aiogram.types import CallbackQuery, Message, Update

from fixtures import updates
from fixtures.recorder import Feed
from gp_aiogram import Event, Tracker, UserTracker, track

Recorded = Callable[[], Awaitable[list[Event]]]


async def names(recorded: Recorded) -> list[str]:
    return [event.name for event in await recorded()]


async def test_an_event_is_recorded_when_the_handler_has_succeeded(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    @dp.message(F.text == "pay")
    @track("FTD", value=Decimal("150.00"), currency="eur", user_data={"plan": "premium"})
    async def pay(message: Message) -> None: ...

    await feed(updates.start("gp_a"))
    await feed(updates.message("pay"))
    (event,) = await recorded()
    assert (event.name, event.telegram_id, event.bot_id) == ("FTD", 7, 42)
    assert (event.value, event.currency) == (Decimal("150.00"), "EUR")
    assert event.session_id == "gp_a"
    assert event.user_data == {"plan": "premium"}
    assert event.event_time == datetime.fromtimestamp(updates.DATE, timezone.utc)


async def test_decorators_stack(dp: Dispatcher, feed: Feed, recorded: Recorded) -> None:
    @dp.message()
    @track("REG")
    @flags.chat_action("typing")
    @track("Subscribe")
    async def handler(message: Message) -> None: ...

    await feed(updates.message())
    assert sorted(await names(recorded)) == ["REG", "Subscribe"]


def foreign(handler: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(handler)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await handler(*args, **kwargs)

    return wrapper


def hiding(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A wrapper that copies attributes and hides what it wraps, as some injectors do."""
    wrapper = foreign(handler)
    del wrapper.__wrapped__
    return wrapper


@pytest.mark.parametrize("decorator", [foreign, hiding])
async def test_a_foreign_decorator_above_or_below_loses_nothing(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    decorator: Callable[..., Any],
) -> None:
    @dp.message()
    @track("A")
    @decorator
    @track("B")
    @foreign
    @track("C")
    async def handler(message: Message, **data: Any) -> None: ...

    await feed(updates.message())
    assert sorted(await names(recorded)) == ["A", "B", "C"]


async def test_two_wrappers_of_one_function_do_not_share_marks(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    async def base(message: Message) -> None: ...

    dp.message(F.text == "a")(track("A")(foreign(base)))
    dp.message(F.text == "b")(track("B")(foreign(base)))
    dp.message(F.text == "none")(foreign(base))
    await feed(updates.message("a"))
    assert await names(recorded) == ["A"]
    await feed(updates.message("b"))
    assert await names(recorded) == ["A", "B"]
    await feed(updates.message("none"))
    assert await names(recorded) == ["A", "B"]


class Failure(Exception):  # noqa: N818 - reads as what happened
    pass


@pytest.mark.parametrize(
    "outcome",
    [Failure(), SkipHandler(), CancelHandler(), asyncio.CancelledError(), UNHANDLED, REJECTED],
    ids=repr,
)
async def test_a_handler_that_did_not_succeed_records_nothing(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    outcome: Any,
) -> None:
    @dp.message()
    @track("REG")
    async def handler(message: Message) -> Any:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    later: list[str] = []

    @dp.message()
    async def fallback(message: Message) -> None:
        later.append("fallback")

    swallowed = isinstance(outcome, SkipHandler) or not isinstance(outcome, BaseException)
    if swallowed:
        await feed(updates.message())
    else:
        with pytest.raises(type(outcome)):
            await feed(updates.message())
    assert later == (["fallback"] if isinstance(outcome, SkipHandler) else [])
    assert await recorded() == []


async def test_after_a_skip_the_handler_that_succeeds_counts(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    @dp.message()
    @track("EventSkipped")
    async def skipping(message: Message) -> None:
        raise SkipHandler

    router = Router()
    dp.include_router(router)

    @dp.message()
    @track("Kept")
    async def keeping(message: Message) -> None: ...

    await feed(updates.message())
    assert await names(recorded) == ["Kept"]


async def test_a_failing_handler_reaches_the_bots_error_handlers_as_ever(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    @dp.message()
    @track("REG")
    async def handler(message: Message) -> None:
        raise Failure

    seen: list[Exception] = []

    @dp.error()
    async def on_error(event: Any) -> str:
        seen.append(event.exception)
        return "handled"

    assert await feed(updates.message()) == "handled"
    assert [type(error) for error in seen] == [Failure]
    assert await recorded() == []


async def test_every_kind_of_handler_works(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    outer, inner = Router(), Router()
    dp.include_router(outer)
    outer.include_router(inner)

    @inner.message(F.text == "nested")
    @track("nested")
    async def nested(message: Message) -> None: ...

    @outer.message(F.text == "sync")
    @track("sync")
    def sync(message: Message) -> None: ...

    @outer.message(F.text == "class")
    @track("class")
    class Classy(MessageHandler):
        async def handle(self) -> None: ...

    @outer.callback_query(F.data == "click")
    @track("click")
    async def click(call: CallbackQuery) -> None: ...

    class Service:
        @track("method")
        async def method(self, message: Message) -> None: ...

    outer.message(F.text == "method")(Service().method)

    @track("partial")
    async def takes_more(extra: int, message: Message) -> None: ...

    outer.message(F.text == "partial")(functools.partial(takes_more, 1))

    for text in ("nested", "sync", "class", "method"):
        await feed(updates.message(text))
    await feed(updates.click("click"))
    assert await names(recorded) == ["nested", "sync", "class", "method", "click"]


async def test_scenes_work(dp: Dispatcher, feed: Feed, recorded: Recorded) -> None:
    class Quiz(Scene, state="quiz"):
        @on.message.enter()
        async def enter(self, message: Message) -> None: ...

        @on.message(F.text == "below")
        @track("below", value=F.text.len())
        async def below(self, message: Message) -> None: ...

        @track("above")
        @on.message(F.text == "above")
        async def above(self, message: Message, gp: UserTracker) -> None:
            await gp.track("inside")

        @on.message(F.text == "wrapped")
        @track("wrapped")
        @foreign
        async def wrapped(self, message: Message) -> None: ...

    router = Router()
    router.message.register(Quiz.as_handler(), Command("quiz"))
    SceneRegistry(dp).register(Quiz)
    dp.include_router(router)
    for text in ("/quiz", "below", "above", "wrapped"):
        await feed(updates.message(text))
    assert await names(recorded) == ["below", "inside", "above", "wrapped"]


async def test_scenes_manager_is_injected(dp: Dispatcher, feed: Feed) -> None:
    SceneRegistry(dp)
    seen: list[ScenesManager] = []

    @dp.message()
    @track("REG")
    async def handler(message: Message, scenes: ScenesManager) -> None:
        seen.append(scenes)

    await feed(updates.message())
    assert len(seen) == 1


async def test_observers_of_other_plugins_are_served(
    dp: Dispatcher,
    tracker: Tracker,
    bot: Bot,
    recorded: Recorded,
) -> None:
    router = Router()
    dp.include_router(router)
    for owner in (dp, router):
        name = f"plugin_{'dp' if owner is dp else 'router'}"
        owner.observers[name] = TelegramEventObserver(owner, name)

        async def handler(event: Any) -> None: ...

        owner.observers[name].register(track(name)(foreign(handler)))
    await dp.emit_startup()
    for observer in (dp.observers["plugin_dp"], router.observers["plugin_router"]):
        message = Message.model_validate(updates.raw_message())
        update = updates.message()
        await observer.trigger(
            message,
            bot=bot,
            event_update=Update.model_validate(update),
            event_from_user=message.from_user,
        )
    assert sorted(await names(recorded)) == ["plugin_dp", "plugin_router"]


# Arguments


class Async:
    async def __call__(self, event: Message) -> str:
        return f"{event.text}9"


async def scoped(bot: Bot, event_chat: Any, message: Message, gp: UserTracker) -> int:
    return bot.id + event_chat.id + message.from_user.id + gp.telegram_id


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, "5.00"),
        (0.1, "0.10"),
        ("12.345", "12.35"),
        (F.text.cast(int), "150.00"),
        (F.text.cast(Decimal) / 100, "1.50"),
        (F.text, "150.00"),
        (lambda event: int(event.text) + 1, "151.00"),
        (lambda message, result: result["amount"], "9.00"),
        (lambda **data: len(data["message"].text), "3.00"),
        (lambda result, default=2: default, "2.00"),
        (functools.partial(lambda factor, result: result["amount"] * factor, 2), "18.00"),
        (Async(), "1509.00"),
        (scoped, "63.00"),
    ],
    ids=lambda argument: argument if isinstance(argument, str) else type(argument).__name__,
)
async def test_a_value_may_be_a_constant_a_magic_filter_or_a_callable(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    value: Any,
    expected: str,
) -> None:
    @dp.message()
    @track("FTD", value=value)
    async def handler(message: Message) -> dict[str, int]:
        return {"amount": 9}

    await feed(updates.message("150"))
    (event,) = await recorded()
    assert event.value == Decimal(expected)


async def test_every_argument_may_be_dynamic(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    @dp.message()
    @track(
        "Lead",
        value=F.text[:2],
        currency=F.text[3:6],
        user_data={"text": F.text, "result": lambda result: result, "fixed": 1},
        session_id=lambda gp: f"gp_{gp.telegram_id}",
        when=F.text.startswith("15"),
        once=F.message_id,
        event_id=lambda event: f"order {event.text}",
        to=lambda: ["recorder"],
    )
    async def handler(message: Message) -> str:
        return "fine"

    await feed(updates.message("15 jpy"))
    await feed(updates.message("no"))
    (event,) = await recorded()
    assert (event.value, event.currency) == (Decimal(15), "JPY")
    assert event.user_data == {"text": "15 jpy", "result": "fine", "fixed": 1}
    assert (event.session_id, event.event_id) == ("gp_7", "order 15 jpy")


def fails() -> None:
    raise Failure


@pytest.mark.parametrize(
    "argument",
    [
        None,
        float("nan"),
        float("inf"),
        True,
        -1,
        {"amount": 1},
        10**400,
        10**5000,
        "many",
        [],
        F.photo,
        F.text == "150",
        F.text.as_("amount"),
        F.text.func(int).func(lambda amount: 1 / (amount - 150)),
        lambda: None,
        fails,
        lambda missing: missing,
        lambda: 10**400,
    ],
    ids=lambda argument: type(argument).__name__,
)
async def test_rubbish_in_a_value_is_logged_and_counted_and_the_bot_goes_on(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    tracker: Tracker,
    caplog: pytest.LogCaptureFixture,
    argument: Any,
) -> None:
    @dp.message()
    @track("FTD", value=argument)
    @track("Good")
    async def handler(message: Message) -> str:
        return "answer"

    @dp.error()
    async def on_error(event: Any) -> None:
        pytest.fail(f"the bot's error handler saw {event.exception!r}")

    assert await feed(updates.message("150")) == "answer"
    assert await names(recorded) == ["Good"]
    assert tracker.counts["decorator_errors"] == 1
    assert (await tracker.stats()).counts["decorator_errors"] == 1
    (record,) = [record for record in caplog.records if record.name == "gp_aiogram.emit"]
    assert record.levelno == logging.ERROR
    assert "'FTD'" in record.message
    assert "handler" in record.message


@pytest.mark.parametrize(
    "arguments",
    [
        {"value": F.photo},
        {"value": 1, "currency": F.photo},
        {"value": -1, "currency": "XTR"},
        {"value": 1, "currency": "dollars"},
        {"once": F.photo},
        {"once": ""},
        {"event_id": F.photo},
        {"event_id": ""},
        {"to": "nowhere"},
        {"session_id": fails},
        {"session_id": 15},
        {"user_data": "premium"},
        {"when": fails},
    ],
    ids=str,
)
async def test_rubbish_in_any_argument_records_nothing(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    tracker: Tracker,
    arguments: dict[str, Any],
) -> None:
    @dp.message()
    @track("Lead", **arguments)
    async def handler(message: Message) -> None: ...

    await feed(updates.message())
    assert await recorded() == []
    assert tracker.counts["decorator_errors"] == 1


async def test_an_unknown_session_or_no_user_data_is_no_error(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    @dp.message()
    @track("Lead", session_id=F.caption, user_data=F.caption)
    async def handler(message: Message) -> None: ...

    await feed(updates.message())
    (event,) = await recorded()
    assert (event.session_id, event.user_data) == (None, {})


async def test_a_failing_store_never_reaches_the_bot(
    dp: Dispatcher,
    feed: Feed,
    tracker: Tracker,
    store: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        msg = "disk full"
        raise OSError(msg)

    monkeypatch.setattr(store.outbox, "accept", broken)

    @dp.message()
    @track("REG")
    async def handler(message: Message) -> str:
        return "answer"

    assert await feed(updates.message()) == "answer"
    assert tracker.counts["journaled"] == 1
    assert "disk full" in caplog.text


async def test_an_unreadable_session_does_not_cost_the_event(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    store: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise OSError

    monkeypatch.setattr(store.sessions, "history", broken)

    @dp.message()
    @track("REG")
    async def handler(message: Message) -> None: ...

    await feed(updates.message())
    (event,) = await recorded()
    assert event.session_id is None


@pytest.mark.parametrize("name", ["FTD", "DEP", "Purchase"])
async def test_an_event_that_needs_a_value_says_so(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    @dp.message()
    @track(name)
    async def handler(message: Message) -> None: ...

    await feed(updates.message())
    assert await recorded() == []
    assert f"{name} needs a value" in caplog.text


async def test_once_per_user(dp: Dispatcher, feed: Feed, recorded: Recorded) -> None:
    @dp.message(CommandStart())
    @track("REG", once="user")
    async def start(message: Message) -> None: ...

    await asyncio.gather(*(feed(updates.start(user_id=7 + number % 2)) for number in range(20)))
    assert sorted(event.telegram_id for event in await recorded()) == [7, 8]


async def test_the_same_update_twice_is_one_event(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    tracker: Tracker,
) -> None:
    @dp.message()
    @track("A")
    @track("A")
    async def handler(message: Message, gp: UserTracker) -> None:
        await gp.track("B")
        await gp.track("B")

    update = updates.message()
    await asyncio.gather(*(feed(update) for _ in range(5)))
    events = await recorded()
    assert sorted(event.name for event in events) == ["A", "A", "B", "B"]
    assert len({event.event_id for event in events}) == 4
    assert tracker.counts["duplicates"] == 16


async def test_ids_of_later_updates_sort_later(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    @dp.message()
    @track("A")
    async def handler(message: Message) -> None: ...

    for update_id in (99, 100, 101, 70_000):
        await feed(updates.message(update_id=update_id))
    ids = [event.event_id for event in sorted(await recorded(), key=lambda one: one.event_id)]
    assert ids == [event.event_id for event in await recorded()]


async def test_a_callback_query_happens_now_and_not_when_its_message_was_sent(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    @dp.callback_query()
    @track("A")
    async def handler(call: CallbackQuery) -> None: ...

    await feed(updates.click("a"))
    (event,) = await recorded()
    age = datetime.now(timezone.utc) - event.event_time
    assert abs(age.total_seconds()) < 60


async def test_the_handler_is_left_as_it_is(dp: Dispatcher) -> None:
    async def handler(message: Message) -> str:
        return "direct"

    marked = track("REG", value=F.text)(handler)
    assert marked is handler
    assert await marked(None) == "direct"


async def test_deposit_is_a_name_like_any_other(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    @dp.message()
    @track("deposit")
    @track.deposit(value=5)
    async def handler(message: Message) -> None: ...

    await feed(updates.message())
    assert sorted(await names(recorded)) == ["FTD", "deposit"]


def test_the_decorator_wants_a_name() -> None:
    async def handler(message: Message) -> None: ...

    with pytest.raises(TypeError, match=r"write @track\('REG'\)"):
        track(handler)


def test_a_bound_method_cannot_be_marked() -> None:
    class Service:
        async def method(self, message: Message) -> None: ...

    with pytest.raises(TypeError, match="not a bound method"):
        track("REG")(Service().method)


async def test_an_update_without_a_user_records_nothing(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    tracker: Tracker,
) -> None:
    @dp.channel_post()
    @track("REG")
    async def post(message: Message) -> None: ...

    channel = {"id": -1002, "type": "channel", "title": "News"}
    await feed(
        updates.update(
            "channel_post",
            {"message_id": 1, "date": updates.DATE, "chat": channel, "text": "hi"},
        ),
    )
    assert await recorded() == []
    assert tracker.counts["decorator_errors"] == 0


class Transparent(BaseMiddleware):
    async def __call__(self, handler: Any, event: Any, data: dict[str, Any]) -> Any:
        return await handler(event, data)


async def test_emission_works_beside_other_inner_middlewares(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    dp.message.middleware(Transparent())

    @dp.message()
    @track("A", value=lambda handler: 1)
    async def handler(message: Message) -> None: ...

    await feed(updates.message())
    assert await names(recorded) == ["A"]
