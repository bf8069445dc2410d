"""One bot as Telegram sees it: its updates and the methods it may call."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any

from aiohttp import ClientResponse, ClientSession

from gp_aiogram.sandbox.server import cancel
from gp_aiogram.sandbox.telegram import params as read
from gp_aiogram.sandbox.telegram.chat_methods import ChatMethods
from gp_aiogram.sandbox.telegram.message_methods import MessageMethods
from gp_aiogram.sandbox.telegram.params import Params
from gp_aiogram.sandbox.telegram.payment_methods import PaymentMethods
from gp_aiogram.sandbox.telegram.profiles import bot_profile
from gp_aiogram.sandbox.telegram.shared import ApiCall, Method, Shared
from gp_aiogram.sandbox.telegram.updates import MAX_UPDATES, ApiError, UpdateQueue, Webhook

_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")


class SandboxBot:
    """One bot.

    :param bot_id: the digits of its token.
    :param shared: what it shares with other bots.
    """

    def __init__(self, bot_id: int, shared: Shared) -> None:
        self.id = bot_id
        self.queue = UpdateQueue(shared.bell)
        self.messages = MessageMethods(bot_id, shared)
        self.sales = PaymentMethods(bot_id, shared, self.messages)
        self._shared = shared
        self._poster: asyncio.Task[None] | None = None
        methods: dict[str, Method] = {
            "getMe": self._get_me,
            "getUpdates": self._get_updates,
            "setWebhook": self._set_webhook,
            "deleteWebhook": self._delete_webhook,
            "getWebhookInfo": self._get_webhook_info,
            "setMyCommands": self._set_my_commands,
            **self.messages.methods,
            **self.sales.methods,
            **ChatMethods(bot_id, shared).methods,
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

    async def _get_me(self, _: Params) -> Any:
        return {
            **bot_profile(self.id),
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

    async def _set_my_commands(self, params: Params) -> Any:
        if not isinstance(params.get("commands"), list):
            raise ApiError(400, "Bad Request: can't parse commands: array expected")
        return True
