"""The part of a tracker that takes payments back."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from gp_aiogram.errors import EventError, short_repr
from gp_aiogram.model.event import REFUND, Event
from gp_aiogram.stores.records import Delivery
from gp_aiogram.tracker.recording import Events, order_of

logger = logging.getLogger("gp_aiogram")

_REFUNDED = "refunded before it was sent"


class Refunds(Events):
    """Cancels what is refunded before it was sent, and tells of what was."""

    async def refund(
        self,
        once: str | int,
        *,
        telegram_id: int,
        bot_id: int | None = None,
        value: object = None,
        currency: str | None = None,
        user_data: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        event_id: str | None = None,
        event_time: datetime | None = None,
        to: str | Collection[str] | None = None,
    ) -> Event | None:
        """Take back what was recorded under an order's id.

        What still waits for delivery is not sent. Destinations that know refunds and may have got
        the payment get a ``Refund``; of the others the log tells that it stays counted there.

        :param once: the order's id that the payment was recorded with.
        :param value: what was given back; None means all of the payment, if it is still known.
        :return: the ``Refund``; None when nothing is recorded, as with :meth:`track`.
        :raises EventError: when no event can be built from this.
        :raises StoreError: when the store failed; report the refund again.
        """
        order = order_of(once)
        if order is None:
            msg = f"refund() needs the order's id that the payment had, not {short_repr(once)}"
            raise EventError(msg)
        named = self._named(to)
        refund = await self._completed(
            REFUND,
            telegram_id=telegram_id,
            bot_id=bot_id,
            session_id=session_id,
            event_time=event_time,
            value=value,
            currency=currency,
            user_data=user_data,
            event_id=event_id,
        )
        payments = await self._outbox.cancel(order, _REFUNDED)
        if refund is None:
            return None
        key = f"key:{REFUND}:{order}"
        if await self._outbox.known_keys([key]):
            self.counts["duplicates"] += 1
            return None
        refund = _of_payment(refund, payments, keep_session=session_id is not None)
        # What could not be cancelled was taken, or may have been.
        told = {payment.destination for payment in payments if payment.state != "skipped"}
        wanting = self._all_that_want(refund) if named is None else named
        for name in sorted(told - {*wanting}):
            self.counts["unrefunded"] += 1
            logger.warning("%s gets no refund: order %s stays counted there", name, order)
        # Of an order that nobody knows any more, all may have been told.
        getting = [name for name in wanting if name in told] if payments else wanting
        kept = await self._keep(refund, getting, [key])
        return await self._remembered(kept, session_id)


def _of_payment(refund: Event, payments: Collection[Delivery], *, keep_session: bool) -> Event:
    """Credit a refund to the payment's own session; without a value it gives back all of it.

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
