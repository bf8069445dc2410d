"""The part of a tracker that records events."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from gp_aiogram.errors import EventError, short_repr
from gp_aiogram.model.event import FIRST_DEPOSIT, Event, is_text, new_event, validate_user_data
from gp_aiogram.model.money import is_stars
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.records import Acceptance, Known
from gp_aiogram.tracker.base import TrackerBase
from gp_aiogram.tracker.before_send import reviewed

logger = logging.getLogger("gp_aiogram")

#: Where an event whose value was in Telegram Stars keeps how many there were.
STARS_KEY = "telegram_stars"


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
        order: str | int | None = None,
        to: str | Collection[str] | None = None,
    ) -> Event | None:
        """Record an event; returns when it is in the store and will be delivered.

        :param name: ``FTD``, ``DEP``, ``REG``, ``Subscribe``, ``JoinRequest``, ``Purchase``,
            ``INSTALL``, ``TRIAL``, or any name of your own.
        :param bot_id: None means whichever bot of this store knows the user.
        :param value: units of the currency, not minor units; FTD, DEP and Purchase need one.
        :param currency: ISO 4217 code, or ``XTR`` for Telegram Stars, which are converted; USD
            when a value comes without one.
        :param user_data: JSON values. An e-mail address or phone number in it never gets into the
            store: under a key such as ``email`` or ``phone`` it becomes a hashed trait of the
            event, anywhere else it is left out.
        :param session_id: None means the session that counts by the attribution policy.
        :param event_id: a second event with the same id is not recorded; drawn when None.
        :param event_time: with time zone; now when None.
        :param once: ``"user"`` lets one event of this name through per user (and bot); any other
            text or number lets one event of this name through for it, e.g. an order's id.
        :param order: what :meth:`refund` finds the event by, where that is not ``once``.
        :param to: names of destinations; None means all that want such an event.
        :return: None when nothing is recorded: ``once`` or ``event_id`` says that it was before,
            the user opted out, or ``before_send`` dropped it.
        :raises EventError: when no event can be built from this; nothing was recorded.
        :raises StoreError: when the store failed; nothing was recorded.
        """
        named = self._named(to)
        event = self._built(
            name,
            telegram_id=telegram_id,
            session_id=session_id,
            event_time=event_time,
            value=value,
            currency=currency,
            user_data=user_data,
            event_id=event_id,
        )
        key = order_of(once)
        if once == "user" and await self._had_deposited(telegram_id, name):
            self.counts["duplicates"] += 1
            return None
        paid_by = key if order is None else order_of(order)
        store = self._enrichment.whole
        if store is not None and session_id is None and self._before_send is None:
            # What fails is done again step by step: an event can do without some of the steps.
            with suppress(Exception):
                return await self._keep_at_once(
                    store,
                    event,
                    bot_id=bot_id,
                    event_time=event_time,
                    named=named,
                    once=once,
                    order=paid_by,
                )
        completed = await self._enriched(event, bot_id, session_id, event_time)
        if completed is None:
            return None
        kept = await self._keep(completed, named, _once_keys(once, completed), paid_by)
        return await self._remembered(kept, session_id)

    async def _had_deposited(self, telegram_id: int, name: str) -> bool:
        """Tell whether this is an FTD of a user who was imported as one who has deposited."""
        if name != FIRST_DEPOSIT:
            return False
        return bool(await self._outbox.known_keys([user_key(None, telegram_id, name)]))

    async def _keep_at_once(
        self,
        store: Store,
        event: Event,
        *,
        bot_id: int | None,
        event_time: datetime | None,
        named: list[str] | None,
        once: object,
        order: str | None,
    ) -> Event | None:
        """Complete an event and store it in one step: its user cannot opt out in between."""
        await self._enrichment.arrivals.arrived(event.telegram_id)
        if bot_id is None:
            bot_id = await self._enrichment.bot_of(event.telegram_id)

        def decide(known: Known) -> Acceptance | None:
            completed = self._enrichment.completed(event, known, bot_id)
            if completed is None:
                return None
            destinations = self._all_that_want(completed) if named is None else named
            return Acceptance(completed, destinations, _once_keys(once, completed), order)

        which = self._enrichment.which(event, event_time)
        decision, kept = await store.accept_knowing(decide, event.telegram_id, bot_id, **which)
        if decision is None:
            self.counts["opted_out"] += 1
            return None
        if not kept:
            self.counts["duplicates"] += 1
            return None
        self._tracked(decision.destinations)
        return decision.event

    async def _completed(
        self,
        name: str,
        *,
        telegram_id: int,
        bot_id: int | None,
        session_id: str | None,
        event_time: datetime | None,
        **facts: Any,
    ) -> Event | None:
        """Build an event, and complete it with what is known of its user.

        :param facts: of :func:`~gp_aiogram.model.event.new_event`.
        :return: None when the user has opted out.
        """
        event = self._built(
            name,
            telegram_id=telegram_id,
            session_id=session_id,
            event_time=event_time,
            **facts,
        )
        return await self._enriched(event, bot_id, session_id, event_time)

    def _built(
        self,
        name: str,
        *,
        telegram_id: int,
        session_id: str | None,
        event_time: datetime | None,
        **facts: Any,
    ) -> Event:
        return new_event(
            name,
            telegram_id=telegram_id,
            session_id=session_id,
            event_time=event_time or self._enrichment.now(),
            **self._without_stars(facts),
        )

    async def _enriched(
        self,
        event: Event,
        bot_id: int | None,
        session_id: str | None,
        event_time: datetime | None,
    ) -> Event | None:
        completed = await self._enrichment.complete(
            event,
            bot_id=bot_id,
            session_id=session_id,
            event_time=event_time,
        )
        if completed is None:
            self.counts["opted_out"] += 1
        return completed

    def _without_stars(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Turn Telegram Stars into money; how many there were stays in ``user_data``."""
        if self.stars is None or not is_stars(facts["currency"]) or facts["value"] is None:
            return facts
        worth = self.stars.worth(facts["value"])
        stars = self.stars.count(facts["value"])
        user_data = {STARS_KEY: stars, **validate_user_data(facts["user_data"])}
        return {
            **facts,
            "value": worth,
            "currency": self.stars.currency,
            "user_data": user_data,
        }

    async def _keep(
        self,
        event: Event,
        named: list[str] | None,
        once: Collection[str],
        order: str | None = None,
    ) -> Event | None:
        """Have an event reviewed and stored; None when it was recorded before, or is dropped.

        :param named: destinations; None means all that want it.
        """
        kept = await self._reviewed(event)
        if kept is None or await self._accepted(kept, named, once, order):
            return kept
        self.counts["duplicates"] += 1
        return None

    async def _remembered(self, kept: Event | None, session_id: str | None) -> Event | None:
        """Have later events know the session that a caller has named for an event."""
        if kept is not None and session_id is not None:
            await self._enrichment.remember(kept)
        return kept

    async def _reviewed(self, event: Event) -> Event | None:
        kept = await reviewed(event, self._before_send)
        if kept is None:
            self.counts["dropped"] += 1
        return kept

    async def _accepted(
        self,
        event: Event,
        named: list[str] | None,
        once: Collection[str],
        order: str | None,
    ) -> bool:
        destinations = self._all_that_want(event) if named is None else named
        accepted = await self._outbox.accept(event, destinations, once=once, order=order)
        if accepted:
            self._tracked(destinations)
        return accepted

    def _tracked(self, destinations: Collection[str]) -> None:
        self.counts["tracked"] += 1
        self._deliver_soon(destinations)

    def _named(self, to: str | Collection[str] | None) -> list[str] | None:
        if to is None:
            return None
        known = self._courier.lanes
        named = [to] if isinstance(to, str) else list(to)
        if unknown := [name for name in named if name not in known]:
            msg = (
                f"to= names no destination: {short_repr(unknown[0])}; there are {', '.join(known)}"
            )
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


def user_key(bot_id: int | None, telegram_id: int, name: str) -> str:
    """Return the once-key that lets one event of a name through for a user of a bot.

    :param bot_id: None means of no bot that is known; with FTD, of any bot.
    """
    return f"user:{bot_id or 0}:{telegram_id}:{name}"


def _once_keys(once: object, event: Event) -> list[str]:
    if once is None:
        return []
    return [
        user_key(event.bot_id, event.telegram_id, event.name)
        if once == "user"
        else f"key:{event.name}:{once}"
    ]


def order_of(once: object) -> str | None:
    """Return what ``once=`` names an order by; None when it names none.

    :raises EventError: when it is neither ``"user"`` nor a key.
    """
    if once is None or once == "user":
        return None
    if isinstance(once, bool) or not (isinstance(once, int) or is_text(once)) or once == "":
        msg = f"once must be 'user' or a key such as an order's id, not {short_repr(once)}"
        raise EventError(msg)
    return str(once)
