"""Waits for work no longer than a caller of the web may be kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float, working: Awaitable[T]) -> T:
    """Wait for something, and not a moment longer even when it does not heed its cancelling.

    :raises TimeoutError: when it took longer.
    """
    loop = asyncio.get_running_loop()
    waiting = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiting.done():
            waiting.set_result(None)

    task = asyncio.ensure_future(working)
    task.add_done_callback(wake)
    timer = loop.call_later(seconds, wake)
    try:
        await waiting
    finally:
        timer.cancel()
        task.cancel()
    if not task.done():
        task.add_done_callback(lambda late: late.cancelled() or late.exception())
        msg = f"it took longer than {seconds:g} s"
        raise TimeoutError(msg)
    if task.cancelled():
        msg = "it was cancelled"  # by the store, say; this request goes on
        raise RuntimeError(msg)
    return task.result()
