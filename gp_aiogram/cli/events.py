"""``gp-aiogram events``: what was recorded lately, and what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from enum import Enum
from typing import Annotated

import typer

from gp_aiogram.cli.access import reading
from gp_aiogram.cli.console import run
from gp_aiogram.cli.options import (
    EXIT_CODES,
    JSON,
    BotId,
    DestinationName,
    EventId,
    Limit,
    UserId,
)
from gp_aiogram.cli.output import Table, print_table
from gp_aiogram.settings import Settings
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import DeliveryFilter, EventRecord, Span

EXAMPLES = f"""
\b
Examples:
  gp-aiogram events
  gp-aiogram events --user 1001
  gp-aiogram events --name FTD --limit 100 --json
  gp-aiogram events --destination meta --state dead

{EXIT_CODES}
"""

#: Events looked at in one go.
_PAGE = 250

_COLUMNS = (
    "time",
    "event",
    "user",
    "value",
    "currency",
    "session",
    "event_id",
    "deliveries",
)


class Of(str, Enum):
    """The states of deliveries, as choices."""

    pending = "pending"
    delivered = "delivered"
    skipped = "skipped"
    dead = "dead"


def events(
    *,
    name: Annotated[
        str | None, typer.Option(help="Only events of this name, such as FTD.")
    ] = None,
    user: UserId = None,
    bot: BotId = None,
    event: EventId = None,
    destination: DestinationName = None,
    state: Annotated[
        Of | None, typer.Option(help="Only events with a delivery in this state.")
    ] = None,
    limit: Limit = 20,
    as_json: JSON = False,
) -> None:
    """List recorded events with their deliveries, newest first.

    A running bot is not disturbed.
    """
    where = DeliveryFilter(
        event_id=event,
        telegram_id=user,
        bot_id=bot,
        destination=destination,
        states=None if state is None else frozenset({state.value}),
    )
    run(_list(where, name, limit, as_json))


async def _list(where: DeliveryFilter, name: str | None, limit: int, as_json: bool) -> None:
    found: list[EventRecord] = []
    async with reading(Settings()) as store:
        async for record in _newest(store.outbox, where):
            if name in (None, record.event.name):
                found.append(record)
            if len(found) == limit:
                break
    table = Table(_COLUMNS, [*map(_row, found)])
    print_table(table, "no event is stored", as_json=as_json)


async def _newest(outbox: Outbox, where: DeliveryFilter) -> AsyncIterator[EventRecord]:
    before: int | None = None
    while True:
        span = Span(before=before, limit=_PAGE, newest=True)
        page = await outbox.events(where, span)
        for record in page:
            yield record
        if len(page) < _PAGE:
            return
        before = page[-1].seq


def _row(record: EventRecord) -> Sequence[object]:
    event = record.event
    told = ", ".join(f"{each.destination} {each.state}" for each in record.deliveries)
    return (
        event.event_time,
        event.name,
        event.telegram_id,
        event.value,
        event.currency,
        event.session_id,
        event.event_id,
        told,
    )
