"""What handlers ask of ``gp`` never fails them: mistakes are logged by their name and counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, ErrorEvent, Message

from fixtures import updates
from fixtures.recorder import Feed, Recorder
from gp_aiogram import Event, EventError, MemoryStore, Tracker, UserTracker, track

Recorded = Callable[[], Awaitable[list[Event]]]
Call = Callable[[UserTracker], Awaitable[object]]

HERE = "in test_nothing_raises.handling.<locals>.handler"

CALLS: list[tuple[Call, object, str]] = [
    (lambda gp: gp.track("FTD"), None, f"gp.track('FTD') {HERE} recorded nothing: FTD needs a"),
    (lambda gp: gp.track(""), None, f"gp.track('') {HERE} recorded nothing: name must be"),
    (lambda gp: gp.track("A", value="x"), None, "recorded nothing: value"),
    (lambda gp: gp.track("A", to="x"), None, "recorded nothing: to= names no destination: 'x'"),
    (lambda gp: gp.track("A", once=[]), None, "recorded nothing: once must be"),
    (lambda gp: gp.track("A", valeu=5), None, "recorded nothing: TypeError: "),  # type: ignore[call-arg]
    (lambda gp: gp.track(["A"]), None, f"gp.track(['A']) {HERE} recorded nothing: "),  # type: ignore[arg-type]
    (lambda gp: gp.deposit(value=None), None, f"gp.deposit() {HERE} recorded nothing: DEP"),
    (lambda gp: gp.refund(""), None, f"gp.refund('') {HERE} recorded nothing: once must be"),
    (
        lambda gp: gp.identify(emial="ada@example.org"),
        frozenset(),
        f"gp.identify() {HERE} kept nothing: ",
    ),
]


def handling(dp: Dispatcher, call: Call) -> list[object]:
    """Register a handler that asks something of ``gp``, and return what it will get."""
    got: list[object] = []

    @dp.message()
    async def handler(message: Message, gp: UserTracker) -> None:
        got.append(await call(gp))

    return got


@pytest.mark.parametrize(("call", "answer", "says"), CALLS)
async def test_a_mistake_is_logged_and_counted(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    tracker: Tracker,
    caplog: pytest.LogCaptureFixture,
    call: Call,
    answer: object,
    says: str,
) -> None:
    got = handling(dp, call)
    await feed(updates.message())
    assert got == [answer]
    assert says in caplog.text
    assert "ada@example.org" not in caplog.text
    assert tracker.counts["handler_errors"] == 1
    assert await recorded() == []


@pytest.mark.parametrize(("call", "answer", "says"), CALLS)
async def test_a_strict_tracker_raises_it(
    bot: Bot, recorder: Recorder, call: Call, answer: object, says: str
) -> None:
    tracker, dp = Tracker([recorder], store=MemoryStore(), strict=True), Dispatcher()
    tracker.setup(dp)
    got = handling(dp, call)
    with pytest.raises((EventError, TypeError)):
        await dp.feed_raw_update(bot, updates.message())
    assert got == []
    assert tracker.counts["handler_errors"] == 1


@pytest.mark.parametrize("ask", ["opt_out", "opt_in", "forget"])
async def test_a_failing_wish_is_logged(
    dp: Dispatcher,
    feed: Feed,
    tracker: Tracker,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    ask: str,
) -> None:
    async def fail(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(tracker.intake, ask, fail)
    got = handling(dp, lambda gp: getattr(gp, ask)())
    await feed(updates.message())
    assert got == [None]
    assert f"gp.{ask}() {HERE} failed: ZeroDivisionError" in caplog.text


async def test_strict_decorators_raise_after_the_handler(bot: Bot, recorder: Recorder) -> None:
    tracker, dp = Tracker([recorder], store=MemoryStore(), strict=True), Dispatcher()
    tracker.setup(dp)
    done: list[Message] = []

    @dp.message()
    @track("FTD", value=F.nothing)
    async def handler(message: Message) -> None:
        done.append(message)

    with pytest.raises(EventError, match="value= came to nothing"):
        await dp.feed_raw_update(bot, updates.message())
    assert len(done) == 1
    assert tracker.counts["decorator_errors"] == 1


async def test_what_was_not_recorded_may_be_recorded_again(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    async def twice(gp: UserTracker) -> object:
        await gp.track("FTD")
        return await gp.track("FTD", value=5)

    handling(dp, twice)
    await feed(updates.message())
    assert [event.name for event in await recorded()] == ["FTD"]


async def test_outside_of_handlers_there_is_no_name_to_tell(
    dp: Dispatcher, feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    @dp.message.outer_middleware()
    async def outer(handler: Any, event: Any, data: dict[str, Any]) -> Any:
        await data["gp"].track("FTD")
        return await handler(event, data)

    await feed(updates.message())
    assert "gp.track('FTD') recorded nothing: FTD needs a value" in caplog.text


# Arguments of decorators that come to nothing


async def resolved(dp: Dispatcher, feed: Feed, update: dict[str, Any], **arguments: Any) -> None:
    handler_of = track("Purchase", currency="USD", **arguments)

    async def handler(event: Message | CallbackQuery, state: FSMContext) -> None: ...

    _, kind = update
    dp.observers[kind].register(handler_of(handler))
    await feed(update)


AMOUNT, DATA = F.text[8:].cast(Decimal), F.data[8:].cast(Decimal)


@pytest.mark.parametrize(
    ("update", "value", "says"),
    [
        (
            updates.message("deposit:12,50"),
            AMOUNT,
            "value= came to nothing (None): F.text[8:].cast(Decimal) on text 'deposit:12,50'",
        ),
        (
            updates.click("deposit:12,50"),
            DATA,
            (
                "value= came to nothing (None): F.data[8:].cast(Decimal) on callback data "
                "'deposit:12,50'"
            ),
        ),
        (
            updates.message("I am Ada, +44 20 7946 0018"),
            AMOUNT,
            "F.text[8:].cast(Decimal) on a text of the shape 'x xx xxx, +00 00 0000 0000'",
        ),
        (
            updates.message(None, photo=[]),
            F.text.lower(),
            "F.text.lower.call(…) on a message that holds ",
        ),
        (updates.message(), lambda: None, "<lambda>() returned None"),
    ],
)
async def test_what_came_to_nothing_says_what_looked_at_what(
    dp: Dispatcher,
    feed: Feed,
    caplog: pytest.LogCaptureFixture,
    update: dict[str, Any],
    value: Any,
    says: str,
) -> None:
    await resolved(dp, feed, update, value=value)
    assert says in caplog.text
    assert "@track('Purchase') on " in caplog.text


@pytest.mark.parametrize("typed", ["ada@example.org", "+442079460018", "Byron:Ada", "4111 1111"])
async def test_what_a_person_has_typed_is_not_shown(
    dp: Dispatcher, feed: Feed, caplog: pytest.LogCaptureFixture, typed: str
) -> None:
    await resolved(dp, feed, updates.message(typed), value=F.text[20:].cast(Decimal))
    assert "F.text[20:].cast(Decimal) on a text of the shape" in caplog.text
    assert typed not in caplog.text


@pytest.mark.parametrize("argument", ["value", "once", "when", "user_data"])
async def test_an_exception_in_an_argument_is_logged_with_its_traceback(
    dp: Dispatcher, feed: Feed, tracker: Tracker, caplog: pytest.LogCaptureFixture, argument: str
) -> None:
    def broken() -> object:
        msg = "of the bot's own making"
        raise EventError(msg)

    errors: list[ErrorEvent] = []
    dp.error.register(errors.append)
    await resolved(dp, feed, updates.message(), **{"value": 1, argument: broken})
    assert f"{argument}= failed: of the bot's own making" in caplog.text
    assert "in broken" in caplog.text
    assert tracker.counts["decorator_errors"] == 1
    assert errors == []
