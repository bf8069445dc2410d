"""Touches of users in memory."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Iterator
from datetime import datetime

from gp_aiogram.model.session import Session, Source
from gp_aiogram.stores.contract import SessionStore


class MemorySessions(SessionStore):
    """The part of :class:`~gp_aiogram.MemoryStore` that knows touches."""

    _touches: dict[int, list[Session]]

    async def add_session(self, session: Session) -> None:
        """Keep a touch."""
        touches = self._touches.setdefault(session.telegram_id, [])
        if not any(_same_touch(session, known) for known in touches):
            insort(touches, session, key=lambda touch: touch.at)

    async def find_session(
        self,
        telegram_id: int,
        bot_id: int | None,
        *,
        first: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
        preferred: Collection[Source] = (),
    ) -> Session | None:
        """Return the last (or first) touch of a user."""
        touches = self._touches.get(telegram_id, [])
        found: Session | None = None
        for touch in _matching(touches if first else touches[::-1], bot_id, since, until):
            if not preferred or touch.source in preferred:
                return touch
            found = found or touch
        return found

    async def forget_sessions(self, telegram_id: int) -> set[str]:
        """Erase every touch of a user."""
        return {touch.session_id for touch in self._touches.pop(telegram_id, [])}

    async def prune_sessions(self, before: datetime, limit: int) -> int:
        """Erase touches that are older."""
        old = [
            touch for touches in self._touches.values() for touch in touches if touch.at < before
        ]
        for touch in old[:limit]:
            self._touches[touch.telegram_id].remove(touch)
        return len(old[:limit])


def _matching(
    touches: Collection[Session],
    bot_id: int | None,
    since: datetime | None,
    until: datetime | None,
) -> Iterator[Session]:
    for touch in touches:
        if (
            bot_id in (None, touch.bot_id)
            and (since is None or touch.at >= since)
            and (until is None or touch.at <= until)
        ):
            yield touch


def _same_touch(one: Session, other: Session) -> bool:
    return (one.bot_id, one.session_id, one.at) == (other.bot_id, other.session_id, other.at)
