"""``gp-aiogram sandbox``: the playground, for a first look without any account."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

import typer

from gp_aiogram.cli.console import CommandError, log_to_stderr, told_in_a_line
from gp_aiogram.cli.requirements import require_aiogram
from gp_aiogram.cli.stopping import stopped_by_signals

#: What ``--help`` ends with; ``\b`` keeps the lines of a paragraph as they are.
EXAMPLES = """
\b
Examples:
  gp-aiogram sandbox
  gp-aiogram sandbox --port 8000
  gp-aiogram sandbox mybot:dp

\b
Exit codes:
  0  stopped by SIGTERM or SIGINT
  1  the port cannot be used
  2  aiogram is missing, or the bot cannot run here
"""


def sandbox(
    bot: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODULE:DISPATCHER]",
            help="Your own bot, such as mybot:dp, instead of the echo bot. It talks to the "
            "stand-ins only.",
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free port."),
    ] = 0,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what the bot and the tracker do.")
    ] = False,
) -> None:
    """Play with a bot and see what the ad platforms get, without any account.

    Runs stand-ins of Telegram, GramPixel, Meta and TikTok, a bot between them, and a page where
    you click its ads, write to it, and break the platforms. Nothing leaves this machine, and
    nothing is kept.
    """
    log_to_stderr()
    if not verbose:
        logging.getLogger().setLevel(logging.WARNING)
    with told_in_a_line():
        require_aiogram("sandbox")
        asyncio.run(_run(port, bot))


async def _run(port: int, bot: str | None) -> None:
    # A worker does without aiogram, which takes seconds to import.
    from gp_aiogram.playground.running import playground  # noqa: PLC0415 - see above

    with stopped_by_signals() as stopping:
        try:
            async with playground(port, bot) as url:
                typer.echo(f"open {url} in a browser; Ctrl+C ends it")
                await stopping.wait()
        except OSError as error:
            msg = f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}"
            raise CommandError(msg) from None
