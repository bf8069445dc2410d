"""A bot of the fleet that test_fleet.py kills: it records orders, and delivers nothing.

Its arguments are the number of its first order and the pipe on which it says what it has recorded.
It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from itertools import count

from gp_aiogram import Settings, StoreError, Tracker
from gp_aiogram.tracker.request import EventRequest

#: Orders of one bot before the next one's begin.
ROOM = 1_000_000


async def sell(tracker: Tracker, orders: count[int], acks: int) -> None:
    while True:
        order = next(orders)
        # What a handler records and what a webhook does, in turn. The provider reports it twice.
        for _ in range(2):
            await record(tracker, order, acks)
        await asyncio.sleep(random.uniform(0, 0.02))


async def record(tracker: Tracker, order: int, acks: int) -> None:
    fields = {
        "name": "Purchase",
        "telegram_id": order + 1,
        "bot_id": 42,
        "value": 5,
        "once": order,
    }
    try:
        if order % 2:
            event = await tracker.intake.track(EventRequest(**fields))
        else:
            event = await tracker.track(**fields, on_outage="journal")
    except StoreError:
        return
    if event is not None:
        os.write(acks, f"{event.telegram_id}\n".encode())


async def main() -> None:
    first, acks = int(sys.argv[1]), int(sys.argv[2])
    settings = Settings()
    tracker = Tracker(
        settings.destinations(),
        store=settings.build_store(),
        journal=settings.journal,
        deliver=False,
    )
    async with tracker:
        orders = count(first)
        selling = [asyncio.create_task(sell(tracker, orders, acks)) for _ in range(4)]
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        for task in selling:
            task.cancel()
        await asyncio.gather(*selling, return_exceptions=True)
        assert await tracker.intake.flush(60)


if __name__ == "__main__":
    asyncio.run(main())
