"""docs/howto/paid-channels.md: its bot on a webhook, against the stand-in of Telegram."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiogram.client.telegram import TelegramAPIServer

from fixtures.pages import blocks, modules_of, paste_files
from fixtures.ports import free_port
from gp_aiogram.testing.sandboxes import Sandboxes
from gp_aiogram.web import serve

PAGE = "howto/paid-channels"
CHANNEL_ID = -1001234567890
BROWSER = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)"}

_, JOINED, SELLS = blocks(PAGE)

Run = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gp_sandbox: Sandboxes) -> Run:
    """Run the page's file, with some more pasted at its end."""
    port = free_port()
    variables = {
        "BOT_TOKEN": gp_sandbox.telegram.token,
        "CHANNEL_ID": str(CHANNEL_ID),
        "WEBHOOK_SECRET": "of-telegram",
        "WEBHOOK_URL": f"http://127.0.0.1:{port}/telegram",
        "GP_GRAMPIXEL__API_KEY": gp_sandbox.grampixel.api_key,
        "GP_GRAMPIXEL__WORKSPACE_ID": gp_sandbox.grampixel.workspace_id,
        "GP_GRAMPIXEL__BASE_URL": gp_sandbox.grampixel.url,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    paste_files(PAGE, tmp_path)

    @asynccontextmanager
    async def running(*more: str, auto: str = '"Subscribe", "Leave", ') -> AsyncIterator[str]:
        path = tmp_path / "paid_channel.py"
        text = path.read_text("utf-8").replace('"Subscribe", "Leave", ', auto)
        path.write_text("\n".join([text, *more]), encoding="utf-8")
        with modules_of(tmp_path):
            module = importlib.import_module("paid_channel")
            module.bot.session.api = TelegramAPIServer.from_base(gp_sandbox.telegram.url)
            async with serve(module.app, port=port) as address:
                yield address

    return running


async def clicked(url: str) -> str:
    """Follow an ad, and return where it leads."""
    async with (
        aiohttp.ClientSession(headers=BROWSER) as browser,
        browser.get(url, allow_redirects=False) as answer,
    ):
        assert answer.status == 302
        return answer.headers["Location"]


async def events(sandbox: Sandboxes, count: int) -> list[Any]:
    found = [each.body for each in await sandbox.grampixel.wait_for(count)]
    return sorted(found, key=lambda body: body["event_name"])


async def test_a_paid_join_has_the_price_of_its_link(run: Run, gp_sandbox: Sandboxes) -> None:
    channel = gp_sandbox.telegram.channel(CHANNEL_ID, "News")
    async with run() as address:
        link = await clicked(f"{address}/channel/go?fbclid=IwAR0aBcD_-efGh1234567890")
        await gp_sandbox.telegram.user(7, "Ada").join(channel, link)
        (event,) = await events(gp_sandbox, 1)
    assert (event["event_name"], event["value"], event["currency"]) == ("Subscribe", 3.25, "USD")
    assert event["session_id"].startswith("gp_")
    assert event["user_data"]["telegram_stars"] == 250
    assert event["user_data"]["subscription_period"] == 2_592_000


async def test_a_paid_join_may_be_a_first_deposit(run: Run, gp_sandbox: Sandboxes) -> None:
    channel = gp_sandbox.telegram.channel(CHANNEL_ID, "News")
    async with run(JOINED, auto="") as address:
        ada = gp_sandbox.telegram.user(7, "Ada")
        links = [await clicked(f"{address}/channel/go?fbclid=IwAR{number}") for number in (1, 2)]
        for link in (links[0], links[0], links[1]):
            await ada.join(channel, link)
            await events(gp_sandbox, 1)  # before the next ad is clicked
            await ada.leave(channel)
        dep, ftd = await events(gp_sandbox, 2)
    assert (ftd["event_name"], ftd["value"]) == ("FTD", 3.25)
    assert (dep["event_name"], dep["value"]) == ("DEP", 3.25)
    assert dep["session_id"] != ftd["session_id"], "the second join by a link counts no more"


async def test_the_bot_sells_and_counts_renewals(run: Run, gp_sandbox: Sandboxes) -> None:
    channel = gp_sandbox.telegram.channel(CHANNEL_ID, "News")
    async with run(SELLS) as address:
        link = await clicked(f"{address}/go?fbclid=IwAR0aBcD_-efGh1234567890")
        session_id = link.partition("?start=")[2]
        ada = gp_sandbox.telegram.user(7, "Ada")
        offer = await ada.start(session_id)
        payment = await ada.pay(offer.text.rpartition(" ")[2])
        welcome = ada.messages[-1].text
        assert welcome.startswith("Welcome!")
        await ada.join(channel, welcome.rpartition(" ")[2])
        await ada.renew(payment)
        assert ada.messages[-1].text == "Thank you for another month!"
        found = await events(gp_sandbox, 5)
    assert [(each["event_name"], each.get("value")) for each in found] == [
        ("InitiateCheckout", 6.5),
        ("Purchase", 6.5),
        ("Purchase", 6.5),
        ("REG", None),
        ("Subscribe", None),
    ]
    assert {each["session_id"] for each in found} == {session_id}
