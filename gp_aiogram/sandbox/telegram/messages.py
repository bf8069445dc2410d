"""What users see of a bot: its profile, its messages and buttons, and its answers to presses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_COMMAND = re.compile(r"(?a)(?<![\w/<>@])/\w{1,64}(?:@\w{3,32})?(?![\w/<>@])")


@dataclass(frozen=True)
class SandboxButton:
    """An inline button as the user sees it.

    :param text: its label.
    :param callback_data: the data it sends to the bot; ``None`` if it does something else.
    :param url: the page it opens.
    :param pay: whether it pays the invoice above it.
    """

    text: str
    callback_data: str | None = None
    url: str | None = None
    pay: bool = False

    @classmethod
    def from_raw(cls, raw: Mapping[str, Any]) -> SandboxButton:
        """Read an ``InlineKeyboardButton`` of the Bot API.

        :param raw: the button.
        """
        return cls(raw["text"], raw.get("callback_data"), raw.get("url"), raw.get("pay", False))


@dataclass(frozen=True)
class SandboxMessage:
    """A bot's message as the user sees it; an edit makes a new object.

    :param bot_id: who sent it.
    :param message_id: its number in the chat.
    :param text: its text or caption as the bot sent it, empty for an invoice; ``parse_mode`` is
        not interpreted.
    :param buttons: its inline buttons, row by row.
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
            text=raw.get("text") or raw.get("caption", ""),
            buttons=tuple(SandboxButton.from_raw(button) for row in rows for button in row),
            raw=raw,
        )


@dataclass(frozen=True)
class SandboxAnswer:
    """A bot's answer to a pressed button.

    :param bot_id: who answered.
    :param text: the notification; empty when the bot only stops the button's spinner.
    :param show_alert: whether it is shown as an alert.
    """

    bot_id: int
    text: str = ""
    show_alert: bool = False


def bot_profile(bot_id: int) -> dict[str, Any]:
    """Build the ``User`` that the Bot API shows for a bot.

    :param bot_id: the digits of its token.
    """
    return {
        "id": bot_id,
        "is_bot": True,
        "first_name": "Sandbox",
        "username": f"sandbox_{bot_id}_bot",
    }


def command_entities(text: str) -> list[dict[str, Any]]:
    """Find the ``bot_command`` entities of a text, counted in UTF-16 code units.

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
