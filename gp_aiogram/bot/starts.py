"""Reads ``/start`` commands: whether a message is one for this bot, and what came with it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiogram import Bot
from aiogram.types import Message

from gp_aiogram.bot.updates import username_of

_COMMAND = "/start"
_START = re.compile(rf"\s*{_COMMAND}(?:@(?P<mention>\w+))?(?:\s+(?P<payload>\S+))?\s*")


@dataclass(frozen=True)
class Start:
    """One ``/start`` of a person.

    :param telegram_id: who sent it.
    :param payload: what followed the command; None when nothing did.
    """

    telegram_id: int
    payload: str | None


def is_command(message: Message) -> bool:
    """Tell at little cost whether a message may be one: most are not."""
    return message.text is not None and _COMMAND in message.text


def start_of(message: Message, bot: Bot) -> Start | None:
    """Return the command in a message; None when it is none, forwarded, or another bot's."""
    if not is_command(message):
        return None
    start = _START.fullmatch(message.text or "")
    user = message.from_user
    if start is None or user is None or user.is_bot or message.forward_origin is not None:
        return None
    if not _is_for(bot, start["mention"]):
        return None
    return Start(user.id, start["payload"])


def _is_for(bot: Bot, mention: str | None) -> bool:
    """Tell whether ``/start@mention`` is for this bot.

    Only a name that aiogram has learned already is compared: asking Telegram would make the
    update wait for the network. Without one the update is taken as it is, meant for its receiver.
    """
    username = username_of(bot)
    return mention is None or username is None or mention.lower() == username.lower()
