"""One schema on a PostgreSQL server, as its users in this process share it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar

from gp_aiogram.errors import StoreError
from gp_aiogram.stores.postgres.address import Address
from gp_aiogram.stores.postgres.failures import cause_of, explained, is_of_database
from gp_aiogram.stores.postgres.runtime import Runtime
from gp_aiogram.stores.postgres.schema import MIGRATIONS, Migration
from gp_aiogram.stores.postgres.transaction import Transaction

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Does one kind of thing for many callers at once: one result for each item, in their order.
Operation = Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Result]]]

#: Connections of the process that this one was forked from. They are the other one's to close.
_inherited: list[Runtime] = []


class PostgresServer:
    """Connects when it is first needed, and again when it is needed after :meth:`close`.

    :param address: of the schema.
    :param migrations: every version's; the current ones unless a test has others.
    """

    def __init__(self, address: Address, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self.address = address
        self._migrations = migrations
        self._running: Runtime | None = None
        self._is_closing = False

    async def open(self) -> None:
        """Connect, and bring the tables up to date.

        :raises StoreMismatch: when the schema is another program's or a newer version's.
        :raises StoreUnavailable: when the server is away; whatever is submitted later connects.
        :raises StoreError: when the server cannot be used as it is configured.
        """
        self._is_closing = False
        await self._runtime().open()

    async def close(self) -> None:
        """Finish what is under way, and disconnect.

        Work submitted later connects for as long as it takes.

        :raises StoreError: when an event loop that is running has the connections.
        """
        self._is_closing = True
        running = self._running
        if running is None or running.pid != os.getpid():
            return
        if running.loop.is_closed():
            running.abandon()
            self._running = None
        else:
            await self._stop(self._runtime())

    async def ensure_tables(self) -> None:
        """Connect, and bring the tables up to date, unless that was done before.

        :raises StoreError: as :meth:`open`.
        """
        if not self._runtime().is_open:
            await self.submit(_nothing, None, reads=True)

    async def submit(
        self,
        operation: Operation[Item, Result],
        item: Item,
        *,
        reads: bool = False,
    ) -> Result:
        """Have an item worked on and committed, and return its result.

        :param reads: the operation changes nothing.
        :raises StoreUnavailable: when the server is away, full or slow; what was to be written
            may have been.
        :raises StoreError: when the server cannot do it.
        """
        runtime = self._runtime()
        try:
            result: Result = await runtime.submit(operation, item, reads=reads)
        except Exception as error:
            if not is_of_database(error):
                raise
            raise explained(self.address, error) from cause_of(error)
        finally:
            if self._is_closing:
                await self._stop(runtime)
        return result

    async def read(self, statement: str, **parameters: Any) -> Sequence[Any]:
        """Return all rows of a statement."""
        return await self.submit(_read, (statement, parameters), reads=True)

    def notify(self, destinations: Collection[str]) -> None:
        """Have those who wait in this process look again."""
        if self._running is not None:
            self._running.notify([*destinations])

    async def wait(self, destination: str, timeout: float) -> bool:
        """Wait until a delivery is due.

        :param timeout: seconds to wait at most; 0 only looks.
        """
        runtime = self._runtime()
        try:
            return await runtime.wait(destination, timeout)
        finally:
            if self._is_closing:
                await self._stop(runtime)

    def _runtime(self) -> Runtime:
        """Return what runs in this process and event loop.

        :raises StoreError: when another event loop has it.
        """
        running = self._running
        if running is not None and running.pid != os.getpid():
            _inherited.append(running)
            running = None
        elif running is not None and running.loop is not asyncio.get_running_loop():
            if not running.loop.is_closed():
                msg = (
                    f"{self.address} was opened in another event loop: close the store there first"
                )
                raise StoreError(msg)
            running.abandon()
            running = None
        if running is None:
            running = self._running = Runtime(self.address, self._migrations)
        return running

    async def _stop(self, runtime: Runtime) -> None:
        if self._running is runtime:
            self._running = None
            await runtime.close()


async def _nothing(_: Transaction, items: Sequence[None]) -> Sequence[None]:
    return items


async def _read(
    transaction: Transaction,
    queries: Sequence[tuple[str, dict[str, Any]]],
) -> list[Sequence[Any]]:
    return [await transaction.fetch(statement, **parameters) for statement, parameters in queries]
