"""Invoices as bots make them: what Telegram takes and refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gp_aiogram.sandbox.telegram import params as read
from gp_aiogram.sandbox.telegram.params import Params
from gp_aiogram.sandbox.telegram.updates import ApiError

STARS = "XTR"
MONTH = 2_592_000  # the only period a subscription may have, in seconds

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
    :param payload: what the bot gets back and the user does not see.
    :param currency: ISO 4217, or ``XTR`` for Telegram Stars.
    :param total_amount: the price in the smallest units of the currency.
    :param start_parameter: the deep link's parameter for forwarded copies.
    :param subscription_period: seconds until the next payment; ``None`` for a single payment.
    :param order_info: the fields of ``OrderInfo`` the bot asks for.
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

        The names of errors are those of core.telegram.org/method/payments.exportInvoice and
        messages.sendMedia; for lengths that are out of bounds none is documented.

        :param params: the parameters.
        :raises ApiError: Telegram does not take such an invoice.
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
            invoice._check_stars(params)
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

    def _check_stars(self, params: Params) -> None:
        if params.get("provider_token") or len(params["prices"]) != 1:
            raise ApiError(400, "Bad Request: STARS_INVOICE_INVALID")

    def _check_subscription(self) -> None:
        if not self.is_in_stars or self.subscription_period != MONTH:
            raise ApiError(400, "Bad Request: SUBSCRIPTION_PERIOD_INVALID")
        if self.total_amount > _MAX_SUBSCRIPTION_PRICE:
            raise ApiError(400, "Bad Request: CURRENCY_TOTAL_AMOUNT_INVALID")


def pay_keyboard(params: Params) -> Params:
    """The part of an invoice message that holds its buttons, the first of which pays.

    :param params: the parameters of sendInvoice.
    :raises ApiError: there are buttons and the first does not pay.
    """
    keyboard = read.inline_keyboard(params)
    if not keyboard:
        return {"reply_markup": {"inline_keyboard": [[{"text": "Pay", "pay": True}]]}}
    buttons = [button for row in keyboard["reply_markup"]["inline_keyboard"] for button in row]
    if not any(button.get("pay") for button in buttons):
        raise ApiError(400, "Bad Request: REPLY_MARKUP_BUY_EMPTY")
    if not buttons[0].get("pay") or any(button.get("pay") for button in buttons[1:]):
        raise ApiError(400, "Bad Request: BUTTON_POS_INVALID")
    return keyboard


def _total(prices: Any) -> int:
    if not isinstance(prices, list):
        raise ApiError(400, "Bad Request: can't parse prices JSON object")
    try:
        return sum(int(price["amount"]) for price in prices if price["label"])
    except (KeyError, TypeError, ValueError):
        raise ApiError(400, "Bad Request: can't parse labeled price") from None
