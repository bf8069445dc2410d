"""Shares commits: while one transaction is on its way to the disk, the next one gathers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

#: Items of one operation in one transaction.
_MOST = 1000

#: How often parts of one batch may meet somebody else who has to finish first: enough to find two
#: among a thousand. Where more do, the whole of it is held up, and nobody shall wait for each.
_MOST_BUSY = 24

#: Does one kind of thing for many callers at once: one result for each item, in their order. What
#: it is called with besides the items is the engine's.
Operation = Callable[..., Any]

#: What one transaction does: operations, each with its items.
Work = Sequence[tuple[Operation, Sequence[Any]]]


class Group(NamedTuple):
    """The items of one operation, and who waits for their results."""

    items: list[Any]
    futures: list[asyncio.Future[Any]]


Batch = dict[Operation, Group]


def singles(batch: Batch) -> list[Batch]:
    """Split a batch so that each item is tried alone."""
    return [
        {operation: Group([item], [future])}
        for operation, group in batch.items()
        for item, future in zip(group.items, group.futures, strict=True)
    ]


def halves(batch: Batch) -> list[Batch]:
    """Split a batch in two, for an engine where a transaction takes a while."""
    alone = singles(batch)
    middle = len(alone) // 2
    return [_joined(part) for part in (alone[:middle], alone[middle:]) if part]


class GroupCommit:
    """Runs the operations of many tasks in few transactions, without a timer.

    An operation that finds nothing under way is committed alone at once; those that come while
    a transaction is share the next one. Those that only read have one of their own, before
    those that write: they need not wait for the disk, and who writes what they have just read
    shares the commit. A caller resumes when its transaction is on disk and before the next one
    starts; what it does in memory until it waits again is seen there.

    :param transact: does all work in one transaction or none, and returns the results of each
        operation.
    :param idle: called when nothing is left to do.
    :param failed: is told what a transaction has raised, and says whether that is an outage.
    :param split: parts in which a batch is tried again that failed without an outage.
    :param apart: does the work of one item that others must not wait for. It gets what has failed
        alone for a reason that ``is_busy`` knows.
    :param is_busy: tells whether an error means that somebody else has to finish first.
    """

    def __init__(
        self,
        transact: Callable[[Work], Awaitable[list[Sequence[Any]]]],
        idle: Callable[[], Awaitable[None]],
        failed: Callable[[Exception], Awaitable[bool]],
        *,
        split: Callable[[Batch], list[Batch]] = singles,
        apart: Callable[[Work], Awaitable[list[Sequence[Any]]]] | None = None,
        is_busy: Callable[[Exception], bool] = lambda _: False,
    ) -> None:
        self._run = transact
        self._idle = idle
        self._failed = failed
        self._split = split
        self._apart = apart
        self._is_busy = is_busy
        self._reading: Batch = {}
        self._writing: Batch = {}
        self._worker: asyncio.Task[None] | None = None
        self._set_aside: set[asyncio.Task[None]] = set()

    def submit(self, operation: Operation, item: Any, *, reads: bool = False) -> Any:
        """Have an item worked on and committed.

        :param reads: the operation changes nothing.
        :return: a future that gets the result, or what the operation or the commit raised for
            this item; the items that shared its transaction are not affected, except by an outage.
        """
        waiting = self._reading if reads else self._writing
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        group = waiting.setdefault(operation, Group([], []))
        group.items.append(item)
        group.futures.append(future)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="gp_aiogram commits")
        return future

    async def drain(self) -> None:
        """Wait until everything submitted so far is committed."""
        if self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])
        if self._set_aside:
            await asyncio.wait(self._set_aside)

    async def _work(self) -> None:
        batch: Batch = {}
        try:
            while self._reading or self._writing:
                for waiting in (self._reading, self._writing):
                    batch = _take(waiting)
                    if batch:
                        await self._commit(batch, _Patience())
                        batch = {}  # what was set aside is still waited for
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

    async def _commit(self, batch: Batch, patience: _Patience) -> Exception | None:
        """Commit a batch and wake its callers; return the outage that met them."""
        try:
            results = await self._transact(batch)
        except Exception as error:  # noqa: BLE001 - it belongs to the callers
            # An outage meets them all. To try each alone would hold up the last for minutes, and
            # what failed in the end may have been recorded all the same: it would seem known.
            if await self._failed(error):
                _fail(batch, error)
                return error
            if self._is_busy(error) and patience.is_over():
                _fail(batch, error)
                return error
            return await self._commit_in_parts(batch, error, patience)
        _succeed(batch, results)
        await asyncio.sleep(0)  # the callers' turn
        return None

    async def _commit_in_parts(
        self,
        batch: Batch,
        error: Exception,
        patience: _Patience,
    ) -> Exception | None:
        """Have a bad item fail alone; it does when it is the only one."""
        if sum(len(group.items) for group in batch.values()) == 1:
            if self._apart is not None and self._is_busy(error):
                self._put_aside(self._apart, batch)
            else:
                _fail(batch, error)
            return None
        outage: Exception | None = None
        for part in self._split(batch):
            if outage is None:
                outage = await self._commit(part, patience)
            else:
                _fail(part, outage)
        return outage

    def _put_aside(
        self,
        apart: Callable[[Work], Awaitable[list[Sequence[Any]]]],
        batch: Batch,
    ) -> None:
        async def work() -> None:
            try:
                _succeed(batch, await apart(_work_of(batch)))
            except Exception as error:  # noqa: BLE001 - it belongs to the caller
                await self._failed(error)
                _fail(batch, error)
            finally:
                for group in batch.values():
                    for future in group.futures:
                        future.cancel()

        task = asyncio.create_task(work(), name="gp_aiogram commits apart")
        self._set_aside.add(task)
        task.add_done_callback(self._set_aside.discard)

    async def _transact(self, batch: Batch) -> list[Sequence[Any]]:
        return await self._run(_work_of(batch))


class _Patience:
    """How much more waiting for others one batch may cost."""

    def __init__(self) -> None:
        self._left = _MOST_BUSY

    def is_over(self) -> bool:
        """Note that a part has met somebody."""
        self._left -= 1
        return self._left < 0


def _work_of(batch: Batch) -> Work:
    return [(operation, group.items) for operation, group in batch.items()]


def _succeed(batch: Batch, results: Sequence[Sequence[Any]]) -> None:
    for group, results_of_group in zip(batch.values(), results, strict=True):
        for future, result in zip(group.futures, results_of_group, strict=True):
            if not future.done():
                future.set_result(result)


def _fail(batch: Batch, error: Exception) -> None:
    for group in batch.values():
        for future in group.futures:
            if not future.done():
                future.set_exception(error)


def _joined(parts: Sequence[Batch]) -> Batch:
    joined: Batch = {}
    for operation, group in chain.from_iterable(part.items() for part in parts):
        into = joined.setdefault(operation, Group([], []))
        into.items.extend(group.items)
        into.futures.extend(group.futures)
    return joined


def _take(waiting: Batch) -> Batch:
    """Take out of each group what one transaction may have of it."""
    taken: Batch = {}
    for operation, (items, futures) in [*waiting.items()]:
        taken[operation] = Group(items[:_MOST], futures[:_MOST])
        if len(items) > _MOST:
            waiting[operation] = Group(items[_MOST:], futures[_MOST:])
        else:
            del waiting[operation]
    return taken
