"""Finds the users that a session id, or an id of a click, stands for."""

from __future__ import annotations

import logging

from gp_aiogram.model.session import Session
from gp_aiogram.stores.contract import Store

logger = logging.getLogger("gp_aiogram")

#: Touches of one link that are looked at, and sessions of one click id.
_MOST = 100


class UserSearch:
    """Goes from clicks to users, where everything else goes from users to clicks.

    :param store: knows touches by session id, and sessions by the ids of their clicks.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def users(self, session_id: str, limit: int = _MOST) -> list[Session]:
        """Return for each user and bot the latest touch of a session, the latest first.

        :param limit: so many touches of the session are looked at.
        :raises StoreError: when the store failed.
        """
        touches = await self._store.sessions.touches_of(session_id, limit)
        latest: dict[tuple[int | None, int], Session] = {}
        for touch in touches:
            latest.setdefault((touch.bot_id, touch.telegram_id), touch)
        return list(latest.values())

    async def latest(self, click_id: str) -> Session | None:
        """Return the latest touch that a click id stands for.

        It is a session id, or any id of a session's click. Of several users that share it, one is
        meant and nobody can tell which: the one who came last counts, and the log says so.

        :raises StoreError: when the store failed.
        """
        found = await self.users(click_id)
        if not found:
            for session_id in await self._store.profiles.sessions_of(click_id, _MOST):
                found += await self.users(session_id)
        if not found:
            return None
        users = {touch.telegram_id for touch in found}
        if len(users) > 1:
            logger.warning(
                "%d users came by the click of a postback, session %s: the last of them counts",
                len(users),
                found[0].session_id,
            )
        return max(found, key=lambda touch: touch.at)
