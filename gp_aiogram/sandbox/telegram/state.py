"""What the Telegram stand-in knows: its bots, users and chats, the calls and the updates."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from gp_aiogram.sandbox.server import Notifier
from gp_aiogram.sandbox.telegram import params as read
from gp_aiogram.sandbox.telegram.chats import SandboxChat
from gp_aiogram.sandbox.telegram.errors import ApiError
from gp_aiogram.sandbox.telegram.messages import (
    SandboxAnswer,
    SandboxButton,
    SandboxMessage,
    bot_profile,
)
from gp_aiogram.sandbox.telegram.params import Params
from gp_aiogram.sandbox.telegram.payments import Sales
from gp_aiogram.sandbox.telegram.updates import Update, UpdateQueue, kind_of


class ApiCall(NamedTuple):
    """One call of a bot.

    :param method: its name as Telegram spells it.
    :param params: its parameters, decoded.
    """

    method: str
    params: Params


@dataclass(eq=False)
class UserState:
    """One user.

    :param profile: the ``User`` of the Bot API.
    :param messages: the messages from bots as they look now, oldest first.
    :param received: each new or edited message from a bot as it arrived.
    :param answers: the answers to pressed buttons, oldest first.
    """

    profile: dict[str, Any]
    messages: list[SandboxMessage] = field(default_factory=list)
    received: list[SandboxMessage] = field(default_factory=list)
    answers: list[SandboxAnswer] = field(default_factory=list)

    @property
    def id(self) -> int:
        """The user id, which is also the id of the private chat with every bot."""
        return int(self.profile["id"])

    @property
    def chat(self) -> dict[str, Any]:
        """The private chat as the Bot API describes it."""
        names = ("id", "first_name", "last_name", "username")
        shown = {name: self.profile[name] for name in names if name in self.profile}
        return {**shown, "type": "private"}

    def show(self, raw: Mapping[str, Any]) -> None:
        """Show a new or edited message from a bot.

        :param raw: the ``Message`` of the Bot API.
        """
        message = SandboxMessage.from_raw(raw)
        self.received.append(message)
        for index, old in enumerate(self.messages):
            if (old.bot_id, old.message_id) == (message.bot_id, message.message_id):
                self.messages[index] = message
                return
        self.messages.append(message)

    def find_button(self, label_or_data: str, bot_id: int) -> tuple[SandboxMessage, SandboxButton]:
        """Find a button that sends callback data, in the newest message that has it.

        :param label_or_data: the button's text or callback data.
        :param bot_id: the bot that sent the message.
        :raises LookupError: there is no such button; the text lists the buttons.
        """
        seen: list[str] = []
        for message in reversed([m for m in self.messages if m.bot_id == bot_id]):
            for button in message.buttons:
                if button.callback_data is None:
                    seen.append(f"{button.text!r} (does not send callback data)")
                elif label_or_data in (button.text, button.callback_data):
                    return message, button
                else:
                    seen.append(f"{button.text!r} ({button.callback_data})")
        msg = (
            f"user {self.id} has no button {label_or_data!r} from bot {bot_id}; "
            f"newest first there are: {', '.join(seen) or 'none'}"
        )
        raise LookupError(msg)


@dataclass(eq=False)
class BotState:
    """One bot.

    :param id: the digits of its token.
    :param queue: the updates it has not confirmed.
    :param sales: its invoices and payments.
    :param messages: the messages it has sent, by chat and message id.
    :param presses: the users whose press of a button it has not answered, by callback query.
    :param clock: returns unix seconds.
    """

    id: int
    queue: UpdateQueue
    sales: Sales
    messages: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    presses: dict[str, int] = field(default_factory=dict)
    clock: Callable[[], float] = time.time
    _message_ids: count[int] = field(default_factory=lambda: count(1), init=False)
    _query_ids: count[int] = field(default_factory=lambda: count(1), init=False)

    @property
    def profile(self) -> dict[str, Any]:
        """The ``User`` of the Bot API."""
        return bot_profile(self.id)

    def new_message(
        self, sender: dict[str, Any], chat: dict[str, Any], **content: Any
    ) -> dict[str, Any]:
        """Build a ``Message`` with the next id in this bot's chats.

        :param sender: the ``User`` who sends it.
        :param chat: the ``Chat`` it is sent to.
        :param content: the fields that make the message what it is.
        """
        return {
            "message_id": next(self._message_ids),
            "from": sender,
            "chat": chat,
            "date": int(self.clock()),
            **content,
        }

    def new_callback_query(self, user_id: int) -> str:
        """Record the press of a button; the bot may answer the query once.

        :param user_id: who presses it.
        :return: the id of the query.
        """
        query_id = f"{self.id}{next(self._query_ids):06d}"
        self.presses[query_id] = user_id
        return query_id


class TelegramState:
    """Everything that one stand-in knows.

    :param notifier: notified when something changes.
    :param bot_id: the bot that is meant when none is named.
    :param timeout: seconds that the actions of users wait for a reply.
    :param checkout_timeout: seconds that a bot has to answer a pre-checkout query.
    :param clock: returns unix seconds.
    :ivar bots: the bots, by id.
    :ivar users: the scripted users, by id.
    :ivar chats: the channels and groups that people join and leave, by id.
    :ivar known_chats: the ``Chat`` of every chat that bots may write to, by id.
    :ivar blocked: pairs of a bot and a user who has blocked it.
    :ivar files: the content of uploaded photos, by ``file_id``.
    :ivar calls: every call of a known method, oldest first.
    :ivar updates: every update, oldest first.
    """

    def __init__(
        self,
        notifier: Notifier,
        bot_id: int,
        timeout: float,
        checkout_timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self.notifier = notifier
        self.clock = clock
        self.bot_id = bot_id
        self.timeout = timeout
        self.checkout_timeout = checkout_timeout
        self.bots: dict[int, BotState] = {}
        self.users: dict[int, UserState] = {}
        self.chats: dict[int, SandboxChat] = {}
        self.known_chats: dict[int, dict[str, Any]] = {}
        self.blocked: set[tuple[int, int]] = set()
        self.files: dict[str, bytes] = {}
        self.calls: list[ApiCall] = []
        self.updates: list[Update] = []
        self._last_update_id = 0
        self._calls_before: dict[int, int] = {}

    def bot(self, bot_id: int | None = None) -> BotState:
        """Find a bot; any id is one.

        :param bot_id: the digits of its token; ``None`` for the default bot.
        """
        bot_id = self.bot_id if bot_id is None else bot_id
        if bot_id not in self.bots:
            sales = Sales(bot_id, self.clock)
            queue = UpdateQueue(self.notifier)
            self.bots[bot_id] = BotState(bot_id, queue, sales, clock=self.clock)
        return self.bots[bot_id]

    def push(self, update: Update, bot_id: int | None = None) -> Update:
        """Queue an update for a bot; see :meth:`TelegramSandbox.push`.

        :param update: the raw update.
        :param bot_id: the bot.
        :return: a copy with its ``update_id``.
        """
        update = json.loads(json.dumps(update))
        update_id = update.setdefault("update_id", self._last_update_id + 1)
        self._last_update_id = max(self._last_update_id, update_id)
        self._calls_before[update_id] = len(self.calls)
        content = update.get(kind_of(update))
        if isinstance(content, dict) and "chat" in content:
            self.known_chats.setdefault(content["chat"]["id"], content["chat"])
        self.updates.append(update)
        self.bot(bot_id).queue.put(update)
        return update

    def push_message(
        self, bot_id: int, sender: dict[str, Any], chat: dict[str, Any], **content: Any
    ) -> Update:
        """Queue a new message for a bot.

        :param bot_id: the bot.
        :param sender: the ``User`` who sends it.
        :param chat: the ``Chat`` it is sent to.
        :param content: the fields that make the message what it is.
        """
        message = self.bot(bot_id).new_message(sender, chat, **content)
        return self.push({"message": message}, bot_id)

    def show(self, message: dict[str, Any]) -> dict[str, Any]:
        """Put a bot's new or edited message into its chat.

        :param message: the ``Message`` of the Bot API.
        :return: the same message.
        """
        chat_id = message["chat"]["id"]
        self.bot(message["from"]["id"]).messages[chat_id, message["message_id"]] = message
        if chat_id in self.users:
            self.users[chat_id].show(message)
        return message

    def chat(self, params: Params) -> dict[str, Any]:
        """Find the ``Chat`` that a call names by its id or its ``@username``.

        :param params: the parameters of the call.
        :raises ApiError: no such chat is known.
        """
        name = params.get("chat_id")
        if isinstance(name, str) and name.startswith("@"):
            chats = self.known_chats.values()
            found = next((chat for chat in chats if chat.get("username") == name[1:]), None)
        else:
            found = self.known_chats.get(read.integer(params, "chat_id"))
        if found is None:
            raise ApiError(400, "Bad Request: chat not found")
        return found

    def writable_chat(self, bot_id: int, params: Params) -> dict[str, Any]:
        """Find the ``Chat`` that a bot wants to write to.

        :param bot_id: the bot.
        :param params: the parameters of the call.
        :raises ApiError: no such chat is known, or the bot may not write to it.
        """
        chat = self.chat(params)
        if (bot_id, chat["id"]) in self.blocked:
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        if chat["id"] in self.chats:
            self.chats[chat["id"]].check_writer(bot_id)
        return chat

    def trace(self, bot_id: int, update_id: int) -> str:
        """Describe what has become of an update.

        :param bot_id: the bot it was sent to.
        :param update_id: the update.
        """
        fate = self.bot(bot_id).queue.fate(update_id)
        called = self.called_methods(self._calls_before[update_id])
        return f"update {update_id} {fate}; since then the bots called: {called}"

    def called_methods(self, since: int = 0) -> str:
        """List the methods that bots have called.

        :param since: how many of the first calls to leave out.
        """
        names = [call.method for call in self.calls[since:] if call.method != "getUpdates"]
        return ", ".join(names) or "nothing"
