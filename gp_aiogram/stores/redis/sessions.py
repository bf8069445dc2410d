"""Touches of users in Redis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from gp_aiogram.model.clock import to_ms
from gp_aiogram.model.retention import Retention
from gp_aiogram.model.session import Session
from gp_aiogram.stores.contract import SessionStore
from gp_aiogram.stores.redis.connection import RedisConnection
from gp_aiogram.stores.redis.expiry import Expiry
from gp_aiogram.stores.redis.indexes import PAGE, date, dated, index, indexed, members_of
from gp_aiogram.stores.redis.rows import sessions_in, stored_touch, touches_of, unpacked
from gp_aiogram.stores.redis.schema import Keys
from gp_aiogram.stores.redis.scripts import (
    ADD_TOUCH,
    ERASE_TOUCHES,
    INDEXED,
    PRUNE_TOUCHES,
    Command,
)
from gp_aiogram.stores.redis.tidying import Tidying
from gp_aiogram.stores.touch_limit import MAX_TOUCHES, TouchLimit

#: Users of a session that are looked at together, to see whether it is shared.
_FEW = 10


class RedisSessions(SessionStore):
    """The part of :class:`~gp_aiogram.RedisStore` that knows touches."""

    def __init__(self, connection: RedisConnection, keys: Keys, expiry: Expiry) -> None:
        self._connection = connection
        self._keys = keys
        self._expiry = expiry
        self._tidying = Tidying(connection, keys)
        self._limit = TouchLimit()

    async def open(self) -> None:
        """Connect, and check the server."""
        await self._connection.open()

    async def close(self) -> None:
        """Close the connections that are the store's own."""
        await self._connection.close()

    def keep_for(self, retention: Retention) -> None:
        """Keep touches at least so long."""
        self._expiry.extend(retention)

    async def add(self, session: Session) -> None:
        """Keep a touch."""
        user, at_ms = session.telegram_id, to_ms(session.at)
        field, value = stored_touch(session)
        found_by = (
            index(self._keys.users(session.session_id), str(user), self._expiry, at_ms=at_ms),
            date(self._keys.touch_calendar(user), str(user), at_ms, self._expiry),
        )
        keep = self._expiry.ms
        await self._connection.run(*found_by)
        ((is_over, dropped),) = await self._connection.run(
            ADD_TOUCH(self._keys.touches(user), field, value, MAX_TOUCHES, keep)
        )
        await self._connection.run(*found_by)
        if is_over:
            self._limit.tell(user)
        if dropped:
            await self._tidying.tidy([user])

    async def history(
        self,
        telegram_id: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Session]:
        """Return a user's touches, oldest first."""
        # As the stored times are, in whole milliseconds.
        since_ms = None if since is None else to_ms(since)
        until_ms = None if until is None else to_ms(until)
        (touches,) = await self._histories([telegram_id])
        return [
            touch
            for touch in touches
            if (since_ms is None or to_ms(touch.at) >= since_ms)
            and (until_ms is None or to_ms(touch.at) <= until_ms)
        ]

    async def erase(self, telegram_id: int) -> set[str]:
        """Erase every touch of a user."""
        keys = self._keys.touches(telegram_id)
        (named,) = await self._connection.run(ERASE_TOUCHES(keys, self._expiry.index_ms))
        await self._tidying.tidy([telegram_id])
        return {unpacked(session_id) for session_id in named}

    async def shared(self, telegram_id: int, session_ids: Collection[str]) -> set[str]:
        """Return the session ids that touches of other users name as well."""
        found: set[str] = set()
        asked, start = [*session_ids], 0
        while asked:
            users = await self._users(asked, start)
            others = {user for page in users for user in page} - {telegram_id}
            named = await self._named_by(others)
            found |= {
                session_id
                for session_id, page in zip(asked, users, strict=True)
                if any(session_id in named[user] for user in page if user != telegram_id)
            }
            asked = [
                session_id
                for session_id, page in zip(asked, users, strict=True)
                if len(page) == _FEW and session_id not in found
            ]
            start += _FEW
        return found

    async def touches_of(self, session_id: str, limit: int = 100) -> Sequence[Session]:
        """Return touches that name a session id, the latest first."""
        found: list[Session] = []
        async for page in indexed(self._connection, self._keys.users(session_id)):
            histories = await self._histories([int(user) for user, _ in page])
            found += [
                touch
                for touches in histories
                for touch in touches
                if touch.session_id == session_id
            ]
            found.sort(key=lambda touch: touch.at, reverse=True)
            # A stamp is no lower than the times of its user's touches: no later ones follow.
            lowest = page[-1].score
            if len(found) >= limit and to_ms(found[limit - 1].at) * 1000 >= lowest:
                break
        return found[:limit]

    async def prune(self, before: datetime, limit: int) -> int:
        """Erase touches that are older, the oldest first of those who are looked at together."""
        before_ms, erased = to_ms(before), 0
        for calendar in self._keys.touch_calendars:
            while erased < limit:
                page = await dated(
                    self._connection, calendar, before_ms, min(PAGE, limit - erased)
                )
                if not page:
                    break
                erased += await self._prune(
                    [int(user) for user, _ in page], before_ms, limit - erased
                )
        return erased

    async def _prune(self, users: Sequence[int], before_ms: int, limit: int) -> int:
        share = limit // len(users)
        counts = await self._connection.run(
            *(
                PRUNE_TOUCHES(self._keys.touches(user), before_ms, share, self._expiry.index_ms)
                for user in users
            )
        )
        await self._tidying.tidy(users)
        return sum(counts)

    async def _histories(self, telegram_ids: Iterable[int]) -> list[list[Session]]:
        users = [*telegram_ids]
        answers = await self._connection.run(
            *(Command(("HGETALL", self._keys.touches(user)[0])) for user in users)
        )
        return [touches_of(*told) for told in zip(users, answers, strict=True)]

    async def _users(self, session_ids: Sequence[str], start: int) -> list[list[int]]:
        """Return a few users who have, or had, touches of each session id."""
        answers = await self._connection.run(
            *(
                INDEXED([self._keys.users(session_id)], start, start + _FEW - 1)
                for session_id in session_ids
            )
        )
        return [[int(user) for user, _ in members_of(answer)] for answer in answers]

    async def _named_by(self, telegram_ids: Collection[int]) -> dict[int, set[str]]:
        """Return the session ids that the touches of users name."""
        users = [*telegram_ids]
        answers = await self._connection.run(
            *(Command(("HKEYS", self._keys.touches(user)[0])) for user in users)
        )
        named: dict[int, set[str]] = defaultdict(set)
        for user, fields in zip(users, answers, strict=True):
            named[user] = sessions_in(fields)
        return named
