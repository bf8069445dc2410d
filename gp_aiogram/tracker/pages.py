"""Works through what a store holds in pages, so that others get their turn in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

#: Rows changed in one transaction: few enough that nobody waits for it.
PAGE = 500


async def every_page(work: Callable[[int], Awaitable[int]], page: int = PAGE) -> int:
    """Repeat a change until nothing is left to change.

    :param work: changes at most so many rows, and returns how many it has changed.
    :return: how many were changed in all.
    """
    total = 0
    while changed := await work(page):
        total += changed
        if changed < page:
            break
    return total
