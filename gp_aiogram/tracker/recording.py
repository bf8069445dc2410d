"""Records events that were checked: complete, review, accept."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection
from contextlib import AbstractContextManager
from copy import copy
from typing import Literal, NamedTuple

from gp_aiogram.delivery.courier import Courier
from gp_aiogram.delivery.stats import TrackerCount
from gp_aiogram.destinations.base import Destination
from gp_aiogram.errors import EventError
from gp_aiogram.model.event import Event
from gp_aiogram.stores.contract import Outbox, Store
from gp_aiogram.stores.keys import OnceKey, opt_out_key, request_keys
from gp_aiogram.stores.records import AcceptResult, Entry
from gp_aiogram.telemetry.telemetry import Telemetry
from gp_aiogram.tracker.before_send import Review
from gp_aiogram.tracker.enrichment import Enriched, Enrichment
from gp_aiogram.tracker.once_keys import Guards, guards, keys_against
from gp_aiogram.tracker.request import Draft

logger = logging.getLogger("gp_aiogram")


#: What became of an event: the last one says that its idempotency key was another request's.
RecordResult = Literal["stored", "duplicate", "opted_out", "dropped", "conflict"]


class Recorded(NamedTuple):
    """What became of a request.

    :param event: as it was stored, or as far as it got.
    """

    event: Event
    result: RecordResult


class Recording:
    """The steps that every event goes through, and the plain way through them.

    :param enrichment: completes drafts.
    :param review: the owner's last word on an event, if they want one.
    :param coins: codes that are none of ISO 4217, and that some destination converts.
    :param outbox: stores what is accepted.
    :param courier: knows the destinations.
    :param counts: what happened is counted here.
    :param telemetry: observes what happens.
    :param delivers: whether this process is meant to deliver.
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
        telemetry: Telemetry,
        delivers: bool,
    ) -> None:
        self._enrichment = enrichment
        self._review = review
        self._coins = coins
        self._outbox = outbox
        self._courier = courier
        self._counts = counts
        self._telemetry = telemetry
        self._warned = not delivers
        self._is_callers = False

    def within(self, store: Store) -> Recording:
        """Return the same steps for a store that works in a transaction of the caller's.

        What it stores is only recorded when the caller commits, so that is what it tells.
        """
        other = copy(self)
        other._enrichment = self._enrichment.within(store)  # noqa: SLF001 - of this class
        other._outbox = store.outbox  # noqa: SLF001
        other._is_callers = True  # noqa: SLF001
        return other

    async def record(self, draft: Draft) -> Event | None:
        """Record an event.

        :return: None when it was recorded before, dropped, or its user has opted out.
        :raises EventError: when ``before_send`` makes no event of it; nothing was recorded.
        :raises StoreError: when the store failed; nothing was recorded.
        """
        event, result = await self.tell(draft)
        return event if result == "stored" else None

    async def tell(self, draft: Draft) -> Recorded:
        """Record an event, and tell what became of it; raises as :meth:`record` does."""
        with self.observed(draft):
            return await self._tell(draft)

    def observed(self, draft: Draft) -> AbstractContextManager[None]:
        """Surround the recording of a draft, for telemetry."""
        return self._telemetry.recording(draft.event)

    async def _tell(self, draft: Draft) -> Recorded:
        if not draft.names_bot:
            draft = await self.with_bot(draft)
        enriched = await self.enrich(draft, keys_against(draft))
        if enriched is None:
            return Recorded(draft.event, "opted_out")
        if enriched.keys:
            self._counts["duplicates"] += 1
            return Recorded(enriched.event, "duplicate")
        event = enriched.event if self._review is None else await self.review(enriched.event)
        if event is None:
            return Recorded(enriched.event, "dropped")
        result = await self.accept(event, draft, guards(draft, enriched.event))
        if self.is_stored(result):
            return Recorded(event, "stored")
        if result == "blocked":
            return Recorded(event, "opted_out")
        return Recorded(event, "conflict" if await self._is_another(draft) else "duplicate")

    async def _is_another(self, draft: Draft) -> bool:
        """Return whether a request's idempotency key stands for another request."""
        if draft.idempotency is None:
            return False
        request, content = request_keys(*draft.idempotency)
        known = await self._outbox.known_keys([request, content])
        return request in known and content not in known

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
            destinations = self.receivers_of(event, draft)
        self._check_currency(event, destinations)
        once, unless, marks = admitted
        opt_out = opt_out_key(event.telegram_id)
        entry = Entry(event, destinations, once, draft.order, (opt_out, *unless), marks)
        began = time.perf_counter()
        result = await self._outbox.accept(entry)
        self._telemetry.accepted(event, result, time.perf_counter() - began)
        if result == "blocked" and unless and not await self._outbox.known_keys([opt_out]):
            return "duplicate"
        if result == "stored":
            self._announce(event, destinations)
            self._warn_if_nothing_delivers()
            if draft.event.session_id is not None and draft.keeps_touch:
                await self._enrichment.remember(event)
        return result

    def _announce(self, event: Event, destinations: Collection[str]) -> None:
        """Count and log what was stored, or will be if the caller commits."""
        self._counts["in_transactions" if self._is_callers else "tracked"] += 1
        logger.info(
            "%s %s%s of user %d, session %s, for %s",
            "recorded when the caller's transaction commits:" if self._is_callers else "recorded",
            event.name,
            "" if event.value is None else f" {event.value} {event.currency}",
            event.telegram_id,
            event.session_id or "none",
            ", ".join(destinations) or "nobody",
        )

    def _check_currency(self, event: Event, destinations: Collection[str]) -> None:
        """Refuse a coin such as USDT where a receiver has no rate for it."""
        if event.currency not in self._coins:
            return
        for name in destinations:
            destination = self.destination(name)
            if event.currency in destination.convertible_currencies:
                continue
            msg = f"{name} has no rate for {event.currency}: give it one, or leave it out with to="
            raise EventError(msg)

    def is_stored(self, result: AcceptResult) -> bool:
        """Return whether an event was stored, and count why it was not."""
        if result == "duplicate":
            self._counts["duplicates"] += 1
        elif result == "blocked":
            self._counts["opted_out"] += 1
        return result == "stored"

    def receivers_of(self, event: Event, draft: Draft) -> Collection[str]:
        """Return the names in the draft, else those of the destinations that accept the event."""
        return self.receivers(event) if draft.to is None else draft.to

    def destination(self, name: str) -> Destination:
        """Return the destination with this name."""
        return self._courier.lanes[name].destination

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
