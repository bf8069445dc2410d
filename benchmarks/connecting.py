"""What ``connection=`` adds to the transaction in which an order is saved."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from statistics import median

import asyncpg

from benchmarks.servers import POSTGRES, postgres_store
from benchmarks.table import Row, quantile, show
from gp_aiogram import Destination, Event, Tracker

#: Saves an order, with its event or without.
Save = Callable[[asyncpg.Connection, Tracker, int], Awaitable[None]]

_INSERT = "INSERT INTO orders (number, amount) VALUES ($1, 49.90)"


class Nowhere(Destination):
    """Only its name is of interest: nothing is delivered."""

    name = "nowhere"

    async def send(self, events: Sequence[Event]) -> None:
        """Take everything."""


async def run(*, quick: bool) -> None:
    """Measure and print."""
    number, rounds = (50, 3) if quick else (400, 11)
    taken: dict[str, list[list[float]]] = {name: [] for name in _SAVES}
    numbers = count(1)
    gc.collect()
    gc.freeze()
    async with postgres_store() as store:
        tracker = Tracker([Nowhere()], store=store, deliver=False, journal=None)
        connection = await asyncpg.connect(POSTGRES)
        try:
            await connection.execute(f"SET search_path = '{store.address.schema}'")
            await connection.execute(
                "CREATE TABLE orders (number BIGINT PRIMARY KEY, amount NUMERIC NOT NULL)"
            )
            async with tracker:
                for _ in range(rounds):
                    for name, save in _SAVES.items():
                        latencies = []
                        for _ in range(number):
                            before = time.perf_counter()
                            await save(connection, tracker, next(numbers))
                            latencies.append(time.perf_counter() - before)
                        taken[name].append(latencies)
        finally:
            await connection.close()
    gc.unfreeze()
    show(
        "An order and its event in PostgreSQL, one at a time",
        ["p50 ms", "p99 ms", "to the order alone"],
        [_row(name, found, taken[_ALONE]) for name, found in taken.items()],
    )


def _row(name: str, found: list[list[float]], alone: list[list[float]]) -> Row:
    latencies = [latency for one in found for latency in one]
    ratio = median(median(a) / median(b) for a, b in zip(found, alone, strict=True))
    return Row(
        name,
        [
            f"{quantile(latencies, 0.5) * 1000:.2f}",
            f"{quantile(latencies, 0.99) * 1000:.2f}",
            f"{ratio:.2f}x",
        ],
    )


async def _alone(connection: asyncpg.Connection, _: Tracker, number: int) -> None:
    async with connection.transaction():
        await connection.execute(_INSERT, number)


async def _together(connection: asyncpg.Connection, tracker: Tracker, number: int) -> None:
    async with connection.transaction():
        await connection.execute(_INSERT, number)
        await _track(tracker, number, connection)


async def _afterwards(connection: asyncpg.Connection, tracker: Tracker, number: int) -> None:
    async with connection.transaction():
        await connection.execute(_INSERT, number)
    await _track(tracker, number, None)


async def _track(tracker: Tracker, number: int, connection: object) -> None:
    await tracker.track(
        "Purchase",
        telegram_id=10**9 + number,
        bot_id=42,
        value="49.90",
        currency="EUR",
        once=f"order {number}",
        connection=connection,
    )


_ALONE = "the order alone"
_SAVES: dict[str, Save] = {
    _ALONE: _alone,
    "order and track(connection=)": _together,
    "order, then track()": _afterwards,
}
