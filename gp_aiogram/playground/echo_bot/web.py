"""The bot's web side: where ads lead, where networks report, and where its Mini App opens."""

from __future__ import annotations

from functools import partial

from aiogram import Bot
from aiohttp import web

from gp_aiogram import EventError, Tracker
from gp_aiogram.web import CPA, Landing, Postbacks


async def create_app(
    tracker: Tracker,
    bot: Bot,
    channel_id: int | str | None = None,
    *,
    clicks: Tracker | None = None,
    postback_key: str | None = None,
) -> web.Application:
    """``GET /go`` leads to the bot, ``GET /channel/go`` into the channel, each with the click.

    :param clicks: keeps the clicks, where that is not the bot's own tracker but a gateway's.
    :param postback_key: networks report to ``/postback/{postback_key}``; without it to nowhere.
    """
    clicks = clicks or tracker
    username = (await bot.me()).username or ""
    landing = partial(Landing, clicks, username, trusted_proxies=["127.0.0.1"])
    app = web.Application()
    landing().setup(app)
    if channel_id:
        invite_link = partial(clicks.invites.create, bot, channel_id)
        landing(invite_link=invite_link).setup(app, "/channel")
    if postback_key:
        Postbacks(tracker, key=postback_key, network=CPA).setup(app)
    app.router.add_post("/mini-app", partial(open_mini_app, tracker, bot))
    return app


async def open_mini_app(tracker: Tracker, bot: Bot, request: web.Request) -> web.Response:
    """Take ``Telegram.WebApp.initData``, which the Mini App posts when somebody opens it."""
    try:
        await tracker.capture_init_data(bot.token, await request.text())
    except EventError as error:
        raise web.HTTPForbidden(text=str(error)) from error
    return web.Response(status=204)
