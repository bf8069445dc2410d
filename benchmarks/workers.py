"""Four ``gp-aiogram worker`` processes on PostgreSQL beside one.

Each round has the same backlog, which becomes visible at once: what is measured is the time from
there until the platform has everything. A platform that takes one event in a request costs the
workers most; one that takes a thousand costs them little.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import asyncpg

from benchmarks.collector import collected, collecting
from benchmarks.servers import POSTGRES, postgres_store
from benchmarks.table import Row, show
from gp_aiogram.model.event import new_event

AIM = 1.5

_CHECKOUT = Path(__file__).resolve().parents[1]

#: Seconds for everything to arrive.
_PATIENCE = 300.0

_FILL = """
    WITH new AS (
        SELECT * FROM unnest($1::TEXT[], $2::BIGINT[], $3::BYTEA[], $4::BIGINT[])
            AS new (event_id, telegram_id, body, seq)
    ),
    events AS (
        INSERT INTO "{schema}".event (seq, event_id, name, telegram_id, accepted_ms, body)
        SELECT seq, event_id, 'REG', telegram_id, "{schema}".now_ms(), body FROM new
    ),
    deliveries AS (
        INSERT INTO "{schema}".delivery (seq, destination, since_ms, due_ms)
        SELECT seq, $5, "{schema}".now_ms(), "{schema}".now_ms() FROM new
    ),
    counted AS (INSERT INTO "{schema}".tally VALUES (0, $5, 'pending', cardinality($1::TEXT[])))
    SELECT pg_notify('{schema}_due', '0 ' || $5)
"""


class Platform(NamedTuple):
    """A destination, its settings without the address, and how many events a round has."""

    name: str
    what: str
    settings: dict[str, str]
    number: int


def _platforms(*, quick: bool) -> tuple[Platform, ...]:
    return (
        Platform(
            "grampixel",
            "one event a request",
            {
                "GP_GRAMPIXEL__API_KEY": "key",
                "GP_GRAMPIXEL__WORKSPACE_ID": "0f8fad5b-d9cb-469f-a165-70867728950e",
            },
            400 if quick else 5_000,
        ),
        Platform(
            "meta",
            "up to 1000 events a request",
            {"GP_META__PIXEL_ID": "1234567890123456", "GP_META__ACCESS_TOKEN": "token"},
            4_000 if quick else 50_000,
        ),
    )


async def run(*, quick: bool) -> None:
    """Measure and print."""
    rounds = 2 if quick else 7
    gc.collect()
    gc.freeze()
    rows = []
    async with collecting() as address:
        for platform in _platforms(quick=quick):
            rates: dict[int, list[float]] = {1: [], 4: []}
            for _ in range(rounds):
                for workers, taken in rates.items():
                    taken.append(await _rate(platform, f"{address}/slow", workers))
            ratio = median(a / b for a, b in zip(rates[4], rates[1], strict=True))
            for workers, taken in rates.items():
                many = workers > 1
                rows.append(
                    Row(
                        f"{platform.what}, {workers} worker{'s' if many else ''}",
                        [f"{median(taken):,.0f}", f"{ratio:.2f}x" if many else "1.00x"],
                        (f">= {AIM:g}x", ratio >= AIM) if many else None,
                    )
                )
    gc.unfreeze()
    show(
        f"Workers on PostgreSQL, a platform that answers after 20 ms, {os.cpu_count()} cores",
        ["events/s", "to one"],
        rows,
    )


async def _rate(platform: Platform, address: str, workers: int) -> float:
    async with postgres_store() as store:
        schema = store.address.schema
        env = {
            **platform.settings,
            f"GP_{platform.name.upper()}__BASE_URL": address,
            "GP_STORE": f"{POSTGRES}?schema={schema}",
        }
        async with _running(env, workers):
            started = time.perf_counter()
            await _fill(schema, platform)
            await _arrived(address, platform.number)
            return platform.number / (time.perf_counter() - started)


async def _fill(schema: str, platform: Platform) -> None:
    """Store the backlog in one transaction, and wake the workers."""
    at = datetime.now(timezone.utc)
    events = [
        new_event("REG", telegram_id=10**9 + number, event_time=at)
        for number in range(platform.number)
    ]
    connection = await asyncpg.connect(POSTGRES)
    try:
        await connection.execute(
            _FILL.format(schema=schema),
            [event.event_id for event in events],
            [event.telegram_id for event in events],
            [event.to_json().encode() for event in events],
            [*range(1, len(events) + 1)],
            platform.name,
        )
    finally:
        await connection.close()


async def _arrived(address: str, number: int) -> None:
    deadline = time.perf_counter() + _PATIENCE
    origin, arrived = address.removesuffix("/slow"), 0
    while arrived < number:
        if time.perf_counter() > deadline:
            msg = f"{arrived} of {number} events arrived"
            raise RuntimeError(msg)
        await asyncio.sleep(0.02)
        arrived += sum((await collected(origin)).values())


@asynccontextmanager
async def _running(env: dict[str, str], workers: int) -> AsyncIterator[None]:
    """Run workers, and return when each of them is ready."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GP_")}
    processes = []
    with TemporaryDirectory() as folder:
        try:
            for _ in range(workers):
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "gp_aiogram", "worker", "--port", "0"),
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                    cwd=folder,
                    env={**inherited, "PYTHONPATH": str(_CHECKOUT), **env},
                )
                processes.append(process)
            for process in processes:
                assert process.stdout is not None
                await process.stdout.readline()
            # They listen for health checks a moment before they look for deliveries.
            await asyncio.sleep(1)
            yield
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                await process.communicate()
