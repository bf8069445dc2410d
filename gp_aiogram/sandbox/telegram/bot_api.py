"""The Bot API of one bot: dispatches its calls, and serves its updates and its webhook."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any

from aiohttp import ClientResponse, ClientSession

from gp_aiogram.sandbox.server import cancel
from gp_aiogram.sandbox.telegram import params as read
from gp_aiogram.sandbox.telegram.errors import ApiError
from gp_aiogram.sandbox.telegram.methods import (
    ChatMethods,
    MessageMethods,
    Method,
    PaymentMethods,
)
from gp_aiogram.sandbox.telegram.params import Params
from gp_aiogram.sandbox.telegram.state import ApiCall, BotState, TelegramState
from gp_aiogram.sandbox.telegram.updates import MAX_UPDATES, Webhook

_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")


class BotApi:
    """The Bot API as one bot sees it.

    :param state: what the stand-in knows.
    :param bot: the bot.
    """

    def __init__(self, state: TelegramState, bot: BotState) -> None:
        self._state = state
        self._bot = bot
        self._queue = bot.queue
        self._poster: asyncio.Task[None] | None = None
        methods: dict[str, Method] = {
            "getMe": self._get_me,
            "getUpdates": self._get_updates,
            "setWebhook": self._set_webhook,
            "deleteWebhook": self._delete_webhook,
            "getWebhookInfo": self._get_webhook_info,
            "setMyCommands": self._set_my_commands,
            **MessageMethods(state, bot).by_name,
            **PaymentMethods(state, bot).by_name,
            **ChatMethods(state, bot).by_name,
        }
        self._methods = {name.lower(): (name, method) for name, method in methods.items()}

    async def call(self, method: str, params: Params) -> Any:
        """Call a method.

        :param method: its name; case-insensitive, as with Telegram.
        :param params: its parameters.
        :return: the ``result``.
        :raises ApiError: there is no such method, or the call is refused.
        """
        if method.lower() not in self._methods:
            raise ApiError(404, "Not Found")
        name, function = self._methods[method.lower()]
        self._state.calls.append(ApiCall(name, params))
        try:
            return await function(params)
        finally:
            self._state.notifier.notify()

    async def close(self) -> None:
        """Stop posting updates to the webhook."""
        if self._poster is not None:
            await cancel(self._poster)
            self._poster = None

    async def _post_updates(self) -> None:
        async with ClientSession() as session:
            await self._queue.post(session, self._call_from_webhook)

    async def _call_from_webhook(self, response: ClientResponse) -> None:
        params = await read.from_response(response)
        method = params.pop("method", None)
        if method is not None:
            with contextlib.suppress(ApiError):  # as with Telegram, the bot never sees the error
                await self.call(str(method), params)

    async def _get_me(self, _: Params) -> Any:
        return {
            **self._bot.profile,
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }

    async def _get_updates(self, params: Params) -> Any:
        limit = read.integer(params, "limit", MAX_UPDATES)
        return await self._queue.poll(
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
            self._queue.clear()
        allowed = read.strings(params, "allowed_updates")
        self._queue.allowed = self._queue.allowed if allowed is None else allowed
        self._queue.webhook = Webhook(url, secret_token)
        if self._poster is None:
            self._poster = asyncio.create_task(self._post_updates())
        return True

    async def _delete_webhook(self, params: Params) -> Any:
        self._queue.webhook = None
        if params.get("drop_pending_updates"):
            self._queue.clear()
        return True

    async def _get_webhook_info(self, _: Params) -> Any:
        webhook = self._queue.webhook
        info = {
            "url": "" if webhook is None else webhook.url,
            "has_custom_certificate": False,
            "pending_update_count": len(self._queue),
            "last_error_date": webhook and webhook.last_error_date,
            "last_error_message": webhook and webhook.last_error_message,
            "allowed_updates": self._queue.allowed or None,
        }
        return {key: value for key, value in info.items() if value is not None}

    async def _set_my_commands(self, params: Params) -> Any:
        if not isinstance(params.get("commands"), list):
            raise ApiError(400, "Bad Request: can't parse commands: array expected")
        return True
