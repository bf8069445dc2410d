"""Alerts where several bots and a worker share a PostgreSQL store: one tells, for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest
from aiogram import Bot

from fixtures.postgres import DSN, drop_schema, make_schema, require_server
from fixtures.sandbox_bots import bot_of
from gp_aiogram import GramPixel, Tracker
from gp_aiogram.bot import admin_router
from gp_aiogram.sandbox import Fault, GramPixelSandbox, TelegramSandbox
from gp_aiogram.stores.postgres import PostgresStore

ADMIN = 1001


@pytest.fixture
def schema() -> Iterator[str]:
    require_server()
    schema = make_schema()
    yield schema
    drop_schema(schema)


@asynccontextmanager
async def process(
    bot: Bot | None, schema: str, grampixel: GramPixelSandbox
) -> AsyncIterator[Tracker]:
    """Run a bot with its admin router, or a worker where there is no bot."""
    to = GramPixel(grampixel.api_key, grampixel.workspace_id, base_url=grampixel.url)
    store = PostgresStore(DSN, schema)
    async with Tracker([to], store=store, journal=None, deliver=bot is None) as tracker:
        if bot is None:
            yield tracker
            return
        router = admin_router(
            tracker, admins={ADMIN}, bot=bot, check_every=0.05, cured_after=timedelta(0)
        )
        await router.emit_startup()
        yield tracker
        await router.emit_shutdown()


async def test_of_three_bots_one_tells_what_a_worker_gave_up(schema):
    async with AsyncExitStack() as stack:
        telegram = await stack.enter_async_context(TelegramSandbox())
        grampixel = await stack.enter_async_context(GramPixelSandbox())
        bot = await stack.enter_async_context(bot_of(telegram))
        admin = telegram.user(ADMIN)
        tracker, *_ = [
            await stack.enter_async_context(process(bot, schema, grampixel)) for _ in range(3)
        ]
        worker = await stack.enter_async_context(process(None, schema, grampixel))
        grampixel.fail(Fault.status(422))
        await tracker.track("REG", telegram_id=7)
        assert await worker.flush(10)
        await telegram.wait_until(lambda: admin.messages)
        await asyncio.sleep(0.5)
        (alert,) = admin.messages
        assert alert.text.startswith("⚠️ <b>grampixel</b>: the first dead letter.")
        assert await tracker.replay() == 1
        await telegram.wait_until(lambda: len(admin.messages) > 1)
        assert admin.messages[1].text == "✅ <b>grampixel</b>: no dead letters any more."
