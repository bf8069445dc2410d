"""Takes payments back: cancels what was not delivered, tells of what may have been."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from gp_aiogram.delivery.stats import TrackerCount
from gp_aiogram.model.event import Event
from gp_aiogram.stores.contract import Outbox, Store
from gp_aiogram.stores.records import Change, Delivery, DeliveryFilter
from gp_aiogram.tracker.once_keys import refund_guards
from gp_aiogram.tracker.recording import Recording
from gp_aiogram.tracker.request import Draft

logger = logging.getLogger("gp_aiogram")

#: Reason of a delivery that a refund has cancelled.
REFUNDED = "refunded before it was sent"

#: Deliveries of one order: more than any tracker has.
_ALL = 1000


class Refunds:
    """Records refunds.

    :param recording: takes events through their steps.
    :param outbox: knows the payment's deliveries.
    :param counts: destinations that keep counting a payment are counted here.
    """

    def __init__(
        self,
        recording: Recording,
        outbox: Outbox,
        counts: Counter[TrackerCount],
    ) -> None:
        self._recording = recording
        self._outbox = outbox
        self._counts = counts

    def within(self, recording: Recording, store: Store) -> Refunds:
        """Return the same for a store that works in a transaction of the caller's.

        :param recording: for that store.
        """
        return Refunds(recording, store.outbox, self._counts)

    async def record(self, draft: Draft) -> Event | None:
        """Record a refund.

        :param draft: its ``once`` is the order's id.
        :raises EventError: when ``before_send`` makes no event of it.
        :raises StoreError: when the store failed; report the refund again.
        """
        with self._recording.observed(draft):
            return await self._record(draft)

    async def _record(self, draft: Draft) -> Event | None:
        recording = self._recording
        draft = await recording.with_bot(draft)
        admitted = refund_guards(draft, draft.event)
        enriched = await recording.enrich(draft, [*admitted.once, *admitted.unless])
        payments = await self._cancel(draft)
        if enriched is None:
            return None
        if enriched.keys:
            self._counts["duplicates"] += 1
            return None
        named = draft.event.session_id is not None
        refund = _of_payment(enriched.event, payments, keep_session=named)
        receivers = self._receivers(draft, refund, payments)
        reviewed = await recording.review(refund)
        if reviewed is None:
            return None
        # Its own order is the payment's: a refund is not found by it.
        unlinked = draft._replace(order=None)
        result = await recording.accept(reviewed, unlinked, admitted, receivers)
        return reviewed if recording.is_stored(result) else None

    async def _cancel(self, draft: Draft) -> list[Delivery]:
        """Cancel the payment's deliveries that nobody has got.

        :return: all deliveries of the payment, as they are now.
        """
        payment = DeliveryFilter(
            order=draft.order,
            telegram_id=draft.event.telegram_id,
            bot_id=draft.event.bot_id if draft.names_bot else None,
        )
        undelivered = replace(
            payment,
            states=frozenset({"pending", "dead"}),
            maybe_delivered=False,
            unclaimed=True,
        )
        await self._outbox.transition(undelivered, Change("skipped", REFUNDED), limit=_ALL)
        return await self._outbox.select(payment, limit=_ALL)

    def _receivers(
        self,
        draft: Draft,
        refund: Event,
        payments: Collection[Delivery],
    ) -> list[str]:
        """Return who must hear of a refund: whoever has got the payment, or may have."""
        accepting = [*draft.to] if draft.to is not None else self._recording.receivers(refund)
        if not payments:
            # Nobody remembers the order, so every destination may have got it.
            return accepting
        told = {payment.destination for payment in payments if payment.state != "skipped"}
        for name in sorted(told.difference(accepting)):
            self._counts["unrefunded"] += 1
            logger.warning("%s gets no refund: order %s stays counted there", name, draft.order)
        return [name for name in accepting if name in told]


def _of_payment(refund: Event, payments: Collection[Delivery], *, keep_session: bool) -> Event:
    """Credit a refund to the payment's own session; without a value it returns all of it.

    :param keep_session: the caller has named one.
    """
    for payment in (delivery.event for delivery in payments):
        if payment.value is not None:
            amount = (payment.value, payment.currency)
            value, currency = amount if refund.value is None else (refund.value, refund.currency)
            credited = refund if keep_session else payment
            return replace(
                refund,
                session_id=credited.session_id,
                click=credited.click,
                value=value,
                currency=currency,
            )
    return refund
