"""``gp-aiogram forget``: erases a user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gp_aiogram.cli.access import writing
from gp_aiogram.cli.console import CommandError, confirm, run
from gp_aiogram.cli.options import EXIT_CODES, Yes
from gp_aiogram.model.event import validate_telegram_id
from gp_aiogram.settings import Settings
from gp_aiogram.tracker.journals import Journals

EXAMPLES = f"""
\b
Examples:
  gp-aiogram forget 1001
  gp-aiogram forget 1001 --yes

{EXIT_CODES}
"""


def forget(
    telegram_id: Annotated[int, typer.Argument(help="Telegram id of the user.")],
    yes: Yes = False,
) -> None:
    """Erase a user's sessions, clicks, traits and events, delivered or not.

    Data that destinations have received must be erased there. A first deposit still counts once,
    because an anonymous digest of it stays. With a SQLite store, stop the bot first. With
    PostgreSQL, the journal of a running bot is not erased: run the command again later.
    """
    run(_forget(telegram_id, yes))


async def _forget(telegram_id: int, yes: bool) -> None:
    validate_telegram_id(telegram_id)
    settings = Settings()
    async with writing(settings) as tracker:
        confirm(f"Erase everything that is stored of user {telegram_id}?", yes=yes)
        # First, so that nobody records meanwhile what a bot has left.
        journals = Journals(Path(settings.journal), tracker.store.place)
        await _erase_from_journal(journals, telegram_id)
        await tracker.forget(telegram_id)
    typer.echo(f"user {telegram_id} is forgotten")


async def _erase_from_journal(journals: Journals, telegram_id: int) -> None:
    """Erase what ended bots have left because their store was away."""
    try:
        await journals.adopt()
        await journals.erase(telegram_id)
    except OSError as error:
        msg = f"the journal cannot be changed: {error}; nothing was erased"
        raise CommandError(msg) from None
    finally:
        await journals.close()
