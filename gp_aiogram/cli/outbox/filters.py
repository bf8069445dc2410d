"""Goes through the deliveries that a filter means."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import Delivery, DeliveryFilter
from gp_aiogram.tracker.pages import PAGE


async def selected(
    outbox: Outbox, where: DeliveryFilter, limit: int | None = None
) -> AsyncIterator[Delivery]:
    """Yield deliveries, oldest event first.

    :param limit: at most so many; None means all.
    """
    last: Delivery | None = None
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        page = await outbox.select(where, limit=size, after=last)
        for delivery in page:
            yield delivery
        if len(page) < size:
            return
        last = page[-1]
        left = None if left is None else left - len(page)


async def count(outbox: Outbox, where: DeliveryFilter) -> int:
    """Return how many deliveries a filter means."""
    return sum([1 async for _ in selected(outbox, where)])
