"""The part of a tracker that records events."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from gp_aiogram.errors import EventError, shown
from gp_aiogram.event import Event, is_text, new_event
from gp_aiogram.tracker.base import TrackerBase

logger = logging.getLogger("gp_aiogram")


class Events(TrackerBase):
    """Checks events, completes them and keeps them until they are delivered."""

    _warned = False

    async def track(
        self,
        name: str,
        *,
        telegram_id: int,
        bot_id: int | None = None,
        value: object = None,
        currency: str | None = None,
        user_data: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        event_id: str | None = None,
        event_time: datetime | None = None,
        once: str | int | None = None,
        to: str | Collection[str] | None = None,
    ) -> Event | None:
        """Record an event; returns when it is in the store and will be delivered.

        :param name: ``FTD``, ``DEP``, ``REG``, ``Subscribe``, ``JoinRequest``, ``Purchase``,
            ``INSTALL``, ``TRIAL``, or any name of your own.
        :param bot_id: None means whichever bot of this store knows the user.
        :param value: units of the currency, not minor units; FTD, DEP and Purchase need one.
        :param currency: ISO 4217 code; USD when a value comes without one.
        :param user_data: JSON values. An e-mail address or phone number in it never gets into the
            store: under a key such as ``email`` or ``phone`` it becomes a hashed trait of the
            event, anywhere else it is left out.
        :param session_id: None means the session that counts by the attribution policy.
        :param event_id: a second event with the same id is not recorded; drawn when None.
        :param event_time: with time zone; now when None.
        :param once: ``"user"`` lets one event of this name through per user (and bot); any other
            text or number lets one event of this name through for it, e.g. an order's id.
        :param to: names of destinations; None means all that want such an event.
        :return: None when ``once`` or ``event_id`` says that it was recorded before.
        :raises EventError: when no event can be built from this; nothing was recorded.
        :raises StoreError: when the store failed; nothing was recorded.
        """
        named = self._named(to)
        now = self._enrichment.now()
        event = new_event(
            name,
            telegram_id=telegram_id,
            event_time=event_time or now,
            event_id=event_id,
            session_id=session_id,
            value=value,
            currency=currency,
            user_data=user_data,
        )
        event = await self._enrichment.complete(
            event,
            bot_id=bot_id,
            session_id=session_id,
            event_time=event_time,
        )
        destinations = self._all_that_want(event) if named is None else named
        accepted = await self._outbox.accept(event, destinations, once=_once_keys(once, event))
        if not accepted:
            self.counts["duplicates"] += 1
            return None
        self.counts["tracked"] += 1
        self._deliver_soon(destinations)
        return event

    def _named(self, to: str | Collection[str] | None) -> list[str] | None:
        if to is None:
            return None
        known = self._courier.lanes
        named = [to] if isinstance(to, str) else list(to)
        if unknown := [name for name in named if name not in known]:
            msg = f"to= names no destination: {shown(unknown[0])}; there are {', '.join(known)}"
            raise EventError(msg)
        return named

    def _all_that_want(self, event: Event) -> list[str]:
        lanes = self._courier.lanes.items()
        return [name for name, lane in lanes if lane.destination.wants(event)]

    def _deliver_soon(self, destinations: Collection[str]) -> None:
        if self._courier.running:
            self._courier.wake(destinations)
        elif not self._warned:
            self._warned = True
            logger.warning("events are stored but wait: start the tracker to have them delivered")


def _once_keys(once: object, event: Event) -> list[str]:
    if once is None:
        return []
    if once == "user":
        return [f"user:{event.bot_id or 0}:{event.telegram_id}:{event.name}"]
    if isinstance(once, bool) or not (isinstance(once, int) or is_text(once)) or once == "":
        msg = f"once must be 'user' or a key such as an order's id, not {shown(once)}"
        raise EventError(msg)
    return [f"key:{event.name}:{once}"]
