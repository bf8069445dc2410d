"""Waits for other coroutines without being ended by them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


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
