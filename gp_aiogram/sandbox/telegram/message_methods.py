"""The methods of the Bot API by which one bot writes and answers presses of buttons."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import count
from typing import Any

from gp_aiogram.sandbox.telegram import params as read
from gp_aiogram.sandbox.telegram.messages import SandboxAnswer
from gp_aiogram.sandbox.telegram.params import Params
from gp_aiogram.sandbox.telegram.profiles import bot_profile
from gp_aiogram.sandbox.telegram.shared import Method, Shared
from gp_aiogram.sandbox.telegram.updates import ApiError


class MessageMethods:
    """The messages of one bot.

    :param bot_id: the bot.
    :param shared: what it shares with other bots.
    """

    def __init__(self, bot_id: int, shared: Shared) -> None:
        self.message_ids = count(1)
        self._bot_id = bot_id
        self._shared = shared
        self._messages: dict[tuple[int, int], dict[str, Any]] = {}
        self._query_ids = count(1)
        self._asked_by: dict[str, int] = {}

    @property
    def methods(self) -> Mapping[str, Method]:
        """The methods by name."""
        return {
            "sendMessage": self._send_message,
            "editMessageText": self._edit_message_text,
            "answerCallbackQuery": self._answer_callback_query,
            "sendChatAction": self._send_chat_action,
        }

    def ask(self, user_id: int) -> str:
        """The id of a new callback query, which the bot may answer once.

        :param user_id: who presses the button.
        """
        query_id = f"{self._bot_id}{next(self._query_ids):06d}"
        self._asked_by[query_id] = user_id
        return query_id

    def written(self, chat: dict[str, Any], **content: Any) -> dict[str, Any]:
        """A new message of the bot.

        :param chat: where it writes.
        :param content: the fields that make the message what it is.
        """
        return {
            "message_id": next(self.message_ids),
            "from": bot_profile(self._bot_id),
            "chat": chat,
            "date": int(time.time()),
            **content,
        }

    def show(self, message: dict[str, Any]) -> dict[str, Any]:
        """Show a new or edited message to whom it is for.

        :param message: the message.
        :return: the same.
        """
        chat_id = message["chat"]["id"]
        self._messages[chat_id, message["message_id"]] = message
        if chat_id in self._shared.users:
            self._shared.users[chat_id].show(message)
        return message

    async def _send_message(self, params: Params) -> Any:
        text = read.message_text(params)
        chat = self._shared.writable_chat(self._bot_id, params)
        keyboard = read.inline_keyboard(params)
        return self.show(self.written(chat, text=text, **keyboard))

    async def _edit_message_text(self, params: Params) -> Any:
        text = read.message_text(params)
        chat = self._shared.writable_chat(self._bot_id, params)
        old = self._messages.get((chat["id"], read.integer(params, "message_id")))
        if old is None:
            raise ApiError(400, "Bad Request: message to edit not found")
        keyboard = read.inline_keyboard(params)
        if text == old.get("text") and keyboard.get("reply_markup") == old.get("reply_markup"):
            msg = (
                "Bad Request: message is not modified: specified new message content and reply "
                "markup are exactly the same as a current content and reply markup of the message"
            )
            raise ApiError(400, msg)
        kept = {key: value for key, value in old.items() if key != "reply_markup"}
        return self.show({**kept, "edit_date": int(time.time()), "text": text, **keyboard})

    async def _answer_callback_query(self, params: Params) -> Any:
        user_id = self._asked_by.pop(str(params.get("callback_query_id")), None)
        if user_id is None:
            msg = (
                "Bad Request: query is too old and response timeout expired or query ID is invalid"
            )
            raise ApiError(400, msg)
        text, alert = str(params.get("text", "")), bool(params.get("show_alert"))
        self._shared.users[user_id].answers.append(
            SandboxAnswer(self._bot_id, text, show_alert=alert)
        )
        return True

    async def _send_chat_action(self, params: Params) -> Any:
        self._shared.writable_chat(self._bot_id, params)
        if not params.get("action"):
            raise ApiError(400, "Bad Request: wrong parameter action in request")
        return True
