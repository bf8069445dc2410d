"""Reads Telegram's payment updates: how much, in which currency, for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aiogram.types import (
    Message,
    OrderInfo,
    PreCheckoutQuery,
    RefundedPayment,
    SuccessfulPayment,
)

from gp_aiogram.errors import EventError, short_repr
from gp_aiogram.model.money import from_minor_units
from gp_aiogram.model.user_data import validate_user_data
from gp_aiogram.tracker.arguments import EventArguments

#: Fields of a payment that ``user_data`` keeps where they are set (Bot API,
#: ``SuccessfulPayment``).
_KEPT = (
    "invoice_payload",
    "telegram_payment_charge_id",
    "provider_payment_charge_id",
    "shipping_option_id",
    "subscription_expiration_date",
    "is_recurring",
    "is_first_recurring",
)


@dataclass(frozen=True)
class Payment:
    """A payment, a refund, or a checkout that may become a payment.

    :param value: units of the currency, not minor units; for Telegram Stars, their number.
    :param currency: ISO 4217 code, or ``XTR`` for Telegram Stars.
    :param payload: what the bot put into the invoice; users never see it.
    :param charge_id: Telegram's id of the payment, the same in its refund; None before payment.
    :param is_renewal: an automatic later payment of a subscription.
    :param user_data: what an event stores about the payment.
    """

    value: Decimal
    currency: str
    payload: str
    charge_id: str | None = None
    is_renewal: bool = False
    user_data: Mapping[str, Any] = field(default_factory=dict)
    order_info: OrderInfo | None = None


def payment_of(event: object) -> Payment | None:
    """Return the payment of an update; None when it is not about a payment.

    :param event: a message with ``successful_payment`` or ``refunded_payment``, or a pre-checkout
        query.
    :raises EventError: when the currency is unknown.
    """
    if isinstance(event, PreCheckoutQuery):
        return _read(event)
    if isinstance(event, Message):
        payment = event.successful_payment or event.refunded_payment
        return None if payment is None else _read(payment)
    return None


def is_refund(event: object) -> bool:
    """Return whether this is a message about a refund."""
    return isinstance(event, Message) and event.refunded_payment is not None


def with_payment_defaults(arguments: EventArguments, payment: Payment) -> EventArguments:
    """Return arguments in which the payment stands in for what is not given.

    :raises EventError: when they name another currency than the payment's, and no value.
    """
    completed: EventArguments = {"currency": payment.currency, **arguments}
    if "value" not in completed:
        currency = completed["currency"]
        if str(currency).strip().upper() != payment.currency:
            msg = f"the payment is in {payment.currency}, not in {short_repr(currency)}"
            raise EventError(msg)
        completed["value"] = payment.value
    if payment.charge_id is not None:
        completed.setdefault("once", payment.charge_id)
    given = validate_user_data(arguments.get("user_data"))
    completed["user_data"] = {**payment.user_data, **given}
    return completed


def _read(payment: SuccessfulPayment | RefundedPayment | PreCheckoutQuery) -> Payment:
    value, currency = from_minor_units(payment.total_amount, payment.currency)
    fields = {name: getattr(payment, name, None) for name in _KEPT}
    charge_id = fields["telegram_payment_charge_id"]
    # ``order_id`` is the platforms' own name for it: they compare orders by it.
    user_data = {"order_id": charge_id, **fields}
    return Payment(
        value=value,
        currency=currency,
        payload=payment.invoice_payload,
        charge_id=charge_id,
        is_renewal=bool(fields["is_recurring"]) and not fields["is_first_recurring"],
        user_data={name: field for name, field in user_data.items() if field not in (None, "")},
        order_info=getattr(payment, "order_info", None),
    )
