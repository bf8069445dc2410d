"""What a bot sells: its invoices, the checkouts in progress, the payments and subscriptions."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from gp_aiogram.sandbox.telegram import params as read
from gp_aiogram.sandbox.telegram.errors import QUERY_TOO_OLD, ApiError, RefusedError
from gp_aiogram.sandbox.telegram.messages import SandboxMessage
from gp_aiogram.sandbox.telegram.params import Params

STARS = "XTR"
MONTH = 2_592_000  # seconds; Telegram allows no other subscription period

_CURRENCY = re.compile(r"[A-Z]{3}")
_MAX_TITLE, _MAX_DESCRIPTION, _MAX_PAYLOAD, _MAX_SUBSCRIPTION_PRICE = 32, 255, 128, 10_000
_ORDER_INFO = {
    "need_name": "name",
    "need_phone_number": "phone_number",
    "need_email": "email",
    "need_shipping_address": "shipping_address",
}


@dataclass(frozen=True)
class Invoice:
    """One invoice.

    :param title: the product name.
    :param description: the product description.
    :param payload: the bot's own data, which the user does not see.
    :param currency: ISO 4217, or ``XTR`` for Telegram Stars.
    :param total_amount: the price in the smallest units of the currency.
    :param start_parameter: the deep link parameter for forwarded copies.
    :param subscription_period: seconds until the next payment; ``None`` for a single payment.
    :param order_info: the fields of ``OrderInfo`` that the bot asks for.
    """

    title: str
    description: str
    payload: str
    currency: str
    total_amount: int
    start_parameter: str = ""
    subscription_period: int | None = None
    order_info: tuple[str, ...] = ()

    @classmethod
    def from_params(cls, params: Params) -> Invoice:
        """Read the parameters that sendInvoice and createInvoiceLink share.

        The error names are those of core.telegram.org/method/payments.exportInvoice and
        messages.sendMedia, which document none for texts that are too long.

        :param params: the parameters.
        :raises ApiError: Telegram refuses such an invoice.
        """
        invoice = cls(
            title=read.required(params, "title", _MAX_TITLE),
            description=read.required(params, "description", _MAX_DESCRIPTION),
            payload=str(params.get("payload", "")),
            currency=str(params.get("currency", "")),
            total_amount=_total(params.get("prices")),
            start_parameter=str(params.get("start_parameter", "")),
            subscription_period=params.get("subscription_period"),
            order_info=tuple(info for need, info in _ORDER_INFO.items() if params.get(need)),
        )
        if not 1 <= len(invoice.payload.encode()) <= _MAX_PAYLOAD:
            raise ApiError(400, "Bad Request: INVOICE_PAYLOAD_INVALID")
        if not _CURRENCY.fullmatch(invoice.currency):
            raise ApiError(400, "Bad Request: CURRENCY_INVALID")
        if invoice.total_amount <= 0:
            raise ApiError(400, "Bad Request: CURRENCY_TOTAL_AMOUNT_INVALID")
        if invoice.is_in_stars:
            if params.get("provider_token") or len(params["prices"]) != 1:
                raise ApiError(400, "Bad Request: STARS_INVOICE_INVALID")
        elif not params.get("provider_token"):
            raise ApiError(400, "Bad Request: PAYMENT_PROVIDER_INVALID")
        if invoice.subscription_period is not None:
            invoice._check_subscription()
        return invoice

    @property
    def is_in_stars(self) -> bool:
        """Whether it is paid in Telegram Stars."""
        return self.currency == STARS

    @property
    def raw(self) -> dict[str, Any]:
        """The ``Invoice`` of the Bot API."""
        return {
            "title": self.title,
            "description": self.description,
            "start_parameter": self.start_parameter,
            "currency": self.currency,
            "total_amount": self.total_amount,
        }

    def _check_subscription(self) -> None:
        if not self.is_in_stars or self.subscription_period != MONTH:
            raise ApiError(400, "Bad Request: SUBSCRIPTION_PERIOD_INVALID")
        if self.total_amount > _MAX_SUBSCRIPTION_PRICE:
            raise ApiError(400, "Bad Request: CURRENCY_TOTAL_AMOUNT_INVALID")


@dataclass(frozen=True)
class SandboxPayment:
    """A completed payment.

    :param bot_id: the bot that was paid.
    :param raw: the ``SuccessfulPayment`` of the Bot API.
    :param reply: the bot's first message after it; ``None`` when no reply was expected.
    """

    bot_id: int
    raw: dict[str, Any]
    reply: SandboxMessage | None = None

    @property
    def charge_id(self) -> str:
        """The ``telegram_payment_charge_id``."""
        return str(self.raw["telegram_payment_charge_id"])


@dataclass(frozen=True)
class CheckoutAnswer:
    """A bot's answer to a pre-checkout query.

    :param ok: whether the payment may go ahead.
    :param error_message: why not, for the user to read.
    """

    ok: bool
    error_message: str = ""


@dataclass
class Subscription:
    """A subscription in Telegram Stars.

    :param invoice: what is paid every period.
    :param until: unix seconds up to which it is paid.
    :param canceled_by: who canceled its renewal, ``"user"`` or ``"bot"``; ``None`` if nobody did.
    """

    invoice: Invoice
    until: int
    canceled_by: str | None = None


@dataclass
class Charge:
    """The record of one payment.

    :param user_id: who paid.
    :param raw: the ``SuccessfulPayment`` of the Bot API.
    :param subscription: the subscription it is a payment for, if any.
    :param refunded: whether the money was refunded.
    """

    user_id: int
    raw: dict[str, Any]
    subscription: Subscription | None = None
    refunded: bool = False


@dataclass
class Sales:
    """The sales of one bot.

    :param bot_id: the bot.
    :param clock: returns unix seconds.
    :param links: invoices by their link.
    :param in_messages: invoices by chat and message id.
    :param charges: payments by ``telegram_payment_charge_id``.
    """

    bot_id: int
    clock: Callable[[], float]
    links: dict[str, Invoice] = field(default_factory=dict)
    in_messages: dict[tuple[int, int], Invoice] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)
    _checkouts: dict[str, CheckoutAnswer | None] = field(default_factory=dict, init=False)
    _numbers: count[int] = field(default_factory=lambda: count(1), init=False)

    def create_link(self, invoice: Invoice) -> str:
        """Create a link to an invoice.

        :param invoice: the invoice.
        """
        link = f"https://t.me/${secrets.token_urlsafe(12)}"
        self.links[link] = invoice
        return link

    def invoice(self, user_id: int, title_or_link: str | None) -> Invoice:
        """Find an invoice that a user can pay.

        :param user_id: the user.
        :param title_or_link: its title or link; ``None`` for the newest one sent to the user.
        :raises LookupError: there is no such invoice; the text lists those that were sent.
        """
        if title_or_link is not None and title_or_link in self.links:
            return self.links[title_or_link]
        sent = [found for (chat_id, _), found in self.in_messages.items() if chat_id == user_id]
        for found in reversed(sent):
            if title_or_link in (None, found.title):
                return found
        titles = ", ".join(repr(found.title) for found in reversed(sent)) or "none"
        wanted = "no invoice" if title_or_link is None else f"no invoice {title_or_link!r}"
        msg = (
            f"user {user_id} has {wanted} from bot {self.bot_id}; newest first there are: {titles}"
        )
        raise LookupError(msg)

    def open_checkout(self) -> str:
        """Start a checkout; return the id of its pre-checkout query."""
        query_id = f"{self.bot_id}{next(self._numbers):08d}"
        self._checkouts[query_id] = None
        return query_id

    def checkout_answer(self, query_id: str) -> CheckoutAnswer | None:
        """Tell the bot's answer to an open checkout; ``None`` while there is none.

        :param query_id: the pre-checkout query.
        """
        return self._checkouts[query_id]

    def answer_checkout(self, query_id: str, answer: CheckoutAnswer) -> None:
        """Record the bot's answer to a checkout.

        :param query_id: the pre-checkout query.
        :param answer: the answer.
        :raises ApiError: there is no such checkout, or it is answered or closed.
        """
        if self._checkouts.get(query_id, answer) is not None:
            raise ApiError(400, QUERY_TOO_OLD)
        self._checkouts[query_id] = answer

    def close_checkout(self, query_id: str) -> CheckoutAnswer | None:
        """End a checkout: the bot can no longer answer it.

        :param query_id: the pre-checkout query.
        :return: the bot's answer; ``None`` if it did not answer in time.
        """
        return self._checkouts.pop(query_id)

    def charge(self, invoice: Invoice, user_id: int, order_info: dict[str, Any]) -> dict[str, Any]:
        """Record the payment of an invoice.

        :param invoice: the invoice.
        :param user_id: who pays.
        :param order_info: the ``OrderInfo``; empty when the bot asks for none.
        :return: the ``SuccessfulPayment``.
        """
        if invoice.subscription_period is None:
            return self._record(invoice, user_id, {"order_info": order_info} if order_info else {})
        subscription = Subscription(invoice, int(self.clock()) + invoice.subscription_period)
        first = {
            "subscription_expiration_date": subscription.until,
            "is_recurring": True,  # on the first payment too, as TDLib does
            "is_first_recurring": True,
        }
        return self._record(invoice, user_id, first, subscription)

    def renew(self, charge_id: str) -> dict[str, Any]:
        """Record the payment of a subscription's next period.

        :param charge_id: any payment of the subscription.
        :return: the ``SuccessfulPayment``.
        :raises RefusedError: the subscription was canceled.
        :raises ValueError: it is a single payment.
        """
        subscription = self.subscription(charge_id)
        if subscription.canceled_by is not None:
            msg = "SUBSCRIPTION_NOT_ACTIVE"
            raise RefusedError(msg)
        subscription.until += subscription.invoice.subscription_period or 0
        more = {"subscription_expiration_date": subscription.until, "is_recurring": True}
        user_id = self.charges[charge_id].user_id
        return self._record(subscription.invoice, user_id, more, subscription)

    def subscription(self, charge_id: str) -> Subscription:
        """Find the subscription that a payment belongs to.

        :param charge_id: the payment.
        :raises ValueError: it is a single payment.
        """
        subscription = self.charges[charge_id].subscription
        if subscription is None:
            msg = "this is a single payment, not one of a subscription"
            raise ValueError(msg)
        return subscription

    def star_charge(self, user_id: int, charge_id: str) -> Charge:
        """Find a payment in Telegram Stars.

        :param user_id: who paid.
        :param charge_id: the ``telegram_payment_charge_id``.
        :raises ApiError: there is no such payment.
        """
        charge = self.charges.get(charge_id)
        if charge is None or charge.user_id != user_id or charge.raw["currency"] != STARS:
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
        # The charge ids of payments in Stars are longer than 128 characters.
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


def _total(prices: Any) -> int:
    if not isinstance(prices, list):
        raise ApiError(400, "Bad Request: can't parse prices JSON object")
    try:
        return sum(int(price["amount"]) for price in prices if price["label"])
    except (KeyError, TypeError, ValueError):
        raise ApiError(400, "Bad Request: can't parse labeled price") from None
