"""The scripted users of the Telegram stand-in, and everything they can do."""

from __future__ import annotations

from typing import Any, Literal, overload

from gp_aiogram.sandbox.telegram.chats import SandboxChat
from gp_aiogram.sandbox.telegram.errors import RefusedError
from gp_aiogram.sandbox.telegram.messages import SandboxMessage, command_entities
from gp_aiogram.sandbox.telegram.payments import Invoice, SandboxPayment
from gp_aiogram.sandbox.telegram.state import BotState, TelegramState, UserState
from gp_aiogram.sandbox.telegram.updates import Update

_MAX_WEB_APP_DATA = 4096

_MEMBER = {"status": "member"}
_KICKED = {"status": "kicked", "until_date": 0}


class SandboxUser:
    """One user with a private chat with every bot; see :meth:`TelegramSandbox.user`.

    ``bot_id`` names the bot that an action concerns, by default the stand-in's own bot.
    :meth:`start`, :meth:`send`, :meth:`click` and :meth:`send_web_app_data` return the first
    message that the bot sends or edits after the action; with ``expect_reply=False`` they return
    at once. If the bot stays silent they raise a :class:`TimeoutError` that tells what has become
    of the update. What Telegram does not let a user do raises a :class:`RefusedError`.

    :param telegram: what the stand-in knows.
    :param state: what it knows about the user.
    :ivar messages: all messages from bots as they look now, oldest first.
    :ivar answers: all answers to pressed buttons, oldest first.
    """

    def __init__(self, telegram: TelegramState, state: UserState) -> None:
        self.messages = state.messages
        self.answers = state.answers
        self._telegram = telegram
        self._state = state

    def __repr__(self) -> str:
        return f"SandboxUser({self.id}, {self.profile['first_name']!r})"

    @property
    def id(self) -> int:
        """The user id, which is also the id of the private chat with every bot."""
        return self._state.id

    @property
    def profile(self) -> dict[str, Any]:
        """The ``User`` of the Bot API."""
        return self._state.profile

    @property
    def chat(self) -> dict[str, Any]:
        """The private chat as the Bot API describes it."""
        return self._state.chat

    # Messages and buttons

    @overload
    async def start(
        self,
        payload: str | None = ...,
        *,
        bot_id: int | None = ...,
        expect_reply: Literal[True] = ...,
    ) -> SandboxMessage: ...
    @overload
    async def start(
        self, payload: str | None = ..., *, bot_id: int | None = ..., expect_reply: Literal[False]
    ) -> None: ...
    async def start(
        self, payload: str | None = None, *, bot_id: int | None = None, expect_reply: bool = True
    ) -> SandboxMessage | None:
        """Follow a link to the bot and press START.

        :param payload: the link's ``start`` parameter, such as ``gp_a1b2c3``.
        :param bot_id: the bot.
        :param expect_reply: whether to wait for the reply and return it.
        :raises TimeoutError: no reply came.
        """
        text = "/start" if payload is None else f"/start {payload}"
        return await self._send_text(text, bot_id, expect_reply=expect_reply)

    @overload
    async def send(
        self, text: str, *, bot_id: int | None = ..., expect_reply: Literal[True] = ...
    ) -> SandboxMessage: ...
    @overload
    async def send(
        self, text: str, *, bot_id: int | None = ..., expect_reply: Literal[False]
    ) -> None: ...
    async def send(
        self, text: str, *, bot_id: int | None = None, expect_reply: bool = True
    ) -> SandboxMessage | None:
        """Send a text message.

        :param text: the text; commands in it are marked as such.
        :param bot_id: the bot.
        :param expect_reply: whether to wait for the reply and return it.
        :raises TimeoutError: no reply came.
        """
        return await self._send_text(text, bot_id, expect_reply=expect_reply)

    @overload
    async def click(
        self, label_or_data: str, *, bot_id: int | None = ..., expect_reply: Literal[True] = ...
    ) -> SandboxMessage: ...
    @overload
    async def click(
        self, label_or_data: str, *, bot_id: int | None = ..., expect_reply: Literal[False]
    ) -> None: ...
    async def click(
        self, label_or_data: str, *, bot_id: int | None = None, expect_reply: bool = True
    ) -> SandboxMessage | None:
        """Press an inline button of the newest message that has it.

        :param label_or_data: the button's text or callback data.
        :param bot_id: the bot.
        :param expect_reply: whether to wait for the reply and return it.
        :raises LookupError: no message of the bot has such a button; the text lists the buttons.
        :raises TimeoutError: no reply came.
        """
        bot = self._telegram.bot(bot_id)
        message, button = self._state.find_button(label_or_data, bot.id)
        query = {
            "id": bot.new_callback_query(self.id),
            "from": self.profile,
            "message": dict(message.raw),
            "chat_instance": f"{bot.id}{self.id}",
            "data": button.callback_data,
        }
        return await self._act({"callback_query": query}, bot, expect_reply=expect_reply)

    @overload
    async def send_web_app_data(
        self,
        data: str,
        button_text: str = ...,
        *,
        bot_id: int | None = ...,
        expect_reply: Literal[True] = ...,
    ) -> SandboxMessage: ...
    @overload
    async def send_web_app_data(
        self,
        data: str,
        button_text: str = ...,
        *,
        bot_id: int | None = ...,
        expect_reply: Literal[False],
    ) -> None: ...
    async def send_web_app_data(
        self,
        data: str,
        button_text: str = "Open",
        *,
        bot_id: int | None = None,
        expect_reply: bool = True,
    ) -> SandboxMessage | None:
        """Have a Mini App that a keyboard button opened send its data and close.

        :param data: what the Mini App passes to ``Telegram.WebApp.sendData``, 1-4096 bytes.
        :param button_text: the text of the keyboard button.
        :param bot_id: the bot.
        :param expect_reply: whether to wait for the reply and return it.
        :raises TimeoutError: no reply came.
        :raises ValueError: the data is empty or too long.
        """
        if not 1 <= len(data.encode()) <= _MAX_WEB_APP_DATA:
            msg = f"a Mini App can send 1-{_MAX_WEB_APP_DATA} bytes"
            raise ValueError(msg)
        content = {"web_app_data": {"button_text": button_text, "data": data}}
        return await self._send(content, bot_id, expect_reply=expect_reply)

    # Payments

    async def pay(
        self,
        invoice: str | None = None,
        *,
        order_info: dict[str, Any] | None = None,
        bot_id: int | None = None,
        expect_reply: bool = True,
    ) -> SandboxPayment:
        """Pay an invoice: the bot answers the pre-checkout query, then gets the payment.

        :param invoice: the title of an invoice that the bot has sent, or a link from
            createInvoiceLink; by default the newest invoice.
        :param order_info: values for the fields of ``OrderInfo`` that the bot asks for; by
            default made-up ones.
        :param bot_id: the bot.
        :param expect_reply: whether to wait for the bot's reply to the payment.
        :raises LookupError: there is no such invoice; the text lists those that were sent.
        :raises RefusedError: the bot declines; the text is its ``error_message``.
        :raises TimeoutError: the bot did not answer the pre-checkout query in time, or did not
            reply to the payment.
        """
        bot = self._telegram.bot(bot_id)
        wanted = bot.sales.invoice(self.id, invoice)
        known = {**self._order_info(), **(order_info or {})}
        info = {name: known[name] for name in wanted.order_info}
        await self._check_out(wanted, info, bot)
        payment = bot.sales.charge(wanted, self.id, info)
        return await self._send_payment(payment, bot, expect_reply=expect_reply)

    async def renew(self, payment: SandboxPayment, *, expect_reply: bool = True) -> SandboxPayment:
        """Have the next period of a subscription begin: Telegram charges the Stars by itself.

        :param payment: any payment of the subscription.
        :param expect_reply: whether to wait for the bot's reply to the payment.
        :raises RefusedError: the subscription was canceled.
        :raises ValueError: it is a single payment.
        :raises TimeoutError: no reply came.
        """
        bot = self._telegram.bot(payment.bot_id)
        renewal = bot.sales.renew(payment.charge_id)
        return await self._send_payment(renewal, bot, expect_reply=expect_reply)

    async def cancel_subscription(self, payment: SandboxPayment) -> None:
        """Cancel a subscription at the end of its current period.

        :param payment: any payment of the subscription.
        :raises RefusedError: the bot has canceled it.
        :raises ValueError: it is a single payment.
        """
        self._set_subscription(payment, "user", "canceled")

    async def resume_subscription(self, payment: SandboxPayment) -> None:
        """Resume a subscription that the user has canceled.

        :param payment: any payment of the subscription.
        :raises RefusedError: the bot has canceled it.
        :raises ValueError: it is a single payment.
        """
        self._set_subscription(payment, None, "active")

    # Chats

    async def join(self, chat: SandboxChat, link: str | None = None) -> None:
        """Join a chat, or ask to join if the link creates join requests.

        :param chat: the chat.
        :param link: the invite link; ``None`` to join a public chat by its name.
        :raises RefusedError: the user is a member already or banned, the chat is private, or the
            link has expired, was revoked or is used up.
        """
        await chat.join(self, link)

    async def leave(self, chat: SandboxChat) -> None:
        """Leave a chat.

        :param chat: the chat.
        :raises RefusedError: the user is not a member.
        """
        await chat.leave(self)

    async def block(self, *, bot_id: int | None = None) -> None:
        """Block a bot: it can no longer write to the user.

        :param bot_id: the bot.
        """
        bot = self._telegram.bot(bot_id)
        if not self._has_blocked(bot):
            self._telegram.blocked.add((bot.id, self.id))
            self._push_block(bot, _MEMBER, _KICKED)

    async def unblock(self, *, bot_id: int | None = None) -> None:
        """Unblock a bot.

        :param bot_id: the bot.
        """
        bot = self._telegram.bot(bot_id)
        if self._has_blocked(bot):
            self._telegram.blocked.remove((bot.id, self.id))
            self._push_block(bot, _KICKED, _MEMBER)

    def _has_blocked(self, bot: BotState) -> bool:
        return (bot.id, self.id) in self._telegram.blocked

    def _push_block(self, bot: BotState, old: dict[str, Any], new: dict[str, Any]) -> None:
        update = {
            "chat": self.chat,
            "from": self.profile,
            "date": int(self._telegram.clock()),
            "old_chat_member": {"user": bot.profile, **old},
            "new_chat_member": {"user": bot.profile, **new},
        }
        self._telegram.push({"my_chat_member": update}, bot.id)

    def _order_info(self) -> dict[str, Any]:
        return {
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

    async def _check_out(self, invoice: Invoice, info: dict[str, Any], bot: BotState) -> None:
        telegram, sales = self._telegram, bot.sales
        query_id = sales.open_checkout()
        query: dict[str, Any] = {
            "id": query_id,
            "from": self.profile,
            "currency": invoice.currency,
            "total_amount": invoice.total_amount,
            "invoice_payload": invoice.payload,
        }
        if info:
            query["order_info"] = info
        update = telegram.push({"pre_checkout_query": query}, bot.id)
        timeout = telegram.checkout_timeout
        await telegram.notifier.wait_until(lambda: sales.checkout_answer(query_id), timeout)
        answer = sales.close_checkout(query_id)
        if answer is None:
            msg = (
                f"bot {bot.id} did not answer the pre-checkout query within {timeout:g} s: "
                f"{telegram.trace(bot.id, update['update_id'])}"
            )
            raise TimeoutError(msg)
        if not answer.ok:
            raise RefusedError(answer.error_message)

    async def _send_payment(
        self, raw: dict[str, Any], bot: BotState, *, expect_reply: bool
    ) -> SandboxPayment:
        content = {"successful_payment": raw}
        reply = await self._send(content, bot.id, expect_reply=expect_reply)
        return SandboxPayment(bot.id, raw, reply)

    def _set_subscription(
        self, payment: SandboxPayment, canceled_by: str | None, state: str
    ) -> None:
        sales = self._telegram.bot(payment.bot_id).sales
        subscription = sales.subscription(payment.charge_id)
        if subscription.canceled_by == "bot":
            msg = "SUBSCRIPTION_NOT_ACTIVE"
            raise RefusedError(msg)
        subscription.canceled_by = canceled_by
        payload = subscription.invoice.payload
        changed = {"user": self.profile, "invoice_payload": payload, "state": state}
        self._telegram.push({"subscription": changed}, payment.bot_id)

    async def _send_text(
        self, text: str, bot_id: int | None, *, expect_reply: bool
    ) -> SandboxMessage | None:
        content: dict[str, Any] = {"text": text}
        entities = command_entities(text)
        if entities:
            content["entities"] = entities
        return await self._send(content, bot_id, expect_reply=expect_reply)

    async def _send(
        self, content: dict[str, Any], bot_id: int | None, *, expect_reply: bool
    ) -> SandboxMessage | None:
        bot = self._telegram.bot(bot_id)
        message = bot.new_message(self.profile, self.chat, **content)
        return await self._act({"message": message}, bot, expect_reply=expect_reply)

    async def _act(
        self, update: Update, bot: BotState, *, expect_reply: bool
    ) -> SandboxMessage | None:
        telegram = self._telegram
        if self._has_blocked(bot):
            msg = "YOU_BLOCKED_USER"
            raise RefusedError(msg)
        before = len(self._state.received)
        update = telegram.push(update, bot.id)
        if not expect_reply:
            return None

        def replies() -> list[SandboxMessage]:
            return [m for m in self._state.received[before:] if m.bot_id == bot.id]

        if not await telegram.notifier.wait_until(replies, telegram.timeout):
            msg = (
                f"bot {bot.id} sent nothing to user {self.id} within {telegram.timeout:g} s: "
                f"{telegram.trace(bot.id, update['update_id'])}; "
                "if it has nothing to say here, pass expect_reply=False"
            )
            raise TimeoutError(msg)
        return replies()[0]
