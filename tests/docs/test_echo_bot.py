"""The example: its demo, run as the README tells people to, and its handlers one by one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiogram import Bot, Dispatcher
from aiogram.client.session.base import BaseSession
from aiogram.methods import (
    AnswerPreCheckoutQuery,
    CreateChatInviteLink,
    RefundStarPayment,
    SendInvoice,
    SendMessage,
    TelegramMethod,
)
from aiogram.types import User

from fixtures import updates
from gp_aiogram import Settings, Tracker
from gp_aiogram.playground.echo_bot.bot import create_dispatcher, create_tracker
from gp_aiogram.playground.echo_bot.web import create_app
from gp_aiogram.sandbox import GramPixelSandbox
from gp_aiogram.web import serve

ROOT = Path(__file__).parents[2]

#: A bot whose author has written FTD where a later deposit is a DEP, and goes on to the demo.
BROKEN = """
import asyncio, sys
from gp_aiogram import track
track.deposit = lambda **said: track("FTD", **said)
from gp_aiogram.playground.demo import demo
sys.exit(asyncio.run(demo()))
"""


# The demo


def begin(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.Popen[str]:
    ours = ("GP_", "BOT_TOKEN", "PAYMENT_PROVIDER_TOKEN", "PORT", "CHANNEL_ID", "POSTBACK_KEY")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**kept, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(**environment: str) -> tuple[int, str]:
    """The exit code and the complaint of the bot without ``--demo``."""
    with begin("-m", "examples.echo_bot", **environment) as process:
        _, complaint = process.communicate(timeout=90)
    return process.returncode, complaint


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any, Any]]:
    """Demos of a good and a broken bot, and that of a project with settings of its own.

    All at once: most of the time they wait for a backend.
    """
    project = tmp_path_factory.mktemp("project")
    (project / ".env").write_text("GP_META__PIXEL_ID=1\nGP_META__ACCESS_TOKEN=real\n")
    with (
        begin("-m", "examples.echo_bot", "--demo") as good,
        begin("-c", BROKEN) as broken,
        begin("-m", "gp_aiogram", "demo", cwd=project, PYTHONPATH=str(ROOT)) as elsewhere,
    ):
        yield good, broken, elsewhere


def test_the_demo_shows_every_event_arriving_once(demos: Any) -> None:
    shown, complaint = demos[0].communicate(timeout=90)
    assert (demos[0].returncode, complaint) == (0, ""), shown
    cells = [re.split(r" {2,}", line.strip()) for line in shown.splitlines()]
    users = ("Ada", "Bob", "Dan", "Fay", "Eve", "Gil")
    rows = [row for row in cells if row[0] in users and row[1:]]
    assert ["Ada", "ad", "FTD", "Purchase", "CompletePayment", "-", "150.00 EUR"] in rows
    assert ["Ada", "ad", "DEP", "Purchase", "CompletePayment", "-", "150.00 EUR"] in rows
    assert ["Ada", "ad", "Purchase", "Purchase", "CompletePayment", "-", "3.25 USD"] in rows
    assert ["Bob", "-", "Refund", "-", "-", "-", "19.99 EUR"] in rows
    assert ["Dan", "channel ad", "Subscribe", "Lead", "SubmitForm", "-", "-"] in rows
    gil = ["Gil", "tracker link", "FTD", "Purchase", "CompletePayment", "sale", "80.00 EUR"]
    assert gil in rows
    assert "OK: FTD 80.00 EUR recorded" in shown
    assert "OK: not recorded: it was reported before" in shown
    eve = ["Eve", "own link", "FTD", "Purchase", "CompletePayment", "-", "150.00 EUR"]
    assert eve in rows
    assert len(rows) == 12
    assert "log:" not in shown
    assert "What GramPixel answered for Eve: 503, 503, 200" in shown
    assert '"telegram_stars": 250' in shown
    assert re.search(r'"fbc": "fb\.1\.\d{13}\.IwAR0Ada"', shown)
    assert '"ttclid": "E.C.P.Ada"' in shown
    assert "Every event arrived, once, at every destination." in shown


def test_the_demo_of_a_broken_bot_fails(demos: Any) -> None:
    shown, _ = demos[1].communicate(timeout=90)
    assert demos[1].returncode == 1, shown
    assert "MISSING: Ada | ad | DEP | Purchase | CompletePayment | - | 150.00 EUR" in shown
    assert "TOO MUCH: Ada | ad | FTD | Purchase | CompletePayment | - | 150.00 EUR" in shown
    assert "Every event arrived" not in shown


def test_the_command_plays_the_same_whatever_a_project_has_set(demos: Any) -> None:
    shown, complaint = demos[2].communicate(timeout=90)
    assert (demos[2].returncode, complaint) == (0, ""), shown
    assert "Every event arrived, once, at every destination." in shown


def test_without_a_token_it_says_what_to_do() -> None:
    returncode, complaint = run()
    assert returncode == 1
    assert "Set BOT_TOKEN" in complaint


def test_without_settings_it_names_every_variable() -> None:
    returncode, complaint = run(BOT_TOKEN="42:TEST", GP_GRAMPIXEL__WORKSPACE_ID="mine")
    assert returncode == 1
    assert "GP_GRAMPIXEL__API_KEY: missing" in complaint
    assert "GP_GRAMPIXEL__WORKSPACE_ID" in complaint


# The handlers


class Telegram(BaseSession):
    """Takes what the bot calls and does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[TelegramMethod[Any]] = []

    async def make_request(self, bot: Bot, method: Any, timeout: int | None = None) -> Any:
        self.called.append(method)

    async def stream_content(self, *args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        yield b""

    async def close(self) -> None: ...

    def all(self, kind: type[Any]) -> list[Any]:
        return [method for method in self.called if isinstance(method, kind)]


@pytest.fixture
def telegram() -> Telegram:
    return Telegram()


@pytest.fixture
def bot(telegram: Telegram) -> Bot:
    bot = Bot("42:TEST", session=telegram)
    bot._me = User(id=42, is_bot=True, first_name="Echo", username="echo_bot")
    return bot


@pytest.fixture
async def grampixel() -> AsyncIterator[GramPixelSandbox]:
    async with GramPixelSandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def tracker(grampixel: GramPixelSandbox) -> AsyncIterator[Tracker]:
    access = {"api_key": grampixel.api_key, "workspace_id": grampixel.workspace_id}
    settings = Settings(store="memory://", grampixel={**access, "base_url": grampixel.url})
    tracker = create_tracker(settings)
    yield tracker
    await tracker.close(grace=0)


@pytest.fixture
def provider_token() -> str | None:
    return "284685063:TEST:x"


@pytest.fixture
def dp(tracker: Tracker, provider_token: str | None) -> Iterator[Dispatcher]:
    dispatcher = create_dispatcher(tracker, provider_token)
    yield dispatcher
    for router in dispatcher.sub_routers:
        router._parent_router = None  # the example's routers are made once


async def told(tracker: Tracker, grampixel: GramPixelSandbox) -> list[tuple[Any, ...]]:
    """What has arrived: event, value, currency."""
    await tracker.start()
    assert await tracker.flush(5)
    bodies = [event.body for event in grampixel.events]
    return [(body["event_name"], body.get("value"), body.get("currency")) for body in bodies]


async def test_deposits_are_told_apart_and_stay_what_they_were(feed, tracker, grampixel) -> None:
    for update_id in (1, 2, 1, 2):
        await feed(updates.click("deposit:150.00", update_id=update_id))
    assert await told(tracker, grampixel) == [("FTD", 150.0, "EUR"), ("DEP", 150.0, "EUR")]


async def test_a_checkout_goes_ahead(feed, telegram, tracker, grampixel) -> None:
    await feed(updates.raw("pre_checkout_query_eur"))
    assert [answer.ok for answer in telegram.all(AnswerPreCheckoutQuery)] == [True]
    await tracker.start()
    await grampixel.wait_for(1)
    assert await told(tracker, grampixel) == [("InitiateCheckout", 19.99, "EUR")]


async def test_stars_go_back_through_telegram(feed, telegram, tracker, grampixel) -> None:
    await feed(updates.raw("successful_payment_stars"))
    await feed(updates.message("/refund"))
    (refund,) = telegram.all(RefundStarPayment)
    paid = updates.raw("successful_payment_stars")["message"]["successful_payment"]
    assert refund.user_id == 7
    assert refund.telegram_payment_charge_id == paid["telegram_payment_charge_id"]
    bought = ("Purchase", 3.25, "USD")
    assert await told(tracker, grampixel) == [bought]
    await feed(updates.raw("refunded_payment_stars"))
    assert await told(tracker, grampixel) == [bought, ("Refund", 3.25, "USD")]


async def test_euros_go_back_once(feed, telegram, tracker, grampixel) -> None:
    await feed(updates.raw("successful_payment_eur"))
    assert await told(tracker, grampixel) == [("Purchase", 19.99, "EUR")]
    await feed(updates.message("/refund"))
    await feed(updates.message("/refund"))
    assert (await told(tracker, grampixel))[1:] == [("Refund", 19.99, "EUR")]
    assert telegram.all(RefundStarPayment) == []
    assert telegram.all(SendMessage)[-1].text == "There is nothing to give back."


async def test_both_products_are_sold(feed, telegram) -> None:
    for button in ("shop", "stickers", "course"):
        await feed(updates.click(button))
    (menu,) = telegram.all(SendMessage)
    assert [row[0].callback_data for row in menu.reply_markup.inline_keyboard] == [
        "stickers",
        "course",
    ]
    invoices = telegram.all(SendInvoice)
    assert [(sold.currency, sold.prices[0].amount) for sold in invoices] == [
        ("XTR", 250),
        ("EUR", 1999),
    ]
    assert [sold.provider_token for sold in invoices] == [None, "284685063:TEST:x"]


@pytest.mark.parametrize("provider_token", [None, ""])
async def test_without_a_provider_only_stars_are_taken(feed, telegram) -> None:
    for button in ("shop", "course"):
        await feed(updates.click(button))
    (menu,) = telegram.all(SendMessage)
    assert [row[0].callback_data for row in menu.reply_markup.inline_keyboard] == ["stickers"]
    assert telegram.all(SendInvoice) == []


async def test_whoever_wants_it_is_forgotten(feed, telegram, tracker) -> None:
    await feed(updates.start("gp_a", date=int(time.time())))
    await feed(updates.raw("successful_payment_stars"))
    assert await tracker.session(7) is not None
    await feed(updates.message("/forget"))
    assert await tracker.session(7) is None
    await feed(updates.message("/refund"))
    assert telegram.all(SendMessage)[-1].text == "There is nothing to give back."


async def test_a_new_member_is_counted_by_his_link(feed, tracker, grampixel) -> None:
    await feed(updates.raw("chat_member_joined_by_link"))
    assert await told(tracker, grampixel) == [("Subscribe", None, None)]
    assert grampixel.events[0].session_id == "gp_a1b2c3"


# The web side


async def test_a_forged_opening_of_the_mini_app_is_refused(tracker, bot) -> None:
    async with (
        serve(await create_app(tracker, bot), "127.0.0.1", 0) as url,
        httpx.AsyncClient() as browser,
    ):
        refused = await browser.post(f"{url}/mini-app", content="auth_date=1&hash=00")
        no_channel = await browser.get(f"{url}/channel/go")
    assert refused.status_code == 403
    assert "not signed for this bot" in refused.text
    assert no_channel.status_code == 404


async def test_each_click_gets_an_invite_link_of_its_own(telegram, tracker, bot) -> None:
    async with (
        serve(await create_app(tracker, bot, "@echoes"), "127.0.0.1", 0) as url,
        httpx.AsyncClient() as browser,
    ):
        await browser.get(f"{url}/channel/go?fbclid=IwAR0")
        await browser.get(f"{url}/channel/go?fbclid=IwAR1")
    links = telegram.all(CreateChatInviteLink)
    assert {link.chat_id for link in links} == {"@echoes"}
    assert len({link.name for link in links}) == 2
