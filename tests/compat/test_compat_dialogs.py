"""Beside the real aiogram-dialog: what widget callbacks record, and what they do not."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.filters import CommandStart
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import CallbackQuery, Message, TelegramObject
from aiogram_dialog import Dialog, DialogManager, StartMode, Window, setup_dialogs
from aiogram_dialog.api.protocols import BgManagerFactory, CancelEventProcessing
from aiogram_dialog.test_tools import BotClient, MockMessageManager
from aiogram_dialog.test_tools.keyboard import InlineButtonTextLocator
from aiogram_dialog.widgets.input import MessageInput, TextInput
from aiogram_dialog.widgets.kbd import Button, Cancel, Checkbox, ListGroup, Select, Start
from aiogram_dialog.widgets.text import Const, Format

from fixtures import updates
from fixtures.recorder import Feed
from gp_aiogram import Event, Tracker, UserTracker, track
from gp_aiogram.bot import tracked

Recorded = Callable[[], Awaitable[list[Event]]]


class Menu(StatesGroup):
    main = State()
    other = State()


class Sub(StatesGroup):
    main = State()


class Failure(Exception):  # noqa: N818 - reads as what happened
    pass


class Person:
    """One user in front of the dialogs."""

    def __init__(self, dp: Dispatcher, bot: Bot, user_id: int = 7) -> None:
        self.screen = MockMessageManager()
        self.factory: BgManagerFactory = setup_dialogs(dp, message_manager=self.screen)
        self.client = BotClient(dp, user_id=user_id, chat_id=user_id, bot=bot)
        self.client.last_update_id = 1_000_000

    async def click(self, text: str) -> None:
        await self.client.click(self.screen.last_message(), InlineButtonTextLocator(text))

    async def say(self, text: str) -> None:
        await self.client.send(text)


@pytest.fixture
def person(dp: Dispatcher, bot: Bot) -> Person:
    return Person(dp, bot)


@pytest.fixture
def opened(dp: Dispatcher, person: Person) -> Callable[..., Awaitable[None]]:
    """Open a dialog of some widgets."""

    async def opened(*widgets: Any, more: tuple[Any, ...] = (), **options: Any) -> None:
        dp.include_router(Dialog(Window(Const("Menu"), *widgets, state=Menu.main), **options))
        for dialog in more:
            dp.include_router(dialog)

        @dp.message(CommandStart())
        async def start(message: Message, dialog_manager: DialogManager) -> None:
            await dialog_manager.start(Menu.main, {"from": "start"}, mode=StartMode.RESET_STACK)

        await dp.emit_startup()
        await person.say("/start")

    return opened


async def do_nothing(event: TelegramObject, widget: Any, manager: DialogManager) -> None: ...


def button(callback: Any, text: str = "Pay") -> Button:
    return Button(Const(text), id=text.lower(), on_click=callback)


async def names(recorded: Recorded) -> list[str]:
    return [event.name for event in await recorded()]


async def test_a_click_on_a_button_is_recorded_with_its_session(
    person: Person,
    opened: Any,
    feed: Feed,
    recorded: Recorded,
) -> None:
    clicks: list[str] = []

    async def on_click(call: CallbackQuery, widget: Button, manager: DialogManager) -> None:
        clicks.append(widget.widget_id)

    await opened(button(tracked(on_click, "FTD", value=Decimal(15), currency="EUR")))
    await feed(updates.start("gp_a1b2c3", date=int(time.time())))
    await person.click("Pay")
    (event,) = await recorded()
    assert clicks == ["pay"]
    assert (event.name, event.value, event.currency) == ("FTD", Decimal(15), "EUR")
    assert (event.telegram_id, event.bot_id, event.session_id) == (7, 42, "gp_a1b2c3")


async def scoped(bot: Bot, event_from_user: Any, gp: UserTracker) -> int:
    return bot.id + event_from_user.id + gp.telegram_id


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5),
        (F.data.len(), 3),
        (lambda event: len(event.data), 3),
        (lambda callback_query: len(callback_query.data), 3),
        (lambda call: len(call.data), 3),
        (lambda widget: len(widget.widget_id), 3),
        (lambda result: result["amount"], 9),
        (lambda manager: manager.dialog_data["amount"], 8),
        (lambda dialog_manager: dialog_manager.dialog_data["amount"], 8),
        (lambda middle=4: middle, 4),
        (scoped, 56),
    ],
)
async def test_arguments_are_constants_magic_filters_and_callables(
    person: Person,
    opened: Any,
    recorded: Recorded,
    value: Any,
    expected: int,
) -> None:
    async def on_click(call: CallbackQuery, widget: Button, manager: DialogManager) -> Any:
        manager.dialog_data["amount"] = 8
        return {"amount": 9}

    await opened(button(tracked(on_click, "FTD", value=value)))
    await person.click("Pay")
    (event,) = await recorded()
    assert event.value == expected


async def test_the_manager_may_be_asked_for_whatever_the_callback_calls_it(
    person: Person, opened: Any, recorded: Recorded
) -> None:
    async def on_click(call: CallbackQuery, widget: Button, mine: DialogManager) -> None:
        mine.dialog_data["amount"] = 8

    def amount(manager: DialogManager) -> int:
        return manager.dialog_data["amount"]

    await opened(button(tracked(on_click, "FTD", value=amount)))
    await person.click("Pay")
    (event,) = await recorded()
    assert event.value == 8


async def test_what_a_widget_passes_on_has_the_callbacks_own_names(
    person: Person,
    opened: Any,
    recorded: Recorded,
) -> None:
    async def chosen(call: Any, widget: Any, manager: DialogManager, item_id: str) -> None: ...

    async def typed(message: Message, widget: Any, manager: Any, number: int) -> None: ...

    async def refused(message: Message, widget: Any, manager: Any, error: ValueError) -> None: ...

    await opened(
        Select(
            Format("{item} EUR"),
            id="plan",
            item_id_getter=str,
            items=[10, 20],
            on_click=tracked(chosen, "DEP", value=lambda item_id: 2 * int(item_id)),
        ),
        TextInput(
            id="amount",
            type_factory=int,
            on_success=tracked(typed, "Typed", value=lambda number: number),
            on_error=tracked(
                refused,
                "DestinationMisconfigured",
                user_data={"why": lambda error: str(error)[:7]},
            ),
        ),
    )
    await person.click("20 EUR")
    await person.say("15")
    await person.say("many")
    chosen_event, typed_event, refused_event = await recorded()
    assert (chosen_event.name, chosen_event.value) == ("DEP", 40)
    assert (typed_event.name, typed_event.value) == ("Typed", 15)
    assert (refused_event.name, refused_event.user_data) == (
        "DestinationMisconfigured",
        {"why": "invalid"},
    )


async def test_a_message_happened_when_telegram_says(
    person: Person,
    opened: Any,
    feed: Feed,
    recorded: Recorded,
) -> None:
    async def photo(message: Message, widget: Any, manager: DialogManager) -> None: ...

    await opened(MessageInput(tracked(photo, "Sent", value=F.text.cast(int))))
    await feed(updates.message("150"))
    (event,) = await recorded()
    assert event.value == 150
    assert event.event_time == datetime.fromtimestamp(updates.DATE, timezone.utc)


async def test_start_close_and_result_of_a_dialog(
    person: Person,
    opened: Any,
    recorded: Recorded,
) -> None:
    async def on_start(start_data: Any, manager: DialogManager) -> None: ...

    async def on_close(result: Any, manager: DialogManager) -> None: ...

    async def on_process_result(start_data: Any, result: Any, manager: DialogManager) -> None: ...

    sub = Dialog(
        Window(Const("Sub"), Cancel(Const("Done"), result={"amount": 9}), state=Sub.main),
        on_start=tracked(on_start, "SubOpened", user_data={"plan": lambda start_data: start_data}),
        on_close=tracked(on_close, "SubClosed", value=lambda result: result["amount"]),
    )
    await opened(
        Start(Const("Sub"), id="sub", state=Sub.main, data="gold"),
        more=(sub,),
        on_start=tracked(on_start, "Opened", user_data={"text": F.text}),
        on_process_result=tracked(
            on_process_result,
            "DEP",
            value=lambda result: result["amount"],
            user_data={"plan": lambda start_data: start_data, "data": F.data},
        ),
    )
    await person.click("Sub")
    await person.click("Done")
    events = {event.name: event for event in await recorded()}
    assert list(events) == ["Opened", "SubOpened", "SubClosed", "DEP"]
    assert events["Opened"].user_data == {"text": "/start"}
    assert events["SubOpened"].user_data == {"plan": "gold"}
    assert (events["SubClosed"].value, events["DEP"].value) == (9, 9)
    assert events["DEP"].user_data["plan"] == "gold"
    assert events["DEP"].user_data["data"].endswith("__cancel__")


async def test_a_checkbox_and_a_button_in_a_list_are_recorded(
    person: Person,
    opened: Any,
    recorded: Recorded,
) -> None:
    async def changed(event: Any, checkbox: Any, manager: DialogManager) -> None: ...

    async def on_click(call: Any, widget: Any, manager: Any) -> None: ...

    await opened(
        Checkbox(
            Const("[x]"),
            Const("[ ]"),
            id="agree",
            on_state_changed=tracked(
                changed,
                "Agreed",
                when=lambda checkbox: checkbox.is_checked(),
            ),
        ),
        ListGroup(
            Button(
                Format("Buy {item}"),
                id="buy",
                on_click=tracked(on_click, "FTD", value=lambda manager: int(manager.item_id)),
            ),
            id="goods",
            item_id_getter=str,
            items=[3, 4],
        ),
    )
    await person.click(r"\[ \]")
    await person.click(r"\[x\]")
    await person.click("Buy 4")
    agreed, bought = await recorded()
    assert (agreed.name, bought.name, bought.value) == ("Agreed", "FTD", 4)


@pytest.mark.parametrize("failure", [Failure(), CancelEventProcessing(), asyncio.CancelledError()])
async def test_a_callback_that_did_not_succeed_records_nothing(
    dp: Dispatcher,
    person: Person,
    opened: Any,
    recorded: Recorded,
    failure: BaseException,
) -> None:
    async def on_click(call: Any, widget: Any, manager: DialogManager) -> None:
        raise failure

    seen: list[BaseException] = []

    @dp.error()
    async def on_error(event: Any) -> None:
        seen.append(event.exception)

    await opened(button(tracked(on_click, "FTD", value=1)))
    if isinstance(failure, asyncio.CancelledError):
        with pytest.raises(asyncio.CancelledError):
            await person.click("Pay")
    else:
        await person.click("Pay")
    assert seen == ([failure] if isinstance(failure, Failure) else [])
    assert await recorded() == []


async def test_wrappers_stack(person: Person, opened: Any, recorded: Recorded) -> None:
    callback = tracked(tracked(tracked(do_nothing, "A"), "A"), "B")
    await opened(button(callback))
    await person.click("Pay")
    assert await names(recorded) == ["A", "A", "B"]


async def test_the_same_update_twice_is_one_event(
    person: Person,
    opened: Any,
    recorded: Recorded,
    tracker: Tracker,
) -> None:
    await opened(button(tracked(tracked(do_nothing, "A"), "A")))
    for _ in range(2):
        person.client.last_update_id = 2_000_000
        await person.click("Pay")
    assert await names(recorded) == ["A", "A"]
    assert tracker.counts["duplicates"] == 2
    await person.click("Pay")
    assert await names(recorded) == ["A", "A", "A", "A"]


async def test_updates_that_dialog_itself_makes_are_told_apart(
    dp: Dispatcher,
    bot: Bot,
    recorded: Recorded,
) -> None:
    """A background manager's updates all have the number 0."""

    async def on_start(start_data: Any, manager: DialogManager) -> None:
        await manager.middleware_data["gp"].track("Inside")

    person = Person(dp, bot)
    window = Window(Const("Menu"), state=Menu.main)
    dp.include_router(Dialog(window, on_start=tracked(on_start, "Outside")))
    await dp.emit_startup()
    for user_id in (7, 8, 8):
        background = person.factory.bg(bot, user_id=user_id, chat_id=user_id)
        await background.start(Menu.main, mode=StartMode.RESET_STACK)
    while len(person.screen.sent_messages) < 3:
        await asyncio.sleep(0)
    events = [(event.telegram_id, event.name) for event in await recorded()]
    assert sorted(events) == sorted(
        (user, name) for user in (7, 8, 8) for name in ("Inside", "Outside")
    )


