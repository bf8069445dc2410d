"""One transaction as the operations see it, whoever's it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

from gp_aiogram.stores.postgres.database import Connection
from gp_aiogram.stores.postgres.salts import Salt
from gp_aiogram.stores.postgres.statements import Run, numbered
from gp_aiogram.stores.records import State

#: Counts what has changed, and wakes whoever waits; both when the transaction is committed.
_FINISH = """
    WITH counted AS (
        INSERT INTO {gp}.tally (slot, destination, state, n)
        SELECT coalesce(CAST(:slot AS BIGINT), nextval('{gp}.slots')), destination, state, n
        FROM unnest(
            CAST(:counted AS TEXT[]), CAST(:states AS TEXT[]), CAST(:changes AS BIGINT[])
        ) AS change (destination, state, n)
        ON CONFLICT (slot, destination, state) DO UPDATE SET n = tally.n + excluded.n
    )
    SELECT pg_notify(CAST(:channel AS TEXT), woken)
    FROM unnest(CAST(:woken AS TEXT[])) AS woken
"""


class Transaction:
    """Runs statements, and gathers what is written at the end.

    :param run: runs a statement in the transaction.
    :param salt: what digests are made with.
    :param schema: where the tables are.
    :param slot: where changes are counted, so that processes do not wait for each other; None
        means in a place of their own.
    """

    def __init__(self, run: Run, salt: Salt, schema: str, slot: int | None) -> None:
        self._run = run
        self._schema = schema
        self._slot = slot
        self._counted: Counter[tuple[str, State]] = Counter()
        self._woken: set[str] = set()
        self.salt = salt.key
        self.has_legacy = salt.has_legacy
        #: First half of the keys of advisory locks.
        self.lock_space = lock_space(schema)

    async def fetch(self, statement: str, **parameters: Any) -> Sequence[Any]:
        """Run a statement, and return its rows."""
        return await self._run(statement, parameters)

    def count(self, destination: str, state: State, change: int = 1) -> None:
        """Count deliveries that are new in a state, or have left it when negative."""
        self._counted[destination, state] += change

    def move(self, destination: str, old: State, new: State, count: int = 1) -> None:
        """Count deliveries that go from one state to another."""
        self.count(destination, old, -count)
        self.count(destination, new, count)

    def wake(self, destinations: Iterable[str]) -> None:
        """Have whoever waits for these destinations look again, in every process."""
        self._woken.update(destinations)

    async def finish(self) -> None:
        """Write what was gathered; the last thing before the commit."""
        changes = sorted((*key, n) for key, n in self._counted.items() if n)
        if not changes and not self._woken:
            return
        await self.fetch(
            _FINISH,
            slot=self._slot,
            counted=[destination for destination, _, _ in changes],
            states=[state for _, state, _ in changes],
            changes=[n for _, _, n in changes],
            channel=channel(self._schema),
            woken=[payload(self._slot, destination) for destination in sorted(self._woken)],
        )


def channel(schema: str) -> str:
    """Return the channel on which processes that share a schema wake each other."""
    return f"{schema}_due"


def payload(slot: int | None, destination: str) -> str:
    """Return what is sent on the channel: whose it is, and for which destination."""
    return f"{slot or 0} {destination}"


def lock_space(schema: str) -> int:
    """Return the first half of the keys of a schema's advisory locks."""
    return crc32(f"gp_aiogram {schema}".encode()) - 2**31


def runner(connection: Connection, schema: str) -> Run:
    """Return what runs statements on an asyncpg connection."""

    async def run(statement: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
        text, names = numbered(statement, schema)
        return await connection.fetch(text, *[parameters[name] for name in names])

    return run


def columns(rows: Collection[Sequence[Any]], width: int) -> list[list[Any]]:
    """Turn rows into columns, for ``unnest``.

    :param width: how many columns, also of no rows.
    """
    return [[row[column] for row in rows] for column in range(width)]
