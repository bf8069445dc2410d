"""Waits for other coroutines without being ended by them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

logger = logging.getLogger("gp_aiogram.courier")

#: Seconds that a request gets to end once it is cancelled. Less than the courier gives a lane.
ENDING = 0.5

#: Tasks that did not end when they were cancelled; the event loop itself keeps no task alive.
_left_behind: set[asyncio.Task[Any]] = set()


async def unless(stopping: asyncio.Event, waiting: Coroutine[Any, Any, object]) -> None:
    """Wait until a coroutine ends or an event is set; then cancel the coroutine.

    :raises Exception: what the coroutine raised.
    """
    waiter = asyncio.create_task(waiting)
    stopper = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({waiter, stopper}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
        stopper.cancel()
        await asyncio.wait({waiter, stopper})
    if not (waiter.cancelled() and stopping.is_set()):
        waiter.result()


async def contained(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Run a coroutine in a task of its own and return the task when it has ended.

    A ``CancelledError`` that the coroutine raises by itself ends its task only. A caller that is
    cancelled cancels the coroutine; should it finish all the same, its result is returned.

    :raises asyncio.CancelledError: when the caller is cancelled, and the coroutine ended with it.
    """
    task = asyncio.create_task(coroutine)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        if task.cancelled():
            raise
    return task


async def limited(
    coroutine: Coroutine[Any, Any, T],
    timeout: float | None,
    *,
    name: str,
) -> asyncio.Task[T] | None:
    """Run a coroutine in a task of its own, for a limited time, and return the ended task.

    Like :func:`contained`, but it never waits longer than the timeout and a moment: a coroutine
    that does not end when it is cancelled is left behind, and logged.

    :param timeout: seconds after which the coroutine is cancelled; None sets no limit.
    :param name: what the log calls the coroutine.
    :return: None when time was up, and the coroutine did not finish in spite of that.
    :raises asyncio.CancelledError: when the caller is cancelled, and the coroutine did not finish.
    """
    task = asyncio.create_task(coroutine, name=name)
    try:
        await asyncio.wait({task}, timeout=timeout)
    except asyncio.CancelledError:
        if await _has_finished(task):
            return task
        raise
    return task if task.done() or await _has_finished(task) else None


def failure_of(task: asyncio.Future[Any]) -> BaseException | None:
    """Return what an ended task has raised, its own cancellation included."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()


async def _has_finished(task: asyncio.Task[Any]) -> bool:
    """Cancel a task, and tell whether it has finished all the same."""
    task.cancel()
    await asyncio.wait({task}, timeout=ENDING)
    if task.done():
        return not task.cancelled()
    logger.error("%s does not end when it is cancelled, it is left behind", task.get_name())
    _left_behind.add(task)
    task.add_done_callback(_forget)
    return False


def _forget(task: asyncio.Task[Any]) -> None:
    _left_behind.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that asyncio does not report it
