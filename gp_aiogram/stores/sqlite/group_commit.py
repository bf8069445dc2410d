"""Shares commits: while one transaction is on its way to the disk, the next one gathers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from gp_aiogram.stores.sqlite.connection import Connection

#: Does one kind of thing for many callers at once: one result for each item, in their order. It
#: runs in SQLite's thread, while the event loop goes on in its own.
BulkOperation = Callable[[sqlite3.Connection, Sequence[Any]], Sequence[Any]]

_MAX_BATCH = 1000


class _Waiting(NamedTuple):
    operation: BulkOperation
    item: Any
    done: asyncio.Future[Any]


class GroupCommit:
    """Runs the operations of many tasks in few transactions, without a timer.

    A transaction is one trip to SQLite's thread, whatever is in it.

    An operation that finds the connection idle is committed alone at once; those that come while
    it is busy share the next transaction. Those that only read have one of their own, before
    those that write: they need not wait for the disk, and who writes what he has just read shares
    the commit. A caller resumes when its transaction is on disk and before the next one starts;
    what it does in memory until it waits again is seen there.

    :param connection: gives the connection, opening it if need be.
    :param idle: called when nothing is left to do.
    """

    def __init__(
        self,
        connection: Callable[[], Awaitable[Connection]],
        idle: Callable[[], Awaitable[None]],
    ) -> None:
        self._connection = connection
        self._idle = idle
        self._reading: deque[_Waiting] = deque()
        self._writing: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None

    def submit(
        self,
        operation: BulkOperation,
        item: Any,
        *,
        reads: bool = False,
    ) -> asyncio.Future[Any]:
        """Have an item worked on and committed.

        :param reads: the operation changes nothing.
        :return: gets the result, or what the operation or the commit raised for this item; the
            items that shared its transaction are not affected.
        """
        done = asyncio.get_running_loop().create_future()
        waiting = self._reading if reads else self._writing
        waiting.append(_Waiting(operation, item, done))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="gp_aiogram commits")
        return done

    async def drain(self) -> None:
        """Wait until everything submitted so far is committed."""
        if self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        batch: list[_Waiting] = []
        try:
            while self._reading or self._writing:
                for waiting in (self._reading, self._writing):
                    size = min(len(waiting), _MAX_BATCH)
                    batch = [waiting.popleft() for _ in range(size)]
                    if batch:
                        await self._commit(batch)
                if not self._reading and not self._writing:
                    await self._idle()
        finally:
            # Only a loop that is being torn down gets here with callers left.
            for left in (*batch, *self._reading, *self._writing):
                left.done.cancel()
            self._reading.clear()
            self._writing.clear()

    async def _commit(self, batch: list[_Waiting]) -> None:
        try:
            results = await self._transact(batch)
        except Exception as error:  # noqa: BLE001 - it belongs to the caller
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            # One by one, so that a bad item fails alone.
            for waiting in batch:
                await self._commit([waiting])
        else:
            for waiting, result in results:
                if not waiting.done.done():
                    waiting.done.set_result(result)
            await asyncio.sleep(0)  # the callers' turn

    async def _transact(self, batch: list[_Waiting]) -> list[tuple[_Waiting, Any]]:
        by_operation: dict[BulkOperation, list[_Waiting]] = {}
        for waiting in batch:
            by_operation.setdefault(waiting.operation, []).append(waiting)
        work = [
            (operation, [waiting.item for waiting in group])
            for operation, group in by_operation.items()
        ]
        connection = await self._connection()
        try:
            results = await connection.call(partial(_transaction, work))
        except asyncio.CancelledError:
            # The loop must not end before SQLite's thread is done with it.
            await connection.rollback()
            raise
        return [
            pair
            for group, own in zip(by_operation.values(), results, strict=True)
            for pair in zip(group, own, strict=True)
        ]


def _transaction(
    work: Sequence[tuple[BulkOperation, Sequence[Any]]],
    connection: sqlite3.Connection,
) -> list[Sequence[Any]]:
    """Do everything or nothing; the results of each operation."""
    try:
        results = [operation(connection, items) for operation, items in work]
        if connection.in_transaction:
            connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return results


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)
