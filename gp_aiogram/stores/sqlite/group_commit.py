"""Shares commits: while one transaction is on its way to the disk, the next one gathers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from gp_aiogram.stores.sqlite.connection import Connection

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Does one kind of thing for many callers at once: one result for each item, in their order. It
#: runs in SQLite's thread, while the event loop goes on in its own.
BulkOperation = Callable[[sqlite3.Connection, Sequence[Item]], Sequence[Result]]

#: Items of one operation in one transaction.
_MOST = 1000


class _Group(NamedTuple):
    """The items of one operation, and who waits for their results."""

    items: list[Any]
    futures: list[asyncio.Future[Any]]


_Groups = dict[BulkOperation[Any, Any], _Group]


class GroupCommit:
    """Runs the operations of many tasks in few transactions, without a timer.

    A transaction is one trip to SQLite's thread, whatever is in it.

    An operation that finds the connection idle is committed alone at once; those that come while
    it is busy share the next transaction. Those that only read have one of their own, before
    those that write: they need not wait for the disk, and who writes what they have just read
    shares the commit. A caller resumes when its transaction is on disk and before the next one
    starts; what it does in memory until it waits again is seen there.

    :param connection: gives the connection, opening it if need be.
    :param idle: called when nothing is left to do.
    :param check: called in SQLite's thread after each commit; what it raises is told to the
        callers in place of their results.
    :param failed: is told what a transaction has raised, and says whether that is an outage.
    """

    def __init__(
        self,
        connection: Callable[[], Awaitable[Connection]],
        idle: Callable[[], Awaitable[None]],
        check: Callable[[], None],
        failed: Callable[[Exception], Awaitable[bool]],
    ) -> None:
        self._connection = connection
        self._idle = idle
        self._check = check
        self._failed = failed
        self._reading: _Groups = {}
        self._writing: _Groups = {}
        self._worker: asyncio.Task[None] | None = None

    def submit(
        self,
        operation: BulkOperation[Item, Result],
        item: Item,
        *,
        reads: bool = False,
    ) -> asyncio.Future[Result]:
        """Have an item worked on and committed.

        :param reads: the operation changes nothing.
        :return: gets the result, or what the operation or the commit raised for this item; the
            items that shared its transaction are not affected, except by an outage.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        waiting = self._reading if reads else self._writing
        group = waiting.get(operation)
        if group is None:
            group = waiting[operation] = _Group([], [])
        group.items.append(item)
        group.futures.append(future)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="gp_aiogram commits")
        return future

    async def drain(self) -> None:
        """Wait until everything submitted so far is committed."""
        if self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        batch: _Groups = {}
        try:
            while self._reading or self._writing:
                for waiting in (self._reading, self._writing):
                    batch = _take(waiting)
                    if batch:
                        await self._commit(batch)
                if not self._reading and not self._writing:
                    await self._idle()
        finally:
            # Only a loop that is being torn down gets here with callers left.
            for left in (batch, self._reading, self._writing):
                for group in left.values():
                    for future in group.futures:
                        future.cancel()
            self._reading.clear()
            self._writing.clear()

    async def _commit(self, batch: _Groups) -> Exception | None:
        """Commit a batch and wake its callers; return the outage that met them."""
        try:
            results = await self._transact(batch)
        except Exception as error:  # noqa: BLE001 - it belongs to the callers
            # An outage meets them all. To try each alone would hold up the last for minutes, and
            # what failed in the end may have been recorded all the same: it would seem known.
            if await self._failed(error):
                _fail(batch, error)
                return error
            return await self._commit_one_by_one(batch, error)
        for group, results_of_group in zip(batch.values(), results, strict=True):
            for future, result in zip(group.futures, results_of_group, strict=True):
                if not future.done():
                    future.set_result(result)
        await asyncio.sleep(0)  # the callers' turn
        return None

    async def _commit_one_by_one(self, batch: _Groups, error: Exception) -> Exception | None:
        """Have a bad item fail alone; it does when it is the only one."""
        singles = [
            {operation: _Group([item], [future])}
            for operation, group in batch.items()
            for item, future in zip(group.items, group.futures, strict=True)
        ]
        if len(singles) == 1:
            _fail(batch, error)
            return None
        outage: Exception | None = None
        for single in singles:
            if outage is None:
                outage = await self._commit(single)
            else:
                _fail(single, outage)
        return outage

    async def _transact(self, batch: _Groups) -> list[Sequence[Any]]:
        work = [(operation, group.items) for operation, group in batch.items()]
        connection = await self._connection()
        try:
            return await connection.call(partial(_transaction, work, self._check))
        except asyncio.CancelledError:
            # The loop must not end before SQLite's thread is done with it.
            await connection.rollback()
            raise


def _fail(batch: _Groups, error: Exception) -> None:
    for group in batch.values():
        for future in group.futures:
            if not future.done():
                future.set_exception(error)


def _take(waiting: _Groups) -> _Groups:
    """Take out of each group what one transaction may have of it."""
    taken: _Groups = {}
    for operation, (items, futures) in [*waiting.items()]:
        taken[operation] = _Group(items[:_MOST], futures[:_MOST])
        if len(items) > _MOST:
            waiting[operation] = _Group(items[_MOST:], futures[_MOST:])
        else:
            del waiting[operation]
    return taken


def _transaction(
    work: Sequence[tuple[BulkOperation[Any, Any], Sequence[Any]]],
    check: Callable[[], None],
    connection: sqlite3.Connection,
) -> list[Sequence[Any]]:
    """Do everything or nothing, and return the results of each operation."""
    try:
        results = [operation(connection, items) for operation, items in work]
        if connection.in_transaction:
            connection.commit()
    except BaseException:
        connection.rollback()
        raise
    check()
    return results
