"""Statements on any number of values or rows, in so few texts that SQLite compiles each once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

#: Parameters of one statement, a power of two: SQLite before 3.32 takes at most 999.
_MOST = 512


def select_in(
    connection: sqlite3.Connection,
    query: str,
    values: Sequence[Any],
    *,
    before: Sequence[Any] = (),
) -> list[Any]:
    """Return the rows of a query on any number of values.

    :param query: has ``{marks}`` where the values go.
    :param before: parameters that come before the values.
    """
    rows: list[Any] = []
    for padded in _padded(values):
        rows += connection.execute(_with_marks(query, len(padded)), (*before, *padded))
    return rows


def change_in(
    connection: sqlite3.Connection,
    statement: str,
    values: Sequence[Any],
    *,
    before: Sequence[Any] = (),
) -> int:
    """Do the same to any number of rows, and return how many there were.

    :param statement: has ``{marks}`` where the values go that tell the rows.
    :param before: parameters that come before the values.
    """
    return sum(
        connection.execute(_with_marks(statement, len(padded)), (*before, *padded)).rowcount
        for padded in _padded(values)
    )


def insert(connection: sqlite3.Connection, into: str, rows: Sequence[Sequence[Any]]) -> int:
    """Insert rows, many with each statement: SQLite works on one without Python's lock.

    :param into: the statement up to ``VALUES``.
    :return: how many were inserted.
    """
    inserted = start = 0
    while start < len(rows):
        width = len(rows[start])
        most = min(len(rows) - start, _MOST // width)
        size = 1 << (most.bit_length() - 1)
        values = [*chain.from_iterable(rows[start : start + size])]
        inserted += connection.execute(_insert_statement(into, width, size), values).rowcount
        start += size
    return inserted


def _padded(values: Sequence[Any]) -> Iterator[list[Any]]:
    """Split values into lists as long as powers of two; a value that fills one up is repeated."""
    for start in range(0, len(values), _MOST):
        chunk = values[start : start + _MOST]
        size = 1 << (len(chunk) - 1).bit_length()
        yield [*chunk, *[chunk[-1]] * (size - len(chunk))]


@lru_cache
def _with_marks(statement: str, count: int) -> str:
    return statement.format(marks=",".join("?" * count))


@lru_cache
def _insert_statement(into: str, width: int, size: int) -> str:
    row = f"({','.join('?' * width)})"
    return f"{into} VALUES {','.join([row] * size)}"
