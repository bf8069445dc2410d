"""The bot played through in a sandbox: real HTTP, real polling, three users, no network."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiohttp import web

from examples.echo_bot.bot import create_dispatcher
from examples.echo_bot.report import EXPECTED, report
from gp_aiogram import Settings, Tracker
from gp_aiogram.sandbox import (
    DestinationSandbox,
    Fault,
    GramPixelSandbox,
    MetaSandbox,
    SandboxUser,
    TelegramSandbox,
    TikTokSandbox,
)
from gp_aiogram.web import Landing

#: Seconds: the retries of Eve's event come after about 2 and 6 seconds, give or take half.
PATIENCE = 30.0

AD = "/go?fbclid=IwAR0Ada&ttclid=E.C.P.Ada&utm_source=ads&utm_campaign=spring"
BROWSER = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15"

USERS = {1001: "Ada", 1002: "Bob", 1003: "Eve"}


async def demo() -> int:
    """Play the three users and compare what the destinations received; the exit code."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        telegram = await stack.enter_async_context(TelegramSandbox())
        grampixel = await stack.enter_async_context(GramPixelSandbox())
        meta = await stack.enter_async_context(MetaSandbox())
        tiktok = await stack.enter_async_context(TikTokSandbox())
        tracker = Tracker.from_settings(_settings(Path(folder), grampixel, meta, tiktok))
        await stack.enter_async_context(_polling(tracker, telegram))
        landing = await stack.enter_async_context(_landing(tracker))
        ada, bob, eve = (telegram.user(number, name) for number, name in USERS.items())
        session_id = await _play_ada(ada, landing)
        await _play_bob(bob)
        await _play_eve(eve, grampixel)
        await _wait(grampixel, meta, tiktok)
        return 0 if report(USERS, session_id, grampixel, meta, tiktok) else 1


def _settings(
    folder: Path,
    grampixel: GramPixelSandbox,
    meta: MetaSandbox,
    tiktok: TikTokSandbox,
) -> Settings:
    """What ``GP_*`` variables hold in real life."""
    return Settings(
        store=f"sqlite:///{folder / 'gp.sqlite3'}",
        grampixel={
            "api_key": grampixel.api_key,
            "workspace_id": grampixel.workspace_id,
            "base_url": grampixel.url,
        },
        meta={
            "pixel_id": meta.pixel_id,
            "access_token": meta.access_token,
            "base_url": meta.url,
        },
        tiktok={
            "pixel_code": tiktok.pixel_code,
            "access_token": tiktok.access_token,
            "base_url": tiktok.url,
        },
    )


@asynccontextmanager
async def _polling(tracker: Tracker, telegram: TelegramSandbox) -> AsyncIterator[None]:
    server = TelegramAPIServer.from_base(telegram.url)
    bot = Bot(telegram.token, session=AiohttpSession(api=server))
    dispatcher = create_dispatcher(tracker)
    polling = asyncio.create_task(dispatcher.start_polling(bot, handle_signals=False))
    try:
        yield
    finally:
        await dispatcher.stop_polling()
        await polling


@asynccontextmanager
async def _landing(tracker: Tracker) -> AsyncIterator[str]:
    """Serve the endpoint that ads lead to; its address."""
    app = web.Application()
    Landing(tracker, bot="sandbox_bot").setup(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def _play_ada(ada: SandboxUser, landing: str) -> str:
    print("Ada clicks an ad")
    async with httpx.AsyncClient(headers={"user-agent": BROWSER}) as browser:
        response = await browser.get(landing + AD)
    target = response.headers["location"]
    print(f"  GET {AD}\n    ->  {target}")
    (session_id,) = parse_qs(urlsplit(target).query)["start"]
    await _start(ada, session_id)
    await _click(ada, "Register")
    await _click(ada, "Deposit 150 EUR")
    await _click(ada, "Deposit 150 EUR", "(again: a first deposit counts once)")
    return session_id


async def _play_bob(bob: SandboxUser) -> None:
    print("\nBob finds the bot by himself")
    await _start(bob, None)
    await _click(bob, "Register")


async def _play_eve(eve: SandboxUser, grampixel: GramPixelSandbox) -> None:
    print("\nEve comes by a link of GramPixel's own; its backend fails twice for her")
    grampixel.fail(Fault.status(503), times=2, when=lambda body: body["telegram_id"] == eve.id)
    await _start(eve, "gp_e5f6a7")
    await _click(eve, "Deposit 150 EUR")
    reply = await eve.send("How are you?")
    print(f"  How are you?  ->  {reply.text}")


async def _start(user: SandboxUser, payload: str | None) -> None:
    reply = await user.start(payload)
    print(f"  /start {payload or ''}  ->  {reply.text}")


async def _click(user: SandboxUser, button: str, remark: str = "") -> None:
    reply = await user.click(button)
    print(f"  [{button}]  ->  {reply.text} {remark}")


async def _wait(grampixel: GramPixelSandbox, meta: MetaSandbox, tiktok: TikTokSandbox) -> None:
    print("\nThe bot answered at once; the courier delivers behind its back …")
    started = time.monotonic()
    sandboxes: tuple[DestinationSandbox[Any], ...] = (grampixel, meta, tiktok)
    try:
        for expected, sandbox in zip(EXPECTED.values(), sandboxes, strict=True):
            await sandbox.wait_for(len(expected), timeout=PATIENCE)
    except TimeoutError as error:
        print(f"  {error}")
    print(f"  … done after {time.monotonic() - started:.1f} s more\n")
