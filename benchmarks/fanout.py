"""What a destination that is down costs the others."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Sequence
from statistics import median
from typing import ClassVar, Literal

from benchmarks.servers import NewStore, durable_stores
from benchmarks.table import Row, show
from gp_aiogram import Destination, Event, Tracker
from gp_aiogram.errors import DeliveryFailed

AIM = 0.95

WRITERS = 64

#: Seconds that a destination takes to answer.
_ANSWER = 0.01

Third = Literal["healthy", "hangs", "answers 503"]
_THIRDS: tuple[Third, ...] = ("healthy", "hangs", "answers 503")


class Platform(Destination):
    """Takes batches as ad platforms do, within this process."""

    batch_size: ClassVar[int] = 1000
    concurrency: ClassVar[int] = 4

    def __init__(self, name: str, third: Third, expected: int) -> None:
        self.name = name
        self.full = asyncio.Event()
        self._third = third
        self._expected = expected

    async def send(self, events: Sequence[Event]) -> None:
        """Take events, or not."""
        await asyncio.sleep(_ANSWER if self._third != "hangs" else 3600)
        if self._third != "healthy":
            msg = "HTTP 503"
            raise DeliveryFailed(msg)
        self._expected -= len(events)
        if self._expected == 0:
            self.full.set()


async def run(*, quick: bool) -> None:
    """Measure and print."""
    number, rounds = (2_000, 5) if quick else (8_000, 11)
    logging.getLogger("gp_aiogram.courier").setLevel(logging.CRITICAL)  # it says that one is down
    gc.collect()
    gc.freeze()
    for name, new_store in durable_stores().items():
        await _measure(name, new_store, number, rounds)
    gc.unfreeze()


async def _measure(name: str, new_store: NewStore, number: int, rounds: int) -> None:
    taken: dict[Third, list[float]] = {third: [] for third in _THIRDS}
    await _rate(new_store, "healthy", number)
    for _ in range(rounds):
        for third in _THIRDS:
            taken[third].append(await _rate(new_store, third, number))
    healthy = taken["healthy"]
    rows = []
    for third, rates in taken.items():
        ratio = median(a / b for a, b in zip(rates, healthy, strict=True))
        aim = None if third == "healthy" else (f">= {AIM:g}x", ratio >= AIM)
        rows.append(Row(f"the third {third}", [f"{median(rates):,.0f}", f"{ratio:.2f}x"], aim))
    show(
        f"Rate of two healthy destinations of three, {number:,} events, {name}",
        ["events/s each", "ratio"],
        rows,
    )


async def _rate(new_store: NewStore, third: Third, number: int) -> float:
    """Track events for three; how fast the first two had got all of them."""
    numbers = iter(range(number))
    first, second = Platform("first", "healthy", number), Platform("second", "healthy", number)
    platforms = [first, second, Platform("third", third, number)]
    async with new_store() as store:
        tracker = Tracker(platforms, store=store, journal=None)
        await tracker.start()
        started = time.perf_counter()

        async def writer() -> None:
            for one in numbers:
                await tracker.track("REG", telegram_id=10**9 + one, bot_id=42)

        await asyncio.gather(*(writer() for _ in range(WRITERS)))
        await asyncio.gather(first.full.wait(), second.full.wait())
        rate = number / (time.perf_counter() - started)
        await tracker.close(grace=0)
    return rate
