"""How long what is stored is kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from gp_aiogram.attribution import LONGEST_WINDOW
from gp_aiogram.errors import ConfigurationError, shown
from gp_aiogram.stores.base import Outbox, ProfileStore, SessionStore

logger = logging.getLogger("gp_aiogram.retention")

#: Rows erased in one transaction: few enough that nobody waits for it.
_CHUNK = 500

#: Seconds from the start to the first round, and from round to round.
_FIRST_ROUND, _ROUNDS = 60.0, 3600.0


@dataclass(frozen=True)
class Retention:
    """How long what is stored is kept; once-keys are kept for ever, as digests that name nobody.

    :param sessions: touches of users, and clicks with their invite links, by their own time; a
        tracker keeps them for its attribution window at least.
    :param events: events that every destination has settled, by the time of their acceptance.
    :param dead_letters: events of which a delivery was given up, likewise.
    :raises ConfigurationError: when one of them is no positive timedelta of at most 36500 days.
    """

    sessions: timedelta = timedelta(days=90)
    events: timedelta = timedelta(days=30)
    dead_letters: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        for field in fields(self):
            age: object = getattr(self, field.name)
            if not isinstance(age, timedelta) or not timedelta(0) < age <= LONGEST_WINDOW:
                msg = (
                    f"Retention({field.name}=...) must be a positive timedelta of at most "
                    f"{LONGEST_WINDOW.days} days, not {shown(age)}"
                )
                raise ConfigurationError(msg)

    async def prune(
        self,
        sessions: SessionStore,
        profiles: ProfileStore,
        outbox: Outbox,
        now: datetime,
    ) -> int:
        """Erase what is too old, and return how much was.

        :raises StoreError: when the store failed.
        """
        oldest_touch = now - self.sessions
        oldest_event, oldest_letter = now - self.events, now - self.dead_letters
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
