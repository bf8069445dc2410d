"""``gp-aiogram outbox replay``: has dead letters tried again."""

from __future__ import annotations

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
from gp_aiogram.stores.records import DeliveryFilter

EXAMPLES = f"""
\b
Examples:
  gp-aiogram outbox replay --destination meta
  gp-aiogram outbox replay --event 5f0c9a --yes
  gp-aiogram outbox replay --not-delivered --before 1d

{EXIT_CODES}
"""


def replay(
    *,
    destination: DestinationName = None,
    event: EventId = None,
    user: UserId = None,
    bot: BotId = None,
    before: Before = None,
    maybe_delivered: MaybeDelivered = None,
    yes: Yes = False,
) -> None:
    """Try dead letters again, with their event ids.

    Without options, all of them. Those of users who opted out are skipped. The bot or a
    worker delivers them. With a SQLite store, stop the bot first.
    """
    where = DeliveryFilter(
        event_id=event,
        telegram_id=user,
        bot_id=bot,
        accepted_before=before,
        destination=destination,
        states=frozenset({"dead"}),
        maybe_delivered=maybe_delivered,
    )
    run(_replay(where, yes))


async def _replay(where: DeliveryFilter, yes: bool) -> None:
    async with writing(Settings()) as tracker:
        with progress("counting dead letters"):
            found = await count(tracker.store.outbox, where)
        if found:
            confirm(f"Have {count_of(found, 'dead letter')} tried again?", yes=yes)
        with progress("replaying"):
            replayed = await tracker.replay(
                where.destination,
                event_id=where.event_id,
                telegram_id=where.telegram_id,
                bot_id=where.bot_id,
                accepted_before=where.accepted_before,
                maybe_delivered=where.maybe_delivered,
            )
    typer.echo(f"tried again: {count_of(replayed, 'dead letter')}")
