"""A stand-in for the Telegram Bot API, through which bots and scripted users talk."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

from gp_aiogram.sandbox.server import LocalServer
from gp_aiogram.sandbox.telegram import params as read
from gp_aiogram.sandbox.telegram.bot_api import BotApi
from gp_aiogram.sandbox.telegram.chats import SandboxChat
from gp_aiogram.sandbox.telegram.errors import ApiError
from gp_aiogram.sandbox.telegram.mini_apps import signed_init_data
from gp_aiogram.sandbox.telegram.state import ApiCall, TelegramState, UserState
from gp_aiogram.sandbox.telegram.updates import Update
from gp_aiogram.sandbox.telegram.users import SandboxUser

_POLL_INTERVAL = 0.01
_PATH = re.compile(r"/bot([^/]+)/([^/]+)")
_TOKEN = re.compile(r"(\d+):.+")


class TelegramSandbox(LocalServer):
    """Stands in for ``https://api.telegram.org``.

    Any token of the form ``<digits>:<text>`` is valid, and the digits are the id of the bot, so
    several bots may share one stand-in. Known methods: getMe, getUpdates, setWebhook,
    deleteWebhook, getWebhookInfo, setMyCommands, sendMessage, editMessageText, sendPhoto (PNG
    uploads), editMessageCaption, answerCallbackQuery, sendChatAction; sendInvoice,
    createInvoiceLink, answerPreCheckoutQuery, refundStarPayment, editUserStarSubscription;
    createChatInviteLink, editChatInviteLink, createChatSubscriptionInviteLink,
    editChatSubscriptionInviteLink, revokeChatInviteLink, exportChatInviteLink,
    approveChatJoinRequest, declineChatJoinRequest, getChatMember, banChatMember,
    unbanChatMember. A webhook may be plain HTTP here.

    .. code-block:: python

        async with TelegramSandbox() as telegram:
            api = TelegramAPIServer.from_base(telegram.url)
            bot = Bot(telegram.token, session=AiohttpSession(api=api))

    :param token: the token of the default bot, which users talk to unless they name another one.
    :param timeout: seconds that the actions of users wait for a reply.
    :param checkout_timeout: seconds a bot has to answer a pre-checkout query; Telegram gives 10.
    :param clock: returns the unix seconds that messages are dated by.
    """

    def __init__(
        self,
        token: str = "42:SANDBOX",  # noqa: S107 - no secret
        *,
        timeout: float = 5.0,
        checkout_timeout: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.token = token
        self.bot_id = _id_of(token)
        self._state = TelegramState(self.notifier, self.bot_id, timeout, checkout_timeout, clock)
        self._users: dict[int, SandboxUser] = {}
        self._apis: dict[int, BotApi] = {}
        self._tokens = {self.bot_id: token}

    @property
    def timeout(self) -> float:
        """Seconds that the actions of users wait for a reply; may be changed."""
        return self._state.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._state.timeout = seconds

    @property
    def checkout_timeout(self) -> float:
        """Seconds a bot has to answer a pre-checkout query; may be changed."""
        return self._state.checkout_timeout

    @checkout_timeout.setter
    def checkout_timeout(self, seconds: float) -> None:
        self._state.checkout_timeout = seconds

    @property
    def calls(self) -> list[ApiCall]:
        """All calls of all bots, oldest first."""
        return self._state.calls

    @property
    def updates(self) -> list[Update]:
        """All updates sent to all bots, oldest first."""
        return self._state.updates

    @property
    def files(self) -> Mapping[str, bytes]:
        """The content of photos that bots have sent, by ``file_id``."""
        return self._state.files

    def user(
        self,
        user_id: int,
        first_name: str = "Ada",
        username: str | None = None,
        language_code: str | None = "en",
        *,
        last_name: str | None = None,
        is_premium: bool = False,
    ) -> SandboxUser:
        """Create a scripted user, or rename the one with this id and return it.

        :param user_id: the Telegram user id.
        :param first_name: the first name.
        :param username: the name after the @, if any.
        :param language_code: the language of the user's app, if known.
        :param last_name: the last name, if any.
        :param is_premium: whether the user has Telegram Premium.
        """
        profile = {
            "id": user_id,
            "is_bot": False,
            "first_name": first_name,
            "last_name": last_name,
            "username": username,
            "language_code": language_code,
            "is_premium": is_premium or None,
        }
        profile = {key: value for key, value in profile.items() if value is not None}
        state = self._state.users.setdefault(user_id, UserState(profile))
        state.profile = profile
        self._state.known_chats[user_id] = state.chat
        return self._users.setdefault(user_id, SandboxUser(self._state, state))

    def channel(
        self,
        chat_id: int,
        title: str,
        *,
        username: str | None = None,
        admins: Iterable[int] | None = None,
    ) -> SandboxChat:
        """Create a channel, owned by a user who is in no other chat.

        :param chat_id: its id, such as ``-1001234567890``.
        :param title: its title.
        :param username: the name after the @ of a public channel.
        :param admins: the bots that are its administrators; by default only the default bot.
        """
        return self._new_chat("channel", chat_id, title, username, admins)

    def group(
        self,
        chat_id: int,
        title: str,
        *,
        username: str | None = None,
        admins: Iterable[int] | None = None,
    ) -> SandboxChat:
        """Create a supergroup; its bots also get the messages on who joins and leaves.

        :param chat_id: its id, such as ``-1001234567890``.
        :param title: its title.
        :param username: the name after the @ of a public group.
        :param admins: the bots that are its administrators; by default only the default bot.
        """
        return self._new_chat("supergroup", chat_id, title, username, admins)

    def init_data(
        self,
        user: SandboxUser,
        *,
        start_param: str | None = None,
        auth_date: int | None = None,
        bot_id: int | None = None,
    ) -> str:
        """Build the ``initData`` that a Mini App gets when a user opens it, signed for the bot.

        :param user: the user who opens it.
        :param start_param: the ``startapp`` parameter of the link, such as ``gp_a1b2c3``.
        :param auth_date: unix seconds, by default now.
        :param bot_id: the bot, by default the default one; another one must have called a method
            before, so that its token is known.
        :raises LookupError: the bot's token is not known.
        """
        token = self._tokens[self.bot_id if bot_id is None else bot_id]
        opened = int(self._state.clock()) if auth_date is None else auth_date
        return signed_init_data(token, user.profile, auth_date=opened, start_param=start_param)

    async def push(self, update: Update, bot_id: int | None = None) -> Update:
        """Send any update to a bot; a chat in it becomes known to all bots.

        :param update: the raw update. Without ``update_id`` it gets the next one; with an old one
            it is handed out again, as Telegram does when it missed the confirmation.
        :param bot_id: the bot, by default the default one.
        :return: the update as sent.
        """
        return self._state.push(update, bot_id)

    async def wait_until(self, ready: Callable[[], object], timeout: float | None = None) -> None:
        """Wait until a condition is true.

        :param ready: the condition, such as ``lambda: user.answers``.
        :param timeout: seconds, by default :attr:`timeout`.
        :raises TimeoutError: it did not become true; the text lists the methods called.
        """
        timeout = self.timeout if timeout is None else timeout
        if not await self.notifier.wait_until(ready, timeout, poll_every=_POLL_INTERVAL):
            called = self._state.called_methods()
            msg = f"not so within {timeout:g} s; the bots called: {called}"
            raise TimeoutError(msg)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        try:
            result = await self._call(request)
        except ApiError as error:
            problem = {"ok": False, "error_code": error.code, "description": error.description}
            return web.json_response(problem, status=error.code)
        return web.json_response({"ok": True, "result": result})

    async def __aexit__(self, *exc_info: object) -> None:
        await super().__aexit__(*exc_info)
        for api in self._apis.values():
            await api.close()

    async def _call(self, request: web.Request) -> Any:
        path = _PATH.fullmatch(request.path)
        if path is None:
            raise ApiError(404, "Not Found")
        token, method = path.groups()
        try:
            bot_id = _id_of(token)
        except ValueError:
            raise ApiError(401, "Unauthorized") from None
        self._tokens[bot_id] = token
        if bot_id not in self._apis:
            self._apis[bot_id] = BotApi(self._state, self._state.bot(bot_id))
        return await self._apis[bot_id].call(method, await read.from_request(request))

    def _new_chat(
        self,
        kind: str,
        chat_id: int,
        title: str,
        username: str | None,
        admins: Iterable[int] | None,
    ) -> SandboxChat:
        named = {} if username is None else {"username": username}
        raw = {"id": chat_id, "title": title, **named, "type": kind}
        owner = {"id": abs(chat_id), "is_bot": False, "first_name": "Owner"}
        chat = SandboxChat(self._state, raw, owner)
        for bot_id in (self.bot_id,) if admins is None else admins:
            chat.set_up(bot_id)
        self._state.known_chats[chat_id], self._state.chats[chat_id] = raw, chat
        return chat


def _id_of(token: str) -> int:
    match = _TOKEN.fullmatch(token)
    if match is None:
        msg = f"a token looks like 42:SANDBOX, not like {token!r}"
        raise ValueError(msg)
    return int(match[1])
