"""Lets whoever asks for a user's session wait for a touch that is being stored right now.

A bot that was down finds a click, and what the user did next, in one batch of updates, and aiogram
handles them all at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class PendingTouches:
    """The touches that are being stored, by user."""

    def __init__(self) -> None:
        self._pending: dict[int, set[asyncio.Future[None]]] = {}

    @contextmanager
    def track(self, telegram_id: int) -> Iterator[None]:
        """Have others wait while a touch of a user is being stored."""
        stored = asyncio.get_running_loop().create_future()
        pending = self._pending.setdefault(telegram_id, set())
        pending.add(stored)
        try:
            yield
        finally:
            stored.set_result(None)
            pending.discard(stored)
            if not pending:
                self._pending.pop(telegram_id, None)

    def has(self, telegram_id: int) -> bool:
        """Return whether a touch of a user is being stored."""
        return telegram_id in self._pending

    async def wait(self, telegram_id: int) -> None:
        """Wait until no touch of a user is being stored any more, stored or failed."""
        if pending := self._pending.get(telegram_id):
            await asyncio.wait(set(pending))
