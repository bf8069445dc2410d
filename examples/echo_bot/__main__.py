"""Run the bot: ``python -m examples.echo_bot``, or with ``--demo`` against a sandbox.

Its handlers are in ``gp_aiogram/playground/echo_bot``, since ``gp-aiogram sandbox`` runs them too.

For real use it reads these variables, and those of gp_aiogram itself (``GP_GRAMPIXEL__API_KEY``
and ``GP_GRAMPIXEL__WORKSPACE_ID``, ``GP_META__*``, ``GP_TIKTOK__*``; see the README):

``BOT_TOKEN``
    what @BotFather gave you.
``PAYMENT_PROVIDER_TOKEN``
    what @BotFather gave you under Payments; without it the shop sells for Stars only.
``PORT``
    where to serve ``/go`` for your ads and ``/mini-app`` for your Mini App, behind a proxy that
    speaks HTTPS; without it nothing is served.
``CHANNEL_ID``
    of a channel where the bot is an administrator who may invite users, such as
    ``-1001234567890``: ``/channel/go`` then leads into it, by an invite link for each click.
``POSTBACK_KEY``
    at least 16 characters: affiliate networks then report to ``/postback/{key}``.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from contextlib import AsyncExitStack

from aiogram import Bot

from gp_aiogram import ConfigurationError
from gp_aiogram.playground.demo import demo
from gp_aiogram.playground.echo_bot.bot import create_dispatcher, create_tracker
from gp_aiogram.playground.echo_bot.web import create_app
from gp_aiogram.web import serve


async def poll() -> None:
    token = os.environ.get("BOT_TOKEN")
    if not token:
        sys.exit("Set BOT_TOKEN to the token that @BotFather gave you, or try --demo.")
    try:
        tracker = create_tracker()
    except ConfigurationError as error:
        sys.exit(str(error))
    bot = Bot(token)
    dispatcher = create_dispatcher(tracker, os.environ.get("PAYMENT_PROVIDER_TOKEN"))
    async with AsyncExitStack() as stack:
        if port := os.environ.get("PORT"):
            app = await create_app(
                tracker,
                bot,
                os.environ.get("CHANNEL_ID"),
                postback_key=os.environ.get("POSTBACK_KEY"),
            )
            await stack.enter_async_context(serve(app, "127.0.0.1", int(port)))
        await dispatcher.start_polling(bot)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m examples.echo_bot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--demo", action="store_true", help="play six users in a sandbox")
    if parser.parse_args().demo:
        sys.exit(asyncio.run(demo()))
    logging.basicConfig(level=logging.INFO)
    asyncio.run(poll())


if __name__ == "__main__":
    main()
