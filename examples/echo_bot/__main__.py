"""Run the bot: ``python -m examples.echo_bot``, or with ``--demo`` against a sandbox."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys

from aiogram import Bot

from examples.echo_bot.bot import create_dispatcher
from examples.echo_bot.demo import demo
from gp_aiogram import ConfigurationError, Tracker


async def serve() -> None:
    token = os.environ.get("BOT_TOKEN")
    if not token:
        sys.exit("Set BOT_TOKEN to the token that @BotFather gave you, or try --demo.")
    try:
        tracker = Tracker.from_settings()
    except ConfigurationError as error:
        sys.exit(str(error))
    await create_dispatcher(tracker).start_polling(Bot(token))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.echo_bot", description=__doc__)
    parser.add_argument("--demo", action="store_true", help="play three users in a sandbox")
    if parser.parse_args().demo:
        sys.exit(asyncio.run(demo()))
    logging.basicConfig(level=logging.INFO)
    asyncio.run(serve())


if __name__ == "__main__":
    main()
