"""Real aiogram bots on the Telegram stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from gp_aiogram.sandbox import TelegramSandbox


class QuickSession(AiohttpSession):
    """aiogram's own, without its quarter of a second at the end."""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


@asynccontextmanager
async def bot_of(telegram: TelegramSandbox, token: str | None = None) -> AsyncIterator[Bot]:
    session = QuickSession(api=TelegramAPIServer.from_base(telegram.url))
    async with Bot(token or telegram.token, session=session).context() as bot:
        yield bot


@asynccontextmanager
async def polling(dp: Dispatcher, *bots: Bot, **kwargs: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(
        dp.start_polling(*bots, handle_signals=False, close_bot_session=False, **kwargs)
    )
    await asyncio.sleep(0)
    try:
        yield
    finally:
        await dp.stop_polling()
        await task


def keyboard(*buttons: tuple[str, dict[str, Any]]) -> InlineKeyboardMarkup:
    rows = [[InlineKeyboardButton(text=text, **action)] for text, action in buttons]
    return InlineKeyboardMarkup(inline_keyboard=rows)


async def call(telegram: TelegramSandbox, method: str, **kwargs: Any) -> tuple[int, Any]:
    """Call a method in a way that aiogram does not."""
    url = f"{telegram.url}/bot{telegram.token}/{method}"
    async with aiohttp.ClientSession() as client, client.post(url, **kwargs) as response:
        return response.status, await response.json()
