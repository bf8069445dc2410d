"""Reads ``/start`` commands: whether a message is one for this bot, and its payload."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiogram import Bot
from aiogram.types import Message

from gp_aiogram.bot._aiogram_internals import username_of

#: What every ``/start`` has in its text.
COMMAND = "/start"

_START = re.compile(rf"\s*{COMMAND}(?:@(?P<mention>\w+))?(?:\s+(?P<payload>\S+))?\s*")


@dataclass(frozen=True)
class Start:
    """One ``/start`` of a person.

    :param telegram_id: who sent it.
    :param payload: what followed the command; None when nothing did.
    """

    telegram_id: int
    payload: str | None


def start_of(message: Message, bot: Bot) -> Start | None:
    """Return the ``/start`` in a message; None for other texts, and for one that does not count.

    A forwarded command does not count, nor one of a bot or for another bot.
    """
    start = _START.fullmatch(message.text or "")
    user = message.from_user
    if start is None or user is None or user.is_bot or message.forward_origin is not None:
        return None
    if not _is_for(bot, start["mention"]):
        return None
    return Start(user.id, start["payload"])


def _is_for(bot: Bot, mention: str | None) -> bool:
    """Return whether ``/start@mention`` is for this bot.

    Asking Telegram for the bot's username would make the update wait for the network. While
    aiogram has not learned it, the command is taken as meant for the bot that received it.
    """
    username = username_of(bot)
    return mention is None or username is None or mention.lower() == username.lower()
