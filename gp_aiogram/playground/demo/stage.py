"""The demo's stage: the bot polls over real HTTP, and tells a gateway what its users do.

The gateway stands in for GramPixel: it keeps the clicks on ads, and sends what the bot tells it on
to the stand-ins of Meta and TikTok. The bot itself tells a tracker of those whom it has sent.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from gp_aiogram import (
    Destination,
    GramPixel,
    MetaCAPI,
    Postback,
    SQLiteStore,
    TikTokEvents,
    Tracker,
)
from gp_aiogram.playground.echo_bot.bot import ATTRIBUTION, AUTO, create_dispatcher
from gp_aiogram.playground.echo_bot.web import create_app
from gp_aiogram.playground.polling import polling
from gp_aiogram.sandbox import (
    GramPixelSandbox,
    KeitaroSandbox,
    MetaSandbox,
    SandboxChat,
    TelegramSandbox,
    TikTokSandbox,
)
from gp_aiogram.web import serve

CHANNEL_ID = -1001234567890
PROVIDER_TOKEN = "284685063:TEST:demo"  # noqa: S105 - no secret
POSTBACK_KEY = "demo-key-of-the-network"


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
    keitaro: KeitaroSandbox
    tracker: Tracker
    web: str


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Set the stage for the length of an ``async with``."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        telegram = await stack.enter_async_context(TelegramSandbox())
        meta = await stack.enter_async_context(MetaSandbox())
        tiktok = await stack.enter_async_context(TikTokSandbox())
        keitaro = await stack.enter_async_context(KeitaroSandbox())
        behind = _destinations(meta, tiktok)
        grampixel = await stack.enter_async_context(GramPixelSandbox(destinations=behind))
        channel = telegram.channel(CHANNEL_ID, "Echoes")
        tracker = _tracker(folder, grampixel, keitaro)
        server = TelegramAPIServer.from_base(telegram.url)
        bot = Bot(telegram.token, session=AiohttpSession(api=server))
        clicks = grampixel.tracker
        app = await create_app(tracker, bot, channel.id, clicks=clicks, postback_key=POSTBACK_KEY)
        await stack.enter_async_context(polling(create_dispatcher(tracker, PROVIDER_TOKEN), bot))
        web = await stack.enter_async_context(serve(app, "127.0.0.1", 0))
        yield Stage(telegram, channel, grampixel, meta, tiktok, keitaro, tracker, web)


def _tracker(folder: Path, grampixel: GramPixelSandbox, keitaro: KeitaroSandbox) -> Tracker:
    """Make the bot's tracker without settings: those of whoever runs this mean real platforms."""
    return Tracker(
        [
            GramPixel(grampixel.api_key, grampixel.workspace_id, base_url=grampixel.url),
            Postback.keitaro(keitaro.url, keitaro.key),
        ],
        store=SQLiteStore(folder / "gp.sqlite3"),
        attribution=ATTRIBUTION,
        auto=AUTO,
        journal=folder / "gp.journal",
    )


def _destinations(meta: MetaSandbox, tiktok: TikTokSandbox) -> list[Destination]:
    """Where the gateway sends events on to."""
    return [
        MetaCAPI(meta.pixel_id, meta.access_token, base_url=meta.url),
        TikTokEvents(
            tiktok.pixel_code,
            tiktok.access_token,
            base_url=tiktok.url,
            page_url="https://shop.example.com/",
        ),
    ]
