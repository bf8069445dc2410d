"""A stand-in for the Telegram Bot API, through which bots and scripted users talk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import ClientResponse, ClientSession, web

from gp_aiogram.sandbox import params as read
from gp_aiogram.sandbox.params import Params
from gp_aiogram.sandbox.server import Bell, LocalServer, cancel
from gp_aiogram.sandbox.updates import MAX_UPDATES, ApiError, Update, UpdateQueue, Webhook, kind_of
from gp_aiogram.sandbox.users import SandboxAnswer, SandboxUser

if TYPE_CHECKING:
    from typing_extensions import Self

_LOOK_EVERY = 0.01
_PATH = re.compile(r"/bot([^/]+)/([^/]+)")
_TOKEN = re.compile(r"(\d+):.+")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")


class ApiCall(NamedTuple):
    """One call of a bot.

    :param method: its name as Telegram spells it.
    :param params: its parameters, decoded.
    """

    method: str
    params: Params


class _Bot:
    """What Telegram keeps for one bot."""

    def __init__(self, bot_id: int, bell: Bell) -> None:
        self.id = bot_id
        self.queue = UpdateQueue(bell)
        self.message_ids = count(1)
        self.messages: dict[tuple[int, int], dict[str, Any]] = {}
        self.asked_by: dict[str, int] = {}
        self.poster: asyncio.Task[None] | None = None
        self.profile = {
            "id": bot_id,
            "is_bot": True,
            "first_name": "Sandbox",
            "username": f"sandbox_{bot_id}_bot",
        }


class TelegramSandbox(LocalServer):
    """Stands in for ``https://api.telegram.org``.

    Any token of the form ``<digits>:<text>`` is good, and the digits are the id of the bot, so
    several bots may share one stand-in. Known methods: getMe, getUpdates, setWebhook,
    deleteWebhook, getWebhookInfo, sendMessage, editMessageText, answerCallbackQuery,
    sendChatAction, setMyCommands. A webhook may be plain HTTP here.

    .. code-block:: python

        async with TelegramSandbox() as telegram:
            api = TelegramAPIServer.from_base(telegram.url)
            bot = Bot(telegram.token, session=AiohttpSession(api=api))

    :param token: the token of the bot that users talk to by default.
    :param timeout: seconds that the actions of users wait for a reply.
    """

    def __init__(self, token: str = "42:SANDBOX", *, timeout: float = 5.0) -> None:  # noqa: S107 - no secret
        super().__init__()
        self.token = token
        self.timeout = timeout
        self.bot_id = _id_of(token)
        self.updates: list[Update] = []
        self.calls: list[ApiCall] = []
        self._bots: dict[int, _Bot] = {}
        self._users: dict[int, SandboxUser] = {}
        self._chats: dict[int, dict[str, Any]] = {}
        self._last_update_id = 0
        self._query_ids = count(1)
        self._calls_before: dict[int, int] = {}
        self._session: ClientSession | None = None
        self._methods: dict[str, tuple[str, Callable[[_Bot, Params], Awaitable[Any]]]] = {
            name.lower(): (name, method)
            for name, method in {
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
            }.items()
        }

    def user(
        self,
        user_id: int,
        first_name: str = "Ada",
        username: str | None = None,
        language_code: str | None = "en",
    ) -> SandboxUser:
        """A scripted user; asked for again, the same one with the names now given.

        :param user_id: the Telegram user id.
        :param first_name: the first name.
        :param username: the name after the @, if any.
        :param language_code: the language of the user's app, if known.
        """
        profile = {
            "id": user_id,
            "is_bot": False,
            "first_name": first_name,
            "username": username,
            "language_code": language_code,
        }
        profile = {key: value for key, value in profile.items() if value is not None}
        user = self._users.setdefault(user_id, SandboxUser(self, profile))
        user.profile = profile
        self._chats[user_id] = user.chat
        return user

    async def push(self, update: Update, bot_id: int | None = None) -> Update:
        """Send any update to a bot; a chat in it becomes known to all bots.

        :param update: the raw update. Without ``update_id`` it gets the next one; with an old one
            it is handed out again, as Telegram does when it missed the confirmation.
        :param bot_id: the bot, by default the one of :attr:`token`.
        :return: the update as sent.
        """
        update = json.loads(json.dumps(update))
        update_id = update.setdefault("update_id", self._last_update_id + 1)
        self._last_update_id = max(self._last_update_id, update_id)
        self._calls_before[update_id] = len(self.calls)
        content = update.get(kind_of(update))
        if isinstance(content, dict) and "chat" in content:
            self._chats.setdefault(content["chat"]["id"], content["chat"])
        self.updates.append(update)
        self._bot(self.bot_id if bot_id is None else bot_id).queue.put(update)
        return update

    async def wait_until(self, ready: Callable[[], object], timeout: float | None = None) -> None:
        """Wait until something is true.

        :param ready: such as ``lambda: user.answers``.
        :param timeout: seconds, by default those of the stand-in.
        :raises TimeoutError: it did not become true; the text names the calls there were.
        """
        timeout = self.timeout if timeout is None else timeout
        if not await self.bell.until(ready, timeout, look_every=_LOOK_EVERY):
            msg = f"not so within {timeout:g} s; the bots called: {self._called(0)}"
            raise TimeoutError(msg)

    def next_message_id(self, bot_id: int) -> int:
        """The number of the next message between a bot and its users.

        :param bot_id: the bot.
        """
        return next(self._bot(bot_id).message_ids)

    def ask(self, bot_id: int, user_id: int) -> str:
        """The id of a new callback query, which the bot may answer once.

        :param bot_id: the bot.
        :param user_id: who presses the button.
        """
        query_id = str(next(self._query_ids))
        self._bot(bot_id).asked_by[query_id] = user_id
        return query_id

    def story(self, bot_id: int, update_id: int) -> str:
        """What has become of an update, in words.

        :param bot_id: the bot it was sent to.
        :param update_id: the update.
        """
        fate = self._bot(bot_id).queue.fate(update_id)
        called = self._called(self._calls_before[update_id])
        return f"update {update_id} {fate}; since then the bots called: {called}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        try:
            result = await self._answer(request)
        except ApiError as error:
            problem = {"ok": False, "error_code": error.code, "description": error.description}
            return web.json_response(problem, status=error.code)
        return web.json_response({"ok": True, "result": result})

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._session = ClientSession()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await super().__aexit__(*exc_info)
        await cancel(*(bot.poster for bot in self._bots.values() if bot.poster is not None))
        if self._session is not None:
            await self._session.close()

    async def _answer(self, request: web.Request) -> Any:
        path = _PATH.fullmatch(request.path)
        if path is None:
            raise ApiError(404, "Not Found")
        token, method = path.groups()
        try:
            bot = self._bot(_id_of(token))
        except ValueError:
            raise ApiError(401, "Unauthorized") from None
        return await self._call(bot, method, await read.from_request(request))

    async def _call(self, bot: _Bot, method: str, params: Params) -> Any:
        if method.lower() not in self._methods:
            raise ApiError(404, "Not Found")
        name, function = self._methods[method.lower()]
        self.calls.append(ApiCall(name, params))
        try:
            return await function(bot, params)
        finally:
            self.bell.ring()

    async def _obey(self, bot: _Bot, response: ClientResponse) -> None:
        params = await read.from_answer(response)
        method = params.pop("method", None)
        if method is not None:
            with contextlib.suppress(ApiError):  # as Telegram: the bot never learns the result
                await self._call(bot, str(method), params)

    def _bot(self, bot_id: int) -> _Bot:
        if bot_id not in self._bots:
            self._bots[bot_id] = _Bot(bot_id, self.bell)
        return self._bots[bot_id]

    def _called(self, since: int) -> str:
        names = [call.method for call in self.calls[since:] if call.method != "getUpdates"]
        return ", ".join(names) or "nothing"

    def _chat(self, params: Params) -> dict[str, Any]:
        chat = self._chats.get(read.integer(params, "chat_id"))
        if chat is None:
            raise ApiError(400, "Bad Request: chat not found")
        return chat

    def _show(self, bot: _Bot, message: dict[str, Any]) -> dict[str, Any]:
        chat_id = message["chat"]["id"]
        bot.messages[chat_id, message["message_id"]] = message
        if chat_id in self._users:
            self._users[chat_id].show(message)
        return message

    async def _get_me(self, bot: _Bot, _: Params) -> Any:
        return {
            **bot.profile,
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }

    async def _get_updates(self, bot: _Bot, params: Params) -> Any:
        limit = read.integer(params, "limit", MAX_UPDATES)
        return await bot.queue.poll(
            offset=read.integer(params, "offset"),
            limit=limit if 1 <= limit <= MAX_UPDATES else MAX_UPDATES,
            timeout=max(0, read.integer(params, "timeout")),
            allowed=read.strings(params, "allowed_updates"),
        )

    async def _set_webhook(self, bot: _Bot, params: Params) -> Any:
        url = str(params.get("url", ""))
        if not url:
            return await self._delete_webhook(bot, params)
        if not url.startswith(("http://", "https://")):
            raise ApiError(400, "Bad Request: bad webhook: the URL must begin with https://")
        secret_token = params.get("secret_token")
        if secret_token is not None and not _SECRET.fullmatch(str(secret_token)):
            raise ApiError(400, "Bad Request: secret token contains unallowed characters")
        if params.get("drop_pending_updates"):
            bot.queue.clear()
        allowed = read.strings(params, "allowed_updates")
        bot.queue.allowed = bot.queue.allowed if allowed is None else allowed
        bot.queue.webhook = Webhook(url, secret_token)
        if bot.poster is None and self._session is not None:
            bot.poster = asyncio.create_task(
                bot.queue.post(self._session, partial(self._obey, bot))
            )
        return True

    async def _delete_webhook(self, bot: _Bot, params: Params) -> Any:
        bot.queue.webhook = None
        if params.get("drop_pending_updates"):
            bot.queue.clear()
        return True

    async def _get_webhook_info(self, bot: _Bot, _: Params) -> Any:
        webhook = bot.queue.webhook
        info = {
            "url": "" if webhook is None else webhook.url,
            "has_custom_certificate": False,
            "pending_update_count": len(bot.queue),
            "last_error_date": webhook and webhook.last_error_date,
            "last_error_message": webhook and webhook.last_error_message,
            "allowed_updates": bot.queue.allowed or None,
        }
        return {key: value for key, value in info.items() if value is not None}

    async def _send_message(self, bot: _Bot, params: Params) -> Any:
        text = read.message_text(params)
        chat = self._chat(params)
        keyboard = read.inline_keyboard(params)
        message = {
            "message_id": next(bot.message_ids),
            "from": bot.profile,
            "chat": chat,
            "date": int(time.time()),
            "text": text,
            **keyboard,
        }
        return self._show(bot, message)

    async def _edit_message_text(self, bot: _Bot, params: Params) -> Any:
        text = read.message_text(params)
        chat = self._chat(params)
        old = bot.messages.get((chat["id"], read.integer(params, "message_id")))
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
        return self._show(bot, {**kept, "edit_date": int(time.time()), "text": text, **keyboard})

    async def _answer_callback_query(self, bot: _Bot, params: Params) -> Any:
        user_id = bot.asked_by.pop(str(params.get("callback_query_id")), None)
        if user_id is None:
            msg = (
                "Bad Request: query is too old and response timeout expired or query ID is invalid"
            )
            raise ApiError(400, msg)
        text, alert = str(params.get("text", "")), bool(params.get("show_alert"))
        self._users[user_id].answers.append(SandboxAnswer(bot.id, text, show_alert=alert))
        return True

    async def _send_chat_action(self, _: _Bot, params: Params) -> Any:
        self._chat(params)
        if not params.get("action"):
            raise ApiError(400, "Bad Request: wrong parameter action in request")
        return True

    async def _set_my_commands(self, _: _Bot, params: Params) -> Any:
        if not isinstance(params.get("commands"), list):
            raise ApiError(400, "Bad Request: can't parse commands: array expected")
        return True


def _id_of(token: str) -> int:
    match = _TOKEN.fullmatch(token)
    if match is None:
        msg = f"a token looks like 42:SANDBOX, not like {token!r}"
        raise ValueError(msg)
    return int(match[1])
