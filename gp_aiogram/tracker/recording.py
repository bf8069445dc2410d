"""Records events that were checked: complete, review, accept."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection

from gp_aiogram.delivery.courier import Courier
from gp_aiogram.delivery.stats import TrackerCount
from gp_aiogram.destinations.base import Destination
from gp_aiogram.errors import EventError
from gp_aiogram.model.event import Event
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.keys import OnceKey, opt_out_key
from gp_aiogram.stores.records import AcceptResult, Entry
from gp_aiogram.tracker.before_send import Review
from gp_aiogram.tracker.enrichment import Enriched, Enrichment
from gp_aiogram.tracker.once_keys import Guards, guards, keys_against
from gp_aiogram.tracker.request import Draft

logger = logging.getLogger("gp_aiogram")


class Recording:
    """The steps that every event goes through, and the plain way through them.

    :param enrichment: completes drafts.
    :param review: the owner's last word on an event, if they want one.
    :param coins: codes that are none of ISO 4217, and that some destination converts.
    :param outbox: stores what is accepted.
    :param courier: delivers it.
    :param counts: what happened is counted here.
    """

    def __init__(
        self,
        *,
        enrichment: Enrichment,
        review: Review | None,
        coins: Collection[str],
        outbox: Outbox,
        courier: Courier,
        counts: Counter[TrackerCount],
    ) -> None:
        self._enrichment = enrichment
        self._review = review
        self._coins = coins
        self._outbox = outbox
        self._courier = courier
        self._counts = counts
        self._warned = False

    async def record(self, draft: Draft) -> Event | None:
        """Record an event.

        :return: None when it was recorded before, dropped, or its user has opted out.
        :raises EventError: when ``before_send`` makes no event of it; nothing was recorded.
        :raises StoreError: when the store failed; nothing was recorded.
        """
        if not draft.names_bot:
            draft = await self.with_bot(draft)
        enriched = await self.enrich(draft, keys_against(draft))
        if enriched is None:
            return None
        if enriched.keys:
            self._counts["duplicates"] += 1
            return None
        event = enriched.event if self._review is None else await self.review(enriched.event)
        if event is None:
            return None
        result = await self.accept(event, draft, guards(draft, enriched.event))
        return event if self.is_stored(result) else None

    async def with_bot(self, draft: Draft) -> Draft:
        """Find the bot that knows the user, if the caller named none.

        :raises StoreError: when the store failed.
        """
        return await self._enrichment.with_bot(draft)

    async def enrich(self, draft: Draft, keys: Collection[OnceKey] = ()) -> Enriched | None:
        """Complete a draft with what is known of its user.

        :param keys: once-keys to look up on the way.
        :return: None when the user has opted out.
        :raises StoreError: when the store failed.
        """
        enriched = await self._enrichment.enrich(draft, keys)
        if enriched is None:
            self._counts["opted_out"] += 1
        return enriched

    async def review(self, event: Event) -> Event | None:
        """Let ``before_send`` change an event; None when it drops it.

        :raises EventError: when it fails, or returns what is no event.
        """
        if self._review is None:
            return event
        reviewed = await self._review.apply(event)
        if reviewed is None:
            self._counts["dropped"] += 1
        return reviewed

    async def accept(
        self,
        event: Event,
        draft: Draft,
        admitted: Guards,
        destinations: Collection[str] | None = None,
    ) -> AcceptResult:
        """Store an event for delivery.

        :param admitted: by which once-keys.
        :param destinations: instead of those that the draft names, or that accept the event.
        :raises StoreError: when the store failed; nothing was recorded.
        """
        if destinations is None:
            destinations = self.receivers(event) if draft.to is None else draft.to
        self._check_currency(event, destinations)
        once, unless, marks = admitted
        opt_out = opt_out_key(event.telegram_id)
        entry = Entry(event, destinations, once, draft.order, (opt_out, *unless), marks)
        result = await self._outbox.accept(entry)
        if result == "blocked" and unless and not await self._outbox.known_keys([opt_out]):
            return "duplicate"
        if result == "stored":
            self._counts["tracked"] += 1
            logger.info(
                "recorded %s%s of user %d, session %s, for %s",
                event.name,
                "" if event.value is None else f" {event.value} {event.currency}",
                event.telegram_id,
                event.session_id or "none",
                ", ".join(destinations) or "nobody",
            )
            self._warn_if_nothing_delivers()
            if draft.event.session_id is not None:
                await self._enrichment.remember(event)
        return result

    def _check_currency(self, event: Event, destinations: Collection[str]) -> None:
        """Refuse a coin such as USDT where a receiver has no rate for it."""
        if event.currency not in self._coins:
            return
        for name in destinations:
            destination = self._courier.lanes[name].destination
            if event.currency in destination.convertible_currencies:
                continue
            msg = f"{name} has no rate for {event.currency}: give it one, or leave it out with to="
            raise EventError(msg)

    def is_stored(self, result: AcceptResult) -> bool:
        """Tell whether an event was stored, and count why it was not."""
        if result == "duplicate":
            self._counts["duplicates"] += 1
        elif result == "blocked":
            self._counts["opted_out"] += 1
        return result == "stored"

    def receivers(self, event: Event) -> list[str]:
        """Return the names of the destinations that accept an event."""
        lanes = self._courier.lanes.items()
        return [name for name, lane in lanes if _accepts(lane.destination, event)]

    def _warn_if_nothing_delivers(self) -> None:
        if not self._courier.running and not self._warned:
            self._warned = True
            logger.warning("events are stored but not delivered: start the tracker")


def _accepts(destination: Destination, event: Event) -> bool:
    """Ask a destination; one that fails to answer gets the event, so that nothing is lost."""
    try:
        return destination.accepts(event)
    except Exception:
        logger.exception("%s: accepts() failed, so it gets %s", destination.name, event.name)
        return True