class Calling:
    async def __call__(self, call: Any, widget: Any, manager: DialogManager) -> None: ...

    async def method(self, call: Any, widget: Any, manager: DialogManager) -> None: ...


async def takes_more(more: int, call: Any, widget: Any, manager: DialogManager) -> None: ...


def plain(call: Any, widget: Any, manager: DialogManager) -> None: ...


@pytest.mark.parametrize(
    "callback",
    [
        plain,
        lambda call, widget, manager: manager.switch_to(Menu.main),
        lambda *arguments: None,
        Calling(),
        Calling().method,
        functools.partial(takes_more, 1),
    ],
    ids=["plain", "lambda", "any arguments", "object", "method", "partial"],
)
async def test_every_kind_of_callback_works(
    person: Person,
    opened: Any,
    recorded: Recorded,
    callback: Any,
) -> None:
    await opened(button(tracked(callback, "A")))
    await person.click("Pay")
    assert await names(recorded) == ["A"]


async def test_a_wrapper_is_like_the_callback() -> None:
    async def on_click(call: CallbackQuery, widget: Button, manager: Any, /, more: int = 1) -> str:
        """Say what it does."""
        return "result"

    wrapper = tracked(on_click, "A")
    assert inspect.signature(wrapper) == inspect.signature(on_click)
    assert inspect.iscoroutinefunction(wrapper)
    assert (wrapper.__name__, wrapper.__doc__) == ("on_click", "Say what it does.")
    assert await wrapper(None, None, None) == "result"


