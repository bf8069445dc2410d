"""How fast events become durable: SQLiteStore beside what one writes with aiosqlite at first."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, NamedTuple

import aiosqlite

from benchmarks.table import Row, quantile, show
from gp_aiogram import Event, SQLiteStore
from gp_aiogram.model.event import new_event
from gp_aiogram.stores.records import Entry

AIM_AT_64 = 30.0

_SCHEMA = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    CREATE TABLE event (
        seq         INTEGER PRIMARY KEY,
        event_id    TEXT NOT NULL UNIQUE,
        telegram_id INTEGER NOT NULL,
        bot_id      INTEGER,
        accepted_ms INTEGER NOT NULL,
        body        TEXT NOT NULL
    );
    CREATE TABLE delivery (
        seq         INTEGER NOT NULL REFERENCES event (seq),
        destination TEXT NOT NULL,
        state       TEXT NOT NULL,
        due_ms      INTEGER NOT NULL,
        PRIMARY KEY (seq, destination)
    ) WITHOUT ROWID;
    CREATE INDEX delivery_due ON delivery (destination, due_ms) WHERE state = 'pending';
"""


class NaiveOutbox:
    """One transaction for each event, statement by statement: same pragmas."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # One connection has one transaction at a time, so it takes a lock.
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Open the file."""
        self._connection = await aiosqlite.connect(self._path, isolation_level=None)
        await self._connection.executescript(_SCHEMA)

    async def close(self) -> None:
        """Close the file."""
        await self._connection.close()

    async def accept(self, entry: Entry) -> None:
        """Keep an event and its deliveries."""
        event, now_ms = entry.event, round(time.time() * 1000)
        event_row = event.event_id, event.telegram_id, event.bot_id, now_ms, event.to_json()
        async with self._lock:
            await self._connection.execute("BEGIN")
            cursor = await self._connection.execute(
                "INSERT INTO event (event_id, telegram_id, bot_id, accepted_ms, body)"
                " VALUES (?, ?, ?, ?, ?)",
                event_row,
            )
            for destination in entry.destinations:
                await self._connection.execute(
                    "INSERT INTO delivery VALUES (?, ?, 'pending', ?)",
                    (cursor.lastrowid, destination, now_ms),
                )
            await self._connection.commit()


class Round(NamedTuple):
    """What one round came to; latencies in seconds."""

    rate: float
    latencies: list[float]


async def run(*, quick: bool) -> None:
    """Measure and print."""
    seconds, rounds = (0.2, 5) if quick else (0.4, 15)
    events = _events(int(100_000 * seconds))
    gc.collect()
    gc.freeze()
    rows = [Row("write 4 KiB and fsync", [*_cells([_sync(seconds) for _ in range(rounds)]), ""])]
    for concurrency in (1, 64):
        naive, ours = [], []
        for _ in range(rounds):
            naive.append(await _round(NaiveOutbox, events, concurrency, seconds))
            ours.append(await _round(_sqlite, events, concurrency, seconds))
        ratio = median(b.rate / a.rate for a, b in zip(naive, ours, strict=True))
        aim = (f">= {AIM_AT_64:g}x", ratio >= AIM_AT_64) if concurrency == 64 else None
        rows += [
            Row(f"naive aiosqlite, {concurrency} at once", [*_cells(naive), "1.0x"]),
            Row(f"SQLiteStore, {concurrency} at once", [*_cells(ours), f"{ratio:.1f}x"], aim),
        ]
    gc.unfreeze()
    show(
        "Durable accept (WAL, synchronous=FULL): one event, one delivery",
        ["events/s", "p50 ms", "p99 ms", "ratio"],
        rows,
    )


def _sqlite(path: Path) -> Any:
    return SQLiteStore(path).outbox


def _events(number: int) -> list[Event]:
    """Make events of strangers, a millisecond apart."""
    draw = random.Random(1)
    start = datetime.now(timezone.utc)
    return [
        new_event(
            "REG",
            telegram_id=draw.randrange(10**8, 10**10),
            bot_id=42,
            event_time=start + timedelta(milliseconds=count),
        )
        for count in range(number)
    ]


def _sync(seconds: float) -> Round:
    """Have nothing but the disk work: what a commit cannot do without."""
    latencies = []
    started = time.perf_counter()
    with TemporaryFile(buffering=0) as file:
        while (before := time.perf_counter()) < started + seconds:
            file.write(bytes(4096))
            os.fsync(file.fileno())
            latencies.append(time.perf_counter() - before)
    return Round(len(latencies) / (time.perf_counter() - started), latencies)


async def _round(
    new_outbox: Callable[[Path], Any],
    events: Sequence[Event],
    concurrency: int,
    seconds: float,
) -> Round:
    """Let writers wait for one acceptance after the other, on a file of their own."""
    with TemporaryDirectory() as folder:
        outbox = new_outbox(Path(folder, "outbox.sqlite3"))
        await outbox.open()
        try:
            fresh = iter(events)
            await _write(outbox.accept, fresh, concurrency, seconds / 10)
            return await _write(outbox.accept, fresh, concurrency, seconds)
        finally:
            await outbox.close()


async def _write(
    accept: Callable[[Entry], Awaitable[Any]],
    events: Iterator[Event],
    concurrency: int,
    seconds: float,
) -> Round:
    latencies: list[float] = []
    started = time.perf_counter()

    async def writer() -> None:
        for event in events:
            before = time.perf_counter()
            await accept(Entry(event, ["grampixel"]))
            now = time.perf_counter()
            latencies.append(now - before)
            if now > started + seconds:
                break

    await asyncio.gather(*(writer() for _ in range(concurrency)))
    return Round(len(latencies) / (time.perf_counter() - started), latencies)


def _cells(rounds: list[Round]) -> list[str]:
    latencies = [latency for one in rounds for latency in one.latencies]
    return [
        f"{median(one.rate for one in rounds):,.0f}",
        f"{quantile(latencies, 0.5) * 1000:.2f}",
        f"{quantile(latencies, 0.99) * 1000:.2f}",
    ]
