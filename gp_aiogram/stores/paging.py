"""Asks a store for one page after another, so that no transaction holds others up for long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from gp_aiogram.stores.pages import Key
from gp_aiogram.stores.records import DeliveryFilter, Span

Row = TypeVar("Row")
End = TypeVar("End")

#: Returns at most so many rows of what follows the end of the page before, and where this page has
#: ended; None when nothing follows.
ReadPage = Callable[[int, "End | None"], Awaitable[tuple[Sequence[Row], "End | None"]]]

#: Erases at most so many events of what follows the end of the page before, and returns how many
#: they were, and where this page has ended; None when nothing follows.
ErasePage = Callable[[int, "Key | None"], Awaitable[tuple[int, "Key | None"]]]


async def gather(read: ReadPage[End, Row], limit: int, end: End | None = None) -> list[Row]:
    """Return the rows of all pages, as far as they are wanted.

    :param end: where the first page begins; None for the beginning.
    """
    found: list[Row] = []
    while len(found) < limit:
        rows, end = await read(limit - len(found), end)
        found += rows
        if end is None:
            break
    return found


def following(span: Span, limit: int, end: int | None) -> Span:
    """Return what is left of a span after a page.

    :param limit: the most to return of it.
    :param end: the number at which the page has ended; None before the first.
    """
    rest = span._replace(limit=limit)
    if end is None:
        return rest
    return rest._replace(before=end) if span.newest else rest._replace(after=end)


class Erasing:
    """Erases page by page, and remembers where it has stopped."""

    def __init__(self) -> None:
        self._up_to: dict[DeliveryFilter, Key] = {}

    async def run(self, erase: ErasePage, where: DeliveryFilter, limit: int) -> int:
        """Return how many events were erased.

        Who calls again because as many were erased as they asked for goes on where the last call
        has ended; before fewer are erased, everything has been looked at.
        """
        start = self._up_to.pop(where, None)
        total, end = 0, start
        while total < limit:
            erased, end = await erase(limit - total, end)
            total += erased
            if end is None:
                if start is None:
                    return total
                start = None
        self._up_to = {} if end is None else {where: end}
        return total
