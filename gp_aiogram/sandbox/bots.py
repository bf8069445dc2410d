"""One bot as Telegram sees it: its updates, its messages and the methods it may call."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from aiohttp import ClientResponse, ClientSession

from gp_aiogram.sandbox import params as read
from gp_aiogram.sandbox.params import Params
from gp_aiogram.sandbox.server import Bell, cancel
from gp_aiogram.sandbox.updates import MAX_UPDATES, ApiError, UpdateQueue, Webhook
from gp_aiogram.sandbox.users import SandboxAnswer, SandboxUser

_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")


class ApiCall(NamedTuple):
    """One call of a bot.

    :param method: its name as Telegram spells it.
    :param params: its parameters, decoded.
    """

    method: str
    params: Params


@dataclass(frozen=True)
class Shared:
    """What all bots of one stand-in share.

    :param bell: rung after every call.
    :param calls: every call of a known method, oldest first.
    :param chats: the chats bots may write to, by id.
    :param users: the people in them, by id.
    """

    bell: Bell
    calls: list[ApiCall] = field(default_factory=list)
    chats: dict[int, dict[str, Any]] = field(default_factory=dict)
    users: dict[int, SandboxUser] = field(default_factory=dict)


class SandboxBot:
    """One bot.

    :param bot_id: the digits of its token.
    :param shared: what it shares with other bots.
    """

    def __init__(self, bot_id: int, shared: Shared) -> None:
        self.id = bot_id
        self.queue = UpdateQueue(shared.bell)
        self.message_ids = count(1)
        self._shared = shared
        self._profile = {
            "id": bot_id,
            "is_bot": True,
            "first_name": "Sandbox",
            "username": f"sandbox_{bot_id}_bot",
        }
        self._messages: dict[tuple[int, int], dict[str, Any]] = {}
        self._query_ids = count(1)
        self._asked_by: dict[str, int] = {}
        self._poster: asyncio.Task[None] | None = None
        methods: dict[str, Callable[[Params], Awaitable[Any]]] = {
            "getMe": self._get_me,
            "getUpdates": self._get_updates,
            "setWebhook": self._set_webhook,
            "deleteWebhook": self._delete_webhook,
            "getWebhookInfo": self._get_webhook_info,
            "sendMessage": self._send_message,
            "editMessageText": self._edit_message_text,
            "answerCallbackQuery": self._answer_callback_query,
            "sendChatAction": self._send_chat_action,
            "setMyCommands": self._set_my_commands,
        }
        self._methods = {name.lower(): (name, method) for name, method in methods.items()}

    async def call(self, method: str, params: Params) -> Any:
        """Do what the bot asks for.

        :param method: the name of a method, in any case of letters as with Telegram.
        :param params: its parameters.
        :return: the ``result``.
        :raises ApiError: it is refused.
        """
        if method.lower() not in self._methods:
            raise ApiError(404, "Not Found")
        name, function = self._methods[method.lower()]
        self._shared.calls.append(ApiCall(name, params))
        try:
            return await function(params)
        finally:
            self._shared.bell.ring()

    def ask(self, user_id: int) -> str:
        """The id of a new callback query, which the bot may answer once.

        :param user_id: who presses the button.
        """
        query_id = f"{self.id}{next(self._query_ids):06d}"
        self._asked_by[query_id] = user_id
        return query_id

    async def close(self) -> None:
        """Stop posting to the webhook."""
        if self._poster is not None:
            await cancel(self._poster)
            self._poster = None

    async def _post(self) -> None:
        async with ClientSession() as session:
            await self.queue.post(session, self._obey)

    async def _obey(self, response: ClientResponse) -> None:
        params = await read.from_answer(response)
        method = params.pop("method", None)
        if method is not None:
            with contextlib.suppress(ApiError):  # as with Telegram, the bot never learns of it
                await self.call(str(method), params)

    def _chat(self, params: Params) -> dict[str, Any]:
        chat = self._shared.chats.get(read.integer(params, "chat_id"))
        if chat is None:
            raise ApiError(400, "Bad Request: chat not found")
        return chat

    def _show(self, message: dict[str, Any]) -> dict[str, Any]:
        chat_id = message["chat"]["id"]
        self._messages[chat_id, message["message_id"]] = message
        if chat_id in self._shared.users:
            self._shared.users[chat_id].show(message)
        return message

    async def _get_me(self, _: Params) -> Any:
        return {
            **self._profile,
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }

    async def _get_updates(self, params: Params) -> Any:
        limit = read.integer(params, "limit", MAX_UPDATES)
        return await self.queue.poll(
            offset=read.integer(params, "offset"),
            limit=limit if 1 <= limit <= MAX_UPDATES else MAX_UPDATES,
            timeout=max(0, read.integer(params, "timeout")),
            allowed=read.strings(params, "allowed_updates"),
        )

    async def _set_webhook(self, params: Params) -> Any:
        url = str(params.get("url", ""))
        if not url:
            return await self._delete_webhook(params)
        if not url.startswith(("http://", "https://")):
            raise ApiError(400, "Bad Request: bad webhook: the URL must begin with https://")
        secret_token = params.get("secret_token")
        if secret_token is not None and not _SECRET.fullmatch(str(secret_token)):
            raise ApiError(400, "Bad Request: secret token contains unallowed characters")
        if params.get("drop_pending_updates"):
            self.queue.clear()
        allowed = read.strings(params, "allowed_updates")
        self.queue.allowed = self.queue.allowed if allowed is None else allowed
        self.queue.webhook = Webhook(url, secret_token)
        if self._poster is None:
            self._poster = asyncio.create_task(self._post())
        return True

    async def _delete_webhook(self, params: Params) -> Any:
        self.queue.webhook = None
        if params.get("drop_pending_updates"):
            self.queue.clear()
        return True

    async def _get_webhook_info(self, _: Params) -> Any:
        webhook = self.queue.webhook
        info = {
            "url": "" if webhook is None else webhook.url,
            "has_custom_certificate": False,
            "pending_update_count": len(self.queue),
            "last_error_date": webhook and webhook.last_error_date,
            "last_error_message": webhook and webhook.last_error_message,
            "allowed_updates": self.queue.allowed or None,
        }
        return {key: value for key, value in info.items() if value is not None}

    async def _send_message(self, params: Params) -> Any:
        text = read.message_text(params)
        chat = self._chat(params)
        keyboard = read.inline_keyboard(params)
        message = {
            "message_id": next(self.message_ids),
            "from": self._profile,
            "chat": chat,
            "date": int(time.time()),
            "text": text,
            **keyboard,
        }
        return self._show(message)

    async def _edit_message_text(self, params: Params) -> Any:
        text = read.message_text(params)
        chat = self._chat(params)
        old = self._messages.get((chat["id"], read.integer(params, "message_id")))
        if old is None:
            raise ApiError(400, "Bad Request: message to edit not found")
        keyboard = read.inline_keyboard(params)
        if text == old["text"] and keyboard.get("reply_markup") == old.get("reply_markup"):
            msg = (
                "Bad Request: message is not modified: specified new message content and reply "
                "markup are exactly the same as a current content and reply markup of the message"
            )
            raise ApiError(400, msg)
        kept = {key: value for key, value in old.items() if key != "reply_markup"}
        return self._show({**kept, "edit_date": int(time.time()), "text": text, **keyboard})

    async def _answer_callback_query(self, params: Params) -> Any:
        user_id = self._asked_by.pop(str(params.get("callback_query_id")), None)
        if user_id is None:
            msg = (
                "Bad Request: query is too old and response timeout expired or query ID is invalid"
            )
            raise ApiError(400, msg)
        text, alert = str(params.get("text", "")), bool(params.get("show_alert"))
        self._shared.users[user_id].answers.append(SandboxAnswer(self.id, text, show_alert=alert))
        return True

    async def _send_chat_action(self, params: Params) -> Any:
        self._chat(params)
        if not params.get("action"):
            raise ApiError(400, "Bad Request: wrong parameter action in request")
        return True

    async def _set_my_commands(self, params: Params) -> Any:
        if not isinstance(params.get("commands"), list):
            raise ApiError(400, "Bad Request: can't parse commands: array expected")
        return True
