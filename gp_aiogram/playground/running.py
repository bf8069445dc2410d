"""Runs a playground: stand-ins, a bot, the landing and the page, at one address."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import User
from aiohttp import web

from gp_aiogram import MemoryStore, Tracker
from gp_aiogram.playground.api import Api
from gp_aiogram.playground.echo_bot.bot import ATTRIBUTION, AUTO, create_dispatcher
from gp_aiogram.playground.own_bot import load_dispatcher, tracker_for
from gp_aiogram.playground.people import People
from gp_aiogram.playground.platforms import platforms_of
from gp_aiogram.playground.polling import polling
from gp_aiogram.playground.serving import Page, only_this_machine
from gp_aiogram.playground.stand_ins import StandIns, running_stand_ins
from gp_aiogram.playground.watching import Watch
from gp_aiogram.web import Landing, serve
from gp_aiogram.web.inspector import Inspector

#: What @BotFather would give for payments in euros.
_PROVIDER_TOKEN = "284685063:TEST:playground"  # noqa: S105 - no secret

#: Only this machine can reach it.
_HOST = "127.0.0.1"


@asynccontextmanager
async def playground(port: int = 0, bot: str | None = None) -> AsyncIterator[str]:
    """Run a playground for the length of an ``async with``; yields the address of its page.

    :param port: of 127.0.0.1; 0 means any that is free.
    :param bot: a dispatcher of one's own, as ``module:attribute``; the echo bot unless given.
    :raises ConfigurationError: when there is no such bot, or it would send to somebody outside.
    :raises OSError: when the port is taken.
    """
    _reach_stand_ins_directly()
    async with AsyncExitStack() as stack:
        stand_ins = await stack.enter_async_context(running_stand_ins())
        dispatcher, tracker = _bot(stand_ins, bot)
        telegram = stand_ins.telegram
        server = TelegramAPIServer.from_base(telegram.url)
        client = Bot(telegram.token, session=AiohttpSession(api=server))
        app = _application(stand_ins, tracker, client, await client.me())
        await stack.enter_async_context(polling(dispatcher, client))
        yield await stack.enter_async_context(serve(app, _HOST, port))


def _reach_stand_ins_directly() -> None:
    """Keep a proxy that this machine uses out of the way."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), _HOST]))


def _bot(stand_ins: StandIns, path: str | None) -> tuple[Dispatcher, Tracker]:
    tracker = Tracker(
        stand_ins.destinations(),
        store=MemoryStore(),
        attribution=ATTRIBUTION,
        auto=AUTO,
        journal=None,
    )
    if path is None:
        return create_dispatcher(tracker, _PROVIDER_TOKEN), tracker
    dispatcher = load_dispatcher(path, stand_ins.settings())
    return dispatcher, tracker_for(dispatcher, path, tracker)


def _application(stand_ins: StandIns, tracker: Tracker, bot: Bot, me: User) -> web.Application:
    username = me.username or ""
    people = People(stand_ins.telegram, stand_ins.channel)
    platforms = platforms_of(tracker, stand_ins)
    watch = Watch(stand_ins.telegram, people, platforms, tracker, me)
    app = web.Application(middlewares=[only_this_machine()])
    Page(people, watch).setup(app)
    Api(people, platforms, tracker).setup(app)
    Inspector(tracker, open_on_loopback=True).setup(app)
    Landing(tracker, username).setup(app)
    invite_link = partial(tracker.invites.create, bot, stand_ins.channel.id)
    Landing(tracker, username, invite_link=invite_link).setup(app, "/channel")
    return app
