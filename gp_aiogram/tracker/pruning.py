"""Erases what is kept no longer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from gp_aiogram.model.retention import Retention
from gp_aiogram.stores.contract import Outbox, ProfileStore, SessionStore

logger = logging.getLogger("gp_aiogram.retention")

#: Rows erased in one transaction: few enough that nobody waits for it.
_CHUNK = 500

#: Seconds from the start to the first round, and from round to round.
_FIRST_ROUND, _ROUNDS = 60.0, 3600.0


async def prune(
    retention: Retention,
    sessions: SessionStore,
    profiles: ProfileStore,
    outbox: Outbox,
    now: datetime,
) -> int:
    """Erase what is too old, and return how much was.

    :raises StoreError: when the store failed.
    """
    oldest_touch = now - retention.sessions
    oldest_event, oldest_letter = now - retention.events, now - retention.dead_letters
    return (
        await _all(lambda: sessions.prune_sessions(oldest_touch, _CHUNK))
        + await _all(lambda: profiles.prune_clicks(oldest_touch, _CHUNK))
        + await _all(lambda: outbox.prune_events(oldest_event, oldest_letter, _CHUNK))
    )


async def keep_pruning(prune: Callable[[], Awaitable[int]]) -> None:
    """Prune now and then, for ever; what fails is tried again the next time."""
    await asyncio.sleep(_FIRST_ROUND)
    while True:
        try:
            if erased := await prune():
                logger.info("erased %d rows that were kept long enough", erased)
        except Exception:
            logger.exception("what is kept too long could not be erased, trying again later")
        await asyncio.sleep(_ROUNDS)


async def _all(prune: Callable[[], Awaitable[int]]) -> int:
    """Prune chunk by chunk, so that others get their turn in between."""
    total = 0
    while erased := await prune():
        total += erased
    return total
