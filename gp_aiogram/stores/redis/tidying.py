"""Removes users from the indexes of sessions whose touches they no longer have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gp_aiogram.model.clock import to_ms
from gp_aiogram.model.session import Session
from gp_aiogram.stores.redis.connection import RedisConnection
from gp_aiogram.stores.redis.rows import touches_of, unpacked
from gp_aiogram.stores.redis.schema import Keys
from gp_aiogram.stores.redis.scripts import REDATE, UNINDEX, Command


class Tidying:
    """Brings indexes and calendars up to date after touches were erased.

    Which sessions are to be seen to is stored with each user, so that whoever tidies again after a
    crash knows it.
    """

    def __init__(self, connection: RedisConnection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def tidy(self, telegram_ids: Sequence[int]) -> None:
        """Remove users from where they are no longer found."""
        run, keys = self._connection.run, self._keys
        dropped = dict(
            zip(
                telegram_ids,
                await run(
                    *(Command(("SMEMBERS", keys.touches(user)[1])) for user in telegram_ids)
                ),
                strict=True,
            )
        )
        gone = [(user, unpacked(name)) for user, names in dropped.items() for name in names]
        # Before the touches are looked at: whoever adds one later changes stamp and moment.
        stamps = await run(
            *(Command(("ZSCORE", keys.users(session_id), user)) for user, session_id in gone)
        )
        moments = await run(
            *(Command(("ZSCORE", keys.touch_calendar(user), user)) for user in telegram_ids)
        )
        left = await self._histories(telegram_ids)
        named = {user: {touch.session_id for touch in touches} for user, touches in left.items()}
        unindex = [
            UNINDEX([keys.users(session_id)], user, _whole(stamp))
            for (user, session_id), stamp in zip(gone, stamps, strict=True)
            if stamp is not None and session_id not in named[user]
        ]
        # In this order: while a user is in the calendar, what a crash leaves is seen to.
        await run(*unindex)
        await run(*_forget_dropped(keys, dropped))
        redate = [
            REDATE([keys.touch_calendar(user)], user, _whole(moment), _oldest(left[user]))
            for user, moment in zip(telegram_ids, moments, strict=True)
            if moment is not None
        ]
        await run(*redate)

    async def _histories(self, telegram_ids: Sequence[int]) -> dict[int, list[Session]]:
        answers = await self._connection.run(
            *(Command(("HGETALL", self._keys.touches(user)[0])) for user in telegram_ids)
        )
        return {
            user: touches_of(user, answer)
            for user, answer in zip(telegram_ids, answers, strict=True)
        }


def _forget_dropped(keys: Keys, dropped: Mapping[int, Any]) -> list[Command]:
    return [
        Command(("SREM", keys.touches(user)[1], *names))
        for user, names in dropped.items()
        if names
    ]


def _oldest(touches: Sequence[Session]) -> int | str:
    return to_ms(touches[0].at) if touches else ""


def _whole(score: Any) -> int:
    return int(float(score))
