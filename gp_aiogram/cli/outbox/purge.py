"""``gp-aiogram outbox purge``: gives deliveries up for good."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from gp_aiogram.cli.access import writing
from gp_aiogram.cli.console import confirm, run
from gp_aiogram.cli.options import (
    EXIT_CODES,
    Before,
    BotId,
    DestinationName,
    EventId,
    MaybeDelivered,
    UserId,
    Yes,
)
from gp_aiogram.cli.outbox.filters import count
from gp_aiogram.cli.output import count_of
from gp_aiogram.cli.progress import progress
from gp_aiogram.settings import Settings
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import Change, DeliveryFilter
from gp_aiogram.tracker.deliveries import PURGED
from gp_aiogram.tracker.pages import every_page

EXAMPLES = f"""
\b
Examples:
  gp-aiogram outbox purge --destination meta --before 30d
  gp-aiogram outbox purge --destination old-pixel --state pending

{EXIT_CODES}
"""


class Purged(str, Enum):
    """What may be purged: what is over is over."""

    dead = "dead"
    pending = "pending"


def purge(
    *,
    destination: DestinationName = None,
    event: EventId = None,
    user: UserId = None,
    bot: BotId = None,
    before: Before = None,
    maybe_delivered: MaybeDelivered = None,
    state: Annotated[Purged, typer.Option(help="Which deliveries to give up.")] = Purged.dead,
    yes: Yes = False,
) -> None:
    """Give up deliveries: they become skipped and are never sent.

    Their events stay for reports until GP_RETENTION__EVENTS_DAYS ends. To erase a user, use
    forget. With a SQLite store, stop the bot first.
    """
    where = DeliveryFilter(
        event_id=event,
        telegram_id=user,
        bot_id=bot,
        accepted_before=before,
        destination=destination,
        states=frozenset({state.value}),
        maybe_delivered=maybe_delivered,
    )
    run(_purge(where, state.value, yes))


async def _purge(where: DeliveryFilter, state: str, yes: bool) -> None:
    async with writing(Settings()) as tracker:
        outbox = tracker.store.outbox
        with progress("counting deliveries"):
            found = await count(outbox, where)
        if found:
            what = "dead letter" if state == Purged.dead.value else "pending event"
            confirm(f"Give up {count_of(found, what)} for good?", yes=yes)
        purged = await _skip(outbox, where, found)
    typer.echo(f"given up: {purged}")


async def _skip(outbox: Outbox, where: DeliveryFilter, found: int) -> int:
    change, done = Change("skipped", PURGED), 0
    with progress("purging", found) as advance:

        async def page(limit: int) -> int:
            nonlocal done
            changed = await outbox.transition(where, change, limit=limit)
            done += changed
            advance(done)
            return changed

        return await every_page(page)