async def test_an_error_of_tracking_stays_out_of_the_dialog(
    dp: Dispatcher,
    person: Person,
    opened: Any,
    recorded: Recorded,
    tracker: Tracker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clicks: list[Any] = []

    async def on_click(call: Any, widget: Any, manager: DialogManager) -> None:
        clicks.append(call)

    @dp.error()
    async def on_error(event: Any) -> None:
        pytest.fail(f"the bot's error handler saw {event.exception!r}")

    callback = tracked(tracked(on_click, "Good"), "FTD", value=lambda: 1 / 0)
    await opened(button(callback))
    await person.click("Pay")
    assert len(clicks) == 1
    assert await names(recorded) == ["Good"]
    assert tracker.counts["decorator_errors"] == 1
    assert "on_click" in caplog.text


async def test_a_missing_setup_is_reported_and_costs_the_dialog_nothing(
    bot: Bot,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dp = Dispatcher()
    person = Person(dp, bot)
    clicks: list[Any] = []

    async def on_click(call: Any, widget: Any, manager: DialogManager) -> None:
        clicks.append(call)

    window = Window(Const("Menu"), button(tracked(on_click, "A")), state=Menu.main)
    dp.include_router(Dialog(window))

    @dp.message()
    async def start(message: Message, dialog_manager: DialogManager) -> None:
        await dialog_manager.start(Menu.main)

    await dp.emit_startup()
    await person.say("hi")
    await person.click("Pay")
    assert len(clicks) == 1
    assert "call tracker.setup(dp)" in caplog.text


async def test_a_call_outside_of_dialogs_and_scenes_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await tracked(plain, "A")(1, 2, 3) is None
    assert "mark handlers with @track" in caplog.text


async def test_an_update_without_a_user_records_nothing(
    bot: Bot,
    caplog: pytest.LogCaptureFixture,
) -> None:
    manager = SimpleNamespace(middleware_data={"bot": bot}, event=None)
    assert await tracked(plain, "A")(None, None, manager) is None
    assert caplog.text == ""


async def test_handlers_beside_dialogs_are_tracked_as_ever(
    dp: Dispatcher,
    person: Person,
    recorded: Recorded,
) -> None:
    dp.include_router(Dialog(Window(Const("Menu"), state=Menu.main)))

    @dp.message(CommandStart())
    @track("REG", value=lambda result: result)
    async def start(message: Message, dialog_manager: DialogManager, gp: UserTracker) -> int:
        await dialog_manager.start(Menu.main)
        await gp.track("Inside")
        return len(dialog_manager.current_stack().intents)

    await dp.emit_startup()
    await person.say("/start")
    assert await names(recorded) == ["Inside", "REG"]
    assert person.screen.one_message().text == "Menu"


@pytest.mark.parametrize("tracker_first", [True, False])
async def test_the_order_of_setups_does_not_matter(
    tracker: Tracker,
    bot: Bot,
    recorded: Recorded,
    tracker_first: bool,
) -> None:
    dp = Dispatcher()
    if tracker_first:
        tracker.setup(dp)
    person = Person(dp, bot)
    if not tracker_first:
        tracker.setup(dp)
    dp.include_router(
        Dialog(Window(Const("Menu"), button(tracked(do_nothing, "A")), state=Menu.main))
    )

    @dp.message()
    @track("REG")
    async def start(message: Message, dialog_manager: DialogManager) -> None:
        await dialog_manager.start(Menu.main)

    @dp.observers["aiogd_update"]()
    @track("Background")
    async def background(event: Any) -> None: ...

    await dp.emit_startup()
    await person.say("hi")
    await person.click("Pay")
    assert await names(recorded) == ["REG", "A"]


async def test_a_deposit_in_a_dialog_is_an_ftd_and_then_a_dep(
    person: Person,
    opened: Any,
    recorded: Recorded,
) -> None:
    await opened(button(tracked.deposit(do_nothing, value=lambda: 10, currency="EUR")))
    person.client.last_update_id = 2_000_000
    await person.click("Pay")
    await person.click("Pay")
    person.client.last_update_id = 2_000_000
    await person.click("Pay")
    assert [(event.name, event.value) for event in await recorded()] == [("FTD", 10), ("DEP", 10)]


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (lambda: tracked(do_nothing), "write tracked"),
        (lambda: tracked(do_nothing, ""), "write tracked"),
        (lambda: tracked(None, "A"), "wants the callback itself"),
        (lambda: tracked("A", "B"), "wants the callback itself"),
        (lambda: tracked(do_nothing, "A", amount=1), "no argument 'amount'"),
        (lambda: tracked(do_nothing, "A", ftd_within=1), "no argument 'ftd_within'"),
    ],
)
def test_a_mistake_is_told_at_once(mistake: Callable[[], Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        mistake()
