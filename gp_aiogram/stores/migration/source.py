"""Reads everything that a SQLite store holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from gp_aiogram.errors import StoreError
from gp_aiogram.stores.migration.rows import Row, StoredDelivery, delivery
from gp_aiogram.stores.migration.steps import OF_STORE, Step
from gp_aiogram.stores.rows import tell_left_out
from gp_aiogram.stores.sqlite.file import SQLiteFile
from gp_aiogram.stores.sqlite.rows import COLUMNS

_STATES = f"""
    SELECT destination, moved, count(*) FROM (
        SELECT destination,
            CASE WHEN state = 'pending' THEN state_of({COLUMNS}) ELSE state END AS moved
        FROM delivery WHERE typeof(destination) = 'text' AND typeof(state) = 'text'
    )
    WHERE moved IS NOT NULL GROUP BY 1, 2
"""

#: Where a page ends: values of the key's columns.
Place = tuple[Any, ...]


class Summary(NamedTuple):
    """What a file holds.

    :param fingerprint: another one when anything of it is another.
    :param salt: what its digests are made with.
    :param has_legacy: whether some of them are of before once-keys had parts.
    :param counts: rows, by the names of the steps.
    :param states: deliveries, by destination and state.
    """

    fingerprint: str
    salt: bytes
    has_legacy: bool
    counts: dict[str, int]
    states: dict[tuple[str, str], int]


class Page(NamedTuple):
    """Rows that follow each other.

    :param left_out: how many more there were, that cannot be read.
    :param end: where the page ends; None when nothing follows.
    """

    rows: list[Row]
    left_out: int
    end: Place | None


class SQLiteSource:
    """A file that nobody writes meanwhile, this one included.

    :param path: of a file of :class:`~gp_aiogram.SQLiteStore`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = SQLiteFile(path)

    async def open(self) -> None:
        """Take the file's lock. A file of an earlier version is brought up to date.

        :raises StoreLocked: when a bot has it.
        :raises StoreError: when there is no such file, or it is no store.
        """
        if not self._path.is_file() or not self._path.stat().st_size:
            msg = f"there is no store in {self._path}: name the file that the bot has used"
            raise StoreError(msg)
        await self._file.open()

    async def close(self) -> None:
        """Let others have the file."""
        await self._file.close()

    async def summary(self) -> Summary:
        """Look through the whole file, without what is in events."""
        return await self._file.submit(_summarize, None, reads=True)

    async def page(self, step: Step, after: Place | None) -> Page:
        """Return the next rows of a step.

        :param after: where the page before has ended.
        """
        key, width = ", ".join(step.key), len(step.key)
        marks = ", ".join("?" * width)
        where = "" if after is None else f"WHERE ({key}) > ({marks})"
        query = f"SELECT {key}, {step.columns} FROM {step.table} {where} ORDER BY {key} LIMIT ?"
        found = await self._file.read(query, (*(after or ()), step.page))
        rows = [row for row in (_row(step, one[width:]) for one in found) if row is not None]
        end = tuple(found[-1][:width]) if len(found) == step.page else None
        return Page(rows, len(found) - len(rows), end)


class _Fingerprint:
    """Hashes rows, as an aggregate function of SQLite."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)

    def step(self, *values: Any) -> None:
        self._hash.update(repr(values).encode())

    def finalize(self) -> str:
        return self._hash.hexdigest()


def _summarize(connection: sqlite3.Connection, callers: Sequence[None]) -> list[Summary]:
    # As SQLite calls it: with its number of arguments, or -1 for any.
    connection.create_aggregate("fingerprint", -1, _Fingerprint)  # type: ignore[arg-type]
    ((salt, has_legacy),) = connection.execute("SELECT salt, legacy FROM store")
    counts, prints = {}, [salt.hex()]
    for step in OF_STORE:
        key = ", ".join(step.key)
        ((count, print_),) = connection.execute(
            f"SELECT count(*), fingerprint({step.watched}) "
            f"FROM (SELECT {_named(step)} FROM {step.table} ORDER BY {key})"
        )
        counts[step.name] = count
        prints.append(print_ or "")
    connection.create_function("state_of", len(StoredDelivery._fields), _state)
    states = connection.execute(_STATES)
    summary = Summary(
        blake2b(" ".join(prints).encode(), digest_size=16).hexdigest(),
        salt,
        bool(has_legacy),
        counts,
        {(destination, state): count for destination, state, count in states},
    )
    return [summary] * len(callers)


def _state(*row: Any) -> str | None:
    """Return what becomes of a pending delivery, some of which cannot be read."""
    try:
        return delivery(row).state
    except TypeError:
        return None


def _named(step: Step) -> str:
    """Return the columns that are watched, for a query around: ``rowid`` is not in ``*``."""
    return step.watched.replace("rowid", "rowid AS rowid")


def _row(step: Step, values: Sequence[Any]) -> Row | None:
    try:
        return step.read(values)
    except TypeError as error:
        tell_left_out(f"row of {step.table}", error)
        return None
