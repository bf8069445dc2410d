"""``gp-aiogram outbox pending`` and ``outbox dead``: deliveries in a list."""

from __future__ import annotations

from collections.abc import Sequence

from gp_aiogram.cli.access import reading
from gp_aiogram.cli.console import run
from gp_aiogram.cli.options import (
    EXIT_CODES,
    JSON,
    Before,
    BotId,
    DestinationName,
    Limit,
    MaybeDelivered,
    UserId,
)
from gp_aiogram.cli.outbox.filters import selected
from gp_aiogram.cli.output import Table, note, print_table
from gp_aiogram.settings import Settings
from gp_aiogram.stores.records import Delivery, DeliveryFilter, State

PENDING_EXAMPLES = f"""
\b
Examples:
  gp-aiogram outbox pending
  gp-aiogram outbox pending --destination meta --limit 100 --json

{EXIT_CODES}
"""

DEAD_EXAMPLES = f"""
\b
Examples:
  gp-aiogram outbox dead
  gp-aiogram outbox dead --destination meta --maybe-delivered
  gp-aiogram outbox dead | cut -f3 | sort | uniq -c

{EXIT_CODES}
"""


def pending(
    *,
    destination: DestinationName = None,
    user: UserId = None,
    bot: BotId = None,
    limit: Limit = 20,
    as_json: JSON = False,
) -> None:
    """List pending deliveries, oldest event first, with the last error.

    Unsure means that an answer was lost: the destination may have the event.
    """
    where = _where("pending", destination, user, bot)
    run(_list(where, limit, "nothing is pending", as_json))


def dead(
    *,
    destination: DestinationName = None,
    user: UserId = None,
    bot: BotId = None,
    before: Before = None,
    maybe_delivered: MaybeDelivered = None,
    limit: Limit = 20,
    as_json: JSON = False,
) -> None:
    """List dead letters, oldest event first, with the reason.

    Unsure means that an answer was lost: the destination may have the event.
    """
    where = DeliveryFilter(
        telegram_id=user,
        bot_id=bot,
        accepted_before=before,
        destination=destination,
        states=frozenset({"dead"}),
        maybe_delivered=maybe_delivered,
    )
    run(_list(where, limit, "there is no dead letter", as_json))


def _where(
    state: State, destination: str | None, user: int | None, bot: int | None
) -> DeliveryFilter:
    return DeliveryFilter(
        telegram_id=user, bot_id=bot, destination=destination, states=frozenset({state})
    )


_COLUMNS = (
    "time",
    "event",
    "destination",
    "user",
    "attempts",
    "due",
    "unsure",
    "reason",
    "event_id",
)


async def _list(where: DeliveryFilter, limit: int, empty: str, as_json: bool) -> None:
    async with reading(Settings()) as store:
        found = [each async for each in selected(store.outbox, where, limit + 1)]
    table = Table(_COLUMNS, [_row(delivery) for delivery in found[:limit]])
    print_table(table, empty, as_json=as_json)
    if len(found) > limit:
        note(f"there are more: raise --limit, which is {limit}")


def _row(delivery: Delivery) -> Sequence[object]:
    event = delivery.event
    return (
        event.event_time,
        event.name,
        delivery.destination,
        event.telegram_id,
        delivery.attempts,
        delivery.due if delivery.state == "pending" else None,
        delivery.maybe_delivered,
        delivery.reason,
        event.event_id,
    )
