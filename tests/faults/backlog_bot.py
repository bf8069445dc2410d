"""Works on a SQLite file with a long backlog, and tells what that costs.

Its arguments are a small file and the one with the backlog. It prints a line of JSON: by how many
MiB the process has grown, for how many milliseconds the event loop stood still at most, how many
stats() took at most, and how many deliveries were claimed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from gp_aiogram import SQLiteStore, Tracker
from gp_aiogram.stores.records import Change, DeliveryFilter, Outcome
from gp_aiogram.testing.samples import entry, sample

ROUNDS = 30


@dataclass
class Costs:
    grown_mib: float = 0
    stalled_ms: float = 0
    stats_ms: float = 0
    claimed: int = 0


def rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@asynccontextmanager
async def watched(costs: Costs) -> AsyncIterator[None]:
    """Note how late a timer comes."""

    async def tick() -> None:
        while True:
            due = time.monotonic() + 0.002
            await asyncio.sleep(0.002)
            costs.stalled_ms = max(costs.stalled_ms, (time.monotonic() - due) * 1000)

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()


async def work(path: str, costs: Costs) -> None:
    """Do everything that a bot, its courier and its owner do with an outbox."""
    store = SQLiteStore(path)
    tracker = Tracker([], store=store, journal=None)
    await store.open()
    outbox = store.outbox
    async with watched(costs):
        for number in range(ROUNDS):
            new = [f"{path}.{number}.{n}" for n in range(16)]
            await asyncio.gather(*(outbox.accept(entry(sample(one))) for one in new))
            claim = await outbox.claim("a", 1000, lease=60)
            costs.claimed += len(claim.deliveries)
            await outbox.settle([Outcome(one, "delivered") for one in claim.deliveries])
            begin = time.monotonic()
            await tracker.stats()
            costs.stats_ms = max(costs.stats_ms, (time.monotonic() - begin) * 1000)
            of_user = DeliveryFilter(telegram_id=7 + number)
            await outbox.select(of_user, limit=10)
            await outbox.transition(of_user, Change("skipped", "opted out"), limit=10)
            await outbox.wait("a", 0)
            costs.grown_mib = max(costs.grown_mib, rss_mib())
    await store.close()


async def main() -> None:
    logging.basicConfig(level=logging.CRITICAL)
    small, large = sys.argv[1:]
    for _ in range(3):  # caches fill up
        await work(small, Costs())
    # What was imported is no backlog's doing: Python looks through all of it now and then.
    gc.collect()
    gc.freeze()
    costs, before = Costs(), rss_mib()
    await work(large, costs)
    costs.grown_mib -= before
    print(json.dumps(asdict(costs)))


if __name__ == "__main__":
    asyncio.run(main())
