"""The stand-ins of Telegram and the platforms that a playground runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gp_aiogram import Destination, GramPixel, MetaCAPI, TikTokEvents
from gp_aiogram.sandbox import (
    DestinationSandbox,
    GramPixelSandbox,
    MetaSandbox,
    SandboxChat,
    TelegramSandbox,
    TikTokSandbox,
)

CHANNEL_ID = -1001234567890
CHANNEL_TITLE = "Echoes"

#: TikTok wants a page with each event, also of users who saw none.
PAGE_URL = "https://shop.example.com/"


@dataclass(frozen=True)
class StandIns:
    """All stand-ins of one playground.

    :param channel: where the bot is an administrator.
    """

    telegram: TelegramSandbox
    channel: SandboxChat
    grampixel: GramPixelSandbox
    meta: MetaSandbox
    tiktok: TikTokSandbox

    @property
    def platforms(self) -> dict[str, DestinationSandbox[Any]]:
        """The stand-ins of platforms by the names that people know."""
        return {"GramPixel": self.grampixel, "Meta": self.meta, "TikTok": self.tiktok}

    def destinations(self) -> list[Destination]:
        """Return a destination for each platform."""
        return [
            GramPixel(
                self.grampixel.api_key,
                self.grampixel.workspace_id,
                base_url=self.grampixel.url,
            ),
            MetaCAPI(self.meta.pixel_id, self.meta.access_token, base_url=self.meta.url),
            TikTokEvents(
                self.tiktok.pixel_code,
                self.tiktok.access_token,
                base_url=self.tiktok.url,
                page_url=PAGE_URL,
            ),
        ]

    def settings(self) -> dict[str, str]:
        """Return the environment variables by which a bot of one's own sends to them."""
        return {
            "BOT_TOKEN": self.telegram.token,
            "GP_STORE": "memory://",
            "GP_GRAMPIXEL__API_KEY": self.grampixel.api_key,
            "GP_GRAMPIXEL__WORKSPACE_ID": self.grampixel.workspace_id,
            "GP_GRAMPIXEL__BASE_URL": self.grampixel.url,
            "GP_META__PIXEL_ID": self.meta.pixel_id,
            "GP_META__ACCESS_TOKEN": self.meta.access_token,
            "GP_META__BASE_URL": self.meta.url,
            "GP_TIKTOK__PIXEL_CODE": self.tiktok.pixel_code,
            "GP_TIKTOK__ACCESS_TOKEN": self.tiktok.access_token,
            "GP_TIKTOK__BASE_URL": self.tiktok.url,
            "GP_TIKTOK__PAGE_URL": PAGE_URL,
        }


@asynccontextmanager
async def running_stand_ins() -> AsyncIterator[StandIns]:
    """Run all stand-ins for the length of an ``async with``, each on a free port."""
    async with AsyncExitStack() as stack:
        telegram = await stack.enter_async_context(TelegramSandbox())
        yield StandIns(
            telegram=telegram,
            channel=telegram.channel(CHANNEL_ID, CHANNEL_TITLE),
            grampixel=await stack.enter_async_context(GramPixelSandbox()),
            meta=await stack.enter_async_context(MetaSandbox()),
            tiktok=await stack.enter_async_context(TikTokSandbox()),
        )
