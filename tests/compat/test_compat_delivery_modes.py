"""However updates come in: each event once, ``gp`` right, and nobody waits for a destination."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.filters import CommandStart
from aiogram.methods import TelegramMethod
from aiogram.types import Message
from aiogram.webhook.aiohttp_server import (
    BaseRequestHandler,
    SimpleRequestHandler,
    TokenBasedRequestHandler,
    setup_application,
)
from aiohttp import web

from fixtures.recorder import Recorder
from fixtures.sandbox_bots import QuickSession, bot_of, polling
from gp_aiogram import DeliveryFailed, Event, MemoryStore, Tracker, UserTracker, track
from gp_aiogram.destinations.base import Destination
from gp_aiogram.model.session import SessionQuery
from gp_aiogram.sandbox import TelegramSandbox

Running = Callable[..., AbstractAsyncContextManager[None]]


class Dead(Destination):
    """Takes requests and does not answer while a test runs."""

    name = "dead"

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.over = asyncio.Event()

    async def send(self, events: list[Event]) -> None:
        self.asked.set()
        await self.over.wait()
        msg = "dead"
        raise DeliveryFailed(msg)


class Failure(Exception):  # noqa: N818 - reads as what happened
    pass


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramSandbox]:
    async with TelegramSandbox(timeout=2.0) as sandbox:
        yield sandbox


@pytest.fixture
async def bot(telegram: TelegramSandbox) -> AsyncIterator[Bot]:
    async with bot_of(telegram) as bot:
        yield bot


@pytest.fixture
async def dead() -> Dead:
    return Dead()


@pytest.fixture
def tracker(recorder: Recorder, store: MemoryStore, dead: Dead) -> Tracker:
    return Tracker([dead, recorder], store=store)


@pytest.fixture
def dp(tracker: Tracker) -> Dispatcher:
    """A shop: REG with the start, FTD with a payment, and a handler that fails at first."""
    dp = Dispatcher()
    tracker.setup(dp)

    @dp.message(CommandStart())
    @track("REG", once="user")
    async def start(message: Message, gp: UserTracker) -> TelegramMethod[Any]:
        session = gp.session.session_id if gp.session else "organic"
        return message.answer(f"{gp.bot_id} {gp.telegram_id} {session}")

    @dp.message(F.text == "pay")
    @track("FTD", value=5)
    async def pay(message: Message) -> None:
        await message.answer("paid")

    failures = [Failure()]

    @dp.message(F.text == "fail")
    @track("Succeeded")
    async def fail(message: Message, gp: UserTracker) -> None:
        await gp.track("Tried")
        if failures:
            raise failures.pop()
        await message.answer("at last")

    return dp


@asynccontextmanager
async def webhook(
    dp: Dispatcher,
    handler: BaseRequestHandler,
    telegram: TelegramSandbox,
    *bots: Bot,
) -> AsyncIterator[None]:
    """Serve a dispatcher at a webhook, as ``web.run_app`` does."""
    app = web.Application()
    handler.register(app, path="/hook/{bot_token}")
    setup_application(app, dp)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    for bot in bots:
        await bot.set_webhook(f"http://{host}:{port}/hook/{bot.token}")
    try:
        yield
    finally:
        for bot in bots:
            await bot.delete_webhook()
        await runner.cleanup()


def _polling(**options: Any) -> Running:
    @asynccontextmanager
    async def running(
        dp: Dispatcher, telegram: TelegramSandbox, *bots: Bot
    ) -> AsyncIterator[None]:
        async with polling(dp, *bots, **options):
            yield

    return running


def _webhook(*, background: bool) -> Running:
    def running(dp: Dispatcher, telegram: TelegramSandbox, *bots: Bot) -> Any:
        handler = SimpleRequestHandler(dp, bots[0], handle_in_background=background)
        return webhook(dp, handler, telegram, *bots)

    return running


MODES = {
    "polling, tasks": _polling(),
    "polling, no tasks": _polling(handle_as_tasks=False),
    "polling, one task": _polling(tasks_concurrency_limit=1),
    "webhook, background": _webhook(background=True),
    "webhook, foreground": _webhook(background=False),
}


@pytest.fixture
async def running(
    dp: Dispatcher,
    telegram: TelegramSandbox,
    bot: Bot,
    dead: Dead,
    request: pytest.FixtureRequest,
) -> AsyncIterator[None]:
    async with MODES[request.param](dp, telegram, bot):
        yield
        dead.over.set()


each_mode = pytest.mark.parametrize("running", MODES, indirect=True)


async def until(ready: Callable[[], Any]) -> None:
    async def wait() -> None:
        while not ready():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(wait(), 5)


def brief(events: list[Event]) -> list[tuple[str, int | None, int, str | None]]:
    return [(one.name, one.bot_id, one.telegram_id, one.session_id) for one in events]


@each_mode
async def test_a_bot_with_a_dead_destination_answers_and_records_each_event_once(
    running: None,
    telegram: TelegramSandbox,
    recorder: Recorder,
    dead: Dead,
) -> None:
    ada, bob = telegram.user(7), telegram.user(8)
    assert (await ada.start("gp_a1b2c3")).text == "42 7 gp_a1b2c3"
    assert (await ada.start("gp_a1b2c3")).text == "42 7 gp_a1b2c3"
    await asyncio.wait_for(dead.asked.wait(), 5)
    assert (await ada.send("pay")).text == "paid"
    assert (await bob.start()).text == "42 8 organic"
    await until(lambda: len(recorder.events) == 3)
    assert sorted(brief(recorder.events), key=str) == [
        ("FTD", 42, 7, "gp_a1b2c3"),
        ("REG", 42, 7, "gp_a1b2c3"),
        ("REG", 42, 8, None),
    ]


@each_mode
async def test_users_who_come_at_once_are_kept_apart(
    running: None,
    telegram: TelegramSandbox,
    recorder: Recorder,
) -> None:
    people = [telegram.user(number) for number in range(10, 30)]
    answers = await asyncio.gather(*(one.start(f"gp_{one.id}") for one in people))
    assert [one.text for one in answers] == [f"42 {n} gp_{n}" for n in range(10, 30)]
    await until(lambda: len(recorder.events) == 20)
    assert sorted(brief(recorder.events)) == [("REG", 42, n, f"gp_{n}") for n in range(10, 30)]


@each_mode
async def test_a_failure_reaches_the_bot_and_a_repeated_update_counts_once(
    running: None,
    dp: Dispatcher,
    telegram: TelegramSandbox,
    recorder: Recorder,
    request: pytest.FixtureRequest,
) -> None:
    seen: list[Exception] = []

    @dp.error()
    async def on_error(event: Any) -> None:
        seen.append(event.exception)
        raise event.exception

    user = telegram.user(7)
    repeated = "webhook, foreground" in request.node.name
    if repeated:
        # Telegram hears of the failure, and sends the update again.
        assert (await user.send("fail")).text == "at last"
    else:
        await user.send("fail", expect_reply=False)
        await until(lambda: seen)
        assert (await user.send("fail")).text == "at last"
    assert [type(error) for error in seen] == [Failure]
    expected = ["Succeeded", "Tried"] if repeated else ["Succeeded", "Tried", "Tried"]
    await until(lambda: len(recorder.events) == len(expected))
    assert sorted(event.name for event in recorder.events) == expected


@pytest.mark.parametrize("mode", ["polling", "webhook"])
async def test_several_bots_on_one_dispatcher_share_nothing(
    dp: Dispatcher,
    telegram: TelegramSandbox,
    bot: Bot,
    recorder: Recorder,
    store: MemoryStore,
    dead: Dead,
    mode: str,
) -> None:
    async with bot_of(telegram, "43:SECOND") as second:
        if mode == "polling":
            serving: Any = polling(dp, bot, second)
        else:
            settings = {"session": QuickSession(api=bot.session.api)}
            handler = TokenBasedRequestHandler(dp, bot_settings=settings)
            serving = webhook(dp, handler, telegram, bot, second)
        async with serving:
            user = telegram.user(7)
            assert (await user.start("gp_one")).text == "42 7 gp_one"
            assert (await user.start("gp_two", bot_id=43)).text == "43 7 gp_two"
            assert (await user.start(bot_id=43)).text == "43 7 gp_two"
            assert (await user.start()).text == "42 7 gp_one"
            await until(lambda: len(recorder.events) == 2)
            dead.over.set()
    assert brief(recorder.events) == [("REG", 42, 7, "gp_one"), ("REG", 43, 7, "gp_two")]
    assert await store.find_session(SessionQuery(7, 44)) is None
