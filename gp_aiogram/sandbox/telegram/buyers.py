"""People who pay bots: they pay invoices, and their subscriptions renew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gp_aiogram.sandbox.telegram.invoices import Invoice
from gp_aiogram.sandbox.telegram.payments import SandboxPayment, subscription_of
from gp_aiogram.sandbox.telegram.people import Person
from gp_aiogram.sandbox.telegram.updates import RefusedError


class Buyer(Person):
    """Someone who pays bots."""

    async def pay(
        self,
        invoice: str | None = None,
        *,
        order_info: dict[str, Any] | None = None,
        bot_id: int | None = None,
        expect_reply: bool = True,
    ) -> SandboxPayment:
        """Pay an invoice: the bot is asked, and told when the payment went through.

        :param invoice: the title of an invoice the bot has sent, or a link that createInvoiceLink
            made; by default the newest invoice.
        :param order_info: fields of ``OrderInfo`` to give, when the bot asks for them.
        :param bot_id: the bot.
        :param expect_reply: whether to wait for the bot's reply to the payment.
        :raises LookupError: there is no such invoice; the text lists those there are.
        :raises RefusedError: the bot does not go ahead; the text is its ``error_message``.
        :raises TimeoutError: the bot did not answer the pre-checkout query in time, or did not
            reply to the payment.
        """
        bot_id = self._bot(bot_id)
        found = self._find_invoice(invoice, bot_id)
        info = {**self._order_info(found), **(order_info or {})}
        info = {key: value for key, value in info.items() if key in found.order_info}
        await self._check_out(found, info, bot_id)
        raw = self._wire.payments(bot_id).charge(found, self.id, info)
        return await self._paid(SandboxPayment(bot_id, raw), expect_reply=expect_reply)

    async def renew(self, payment: SandboxPayment, *, expect_reply: bool = True) -> SandboxPayment:
        """Let the next period of a subscription begin: Telegram takes the Stars by itself.

        :param payment: any payment of the subscription.
        :param expect_reply: whether to wait for the bot's reply to the payment.
        :raises RefusedError: the subscription was canceled.
        :raises ValueError: it is a single payment.
        :raises TimeoutError: the bot did not reply.
        """
        raw = self._wire.payments(payment.bot_id).renew(payment.charge_id)
        return await self._paid(SandboxPayment(payment.bot_id, raw), expect_reply=expect_reply)

    async def cancel_subscription(self, payment: SandboxPayment) -> None:
        """Let a subscription end with its current period.

        :param payment: any payment of the subscription.
        :raises ValueError: it is a single payment.
        """
        await self._set_subscription(payment, "user", "canceled")

    async def resume_subscription(self, payment: SandboxPayment) -> None:
        """Let a subscription go on that the user had canceled.

        :param payment: any payment of the subscription.
        :raises RefusedError: the bot has canceled it.
        :raises ValueError: it is a single payment.
        """
        await self._set_subscription(payment, None, "active")

    async def _set_subscription(
        self, payment: SandboxPayment, canceled_by: str | None, state: str
    ) -> None:
        charge = self._wire.payments(payment.bot_id).charges[payment.charge_id]
        subscription = subscription_of(charge)
        if subscription.canceled_by == "bot":
            msg = "SUBSCRIPTION_NOT_ACTIVE"
            raise RefusedError(msg)
        subscription.canceled_by = canceled_by
        payload = subscription.invoice.payload
        changed = {"user": self.profile, "invoice_payload": payload, "state": state}
        await self._wire.push({"subscription": changed}, payment.bot_id)

    async def _check_out(self, invoice: Invoice, info: dict[str, Any], bot_id: int) -> None:
        desk, wire = self._wire.payments(bot_id), self._wire
        query_id = desk.open()
        query: dict[str, Any] = {
            "id": query_id,
            "from": self.profile,
            "currency": invoice.currency,
            "total_amount": invoice.total_amount,
            "invoice_payload": invoice.payload,
        }
        if info:
            query["order_info"] = info
        update = await wire.push({"pre_checkout_query": query}, bot_id)
        await wire.bell.until(lambda: desk.verdict(query_id), wire.checkout_timeout)
        verdict = desk.close(query_id)
        if verdict is None:
            msg = (
                f"bot {bot_id} did not answer the pre-checkout query within "
                f"{wire.checkout_timeout:g} s: {wire.story(bot_id, update['update_id'])}"
            )
            raise TimeoutError(msg)
        if not verdict.ok:
            raise RefusedError(verdict.error_message)

    async def _paid(self, payment: SandboxPayment, *, expect_reply: bool) -> SandboxPayment:
        message = self._says(payment.bot_id, successful_payment=payment.raw)
        reply = await self._act({"message": message}, payment.bot_id, expect_reply=expect_reply)
        return replace(payment, reply=reply)

    def _find_invoice(self, invoice: str | None, bot_id: int) -> Invoice:
        desk = self._wire.payments(bot_id)
        if invoice is not None and invoice in desk.links:
            return desk.links[invoice]
        sent = [found for (chat_id, _), found in desk.in_messages.items() if chat_id == self.id]
        for found in reversed(sent):
            if invoice in (None, found.title):
                return found
        titles = ", ".join(repr(found.title) for found in reversed(sent))
        wanted = "no invoice" if invoice is None else f"no invoice {invoice!r}"
        msg = f"user {self.id} has {wanted} from bot {bot_id}; newest first there are: "
        raise LookupError(msg + (titles or "none"))

    def _order_info(self, invoice: Invoice) -> dict[str, Any]:
        known = {
            "name": self.profile["first_name"],
            "phone_number": "442079460123",
            "email": f"user{self.id}@example.org",
            "shipping_address": {
                "country_code": "GB",
                "state": "",
                "city": "London",
                "street_line1": "12 St James's Square",
                "street_line2": "",
                "post_code": "SW1Y 4JH",
            },
        }
        return {key: known[key] for key in invoice.order_info}
