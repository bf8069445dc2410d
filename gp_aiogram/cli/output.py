"""Prints what commands find: for people in a terminal, plain for everything else."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from textwrap import indent
from typing import Any, NamedTuple

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from gp_aiogram.destinations.redaction import printable

#: Stands for what there is not; a column is never empty.
NOTHING = "-"

#: How what needs a look is shown in a terminal.
_STYLES = {
    "dead": "red",
    "delivered": "green",
    "ok": "green",
    "pending": "yellow",
    "problem": "bold red",
    "warning": "yellow",
}


class Table(NamedTuple):
    """What a command lists.

    :param columns: their names, which stay what they are: scripts read them.
    :param rows: texts, numbers, moments, yes or no as booleans, None for what there is not.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def is_terminal() -> bool:
    """Return whether a person reads the output."""
    return sys.stdout.isatty()


def print_table(table: Table, empty: str, *, as_json: bool = False) -> None:
    """Print a table: boxed in a terminal, with tabs between columns in a pipe, or as JSON.

    :param empty: what a person is told when there is no row.
    """
    if as_json:
        print_json([dict(zip(table.columns, row, strict=True)) for row in table.rows])
    elif not is_terminal():
        for row in (table.columns, *table.rows):
            typer.echo("\t".join(map(text_of, row)))
    elif not table.rows:
        typer.echo(empty)
    else:
        _print_boxed(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one pair a line; in a terminal, JSON values have lines of theirs."""
    if not is_terminal():
        for name, value in fields.items():
            typer.echo(f"{name}\t{text_of(_flat(value))}")
        return
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        if value and isinstance(value, (dict, list)):
            typer.echo(f"{name}:\n{indent(json_of(value, indent=2), '  ')}")
        else:
            typer.echo(f"{name:<{width}}  {text_of(_flat(value))}")


def print_json(value: object) -> None:
    """Print JSON: indented in a terminal, on one line in a pipe."""
    typer.echo(json_of(value, indent=2 if is_terminal() else None))


def json_of(value: object, indent: int | None = None) -> str:
    """Return JSON, with amounts and moments as texts."""
    return json.dumps(value, ensure_ascii=False, indent=indent, default=_plain)


def text_of(value: object) -> str:
    """Return a cell: one line, in which nothing can drive a terminal."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    return printable(str(value))


def age_of(seconds: float) -> str:
    """Return an age in the largest unit of which it has one."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def note(text: str) -> None:
    """Tell a person something that no script reads."""
    typer.echo(text, err=True)


def count_of(number: int, what: str) -> str:
    """Return a number of things, of which one is called ``what``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _flat(value: object) -> object:
    return (json_of(value) if value else None) if isinstance(value, (dict, list)) else value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    if isinstance(value, (frozenset, set, tuple)):
        return sorted(value)
    return str(value) if isinstance(value, Decimal) else repr(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _print_boxed(table: Table) -> None:
    shown = RichTable(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for position, column in enumerate(table.columns):
        numbers = all(_is_number(row[position]) for row in table.rows)
        shown.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(text, _STYLES.get(text, "")) for text in map(text_of, row)))
    Console(highlight=False).print(shown)
