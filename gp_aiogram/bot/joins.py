"""What an arrival in a chat is worth, and which destinations have counted it already.

A person who must be approved arrives twice: as a ``JoinRequest`` and as a ``Subscribe``. To ad
platforms both are one ``Lead``, so they get the first of the two; others get both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from datetime import datetime, timezone
from decimal import Decimal
from typing import TypeVar

from aiogram.types import ChatJoinRequest, ChatMemberUpdated

from gp_aiogram.bot.members import has_joined
from gp_aiogram.bot.platform_names import accepts, platform_name
from gp_aiogram.model.event import Event, new_event
from gp_aiogram.model.money import TELEGRAM_STARS
from gp_aiogram.model.user_data import validate_user_data
from gp_aiogram.stores.keys import OnceKey
from gp_aiogram.tracker.arguments import EventArguments
from gp_aiogram.tracker.user_tracker import UserTracker

logger = logging.getLogger("gp_aiogram.emit")

#: Seconds for the store to compare a request with an arrival: recording waits for it as well.
_PATIENCE = 0.3

REQUEST, ARRIVAL = "JoinRequest", "Subscribe"

T = TypeVar("T")


def with_price_of_join(
    arguments: EventArguments,
    event: object,
    gp: UserTracker,
) -> EventArguments:
    """Return arguments in which the price of a paid invite link stands in for a missing value.

    :param event: what Telegram sent; other things than arrivals by a paid link change nothing.
    """
    if not isinstance(event, ChatMemberUpdated) or gp.tracker.stars is None:
        return arguments
    link = event.invite_link
    price = None if link is None else link.subscription_price
    if link is None or not price or "value" in arguments or not has_joined(event):
        return arguments
    given = validate_user_data(arguments.get("user_data"))
    return {
        **arguments,
        "value": Decimal(price),
        "currency": TELEGRAM_STARS,
        "user_data": {"subscription_period": link.subscription_period, **given},
    }


async def came_by(gp: UserTracker) -> str | None:
    """Return the session of the update's own link, else the one that counts.

    A link that the bot's owner spreads themselves (``Attribution(own=...)``) takes no ad's credit.
    """
    session = gp.touch
    if session is None or gp.tracker.attribution.is_own(session):
        session = await gp.load() or session
    return None if session is None else session.session_id


class OneLead:
    """Keeps a request to join and the arrival after it from counting as two.

    It holds for one person, one chat and one session: who comes again by another ad is another
    lead.

    :param gp: of the person.
    :param event: what Telegram sent.
    :param session_id: what the person came by.
    """

    def __init__(
        self,
        gp: UserTracker,
        event: ChatJoinRequest | ChatMemberUpdated,
        session_id: str | None,
    ) -> None:
        self._gp = gp
        self._session_id = session_id
        self._outbox = gp.tracker.store.outbox
        # The key of the request that ``auto`` records.
        person = f"{event.chat.id}:{gp.telegram_id}:{session_id}"
        self._key = OnceKey("order", person, REQUEST)

    async def remember_request(self) -> None:
        """Make the request known that a decorator has recorded."""
        await _in_time(self._outbox.add_keys([self._key]))

    async def receivers(self) -> list[str] | None:
        """Return the destinations that get the arrival; None when all that accept it do."""
        if not await _in_time(self._outbox.known_keys([self._key])):
            return None
        request, arrival = self._sample(REQUEST), self._sample(ARRIVAL)
        return [
            destination.name
            for destination in self._gp.tracker.destinations
            if accepts(destination, arrival)
            and not (
                accepts(destination, request)
                and platform_name(destination, request) == platform_name(destination, arrival)
            )
        ]

    def _sample(self, name: str) -> Event:
        return new_event(
            name,
            telegram_id=self._gp.telegram_id,
            bot_id=self._gp.bot_id,
            session_id=self._session_id,
            event_time=self._gp.at or datetime.now(timezone.utc),
        )


async def one_lead(gp: UserTracker, name: str | None, event: object) -> OneLead | None:
    """Return what keeps an event from counting twice; None for what is no arrival.

    :param name: of the event to record.
    :param event: what Telegram sent.
    """
    if name == REQUEST and isinstance(event, ChatJoinRequest):
        return OneLead(gp, event, await came_by(gp))
    if name == ARRIVAL and isinstance(event, ChatMemberUpdated) and has_joined(event):
        return OneLead(gp, event, await came_by(gp))
    return None


async def _in_time(asking: Awaitable[T]) -> T | None:
    """Wait for the store as long as an update may; None when it fails, as for what is unknown."""
    try:
        return await asyncio.wait_for(asking, _PATIENCE)
    except Exception:
        logger.warning("a request to join could not be compared with the arrival", exc_info=True)
        return None
