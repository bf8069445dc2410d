"""Touches of users in memory."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import islice

from gp_aiogram.model.session import Session
from gp_aiogram.stores.contract import SessionStore
from gp_aiogram.stores.touch_limit import MAX_TOUCHES, TouchLimit


class MemorySessions(SessionStore):
    """The part of :class:`~gp_aiogram.MemoryStore` that knows touches."""

    def __init__(self) -> None:
        #: By user, oldest first.
        self._touches: dict[int, list[Session]] = {}
        self._limit = TouchLimit()

    async def add(self, session: Session) -> None:
        """Keep a touch."""
        touches = self._touches.setdefault(session.telegram_id, [])
        if not any(_is_same(session, touch) for touch in touches):
            insort(touches, session, key=lambda touch: touch.at)
        if len(touches) > MAX_TOUCHES:
            self._limit.tell(session.telegram_id)
            _drop_oldest_between(touches)

    async def history(
        self,
        telegram_id: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Session]:
        """Return a user's touches, oldest first."""
        return [
            touch
            for touch in self._touches.get(telegram_id, [])
            if (since is None or touch.at >= since) and (until is None or touch.at <= until)
        ]

    async def erase(self, telegram_id: int) -> set[str]:
        """Erase every touch of a user."""
        return {touch.session_id for touch in self._touches.pop(telegram_id, [])}

    async def shared(self, telegram_id: int, session_ids: Collection[str]) -> set[str]:
        """Return the session ids that touches of other users name as well."""
        others = (touches for user, touches in self._touches.items() if user != telegram_id)
        named = {touch.session_id for touches in others for touch in touches}
        return named.intersection(session_ids)

    async def prune(self, before: datetime, limit: int) -> int:
        """Erase touches that are older."""
        everyones = (touch for touches in self._touches.values() for touch in touches)
        old = list(islice((touch for touch in everyones if touch.at < before), limit))
        for touch in old:
            touches = self._touches[touch.telegram_id]
            touches.remove(touch)
            if not touches:
                del self._touches[touch.telegram_id]
        return len(old)


def _drop_oldest_between(touches: list[Session]) -> None:
    """Drop the oldest touch that is neither the first nor the last of its bot."""
    last = {touch.bot_id: number for number, touch in enumerate(touches)}
    first = {touch.bot_id: number for number, touch in reversed([*enumerate(touches)])}
    between = set(range(len(touches))).difference(first.values(), last.values())
    if between:
        del touches[min(between)]


def _is_same(session: Session, touch: Session) -> bool:
    return (session.bot_id, session.session_id, session.at) == (
        touch.bot_id,
        touch.session_id,
        touch.at,
    )
