"""Ends a process in good order when it is told to, and at once when it is told twice."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger("gp_aiogram.cli")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

#: A shell's exit code for a process that a signal has ended is this plus the signal's number.
_SIGNALLED = 128


@contextmanager
def stopped_by_signals() -> Iterator[asyncio.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets; the second exits at once."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    told = False

    def tell(number: int, _: FrameType | None) -> None:
        nonlocal told
        if told:
            # Nothing is asked of a loop that may be stuck; claims end by themselves.
            os._exit(_SIGNALLED + number)
        told = True
        logger.info("%s: finishing what is under way", signal.Signals(number).name)
        loop.call_soon_threadsafe(stopping.set)

    # Not loop.add_signal_handler(): a loop that is stuck would not see the second signal.
    before = {number: signal.signal(number, tell) for number in _SIGNALS}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
