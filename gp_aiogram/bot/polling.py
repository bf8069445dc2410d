"""Runs a bot by polling against a Bot API server other than Telegram's, such as a stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer


@asynccontextmanager
async def polling(dispatcher: Dispatcher, token: str, url: str) -> AsyncIterator[Bot]:
    """Run a bot within ``async with``; leaving it stops polling, and closes what was opened.

    :param token: of the bot.
    :param url: base address of the server.
    :raises Exception: what the bot's start-up raised.
    """
    session = _QuickSession(api=TelegramAPIServer.from_base(url))
    started = asyncio.Event()

    async def note_start() -> None:
        started.set()

    dispatcher.startup.register(note_start)
    async with Bot(token, session=session).context() as bot:
        task = asyncio.create_task(
            dispatcher.start_polling(bot, handle_signals=False, close_bot_session=False)
        )
        await _until(started, task)
        try:
            yield bot
        finally:
            handlers = dispatcher.startup.handlers
            handlers[:] = [each for each in handlers if each.callback is not note_start]
            if not task.done():
                await dispatcher.stop_polling()
            await task


async def _until(started: asyncio.Event, polls: asyncio.Task[None]) -> None:
    """Wait for the start; a start that failed raises."""
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait({waiting, polls}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if polls.done():
        polls.result()


class _QuickSession(AiohttpSession):
    """aiogram's own, without its quarter of a second at the end, which is for TLS."""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
