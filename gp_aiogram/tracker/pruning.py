"""Erases what is kept no longer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from gp_aiogram.model.retention import Retention
from gp_aiogram.stores.contract import Outbox, Store
from gp_aiogram.stores.records import Delivery, DeliveryFilter, State
from gp_aiogram.tracker.pages import PAGE, every_page

logger = logging.getLogger("gp_aiogram.retention")

#: Seconds from the start to the first round, and from round to round.
_FIRST_ROUND, _ROUNDS = 60.0, 3600.0

_SETTLED: frozenset[State] = frozenset({"delivered", "skipped"})
_ENDED: frozenset[State] = _SETTLED | {"dead"}


async def prune(store: Store, retention: Retention, now: datetime) -> int:
    """Erase what is too old, and return how many touches, clicks and events that were.

    :raises StoreError: when the store failed.
    """
    oldest_touch = now - retention.sessions
    oldest_event, oldest_letter = now - retention.events, now - retention.dead_letters
    sessions, profiles, outbox = store.sessions, store.profiles, store.outbox
    settled = DeliveryFilter(accepted_before=oldest_event, states=_SETTLED)
    erased = await every_page(lambda limit: sessions.prune(oldest_touch, limit))
    erased += await every_page(lambda limit: profiles.prune(oldest_touch, limit))
    erased += await every_page(lambda limit: outbox.erase(settled, limit=limit))
    return erased + await _prune_dead_letters(outbox, oldest_letter)


async def _prune_dead_letters(outbox: Outbox, oldest: datetime) -> int:
    """Erase old events of which a delivery is dead and none is pending."""
    dead = DeliveryFilter(accepted_before=oldest, states=frozenset({"dead"}))
    erased = 0
    last: Delivery | None = None
    while page := await outbox.select(dead, limit=PAGE, after=last):
        event_ids = {delivery.event.event_id for delivery in page}
        ended = (
            DeliveryFilter(event_id=event_id, accepted_before=oldest, states=_ENDED)
            for event_id in event_ids
        )
        # At the same time, so that they share a transaction.
        erased += sum(
            await asyncio.gather(*(outbox.erase(event, limit=PAGE) for event in ended)),
        )
        last = page[-1]
    return erased


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
