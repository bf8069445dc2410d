"""How fast each store takes events or touches, beside what its engine takes at most.

The limit is what can be written by hand for rows that are ready, as many in a transaction as
there are callers at once: ``executemany`` in SQLite, one ``unnest`` statement in PostgreSQL,
``HSET`` in a pipeline in Redis. It looks nothing up and tells no duplicates.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import asyncpg
import redis.asyncio

from benchmarks.servers import POSTGRES, REDIS, postgres_store, redis_store, schema, sqlite_store
from benchmarks.table import Row, show
from gp_aiogram import Session
from gp_aiogram.model.event import new_event
from gp_aiogram.stores.records import Entry

AT_ONCE = (1, 16, 64, 256)

_SQLITE_SCHEMA = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE event (
        seq INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, body TEXT NOT NULL
    );
    CREATE TABLE delivery (
        seq INTEGER NOT NULL, destination TEXT NOT NULL, state TEXT NOT NULL, due_ms INTEGER,
        PRIMARY KEY (seq, destination)
    ) WITHOUT ROWID;
    CREATE INDEX due ON delivery (destination, due_ms) WHERE state = 'pending';
"""

_POSTGRES_SCHEMA = """
    CREATE SCHEMA "{schema}";
    CREATE TABLE "{schema}".event (
        seq BIGINT PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, body BYTEA NOT NULL
    );
    CREATE TABLE "{schema}".delivery (
        seq BIGINT NOT NULL, destination TEXT NOT NULL, state TEXT NOT NULL, due_ms BIGINT,
        PRIMARY KEY (seq, destination)
    );
    CREATE INDEX due ON "{schema}".delivery (destination, due_ms) WHERE state = 'pending';
"""

_UNNEST = """
    WITH new AS (
        SELECT * FROM unnest($1::BIGINT[], $2::TEXT[], $3::BYTEA[]) AS new (seq, event_id, body)
    ),
    stored AS (INSERT INTO "{schema}".event SELECT * FROM new)
    INSERT INTO "{schema}".delivery SELECT seq, 'grampixel', 'pending', 0 FROM new
"""

#: Takes one thing, or a batch of so many, and returns when it is safe.
Take = Callable[[int], Awaitable[Any]]


class Engine(NamedTuple):
    """A store beside its limit.

    :param store: yields what takes one.
    :param limit: yields what takes a batch of a size.
    """

    name: str
    store: Callable[[], AbstractAsyncContextManager[Take]]
    limit: Callable[[], AbstractAsyncContextManager[Take]]


async def run(*, quick: bool) -> None:
    """Measure and print."""
    seconds, rounds = (0.2, 3) if quick else (0.5, 9)
    rows = []
    gc.collect()
    gc.freeze()
    for engine in _ENGINES:
        for at_once in AT_ONCE:
            ours, limits = [], []
            for _ in range(rounds):
                async with engine.store() as take:
                    ours.append(await _rate(take, at_once, seconds))
                async with engine.limit() as take:
                    limits.append(await _limit(take, at_once, seconds))
            share = median(a / b for a, b in zip(ours, limits, strict=True))
            cells = [f"{median(ours):,.0f}", f"{median(limits):,.0f}", f"{share:.2f}"]
            rows.append(Row(f"{engine.name}, {at_once} at once", cells))
    gc.unfreeze()
    show("Stores beside their engines' limits", ["store, /s", "limit, /s", "ratio"], rows)


async def _rate(take: Take, at_once: int, seconds: float) -> float:
    """Let callers wait for one after the other."""
    numbers = count(1)
    await take(next(numbers))
    started, taken = time.perf_counter(), 0

    async def caller() -> None:
        nonlocal taken
        while time.perf_counter() < started + seconds:
            await take(next(numbers))
            taken += 1

    await asyncio.gather(*(caller() for _ in range(at_once)))
    return taken / (time.perf_counter() - started)


async def _limit(take: Take, size: int, seconds: float) -> float:
    """Write batches of a size, one after the other."""
    await take(size)
    started, taken = time.perf_counter(), 0
    while time.perf_counter() < started + seconds:
        await take(size)
        taken += size
    return taken / (time.perf_counter() - started)


def _event(number: int) -> Any:
    at = datetime.now(timezone.utc)
    return new_event("REG", telegram_id=10**9 + number, bot_id=42, event_time=at)


#: A stored event, ready.
_BODY = _event(1).to_json()


def _accept(outbox: Any) -> Take:
    async def accept(number: int) -> None:
        await outbox.accept(Entry(_event(number), ["grampixel"]))

    return accept


@asynccontextmanager
async def _sqlite() -> AsyncIterator[Take]:
    async with sqlite_store() as store:
        yield _accept(store.outbox)


@asynccontextmanager
async def _postgres() -> AsyncIterator[Take]:
    async with postgres_store() as store:
        yield _accept(store.outbox)


@asynccontextmanager
async def _redis() -> AsyncIterator[Take]:
    async with redis_store() as store:

        async def add(number: int) -> None:
            at = datetime.now(timezone.utc)
            touch = Session(42, 10**9 + number, f"gp_{number}", "start", at, f"gp_{number}")
            await store.sessions.add(touch)

        yield add


@asynccontextmanager
async def _executemany() -> AsyncIterator[Take]:
    numbers = count(1)
    with TemporaryDirectory() as folder:
        path = Path(folder, "limit.sqlite3")
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.executescript(_SQLITE_SCHEMA)

        def write(rows: Sequence[int]) -> None:
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO event VALUES (?, ?, ?)", [(one, str(one), _BODY) for one in rows]
            )
            connection.executemany(
                "INSERT INTO delivery VALUES (?, 'grampixel', 'pending', 0)",
                [(one,) for one in rows],
            )
            connection.execute("COMMIT")

        async def take(size: int) -> None:
            await asyncio.to_thread(write, [next(numbers) for _ in range(size)])

        try:
            yield take
        finally:
            connection.close()


@asynccontextmanager
async def _unnest() -> AsyncIterator[Take]:
    numbers = count(1)
    body = _BODY.encode()
    async with schema() as name:
        connection = await asyncpg.connect(POSTGRES)
        await connection.execute(_POSTGRES_SCHEMA.format(schema=name))
        insert = _UNNEST.format(schema=name)

        async def take(size: int) -> None:
            rows = [next(numbers) for _ in range(size)]
            await connection.execute(insert, rows, [*map(str, rows)], [body] * size)

        try:
            yield take
        finally:
            await connection.close()


@asynccontextmanager
async def _hset() -> AsyncIterator[Take]:
    numbers = count(1)
    async with redis_store() as store, redis.asyncio.Redis.from_url(REDIS) as client:

        async def take(size: int) -> None:
            async with client.pipeline(transaction=False) as pipeline:
                for _ in range(size):
                    number = next(numbers)
                    pipeline.hset(f"{store.prefix}:raw:{number}", f"gp_{number}", _BODY)
                await pipeline.execute()

        yield take


_ENGINES = (
    Engine("SQLiteStore.accept beside executemany", _sqlite, _executemany),
    Engine("PostgresStore.accept beside unnest", _postgres, _unnest),
    Engine("RedisStore: touches beside pipelined HSET", _redis, _hset),
)
