"""Puts the commands of the outbox together; without one, it tells how destinations are doing."""

from __future__ import annotations

from typing import Annotated

import typer

from gp_aiogram.cli.access import reading
from gp_aiogram.cli.console import run
from gp_aiogram.cli.options import EXIT_CODES
from gp_aiogram.cli.outbox import listing, purge, replay, show
from gp_aiogram.cli.output import Table, age_of, print_table
from gp_aiogram.settings import Settings
from gp_aiogram.stores.records import State

EXAMPLES = f"""
\b
Examples:
  gp-aiogram outbox
  gp-aiogram outbox dead --destination meta
  gp-aiogram outbox show 5f0c9a
  gp-aiogram outbox replay --destination meta
  gp-aiogram outbox purge --destination old-pixel --state pending

{EXIT_CODES}
"""

_SHOWN: tuple[State, ...] = ("pending", "dead", "delivered", "skipped")

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.command(epilog=listing.PENDING_EXAMPLES)(listing.pending)
app.command(epilog=listing.DEAD_EXAMPLES)(listing.dead)
app.command(epilog=show.EXAMPLES)(show.show)
app.command(epilog=replay.EXAMPLES)(replay.replay)
app.command(epilog=purge.EXAMPLES)(purge.purge)


@app.callback(epilog=EXAMPLES)
def outbox(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the overview as JSON.")] = False,
) -> None:
    """Show deliveries that wait or failed, replay them or give them up.

    Without a command, count the deliveries of each destination by state. Looking never disturbs a
    running bot. Before you change a SQLite store, stop the bot.
    """
    if context.invoked_subcommand is None:
        run(_overview(as_json))


async def _overview(as_json: bool) -> None:
    async with reading(Settings()) as store:
        counts = await store.outbox.counts()
        ages = {name: await store.outbox.oldest_pending(name) for name in counts}
    rows = [
        (name, *(counts[name].get(state, 0) for state in _SHOWN), _age(ages[name]))
        for name in sorted(counts)
    ]
    table = Table(("destination", *_SHOWN, "oldest_pending"), rows)
    print_table(table, "nothing was ever recorded", as_json=as_json)


def _age(seconds: float | None) -> str | None:
    return None if seconds is None else age_of(seconds)
