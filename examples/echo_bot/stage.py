"""The demo's stage: the bot, polling over real HTTP, among stand-ins for all that it talks to."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from examples.echo_bot.bot import create_dispatcher, create_tracker
from examples.echo_bot.web import create_app
from gp_aiogram import Settings, Tracker
from gp_aiogram.sandbox import (
    GramPixelSandbox,
    MetaSandbox,
    SandboxChat,
    TelegramSandbox,
    TikTokSandbox,
)
from gp_aiogram.web import serve

CHANNEL_ID = -1001234567890
PROVIDER_TOKEN = "284685063:TEST:demo"  # noqa: S105 - no secret


@dataclass(frozen=True)
class Stage:
    """All that is on the stage.

    :param web: the address of the bot's web side.
    """

    telegram: TelegramSandbox
    channel: SandboxChat
    grampixel: GramPixelSandbox
    meta: MetaSandbox
    tiktok: TikTokSandbox
    tracker: Tracker
    web: str


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Set the stage for the length of an ``async with``."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        telegram = await stack.enter_async_context(TelegramSandbox())
        grampixel = await stack.enter_async_context(GramPixelSandbox())
        meta = await stack.enter_async_context(MetaSandbox())
        tiktok = await stack.enter_async_context(TikTokSandbox())
        channel = telegram.channel(CHANNEL_ID, "Echoes")
        tracker = create_tracker(_settings(folder, grampixel, meta, tiktok))
        server = TelegramAPIServer.from_base(telegram.url)
        bot = Bot(telegram.token, session=AiohttpSession(api=server))
        app = await create_app(tracker, bot, channel.id)
        await stack.enter_async_context(_polling(create_dispatcher(tracker, PROVIDER_TOKEN), bot))
        web = await stack.enter_async_context(serve(app, "127.0.0.1", 0))
        yield Stage(telegram, channel, grampixel, meta, tiktok, tracker, web)


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
async def _polling(dispatcher: Dispatcher, bot: Bot) -> AsyncIterator[None]:
    polling = asyncio.create_task(dispatcher.start_polling(bot, handle_signals=False))
    try:
        yield
    finally:
        await dispatcher.stop_polling()
        await polling
