"""Events per second from the call to the platform, by store."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import asynccontextmanager
from statistics import median

from benchmarks.collector import collected, collecting
from benchmarks.servers import NewStore, postgres_store, redis_and_sqlite, sqlite_store
from benchmarks.table import Row, show
from gp_aiogram import MemoryStore, MetaCAPI, Tracker

WRITERS = 64

#: Seconds for the last event to arrive.
_PATIENCE = 120.0


@asynccontextmanager
async def _memory():
    yield MemoryStore()


_STORES: dict[str, NewStore] = {
    "MemoryStore": _memory,
    "SQLiteStore": sqlite_store,
    "PostgresStore": postgres_store,
    "RedisStore and SQLiteStore": redis_and_sqlite,
}


async def run(*, quick: bool) -> None:
    """Measure and print."""
    number, rounds = (2_000, 3) if quick else (20_000, 7)
    taken: dict[str, list[float]] = {name: [] for name in _STORES}
    gc.collect()
    gc.freeze()
    async with collecting() as address:
        for new_store in _STORES.values():
            await _rate(new_store, address, number // 10)
        for _ in range(rounds):
            for name, new_store in _STORES.items():
                taken[name].append(await _rate(new_store, address, number))
    gc.unfreeze()
    first = taken["SQLiteStore"]
    rows = [
        Row(
            name,
            [
                f"{median(rates):,.0f}",
                f"{median(a / b for a, b in zip(rates, first, strict=True)):.2f}x",
            ],
        )
        for name, rates in taken.items()
    ]
    show(
        f"From track() to the platform: {number:,} events, {WRITERS} writers, batches of 1000",
        ["events/s", "to SQLiteStore"],
        rows,
    )


async def _rate(new_store: NewStore, address: str, number: int) -> float:
    numbers = iter(range(number))
    async with new_store() as store:
        meta = MetaCAPI("1234567890123456", "token", base_url=address)
        async with Tracker([meta], store=store, journal=None) as tracker:
            started = time.perf_counter()

            async def writer() -> None:
                for one in numbers:
                    await tracker.track("REG", telegram_id=10**9 + one, bot_id=42)

            await asyncio.gather(*(writer() for _ in range(WRITERS)))
            await tracker.flush(_PATIENCE)
            seconds = time.perf_counter() - started
    arrived = sum((await collected(address)).values())
    if arrived != number:
        msg = f"{arrived} of {number} events arrived"
        raise RuntimeError(msg)
    return number / seconds
