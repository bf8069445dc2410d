"""``gp-aiogram import``: a user base of before gp_aiogram was there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from gp_aiogram.cli.access import writing
from gp_aiogram.cli.console import run
from gp_aiogram.cli.options import EXIT_CODES
from gp_aiogram.cli.output import count_of
from gp_aiogram.cli.progress import progress
from gp_aiogram.cli.user_base import UserBase, read_user_base
from gp_aiogram.settings import Settings
from gp_aiogram.tracker import Tracker

EXAMPLES = f"""
\b
Examples:
  gp-aiogram import users.csv
  gp-aiogram import depositors.csv --all-deposited --bot 42
  gp-aiogram import users.csv --dry-run

\b
A file:
  telegram_id,first_deposit,email
  1001,2025-11-03,ann@example.com
  1002,,bob@example.com

{EXIT_CODES}
"""

#: Users who are stored in one go, so that progress is seen.
_PAGE = 1000


def import_users(
    *,
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8 with a header.")],
    bot: Annotated[
        int | None,
        typer.Option("--bot", help="The bot for rows without bot_id; any bot by default."),
    ] = None,
    all_deposited: Annotated[
        bool, typer.Option("--all-deposited", help="Every user in the file has deposited.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file and store nothing.")
    ] = False,
) -> None:
    """Import existing users, so that earlier depositors get no FTD.

    Columns: telegram_id, first_deposit (a date, an amount or yes; empty means none yet), bot_id,
    and what identify() takes: email, phone, first_name, last_name, gender, birthday, city, state,
    zip_code, country, external_id, lead_id. These are hashed before they are stored. You can
    import a file again. With a SQLite store, stop the bot first.
    """
    run(_import(file, bot, all_deposited, dry_run))


async def _import(file: Path, bot: int | None, all_deposited: bool, dry_run: bool) -> None:
    base = read_user_base(file, bot, all_deposited=all_deposited)
    depositors = sum(map(len, base.depositors.values()))
    if dry_run:
        typer.echo(
            f"{count_of(base.users, 'row')}: {depositors} with a first deposit, "
            f"{len(base.traits)} with traits; nothing was stored"
        )
        return
    async with writing(Settings(), may_make=True) as tracker:
        new = await _mark(tracker, base)
        await _identify(tracker, base)
    typer.echo(
        f"first deposits: {depositors}, of which {new} were not known; "
        f"traits: {count_of(len(base.traits), 'user')}"
    )


async def _mark(tracker: Tracker, base: UserBase) -> int:
    new = done = 0
    with progress("first deposits", sum(map(len, base.depositors.values()))) as advance:
        for bot, users in base.depositors.items():
            ids = sorted(users)
            for start in range(0, len(ids), _PAGE):
                page = ids[start : start + _PAGE]
                new += await tracker.mark_deposited(page, bot_id=bot)
                done += len(page)
                advance(done)
    return new


async def _identify(tracker: Tracker, base: UserBase) -> None:
    told = [*base.traits.items()]
    with progress("traits", len(told)) as advance:
        for start in range(0, len(told), _PAGE):
            page = told[start : start + _PAGE]
            # Together, so that they share commits.
            await asyncio.gather(*(tracker.identify(user, **traits) for user, traits in page))
            advance(start + len(page))
