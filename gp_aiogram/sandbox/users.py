"""The scripted people who talk to bots through the Telegram stand-in."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, overload

from gp_aiogram.sandbox.server import Bell
from gp_aiogram.sandbox.updates import Update

_COMMAND = re.compile(r"(?a)(?<![\w/<>@])/\w{1,64}(?:@\w{3,32})?(?![\w/<>@])")


@dataclass(frozen=True)
class SandboxButton:
    """An inline button as the user sees it.

    :param text: its label.
    :param callback_data: what pressing it sends; ``None`` for buttons that do something else.
    :param url: the page it opens.
    """

    text: str
    callback_data: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class SandboxMessage:
    """A bot's message as the user sees it; a later edit makes a new one.

    :param bot_id: who sent it.
    :param message_id: its number in the chat.
    :param text: its text as the bot sent it; ``parse_mode`` is not interpreted.
    :param buttons: its inline buttons, row after row.
    :param raw: the whole ``Message`` of the Bot API.
    """

    bot_id: int
    message_id: int
    text: str
    buttons: tuple[SandboxButton, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_raw(cls, raw: Mapping[str, Any]) -> SandboxMessage:
        """Read a ``Message`` of the Bot API.

        :param raw: a message sent by a bot.
        """
        rows = raw.get("reply_markup", {}).get("inline_keyboard", [])
        return cls(
            bot_id=raw["from"]["id"],
            message_id=raw["message_id"],
            text=raw["text"],
            buttons=tuple(
                SandboxButton(button["text"], button.get("callback_data"), button.get("url"))
                for row in rows
                for button in row
            ),
            raw=raw,
        )


@dataclass(frozen=True)
class SandboxAnswer:
    """A bot's answer to a pressed button.

    :param bot_id: who answered.
    :param text: the notification; empty when the bot only ended the progress bar.
    :param show_alert: whether it is shown as an alert.
    """

    bot_id: int
    text: str = ""
    show_alert: bool = False


class Wire(Protocol):
    """What a user needs of the stand-in."""

    bell: Bell
    timeout: float

    @property
    def bot_id(self) -> int:
        """The bot users talk to by default."""

    def next_message_id(self, bot_id: int) -> int:
        """The number of the next message between a bot and its users."""

    def ask(self, bot_id: int, user_id: int) -> str:
        """The id of a new callback query that the bot may answer once."""

    async def push(self, update: Update, bot_id: int | None = None) -> Update:
        """Queue an update for a bot."""

    def story(self, bot_id: int, update_id: int) -> str:
        """What has become of an update, in words."""


class SandboxUser:
    """One person with a private chat with every bot; see :meth:`TelegramSandbox.user`.

    :meth:`start`, :meth:`send` and :meth:`click` take ``bot_id``, by default the stand-in's own
    bot, and return the first message the bot sends or edits after the action. With
    ``expect_reply=False`` they return at once. A bot that stays silent is a
    :class:`TimeoutError` that tells what became of the update.

    :ivar messages: all messages from bots, oldest first, as they look now.
    :ivar answers: all answers to pressed buttons, oldest first.
    """

    def __init__(self, wire: Wire, profile: dict[str, Any]) -> None:
        self.profile = profile
        self.messages: list[SandboxMessage] = []
        self.answers: list[SandboxAnswer] = []
        self._wire = wire
        self._received: list[SandboxMessage] = []

    def __repr__(self) -> str:
        return f"SandboxUser({self.id}, {self.profile['first_name']!r})"

    @property
    def id(self) -> int:
        """The Telegram user id, which is the id of the private chat too."""
        return int(self.profile["id"])

    @property
    def chat(self) -> dict[str, Any]:
        """The private chat as the Bot API describes it."""
        shown = ("id", "first_name", "username")
        chat = {key: self.profile[key] for key in shown if key in self.profile}
        return {**chat, "type": "private"}

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
        return await self._send(text, bot_id, expect_reply=expect_reply)

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
        return await self._send(text, bot_id, expect_reply=expect_reply)

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
        """Press an inline button under the newest message that has it.

        :param label_or_data: the button's text or callback data.
        :param bot_id: the bot.
        :param expect_reply: whether to wait for the reply and return it.
        :raises LookupError: no message of the bot has such a button; the text lists the buttons.
        :raises TimeoutError: no reply came.
        """
        bot_id = self._wire.bot_id if bot_id is None else bot_id
        message, button = self._find(label_or_data, bot_id)
        query = {
            "id": self._wire.ask(bot_id, self.id),
            "from": self.profile,
            "message": dict(message.raw),
            "chat_instance": f"{bot_id}{self.id}",
            "data": button.callback_data,
        }
        return await self._act({"callback_query": query}, bot_id, expect_reply=expect_reply)

    def show(self, raw: Mapping[str, Any]) -> None:
        """Show a message a bot has sent or edited.

        :param raw: the ``Message`` of the Bot API.
        """
        message = SandboxMessage.from_raw(raw)
        self._received.append(message)
        for index, old in enumerate(self.messages):
            if (old.bot_id, old.message_id) == (message.bot_id, message.message_id):
                self.messages[index] = message
                return
        self.messages.append(message)

    def _find(self, label_or_data: str, bot_id: int) -> tuple[SandboxMessage, SandboxButton]:
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

    async def _send(
        self, text: str, bot_id: int | None, *, expect_reply: bool
    ) -> SandboxMessage | None:
        bot_id = self._wire.bot_id if bot_id is None else bot_id
        message = {
            "message_id": self._wire.next_message_id(bot_id),
            "from": self.profile,
            "chat": self.chat,
            "date": int(time.time()),
            "text": text,
        }
        entities = command_entities(text)
        if entities:
            message["entities"] = entities
        return await self._act({"message": message}, bot_id, expect_reply=expect_reply)

    async def _act(
        self, update: Update, bot_id: int, *, expect_reply: bool
    ) -> SandboxMessage | None:
        before = len(self._received)
        update = await self._wire.push(update, bot_id)
        if not expect_reply:
            return None

        def replies() -> list[SandboxMessage]:
            return [m for m in self._received[before:] if m.bot_id == bot_id]

        if not await self._wire.bell.until(replies, self._wire.timeout):
            msg = (
                f"bot {bot_id} sent nothing to user {self.id} within {self._wire.timeout:g} s: "
                f"{self._wire.story(bot_id, update['update_id'])}; "
                "if it has nothing to say here, pass expect_reply=False"
            )
            raise TimeoutError(msg)
        return replies()[0]


def command_entities(text: str) -> list[dict[str, Any]]:
    """The ``bot_command`` entities of a text, in UTF-16 code units as the Bot API counts.

    :param text: the text of a message.
    """
    return [
        {
            "type": "bot_command",
            "offset": _utf16_length(text[: match.start()]),
            "length": len(match[0]),
        }
        for match in _COMMAND.finditer(text)
    ]


def _utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
