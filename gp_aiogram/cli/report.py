"""``gp-aiogram report``: what sessions became of clicks, and what they are worth."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated

import typer
from rich.console import Console

from gp_aiogram.cli.access import reading
from gp_aiogram.cli.console import run
from gp_aiogram.cli.options import EXIT_CODES, JSON, moment
from gp_aiogram.cli.output import Table, is_terminal, note, print_json, print_table, text_of
from gp_aiogram.cli.plot import Bar, plot
from gp_aiogram.cli.progress import progress
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.reports import FunnelRow, Report, read_report
from gp_aiogram.reports.funnel import SESSIONS, STEPS
from gp_aiogram.settings import Settings
from gp_aiogram.stores.records import STATES

EXAMPLES = f"""
\b
Examples:
  gp-aiogram report
  gp-aiogram report --since 2026-09-01 --until 2026-10-01
  gp-aiogram report --by source
  gp-aiogram report --by day --csv > funnel.csv
  gp-aiogram report --since 7d --json

{EXIT_CODES}
"""

#: The steps of the funnel that destinations hear of.
EVENTS = tuple(step for step in STEPS if step != SESSIONS)

_NOTHING = "nothing happened in this time"


class By(str, Enum):
    """What a table has rows of."""

    day = "day"
    source = "source"
    destination = "destination"


def report(
    *,
    since: Annotated[
        datetime | None,
        typer.Option(metavar="TIME", help="Start of the period; 30d by default.", parser=moment),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(metavar="TIME", help="End of the period; now by default.", parser=moment),
    ] = None,
    by: Annotated[
        By | None,
        typer.Option(
            help="Show only this table. Piped output and CSV have one: by day by default."
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: JSON = False,
) -> None:
    """Report the funnel and its value by day and by source, and deliveries by destination.

    A session counts when the user came, an event when it happened, a delivery when it ended. Days
    are in UTC. Erased data is not counted. A running bot is not disturbed.
    """
    if as_csv and as_json:
        msg = "--csv and --json exclude each other"
        raise typer.BadParameter(msg)
    now = datetime.now(timezone.utc)
    end = until or now
    start = since or min(end, now) - timedelta(days=30)
    run(_report(start, end, by, as_csv, as_json))


async def _report(
    since: datetime, until: datetime, by: By | None, as_csv: bool, as_json: bool
) -> None:
    if since >= until:
        msg = "--since must be earlier than --until"
        raise ConfigurationError(msg)
    async with reading(Settings()) as store:
        with progress("reading"):
            found = await read_report(store, since, until)
    if as_json:
        print_json(_as_json(found))
    elif as_csv:
        _print_csv(_with_amounts(_table(found, by or By.day), found))
    elif by is not None or not is_terminal():
        print_table(_table(found, by or By.day), _NOTHING)
    else:
        _print_all(found)
    _tell_what_is_missing(found)


def _print_all(found: Report) -> None:
    for by in By:
        print_table(_table(found, by), _NOTHING)
        typer.echo("")
    width = Console().width
    for currency in found.funnel.total.value:
        for line in plot(f"{currency} by day", _bars(found, currency), width):
            typer.echo(line)


def _bars(found: Report, currency: str) -> list[Bar]:
    values = {day: row.value.get(currency, Decimal(0)) for day, row in found.funnel.by_day.items()}
    return [Bar(day, value, f"{value:f}") for day, value in values.items()]


def _table(found: Report, by: By) -> Table:
    if by is By.destination:
        return _by_destination(found)
    rows = found.funnel.by_day if by is By.day else found.funnel.by_source
    return _funnel(by.value, rows)


def _funnel(name: str, rows: Mapping[str, FunnelRow]) -> Table:
    return Table(
        (name, *STEPS, "value"),
        [
            (label, *(row.counts[step] for step in STEPS), _money(row.value))
            for label, row in rows.items()
        ],
    )


def _with_amounts(table: Table, found: Report) -> Table:
    """Put each currency into a column of its own, as spreadsheets add them up."""
    currencies = [*found.funnel.total.value]
    of = {
        By.day: found.funnel.by_day,
        By.source: found.funnel.by_source,
        By.destination: found.funnel.by_destination,
    }[By(table.columns[0])]
    nothing: Mapping[str, Decimal] = dict.fromkeys(currencies, Decimal(0))
    values = {name: {**nothing, **row.value} for name, row in of.items()}
    columns = (*table.columns[:-1], *(f"value_{currency}" for currency in currencies))
    rows = [
        (*row[:-1], *(values.get(str(row[0]), nothing)[currency] for currency in currencies))
        for row in table.rows
    ]
    return Table(columns, rows)


def _money(value: Mapping[str, Decimal]) -> str | None:
    return ", ".join(f"{amount:f} {currency}" for currency, amount in value.items()) or None


def _by_destination(found: Report) -> Table:
    """Tell how deliveries ended, and which steps of the funnel each destination has got."""
    rows: list[Sequence[object]] = []
    for name in sorted({*found.flows, *found.funnel.by_destination}):
        flows = found.flows.get(name, [])
        ends = [sum(flow.counts.get(state, 0) for flow in flows) for state in STATES]
        row = found.funnel.by_destination.get(name, FunnelRow(dict.fromkeys(STEPS, 0), {}))
        rows.append((name, *ends, *(row.counts[step] for step in EVENTS), _money(row.value)))
    return Table((By.destination.value, *STATES, *EVENTS, "value"), rows)


def _print_csv(table: Table) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow(["" if cell is None else text_of(cell) for cell in row])


def _as_json(found: Report) -> dict[str, object]:
    told = asdict(found)
    del told["coverage_by_name"]
    return told


def _tell_what_is_missing(found: Report) -> None:
    if not found.lists_touches:
        note("this session store lists no touches: no session is counted")
    if not found.complete:
        note("there was more than a report reads: ask for less time with --since")
