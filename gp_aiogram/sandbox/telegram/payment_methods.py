"""The methods of the Bot API by which one bot sells: invoices, checkouts, refunds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from gp_aiogram.sandbox.telegram import params as read
from gp_aiogram.sandbox.telegram.invoices import Invoice, pay_keyboard
from gp_aiogram.sandbox.telegram.message_methods import MessageMethods
from gp_aiogram.sandbox.telegram.params import Params
from gp_aiogram.sandbox.telegram.payments import PaymentDesk, Verdict
from gp_aiogram.sandbox.telegram.shared import Method, Shared
from gp_aiogram.sandbox.telegram.updates import ApiError


class PaymentMethods:
    """The sales of one bot.

    :param bot_id: the bot.
    :param shared: what it shares with other bots.
    :param messages: its messages, some of which are invoices.
    """

    def __init__(self, bot_id: int, shared: Shared, messages: MessageMethods) -> None:
        self.desk = PaymentDesk(bot_id)
        self._bot_id = bot_id
        self._shared = shared
        self._messages = messages

    @property
    def methods(self) -> Mapping[str, Method]:
        """The methods by name."""
        return {
            "sendInvoice": self._send_invoice,
            "createInvoiceLink": self._create_invoice_link,
            "answerPreCheckoutQuery": self._answer_pre_checkout_query,
            "refundStarPayment": self._refund_star_payment,
            "editUserStarSubscription": self._edit_user_star_subscription,
        }

    async def _send_invoice(self, params: Params) -> Any:
        chat = self._shared.writable_chat(self._bot_id, params)
        if params.get("subscription_period") is not None:
            raise ApiError(400, "Bad Request: SUBSCRIPTION_EXPORT_MISSING")
        invoice = Invoice.from_params(params)
        keyboard = pay_keyboard(params)
        message = self._messages.written(chat, invoice=invoice.raw, **keyboard)
        self.desk.in_messages[chat["id"], message["message_id"]] = invoice
        return self._messages.show(message)

    async def _create_invoice_link(self, params: Params) -> Any:
        return self.desk.link(Invoice.from_params(params))

    async def _answer_pre_checkout_query(self, params: Params) -> Any:
        verdict = Verdict(bool(params.get("ok")), str(params.get("error_message", "")))
        if not verdict.ok and not verdict.error_message:
            raise ApiError(400, 'Bad Request: parameter "error_message" is required')
        self.desk.decide(str(params.get("pre_checkout_query_id")), verdict)
        return True

    async def _refund_star_payment(self, params: Params) -> Any:
        user_id = read.user_id(params)
        charge = self.desk.find(user_id, str(params.get("telegram_payment_charge_id")))
        if charge.refunded:
            raise ApiError(400, "Bad Request: CHARGE_ALREADY_REFUNDED")
        charge.refunded = True
        told = ("currency", "total_amount", "invoice_payload")
        ids = ("telegram_payment_charge_id", "provider_payment_charge_id")
        user = self._shared.users[user_id]
        message = {
            "message_id": next(self._messages.message_ids),
            "from": user.profile,
            "chat": user.chat,
            "date": int(time.time()),
            "refunded_payment": {key: charge.raw[key] for key in (*told, *ids)},
        }
        await self._shared.push({"message": message}, self._bot_id)
        return True

    async def _edit_user_star_subscription(self, params: Params) -> Any:
        charge_id = str(params.get("telegram_payment_charge_id"))
        charge = self.desk.find(read.user_id(params), charge_id)
        if charge.subscription is None:
            raise ApiError(400, "Bad Request: CHARGE_NOT_FOUND")
        charge.subscription.canceled_by = "bot" if params.get("is_canceled") else None
        return True
