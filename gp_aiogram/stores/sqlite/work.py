"""What the parts of a SQLite store need of its file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Does one kind of thing for many callers at once: one result for each item, in their order. It
#: runs in SQLite's thread, while the event loop goes on in its own.
BulkOperation = Callable[[sqlite3.Connection, Sequence[Item]], Sequence[Result]]


class DatabaseFile(Protocol):
    """A file whose connection is used by several parts."""

    async def open(self) -> None:
        """Get ready."""

    async def close(self) -> None:
        """Finish what is under way, and close the file."""

    def on_release(self, callback: Callable[[], None]) -> None:
        """Have a function called whenever others may change the file."""

    async def submit(
        self,
        operation: BulkOperation[Item, Result],
        item: Item,
        *,
        reads: bool = False,
    ) -> Result:
        """Have an item worked on, and return its result.

        :param reads: the operation changes nothing.
        """

    async def read(self, query: str, parameters: Any = ()) -> list[Any]:
        """Return all rows of a query."""
