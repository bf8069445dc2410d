"""How many deliveries each destination has in each state, kept up to date by what changes them."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable

from gp_aiogram.stores.records import State

_CHANGE = """
    INSERT INTO tally (destination, state, n) VALUES (?, ?, ?)
    ON CONFLICT (destination, state) DO UPDATE SET n = n + excluded.n
"""


class Tally:
    """What one transaction changes."""

    def __init__(self) -> None:
        self._changes: Counter[tuple[str, State]] = Counter()

    def add(self, destination: str, state: State, count: int = 1) -> None:
        """Count deliveries that are new in a state, or have left it when negative."""
        self._changes[destination, state] += count

    def move(self, destination: str, old: State, new: State, count: int = 1) -> None:
        """Count deliveries that go from one state to another."""
        self.add(destination, old, -count)
        self.add(destination, new, count)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write the changes."""
        rows = [(*key, count) for key, count in self._changes.items() if count]
        if rows:
            connection.executemany(_CHANGE, rows)


def counts(
    connection: sqlite3.Connection,
    callers: Iterable[None],
) -> list[dict[str, dict[State, int]]]:
    """Return the counts, for each caller a copy of their own."""
    rows = connection.execute("SELECT destination, state, n FROM tally WHERE n > 0").fetchall()
    return [_by_destination(rows) for _ in callers]


def _by_destination(rows: Iterable[tuple[str, State, int]]) -> dict[str, dict[State, int]]:
    counted: dict[str, dict[State, int]] = defaultdict(dict)
    for destination, state, count in rows:
        counted[destination][state] = count
    return dict(counted)
