"""The stand-ins of Telegram and the ad platforms, running together for a test."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from gp_aiogram.destinations.base import Destination
from gp_aiogram.destinations.grampixel import GramPixel
from gp_aiogram.destinations.leadsail import LeadSail
from gp_aiogram.destinations.meta import MetaCAPI
from gp_aiogram.destinations.tiktok import TikTokEvents
from gp_aiogram.sandbox import (
    GramPixelSandbox,
    LeadSailSandbox,
    MetaSandbox,
    TelegramSandbox,
    TikTokSandbox,
)

if TYPE_CHECKING:
    from aiogram import Bot, Dispatcher

#: What a stand-in of a pixel does not ask for, and its destination does.
_LEADSAIL_PIXEL = "sandbox"


class Sandboxes:
    """Telegram, GramPixel, LeadSail, Meta and TikTok on 127.0.0.1.

    ::

        async def test_start(gp_sandbox):
            tracker = Tracker([gp_sandbox.destination("grampixel")], store=MemoryStore())
            async with gp_sandbox.polling(create_dispatcher(tracker)):
                await gp_sandbox.telegram.user(7).start("gp_a1b2c3")
                await gp_sandbox.grampixel.wait_for(1)

    Those of other platforms are in :mod:`gp_aiogram.sandbox`; each runs within ``async with``.

    :param clock: returns unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.telegram = TelegramSandbox(clock=clock)
        self.grampixel = GramPixelSandbox(clock=clock)
        self.leadsail = LeadSailSandbox(clock=clock)
        self.meta = MetaSandbox(clock=clock)
        self.tiktok = TikTokSandbox(clock=clock)

    def destination(self, name: str, **arguments: Any) -> Destination:
        """Make a destination that sends to the stand-in.

        :param name: ``grampixel``, ``leadsail``, ``meta`` or ``tiktok``.
        :param arguments: of its constructor, such as ``only`` and ``event_names``.
        :raises LookupError: when there is no such stand-in.
        """
        makers: dict[str, Callable[..., Destination]] = {
            "grampixel": self._grampixel,
            "leadsail": self._leadsail,
            "meta": self._meta,
            "tiktok": self._tiktok,
        }
        if name not in makers:
            msg = f"there is no stand-in {name!r} here: there are {', '.join(makers)}"
            raise LookupError(msg)
        return makers[name](**arguments)

    def destinations(self, *names: str) -> list[Destination]:
        """Make destinations that send to the stand-ins.

        :param names: of some; all four when none is given.
        """
        return [self.destination(name) for name in names or _NAMES]

    def polling(
        self, dispatcher: Dispatcher, token: str | None = None
    ) -> AbstractAsyncContextManager[Bot]:
        """Run a bot on the stand-in of Telegram, as ``start_polling`` does, within ``async with``.

        :param dispatcher: of the bot; ``tracker.setup(dispatcher)`` is yours to call.
        :param token: of the bot; another one is another bot.
        """
        from gp_aiogram.bot.polling import polling  # noqa: PLC0415 - tests without a bot pay none

        return polling(dispatcher, token or self.telegram.token, self.telegram.url)

    def _grampixel(self, **arguments: Any) -> Destination:
        sandbox = self.grampixel
        return GramPixel(
            sandbox.api_key, sandbox.workspace_id, **{"base_url": sandbox.url, **arguments}
        )

    def _leadsail(self, **arguments: Any) -> Destination:
        sandbox = self.leadsail
        given = {"base_url": sandbox.url, "platform": "facebook", **arguments}
        return LeadSail(sandbox.api_key, _LEADSAIL_PIXEL, **given)

    def _meta(self, **arguments: Any) -> Destination:
        sandbox = self.meta
        given = {"base_url": sandbox.url, **arguments}
        return MetaCAPI(sandbox.pixel_id, sandbox.access_token, **given)

    def _tiktok(self, **arguments: Any) -> Destination:
        sandbox = self.tiktok
        given = {"base_url": sandbox.url, **arguments}
        return TikTokEvents(sandbox.pixel_code, sandbox.access_token, **given)


_NAMES = ("grampixel", "leadsail", "meta", "tiktok")


@asynccontextmanager
async def running(clock: Callable[[], float] = time.time) -> AsyncIterator[Sandboxes]:
    """Run all stand-ins within ``async with``.

    :param clock: returns unix seconds.
    """
    sandboxes = Sandboxes(clock)
    async with AsyncExitStack() as stack:
        for sandbox in (
            sandboxes.telegram,
            sandboxes.meta,
            sandboxes.tiktok,
            sandboxes.leadsail,
            sandboxes.grampixel,
        ):
            await stack.enter_async_context(sandbox)
        yield sandboxes
