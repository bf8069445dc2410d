"""What one bot has sold: its invoices, the checkouts under way and the payments."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from gp_aiogram.sandbox.telegram.invoices import Invoice
from gp_aiogram.sandbox.telegram.messages import SandboxMessage
from gp_aiogram.sandbox.telegram.updates import ApiError, RefusedError


@dataclass(frozen=True)
class SandboxPayment:
    """A payment that went through.

    :param bot_id: the bot that was paid.
    :param raw: the ``SuccessfulPayment`` of the Bot API.
    :param reply: the first message the bot sent after it; ``None`` when it was not waited for.
    """

    bot_id: int
    raw: dict[str, Any]
    reply: SandboxMessage | None = None

    @property
    def charge_id(self) -> str:
        """The ``telegram_payment_charge_id``."""
        return str(self.raw["telegram_payment_charge_id"])


@dataclass(frozen=True)
class Verdict:
    """A bot's answer to a pre-checkout query.

    :param ok: whether it goes ahead.
    :param error_message: why not, for the user to read.
    """

    ok: bool
    error_message: str = ""


@dataclass
class Subscription:
    """A subscription in Telegram Stars.

    :param invoice: what is paid again and again.
    :param until: unix seconds up to which it is paid.
    :param canceled_by: who has ended its extension, ``"user"`` or ``"bot"``, if anybody has.
    """

    invoice: Invoice
    until: int
    canceled_by: str | None = None


@dataclass
class Charge:
    """The record of one payment.

    :param user_id: who paid.
    :param raw: the ``SuccessfulPayment`` of the Bot API.
    :param subscription: what it is a payment of, if it is one.
    :param refunded: whether the money went back.
    """

    user_id: int
    raw: dict[str, Any]
    subscription: Subscription | None = None
    refunded: bool = False


@dataclass
class PaymentDesk:
    """The sales of one bot.

    :param bot_id: the bot.
    :param links: invoices by their link.
    :param in_messages: invoices by chat and message.
    :param charges: payments by ``telegram_payment_charge_id``.
    """

    bot_id: int
    links: dict[str, Invoice] = field(default_factory=dict)
    in_messages: dict[tuple[int, int], Invoice] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)
    _verdicts: dict[str, Verdict | None] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def link(self, invoice: Invoice) -> str:
        """Make a link to an invoice.

        :param invoice: what the link asks to pay.
        """
        link = f"https://t.me/${secrets.token_urlsafe(12)}"
        self.links[link] = invoice
        return link

    def open(self) -> str:
        """The id of a new pre-checkout query, which the bot may answer once."""
        query_id = f"{self.bot_id}{next(self._numbers):08d}"
        self._verdicts[query_id] = None
        return query_id

    def close(self, query_id: str) -> Verdict | None:
        """End a checkout: an answer that comes later is too late.

        :param query_id: the pre-checkout query.
        :return: the bot's answer, if it has come.
        """
        return self._verdicts.pop(query_id)

    def verdict(self, query_id: str) -> Verdict | None:
        """The bot's answer to a checkout under way, if it has come.

        :param query_id: the pre-checkout query.
        """
        return self._verdicts[query_id]

    def decide(self, query_id: str, verdict: Verdict) -> None:
        """Take the bot's answer to a checkout.

        :param query_id: the pre-checkout query.
        :param verdict: the answer.
        :raises ApiError: there is no such checkout, or it is answered or over.
        """
        if self._verdicts.get(query_id, verdict) is not None:
            msg = (
                "Bad Request: query is too old and response timeout expired or query ID is invalid"
            )
            raise ApiError(400, msg)
        self._verdicts[query_id] = verdict

    def charge(self, invoice: Invoice, user_id: int, order_info: dict[str, Any]) -> dict[str, Any]:
        """Take the money for an invoice.

        :param invoice: the invoice.
        :param user_id: who pays.
        :param order_info: the ``OrderInfo``, empty when the bot asks for none.
        :return: the ``SuccessfulPayment``.
        """
        if invoice.subscription_period is None:
            return self._record(invoice, user_id, {"order_info": order_info} if order_info else {})
        subscription = Subscription(invoice, int(time.time()) + invoice.subscription_period)
        first = {
            "subscription_expiration_date": subscription.until,
            "is_recurring": True,  # on the first payment too, as TDLib does
            "is_first_recurring": True,
        }
        return self._record(invoice, user_id, first, subscription)

    def renew(self, charge_id: str) -> dict[str, Any]:
        """Take the money for the next period of a subscription.

        :param charge_id: any payment of the subscription.
        :return: the ``SuccessfulPayment``.
        :raises RefusedError: the subscription was canceled.
        """
        charge = self.charges[charge_id]
        subscription = subscription_of(charge)
        if subscription.canceled_by is not None:
            msg = "SUBSCRIPTION_NOT_ACTIVE"
            raise RefusedError(msg)
        subscription.until += subscription.invoice.subscription_period or 0
        more = {"subscription_expiration_date": subscription.until, "is_recurring": True}
        return self._record(subscription.invoice, charge.user_id, more, subscription)

    def find(self, user_id: int, charge_id: str) -> Charge:
        """A payment in Telegram Stars.

        :param user_id: who paid.
        :param charge_id: the ``telegram_payment_charge_id``.
        :raises ApiError: there is no such payment.
        """
        charge = self.charges.get(charge_id)
        if charge is None or charge.user_id != user_id or charge.raw["currency"] != "XTR":
            raise ApiError(400, "Bad Request: CHARGE_NOT_FOUND")
        return charge

    def _record(
        self,
        invoice: Invoice,
        user_id: int,
        more: dict[str, Any],
        subscription: Subscription | None = None,
    ) -> dict[str, Any]:
        number = next(self._numbers)
        # Charge ids of payments in Stars run past 128 characters.
        charge_id = f"stx{secrets.token_hex(66)}" if invoice.is_in_stars else secrets.token_hex(18)
        raw = {
            "currency": invoice.currency,
            "total_amount": invoice.total_amount,
            "invoice_payload": invoice.payload,
            **more,
            "telegram_payment_charge_id": charge_id,
            "provider_payment_charge_id": f"{user_id}_{number}",
        }
        self.charges[charge_id] = Charge(user_id, raw, subscription)
        return raw


def subscription_of(charge: Charge) -> Subscription:
    """The subscription that a payment belongs to.

    :param charge: the payment.
    :raises ValueError: it is a single payment.
    """
    if charge.subscription is None:
        msg = "this is a single payment, not one of a subscription"
        raise ValueError(msg)
    return charge.subscription
