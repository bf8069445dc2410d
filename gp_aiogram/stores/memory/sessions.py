"""Touches of users in memory."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import islice

from gp_aiogram.model.session import Session
from gp_aiogram.stores.contract import SessionStore
from gp_aiogram.stores.records import Span, TouchRecord
from gp_aiogram.stores.touch_limit import MAX_TOUCHES, TouchLimit

#: What tells a touch from others: bot, user, session id and time.
_Identity = tuple[int | None, int, str, datetime]


class MemorySessions(SessionStore):
    """The part of :class:`~gp_aiogram.MemoryStore` that knows touches."""

    def __init__(self) -> None:
        #: By user, oldest first.
        self._touches: dict[int, list[Session]] = {}
        #: By session id: who ever had it.
        self._users: dict[str, set[int]] = {}
        #: In the order in which they were added.
        self._numbers: dict[_Identity, TouchRecord] = {}
        self._last_number = 0
        self._limit = TouchLimit()

    async def add(self, session: Session) -> None:
        """Keep a touch."""
        touches = self._touches.setdefault(session.telegram_id, [])
        if _identity(session) not in self._numbers:
            insort(touches, session, key=lambda touch: touch.at)
            self._users.setdefault(session.session_id, set()).add(session.telegram_id)
            self._last_number += 1
            self._numbers[_identity(session)] = TouchRecord(self._last_number, session)
        if len(touches) > MAX_TOUCHES:
            self._limit.tell(session.telegram_id)
            self._drop_oldest_between(touches)

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
        erased = self._touches.pop(telegram_id, [])
        for touch in erased:
            del self._numbers[_identity(touch)]
        session_ids = {touch.session_id for touch in erased}
        for session_id in session_ids:
            self._unlink(session_id, telegram_id)
        return session_ids

    async def shared(self, telegram_id: int, session_ids: Collection[str]) -> set[str]:
        """Return the session ids that touches of other users name as well."""
        others = (touches for user, touches in self._touches.items() if user != telegram_id)
        named = {touch.session_id for touches in others for touch in touches}
        return named.intersection(session_ids)

    async def touches_of(self, session_id: str, limit: int = 100) -> Sequence[Session]:
        """Return touches that name a session id, the latest first."""
        users = self._users.get(session_id, ())
        touches = [touch for user in users for touch in self._touches.get(user, ())]
        named = [touch for touch in touches if touch.session_id == session_id]
        return sorted(named, key=lambda touch: touch.at, reverse=True)[:limit]

    async def touches(self, span: Span) -> Sequence[TouchRecord]:
        """Return touches in the order in which they were added."""
        within: list[TouchRecord] = []
        for record in reversed(self._numbers.values()):
            if record.number <= span.after or (span.newest and len(within) == span.limit):
                break
            if span.before is None or record.number < span.before:
                within.append(record)
        return within if span.newest else within[::-1][: span.limit]

    async def prune(self, before: datetime, limit: int) -> int:
        """Erase touches that are older."""
        everyones = (touch for touches in self._touches.values() for touch in touches)
        old = list(islice((touch for touch in everyones if touch.at < before), limit))
        for touch in old:
            touches = self._touches[touch.telegram_id]
            touches.remove(touch)
            del self._numbers[_identity(touch)]
            if all(left.session_id != touch.session_id for left in touches):
                self._unlink(touch.session_id, touch.telegram_id)
            if not touches:
                del self._touches[touch.telegram_id]
        return len(old)

    def _unlink(self, session_id: str, telegram_id: int) -> None:
        """Note that a user has no touch of a session id any more."""
        users = self._users.get(session_id, set())
        users.discard(telegram_id)
        if not users:
            self._users.pop(session_id, None)

    def _drop_oldest_between(self, touches: list[Session]) -> None:
        """Drop the oldest touch that is neither the first nor the last of its bot."""
        last = {touch.bot_id: number for number, touch in enumerate(touches)}
        first = {touch.bot_id: number for number, touch in reversed([*enumerate(touches)])}
        between = set(range(len(touches))).difference(first.values(), last.values())
        if between:
            del self._numbers[_identity(touches.pop(min(between)))]


def _identity(touch: Session) -> _Identity:
    return touch.bot_id, touch.telegram_id, touch.session_id, touch.at
