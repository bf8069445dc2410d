"""What Telegram's payment updates say: how much, in which currency, for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aiogram.types import Message, PreCheckoutQuery, RefundedPayment, SuccessfulPayment

from gp_aiogram.errors import EventError, short_repr
from gp_aiogram.model.event import validate_user_data
from gp_aiogram.model.money import from_minor_units

#: What ``user_data`` keeps of a payment, where it is said (Bot API, ``SuccessfulPayment``).
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

    :param value: units of the currency, never smallest units; stars are stars.
    :param currency: ISO 4217 code, or ``XTR`` for Telegram Stars.
    :param payload: what the bot put into the invoice; users never see it.
    :param charge_id: Telegram's id of the payment, which its refund has, too; None before payment.
    :param is_renewal: a later payment of a subscription, which nobody decided to make.
    :param user_data: everything an event keeps of it.
    """

    value: Decimal
    currency: str
    payload: str
    charge_id: str | None = None
    is_renewal: bool = False
    user_data: Mapping[str, Any] = field(default_factory=dict)


def payment_of(event: object) -> Payment | None:
    """Return what a payment update says; None when it is none.

    :param event: a message with ``successful_payment`` or ``refunded_payment``, or a pre-checkout
        query.
    :raises EventError: when Telegram names a currency that nobody knows.
    """
    if isinstance(event, PreCheckoutQuery):
        return _read(event)
    if isinstance(event, Message):
        said = event.successful_payment or event.refunded_payment
        return None if said is None else _read(said)
    return None


def is_refund(event: object) -> bool:
    """Tell whether this is a message about a refund."""
    return isinstance(event, Message) and event.refunded_payment is not None


def completed(arguments: Mapping[str, Any], payment: Payment) -> dict[str, Any]:
    """Return the arguments of ``track()`` with what a payment says where they say nothing.

    :raises EventError: when they name another currency than the payment's and no value.
    """
    known: dict[str, Any] = {"currency": payment.currency, **arguments}
    if "value" not in known:
        if str(known["currency"]).strip().upper() != payment.currency:
            msg = f"the payment is in {payment.currency}, not in {short_repr(known['currency'])}"
            raise EventError(msg)
        known["value"] = payment.value
    if payment.charge_id is not None:
        known.setdefault("once", payment.charge_id)
    known["user_data"] = {**payment.user_data, **validate_user_data(known.get("user_data"))}
    return known


def _read(said: SuccessfulPayment | RefundedPayment | PreCheckoutQuery) -> Payment:
    value, currency = from_minor_units(said.total_amount, said.currency)
    known = {name: getattr(said, name, None) for name in _KEPT}
    charge_id = known["telegram_payment_charge_id"]
    # The platforms' own name for it comes first: they compare orders by it.
    user_data = {"order_id": charge_id, **known}
    return Payment(
        value=value,
        currency=currency,
        payload=said.invoice_payload,
        charge_id=charge_id,
        is_renewal=bool(known["is_recurring"]) and not known["is_first_recurring"],
        user_data={name: part for name, part in user_data.items() if part not in (None, "")},
    )
