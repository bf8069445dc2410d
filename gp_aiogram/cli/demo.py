"""``gp-aiogram demo``: six users play the echo bot, and what arrived is checked."""

from __future__ import annotations

import asyncio

import typer

from gp_aiogram.cli.console import told_in_a_line
from gp_aiogram.cli.requirements import require_aiogram

#: What ``--help`` ends with; ``\b`` keeps the lines of a paragraph as they are.
EXAMPLES = """
\b
Example:
  gp-aiogram demo

\b
Exit codes:
  0  every event arrived, once, at every destination
  1  an event is missing, or there is one too many
  2  aiogram is missing
"""


def demo() -> None:
    """Play six users through the echo bot, and show what every destination received.

    Runs stand-ins of Telegram, GramPixel, Meta, TikTok and Keitaro for some 15 seconds. Nothing
    leaves this machine, and nothing is kept.
    """
    with told_in_a_line():
        require_aiogram("demo")
        # A worker does without aiogram, which takes seconds to import.
        from gp_aiogram.playground.demo import demo as play  # noqa: PLC0415 - see above

        raise typer.Exit(asyncio.run(play()))
