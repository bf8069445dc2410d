"""Beside the real dishka: injected handlers and callbacks, with the decorators in either order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F, Router
from aiogram.filters import Command
from aiogram.fsm.scene import Scene, SceneRegistry, on
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import CallbackQuery, Message
from aiogram_dialog import Dialog, DialogManager, Window, setup_dialogs
from aiogram_dialog.test_tools import BotClient, MockMessageManager
from aiogram_dialog.test_tools.keyboard import InlineButtonTextLocator
from aiogram_dialog.widgets.kbd import Button
from aiogram_dialog.widgets.text import Const
from dishka import AsyncContainer, Provider, Scope, make_async_container, provide
from dishka.integrations import aiogram_dialog as dialog_integration
from dishka.integrations.aiogram import AiogramProvider, FromDishka, inject, setup_dishka

from fixtures import updates
from gp_aiogram import Event, Tracker, UserTracker, track
from gp_aiogram.bot import tracked

Recorded = Callable[[], Awaitable[list[Event]]]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Prices:
    def of(self, text: str | None) -> int:
        return len(text or "")


class Services(Provider):
    scope = Scope.REQUEST

    @provide
    def prices(self) -> Prices:
        return Prices()


@pytest.fixture
async def container() -> AsyncIterator[AsyncContainer]:
    container = make_async_container(Services(), AiogramProvider())
    yield container
    await container.close()


@pytest.fixture(params=["dishka last", "dishka first"])
def dp(tracker: Tracker, container: AsyncContainer, request: pytest.FixtureRequest) -> Dispatcher:
    dp = Dispatcher()
    if request.param == "dishka first":
        setup_dishka(container, dp)
    tracker.setup(dp)
    if request.param == "dishka last":
        setup_dishka(container, dp)
    return dp


async def say(dp: Dispatcher, bot: Bot, *texts: str) -> None:
    await dp.emit_startup()
    for text in texts:
        await dp.feed_raw_update(bot, updates.message(text))


def names(events: list[Event]) -> list[str]:
    return sorted(event.name for event in events)


PRICE = track("FTD", value=lambda result: result)
ORDERS: dict[str, list[Decorator]] = {
    "inject over track": [PRICE, inject],
    "track over inject": [inject, PRICE],
    "inject between tracks": [PRICE, inject, track("REG"), track("REG")],
}


@pytest.mark.parametrize("order", ORDERS)
async def test_handlers_are_tracked_once_in_either_order(
    dp: Dispatcher,
    bot: Bot,
    recorded: Recorded,
    caplog: pytest.LogCaptureFixture,
    order: str,
) -> None:
    async def handler(message: Message, prices: FromDishka[Prices], gp: UserTracker) -> int:
        await gp.track("Inside")
        return prices.of(message.text)

    for decorator in ORDERS[order]:
        handler = decorator(handler)
    dp.message.register(handler)
    await say(dp, bot, "hello")
    events = await recorded()
    more = ["REG", "REG"] if "between" in order else []
    assert names(events) == ["FTD", "Inside", *more]
    assert next(event.value for event in events if event.name == "FTD") == 5
    assert "does nothing" not in caplog.text


@pytest.mark.parametrize("dishka_first", [True, False])
async def test_handlers_that_dishka_injects_at_startup_are_tracked_once(
    tracker: Tracker,
    container: AsyncContainer,
    bot: Bot,
    recorded: Recorded,
    dishka_first: bool,
) -> None:
    dp, router = Dispatcher(), Router()
    dp.include_router(router)
    if dishka_first:
        setup_dishka(container, dp, auto_inject=True)
    tracker.setup(dp)
    if not dishka_first:
        setup_dishka(container, dp, auto_inject=True)

    @router.message(F.text == "auto")
    @track("Auto", value=lambda result: result)
    async def auto(message: Message, prices: FromDishka[Prices]) -> int:
        return prices.of(message.text)

    @router.message(F.text == "by hand")
    @inject
    @track("Hand")
    async def by_hand(message: Message, prices: FromDishka[Prices]) -> None: ...

    await say(dp, bot, "auto", "by hand")
    events = await recorded()
    assert [(event.name, event.value) for event in events] == [("Auto", 4), ("Hand", None)]


async def test_a_callable_of_ours_may_ask_for_dishkas_container(
    dp: Dispatcher,
    bot: Bot,
    recorded: Recorded,
) -> None:
    async def price(message: Message, dishka_container: AsyncContainer) -> int:
        return (await dishka_container.get(Prices)).of(message.text)

    @dp.message()
    @track("FTD", value=price)
    async def handler(message: Message) -> None: ...

    await say(dp, bot, "hello")
    (event,) = await recorded()
    assert event.value == 5


async def test_a_failing_dependency_fails_the_handler_and_records_nothing(
    tracker: Tracker,
    bot: Bot,
    recorded: Recorded,
) -> None:
    class Broken(Provider):
        scope = Scope.REQUEST

        @provide
        def prices(self) -> Prices:
            raise LookupError

    dp = Dispatcher()
    tracker.setup(dp)
    container = make_async_container(Broken())
    setup_dishka(container, dp)

    @dp.message()
    @track("A")
    @inject
    @track("B")
    async def handler(message: Message, prices: FromDishka[Prices]) -> None: ...

    with pytest.raises(LookupError):
        await say(dp, bot, "hello")
    assert await recorded() == []
    await container.close()


async def test_scenes_are_tracked_once_in_either_order(
    dp: Dispatcher,
    bot: Bot,
    recorded: Recorded,
) -> None:
    class Quiz(Scene, state="quiz"):
        @on.message.enter()
        @tracked("Over", value=lambda result: result)
        @inject
        async def enter(self, message: Message, prices: FromDishka[Prices]) -> int:
            return prices.of(message.text)

        @on.message.leave()
        @inject
        @tracked("Under", value=lambda prices, message: prices.of(message.text))
        async def leave(self, message: Message, prices: FromDishka[Prices]) -> None: ...

        @on.message(F.text == "over")
        @track("HandlerOver")
        @inject
        async def over(self, message: Message, prices: FromDishka[Prices]) -> None: ...

        @on.message(F.text == "under")
        @inject
        @track("HandlerUnder")
        async def under(self, message: Message, prices: FromDishka[Prices]) -> None:
            await self.wizard.leave()

    dp.message.register(Quiz.as_handler(), Command("go"))
    SceneRegistry(dp).register(Quiz)
    await say(dp, bot, "/go", "over", "under")
    events = await recorded()
    assert names(events) == ["HandlerOver", "HandlerUnder", "Over", "Under"]
    assert {event.name: event.value for event in events if event.value} == {"Over": 3, "Under": 5}


class Menu(StatesGroup):
    main = State()


@pytest.mark.parametrize("order", ["over", "under"])
async def test_dialogs_are_tracked_once_in_either_order(
    dp: Dispatcher,
    bot: Bot,
    recorded: Recorded,
    order: str,
) -> None:
    async def on_click(
        call: CallbackQuery,
        widget: Any,
        manager: DialogManager,
        prices: FromDishka[Prices],
    ) -> int:
        return prices.of(call.data)

    injected = dialog_integration.inject
    if order == "over":
        callback = tracked(injected(on_click), "FTD", value=lambda result: result)
    else:
        callback = injected(tracked(on_click, "FTD", value=lambda prices: prices.of("price")))
    screen = MockMessageManager()
    setup_dialogs(dp, message_manager=screen)
    pay = Button(Const("Pay"), id="pay12", on_click=callback)
    dp.include_router(Dialog(Window(Const("Menu"), pay, state=Menu.main)))

    @dp.message()
    async def start(message: Message, dialog_manager: DialogManager) -> None:
        await dialog_manager.start(Menu.main)

    await dp.emit_startup()
    person = BotClient(dp, user_id=7, chat_id=7, bot=bot)
    await person.send("hi")
    await person.click(screen.last_message(), InlineButtonTextLocator("Pay"))
    (event,) = await recorded()
    assert (event.name, event.value) == ("FTD", 5)
