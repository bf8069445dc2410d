"""What an event costs the update that makes it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from aiogram import Dispatcher
from aiogram.types import Message, Update

from benchmarks import updates
from benchmarks.table import Row, show
from gp_aiogram import GramPixel, MemoryStore, SQLiteStore, Tracker, track
from gp_aiogram.stores.contract import Store

_WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"


async def run(*, quick: bool) -> None:
    """Measure and print."""
    rounds, size = (3, 200) if quick else (9, 640)
    feed = iter([updates.message(number) for number in range(1, 1 + 5 * rounds * size)])
    gc.collect()
    gc.freeze()
    with TemporaryDirectory() as folder:
        plain, in_memory, on_disk = (
            await _dispatcher(MemoryStore(), tracked=False),
            await _dispatcher(MemoryStore(), tracked=True),
            await _dispatcher(SQLiteStore(Path(folder, "gp.sqlite3")), tracked=True),
        )
        cases = {
            "no @track": (plain, 1),
            "@track, MemoryStore": (in_memory, 1),
            "@track, MemoryStore, 64 at once": (in_memory, 64),
            "@track, SQLiteStore": (on_disk, 1),
            "@track, SQLiteStore, 64 at once": (on_disk, 64),
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, (dispatcher, at_once) in cases.items():
                taken[name].append(await _round(dispatcher, islice(feed, size), size, at_once))
        await on_disk.emit_shutdown()
    gc.unfreeze()
    rows = []
    bare_wall, bare_cpu = (median(column) for column in zip(*taken["no @track"], strict=True))
    for name, figures in taken.items():
        wall, cpu = (median(column) for column in zip(*figures, strict=True))
        cells = [wall, wall - bare_wall, cpu, cpu - bare_cpu]
        rows.append(Row(name, [f"{cell:.0f}" for cell in cells]))
    show(
        "Cost of a tracked handler, without delivery",
        ["wall us", "added", "CPU us", "added"],
        rows,
    )


async def _dispatcher(store: Store, *, tracked: bool) -> Dispatcher:
    dispatcher = Dispatcher()
    tracker = Tracker([GramPixel("key", _WORKSPACE)], store=store)
    tracker.setup(dispatcher)

    async def handler(message: Message) -> None: ...

    dispatcher.message()(track("REG")(handler) if tracked else handler)
    await dispatcher.feed_update(updates.BOT, updates.message(text="/start gp_a1b2c3"))
    return dispatcher


async def _round(
    dispatcher: Dispatcher,
    feed: Iterator[Update],
    size: int,
    at_once: int,
) -> tuple[float, float]:
    """Feed updates from several tasks; wall and CPU microseconds per update."""

    async def receive() -> None:
        for update in feed:
            await dispatcher.feed_update(updates.BOT, update)

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(receive() for _ in range(at_once)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall / size * 1e6, cpu / size * 1e6
