"""A stand-in for the Telegram Bot API, through which bots and scripted users talk."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from gp_aiogram.sandbox.server import LocalServer
from gp_aiogram.sandbox.telegram import params as read
from gp_aiogram.sandbox.telegram.bots import SandboxBot
from gp_aiogram.sandbox.telegram.chats import SandboxChat
from gp_aiogram.sandbox.telegram.mini_apps import signed_init_data
from gp_aiogram.sandbox.telegram.payments import PaymentDesk
from gp_aiogram.sandbox.telegram.shared import ApiCall, Shared
from gp_aiogram.sandbox.telegram.updates import ApiError, Update, kind_of
from gp_aiogram.sandbox.telegram.users import SandboxUser

_LOOK_EVERY = 0.01
_PATH = re.compile(r"/bot([^/]+)/([^/]+)")
_TOKEN = re.compile(r"(\d+):.+")


class TelegramSandbox(LocalServer):
    """Stands in for ``https://api.telegram.org``.

    Any token of the form ``<digits>:<text>`` is good, and the digits are the id of the bot, so
    several bots may share one stand-in. Known methods: getMe, getUpdates, setWebhook,
    deleteWebhook, getWebhookInfo, setMyCommands, sendMessage, editMessageText,
    answerCallbackQuery, sendChatAction; sendInvoice, createInvoiceLink, answerPreCheckoutQuery,
    refundStarPayment, editUserStarSubscription; createChatInviteLink, editChatInviteLink,
    revokeChatInviteLink, exportChatInviteLink, approveChatJoinRequest, declineChatJoinRequest,
    getChatMember, banChatMember, unbanChatMember. A webhook may be plain HTTP here.

    .. code-block:: python

        async with TelegramSandbox() as telegram:
            api = TelegramAPIServer.from_base(telegram.url)
            bot = Bot(telegram.token, session=AiohttpSession(api=api))

    :param token: the token of the bot that users talk to by default.
    :param timeout: seconds that the actions of users wait for a reply.
    :param checkout_timeout: seconds a bot has for its answer to a pre-checkout query; Telegram
        gives 10.
    """

    def __init__(
        self,
        token: str = "42:SANDBOX",  # noqa: S107 - no secret
        *,
        timeout: float = 5.0,
        checkout_timeout: float = 10.0,
    ) -> None:
        super().__init__()
        self.token = token
        self.timeout = timeout
        self.checkout_timeout = checkout_timeout
        self.bot_id = _id_of(token)
        self.updates: list[Update] = []
        self._shared = Shared(self.bell, self.push)
        self._users: dict[int, SandboxUser] = {}
        self._bots: dict[int, SandboxBot] = {}
        self._tokens = {self.bot_id: token}
        self._last_update_id = 0
        self._calls_before: dict[int, int] = {}

    @property
    def calls(self) -> list[ApiCall]:
        """All calls of all bots, oldest first."""
        return self._shared.calls

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
        """A scripted user; asked for again, the same one with the names now given.

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
        user = self._users.setdefault(user_id, SandboxUser(self, profile))
        user.profile = profile
        self._shared.users[user_id] = user
        self._shared.chats[user_id] = user.chat
        return user

    def channel(
        self,
        chat_id: int,
        title: str,
        *,
        username: str | None = None,
        admins: Iterable[int] | None = None,
    ) -> SandboxChat:
        """A new channel, owned by somebody who is in no other chat.

        :param chat_id: its id, such as ``-1001234567890``.
        :param title: its title.
        :param username: the name after the @ of a public channel.
        :param admins: the bots that are its administrators, by default the one of :attr:`token`.
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
        """A new supergroup; its bots also see the messages on who comes and goes.

        :param chat_id: its id, such as ``-1001234567890``.
        :param title: its title.
        :param username: the name after the @ of a public group.
        :param admins: the bots that are its administrators, by default the one of :attr:`token`.
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
        """The ``initData`` that a Mini App gets when a user opens it, signed for the bot.

        :param user: who opens it.
        :param start_param: the ``startapp`` parameter of the link, such as ``gp_a1b2c3``.
        :param auth_date: unix seconds, by default now.
        :param bot_id: the bot, by default the one of :attr:`token`; another one must have called
            a method before, so that its token is known.
        :raises LookupError: the bot's token is not known.
        """
        token = self._tokens[self.bot_id if bot_id is None else bot_id]
        opened = int(time.time()) if auth_date is None else auth_date
        return signed_init_data(token, user.profile, auth_date=opened, start_param=start_param)

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
            self._shared.chats.setdefault(content["chat"]["id"], content["chat"])
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
        return next(self._bot(bot_id).messages.message_ids)

    def ask(self, bot_id: int, user_id: int) -> str:
        """The id of a new callback query, which the bot may answer once.

        :param bot_id: the bot.
        :param user_id: who presses the button.
        """
        return self._bot(bot_id).messages.ask(user_id)

    def payments(self, bot_id: int) -> PaymentDesk:
        """What a bot has sold.

        :param bot_id: the bot.
        """
        return self._bot(bot_id).sales.desk

    def set_blocked(self, bot_id: int, user_id: int, *, blocked: bool) -> None:
        """Let a bot write to a user, or not; :meth:`SandboxUser.block` tells the bot too.

        :param bot_id: the bot.
        :param user_id: the user.
        :param blocked: whether it may not.
        """
        change = self._shared.blocked.add if blocked else self._shared.blocked.discard
        change((bot_id, user_id))

    def is_blocked(self, bot_id: int, user_id: int) -> bool:
        """Whether a user has blocked a bot.

        :param bot_id: the bot.
        :param user_id: the user.
        """
        return (bot_id, user_id) in self._shared.blocked

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

    async def __aexit__(self, *exc_info: object) -> None:
        await super().__aexit__(*exc_info)
        for bot in self._bots.values():
            await bot.close()

    async def _answer(self, request: web.Request) -> Any:
        path = _PATH.fullmatch(request.path)
        if path is None:
            raise ApiError(404, "Not Found")
        token, method = path.groups()
        try:
            bot = self._bot(_id_of(token))
        except ValueError:
            raise ApiError(401, "Unauthorized") from None
        self._tokens[bot.id] = token
        return await bot.call(method, await read.from_request(request))

    def _bot(self, bot_id: int) -> SandboxBot:
        if bot_id not in self._bots:
            self._bots[bot_id] = SandboxBot(bot_id, self._shared)
        return self._bots[bot_id]

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
        chat = SandboxChat(self, raw, owner)
        for bot_id in (self.bot_id,) if admins is None else admins:
            chat.set_up(bot_id)
        self._shared.chats[chat_id], self._shared.groups[chat_id] = raw, chat
        return chat

    def _called(self, since: int) -> str:
        names = [call.method for call in self.calls[since:] if call.method != "getUpdates"]
        return ", ".join(names) or "nothing"


def _id_of(token: str) -> int:
    match = _TOKEN.fullmatch(token)
    if match is None:
        msg = f"a token looks like 42:SANDBOX, not like {token!r}"
        raise ValueError(msg)
    return int(match[1])
