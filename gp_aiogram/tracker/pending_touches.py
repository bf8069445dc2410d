"""Lets whoever asks for a user's session wait for a touch of his that is just being kept.

A bot that was away finds a click and what the user did next in one batch of updates, and aiogram
handles them all at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Arrivals:
    """The touches that are being kept now, by user."""

    def __init__(self) -> None:
        self._arriving: dict[int, set[asyncio.Future[None]]] = {}

    @contextmanager
    def arriving(self, telegram_id: int) -> Iterator[None]:
        """Have others wait while a touch of a user is being kept."""
        arrived = asyncio.get_running_loop().create_future()
        own = self._arriving.setdefault(telegram_id, set())
        own.add(arrived)
        try:
            yield
        finally:
            arrived.set_result(None)
            own.discard(arrived)
            if not own:
                self._arriving.pop(telegram_id, None)

    async def arrived(self, telegram_id: int) -> None:
        """Wait until every touch of a user that is being kept now is, or has failed to be."""
        if arriving := self._arriving.get(telegram_id):
            await asyncio.wait(set(arriving))
