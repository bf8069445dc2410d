"""The methods of the Bot API with which a bot writes, sells and manages chats."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gp_aiogram.sandbox.telegram import params as read
from gp_aiogram.sandbox.telegram.chats import SandboxChat
from gp_aiogram.sandbox.telegram.errors import QUERY_TOO_OLD, ApiError
from gp_aiogram.sandbox.telegram.invites import InviteLink, Terms
from gp_aiogram.sandbox.telegram.messages import SandboxAnswer
from gp_aiogram.sandbox.telegram.params import Params
from gp_aiogram.sandbox.telegram.payments import Charge, CheckoutAnswer, Invoice
from gp_aiogram.sandbox.telegram.photos import uploaded_photo
from gp_aiogram.sandbox.telegram.state import BotState, TelegramState

#: A method of the Bot API: takes the parameters, returns the ``result``.
Method = Callable[[Params], Awaitable[Any]]

_ADMINS = ("creator", "administrator")

#: What an administrator may do, and why it cannot be done in a private chat.
_LINKS = ("manage chat invite link", "can't invite members to a private chat")
_REQUESTS = ("manage chat join requests", "the chat can't have join requests")
_MEMBERS = ("restrict/unrestrict chat member", "can't ban members in private chats")


class MessageMethods:
    """The methods with which a bot writes and answers pressed buttons.

    :param state: what the stand-in knows.
    :param bot: the bot.
    """

    def __init__(self, state: TelegramState, bot: BotState) -> None:
        self._state = state
        self._bot = bot

    @property
    def by_name(self) -> Mapping[str, Method]:
        """The methods by name."""
        return {
            "sendMessage": self._send_message,
            "sendPhoto": self._send_photo,
            "editMessageText": self._edit_message_text,
            "editMessageCaption": self._edit_message_caption,
            "answerCallbackQuery": self._answer_callback_query,
            "sendChatAction": self._send_chat_action,
        }

    async def _send_message(self, params: Params) -> Any:
        text = read.message_text(params)
        chat = self._state.writable_chat(self._bot.id, params)
        keyboard = read.inline_keyboard(params)
        message = self._bot.new_message(self._bot.profile, chat, text=text, **keyboard)
        return self._state.show(message)

    async def _send_photo(self, params: Params) -> Any:
        photo = uploaded_photo(params)
        caption = read.caption(params)
        chat = self._state.writable_chat(self._bot.id, params)
        keyboard = read.inline_keyboard(params)
        self._state.files[photo.file_id] = photo.content
        content = {"photo": photo.sizes, **caption, **keyboard}
        return self._state.show(self._bot.new_message(self._bot.profile, chat, **content))

    async def _edit_message_text(self, params: Params) -> Any:
        text = read.message_text(params)
        old = self._editable(params)
        if "text" not in old:
            raise ApiError(400, "Bad Request: there is no text in the message to edit")
        return self._edit(old, {"text": text, **read.inline_keyboard(params)})

    async def _edit_message_caption(self, params: Params) -> Any:
        caption = read.caption(params)
        old = self._editable(params)
        if "photo" not in old:
            raise ApiError(400, "Bad Request: there is no caption in the message to edit")
        return self._edit(old, {**caption, **read.inline_keyboard(params)})

    def _editable(self, params: Params) -> dict[str, Any]:
        chat = self._state.writable_chat(self._bot.id, params)
        old = self._bot.messages.get((chat["id"], read.integer(params, "message_id")))
        if old is None:
            raise ApiError(400, "Bad Request: message to edit not found")
        return old

    def _edit(self, old: dict[str, Any], new: dict[str, Any]) -> Any:
        """Put new content in the place of the old; what an edit leaves out is taken away."""
        replaced = ("text", "caption", "reply_markup")
        if all(new.get(key) == old.get(key) for key in replaced):
            msg = (
                "Bad Request: message is not modified: specified new message content and reply "
                "markup are exactly the same as a current content and reply markup of the message"
            )
            raise ApiError(400, msg)
        kept = {key: value for key, value in old.items() if key not in replaced}
        return self._state.show({**kept, "edit_date": int(self._state.clock()), **new})

    async def _answer_callback_query(self, params: Params) -> Any:
        user_id = self._bot.presses.pop(str(params.get("callback_query_id")), None)
        if user_id is None:
            raise ApiError(400, QUERY_TOO_OLD)
        text, alert = str(params.get("text", "")), bool(params.get("show_alert"))
        answer = SandboxAnswer(self._bot.id, text, show_alert=alert)
        self._state.users[user_id].answers.append(answer)
        return True

    async def _send_chat_action(self, params: Params) -> Any:
        self._state.writable_chat(self._bot.id, params)
        if not params.get("action"):
            raise ApiError(400, "Bad Request: wrong parameter action in request")
        return True


class PaymentMethods:
    """The methods with which a bot sells: invoices, checkouts, refunds, subscriptions.

    :param state: what the stand-in knows.
    :param bot: the bot.
    """

    def __init__(self, state: TelegramState, bot: BotState) -> None:
        self._state = state
        self._bot = bot
        self._sales = bot.sales

    @property
    def by_name(self) -> Mapping[str, Method]:
        """The methods by name."""
        return {
            "sendInvoice": self._send_invoice,
            "createInvoiceLink": self._create_invoice_link,
            "answerPreCheckoutQuery": self._answer_pre_checkout_query,
            "refundStarPayment": self._refund_star_payment,
            "editUserStarSubscription": self._edit_user_star_subscription,
        }

    async def _send_invoice(self, params: Params) -> Any:
        chat = self._state.writable_chat(self._bot.id, params)
        if params.get("subscription_period") is not None:
            raise ApiError(400, "Bad Request: SUBSCRIPTION_EXPORT_MISSING")
        invoice = Invoice.from_params(params)
        keyboard = read.pay_keyboard(params)
        message = self._bot.new_message(self._bot.profile, chat, invoice=invoice.raw, **keyboard)
        self._sales.in_messages[chat["id"], message["message_id"]] = invoice
        return self._state.show(message)

    async def _create_invoice_link(self, params: Params) -> Any:
        return self._sales.create_link(Invoice.from_params(params))

    async def _answer_pre_checkout_query(self, params: Params) -> Any:
        answer = CheckoutAnswer(bool(params.get("ok")), str(params.get("error_message", "")))
        if not answer.ok and not answer.error_message:
            raise ApiError(400, 'Bad Request: parameter "error_message" is required')
        self._sales.answer_checkout(str(params.get("pre_checkout_query_id")), answer)
        return True

    async def _refund_star_payment(self, params: Params) -> Any:
        charge = self._star_charge(params)
        if charge.refunded:
            raise ApiError(400, "Bad Request: CHARGE_ALREADY_REFUNDED")
        charge.refunded = True
        names = ("currency", "total_amount", "invoice_payload")
        ids = ("telegram_payment_charge_id", "provider_payment_charge_id")
        refunded = {name: charge.raw[name] for name in (*names, *ids)}
        user = self._state.users[charge.user_id]
        self._state.push_message(self._bot.id, user.profile, user.chat, refunded_payment=refunded)
        return True

    async def _edit_user_star_subscription(self, params: Params) -> Any:
        charge = self._star_charge(params)
        if charge.subscription is None:
            raise ApiError(400, "Bad Request: CHARGE_NOT_FOUND")
        charge.subscription.canceled_by = "bot" if params.get("is_canceled") else None
        return True

    def _star_charge(self, params: Params) -> Charge:
        charge_id = str(params.get("telegram_payment_charge_id"))
        return self._sales.star_charge(read.user_id(params), charge_id)


class ChatMethods:
    """The methods with which a bot manages chats: invite links, join requests, members.

    :param state: what the stand-in knows.
    :param bot: the bot.
    """

    def __init__(self, state: TelegramState, bot: BotState) -> None:
        self._state = state
        self._bot = bot

    @property
    def by_name(self) -> Mapping[str, Method]:
        """The methods by name."""
        return {
            "createChatInviteLink": self._create_chat_invite_link,
            "editChatInviteLink": self._edit_chat_invite_link,
            "createChatSubscriptionInviteLink": self._create_chat_subscription_invite_link,
            "editChatSubscriptionInviteLink": self._edit_chat_subscription_invite_link,
            "revokeChatInviteLink": self._revoke_chat_invite_link,
            "exportChatInviteLink": self._export_chat_invite_link,
            "approveChatJoinRequest": self._approve_chat_join_request,
            "declineChatJoinRequest": self._decline_chat_join_request,
            "getChatMember": self._get_chat_member,
            "banChatMember": self._ban_chat_member,
            "unbanChatMember": self._unban_chat_member,
        }

    async def _create_chat_invite_link(self, params: Params) -> Any:
        chat = self._managed_chat(params, *_LINKS)
        link = InviteLink(self._bot.profile, Terms.from_params(params))
        chat.links[link.url] = link
        return link.raw(self._bot.id)

    async def _create_chat_subscription_invite_link(self, params: Params) -> Any:
        chat = self._managed_chat(params, *_LINKS)
        if chat.raw["type"] != "channel":
            raise ApiError(400, "Bad Request: CHAT_INVALID")
        link = InviteLink(self._bot.profile, Terms.of_subscription(params))
        chat.links[link.url] = link
        return link.raw(self._bot.id)

    async def _edit_chat_subscription_invite_link(self, params: Params) -> Any:
        link = self._own_link(params)
        if not link.terms.subscription_price or link.is_revoked:
            raise ApiError(400, "Bad Request: INVITE_HASH_EXPIRED")
        link.terms = link.terms.renamed(params)
        return link.raw(self._bot.id)

    async def _edit_chat_invite_link(self, params: Params) -> Any:
        link = self._own_link(params)
        if link.terms.subscription_price:
            raise ApiError(400, "Bad Request: INVITE_HASH_EXPIRED")
        if link.is_primary:
            raise ApiError(400, "Bad Request: CHAT_INVITE_PERMANENT")
        if link.is_revoked:
            raise ApiError(400, "Bad Request: INVITE_HASH_EXPIRED")
        link.terms = Terms.from_params(params)
        return link.raw(self._bot.id)

    async def _revoke_chat_invite_link(self, params: Params) -> Any:
        link = self._own_link(params)
        link.is_revoked = True
        return link.raw(self._bot.id)

    async def _export_chat_invite_link(self, params: Params) -> Any:
        chat = self._managed_chat(params, *_LINKS)
        for old in chat.links.values():
            if old.is_primary and old.creator["id"] == self._bot.id:
                old.is_revoked = True
        link = InviteLink(self._bot.profile, is_primary=True)
        chat.links[link.url] = link
        return link.url

    async def _approve_chat_join_request(self, params: Params) -> Any:
        return self._decide(params, approve=True)

    async def _decline_chat_join_request(self, params: Params) -> Any:
        return self._decide(params, approve=False)

    async def _get_chat_member(self, params: Params) -> Any:
        chat = self._chat(params)
        profile = self._profile(read.user_id(params))
        if chat is None:
            return {"user": profile, "status": "member"}
        if profile["id"] != self._bot.id and chat.status(self._bot.id) != "administrator":
            raise ApiError(400, "Bad Request: member list is inaccessible")
        return chat.member(profile)

    async def _ban_chat_member(self, params: Params) -> Any:
        chat = self._managed_chat(params, *_MEMBERS)
        profile = self._profile(read.user_id(params))
        if chat.status(profile["id"]) in _ADMINS:
            raise ApiError(400, "Bad Request: user is an administrator of the chat")
        until = read.integer(params, "until_date")
        banned = {"user": profile, "status": "kicked", "until_date": until}
        chat.change(self._bot.profile, banned)
        return True

    async def _unban_chat_member(self, params: Params) -> Any:
        chat = self._managed_chat(params, *_MEMBERS)
        profile = self._profile(read.user_id(params))
        if params.get("only_if_banned") and chat.status(profile["id"]) != "kicked":
            return True
        chat.change(self._bot.profile, {"user": profile, "status": "left"})
        return True

    def _decide(self, params: Params, *, approve: bool) -> bool:
        chat = self._managed_chat(params, *_REQUESTS)
        profile = self._profile(read.user_id(params))
        if chat.status(profile["id"]) not in ("left", "kicked"):
            raise ApiError(400, "Bad Request: USER_ALREADY_PARTICIPANT")
        if profile["id"] not in chat.requests:
            raise ApiError(400, "Bad Request: HIDE_REQUESTER_MISSING")
        chat.decide(profile, self._bot.profile, approve=approve)
        return True

    def _own_link(self, params: Params) -> InviteLink:
        chat = self._managed_chat(params, *_LINKS)
        url = str(params.get("invite_link", ""))
        if not url:
            raise ApiError(400, "Bad Request: invite link must be non-empty")
        link = chat.links.get(url)
        if link is None or link.creator["id"] != self._bot.id:
            raise ApiError(400, "Bad Request: INVITE_HASH_EXPIRED")
        return link

    def _managed_chat(self, params: Params, task: str, not_in_private: str) -> SandboxChat:
        chat = self._chat(params)
        if chat is None:
            raise ApiError(400, f"Bad Request: {not_in_private}")
        if chat.status(self._bot.id) != "administrator":
            raise ApiError(400, f"Bad Request: not enough rights to {task}")
        return chat

    def _chat(self, params: Params) -> SandboxChat | None:
        chat_id = self._state.chat(params)["id"]
        if chat_id in self._state.users:
            return None
        if chat_id not in self._state.chats:
            raise ApiError(400, "Bad Request: chat not found")
        return self._state.chats[chat_id]

    def _profile(self, user_id: int) -> dict[str, Any]:
        if user_id == self._bot.id:
            return self._bot.profile
        if user_id not in self._state.users:
            raise ApiError(400, "Bad Request: PARTICIPANT_ID_INVALID")
        return self._state.users[user_id].profile
