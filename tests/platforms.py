"""A tracker that delivers to the stand-ins of GramPixel, Meta and TikTok."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gp_aiogram import GramPixel, MemoryStore, MetaCAPI, TikTokEvents, Tracker
from gp_aiogram.sandbox import GramPixelSandbox, MetaSandbox, TikTokSandbox


@dataclass
class Platforms:
    """The stand-ins, and the tracker that knows them."""

    grampixel: GramPixelSandbox
    meta: MetaSandbox
    tiktok: TikTokSandbox
    tracker: Tracker

    @property
    def names(self) -> dict[str, list[str]]:
        """What each platform would call what it has counted."""
        return {
            "grampixel": [event.body["event_name"] for event in self.grampixel.unique_events],
            "meta": [event.body["event_name"] for event in self.meta.events],
            "tiktok": [event.body["event"] for event in self.tiktok.events],
        }


@asynccontextmanager
async def platforms(
    meta: dict[str, Any] | None = None,
    tiktok: dict[str, Any] | None = None,
    **arguments: Any,
) -> AsyncIterator[Platforms]:
    """Run the stand-ins, and make a tracker that nobody has started yet.

    :param meta: further arguments of ``MetaCAPI``.
    :param tiktok: further arguments of ``TikTokEvents``.
    :param arguments: of the tracker.
    """
    async with GramPixelSandbox() as pixel, MetaSandbox() as facebook, TikTokSandbox() as toks:
        tracker = Tracker(
            [
                GramPixel(pixel.api_key, pixel.workspace_id, base_url=pixel.url),
                MetaCAPI(
                    facebook.pixel_id,
                    facebook.access_token,
                    base_url=facebook.url,
                    **(meta or {}),
                ),
                TikTokEvents(
                    toks.pixel_code,
                    toks.access_token,
                    base_url=toks.url,
                    page_url="https://shop.example/",
                    **(tiktok or {}),
                ),
            ],
            **{"store": MemoryStore(), **arguments},
        )
        try:
            yield Platforms(pixel, facebook, toks, tracker)
        finally:
            await tracker.close(grace=0)
