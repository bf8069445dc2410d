"""Catches ``/start`` deep links before anything else in the bot can drop them."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware, Bot
from aiogram.enums import ChatType
from aiogram.types import Message, TelegramObject, Update

from gp_aiogram.bot.updates import GP_KEY, time_of, user_tracker, username_of
from gp_aiogram.tracker import Tracker

logger = logging.getLogger("gp_aiogram.capture")

_COMMAND = "/start"
_START = re.compile(rf"\s*{_COMMAND}(?:@(?P<mention>\w+))?\s+(?P<payload>\S+)\s*")


class CaptureMiddleware(BaseMiddleware):
    """Outer middleware for ``dp.update``: keeps sessions and offers ``gp``; consumes nothing.

    Only a message of a person counts: not one of a business chat or a channel, not an edited or
    forwarded one.

    :param tracker: keeps what is caught.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        """Look at an update and pass it on."""
        try:
            if isinstance(event, Update):
                message = event.message
                if message is not None and message.text and _COMMAND in message.text:
                    await self._capture(message, data["bot"])
                if (gp := user_tracker(self.tracker, event, data)) is not None:
                    data[GP_KEY] = gp
        except Exception:
            self.tracker.counts["capture_errors"] += 1
            logger.exception("an update could not be captured; the bot goes on")
        return await handler(event, data)

    async def _capture(self, message: Message, bot: Bot) -> None:
        start = _START.fullmatch(message.text or "")
        user = message.from_user
        if start is None or user is None or user.is_bot or message.forward_origin is not None:
            return
        if not _is_for(bot, start["mention"]):
            return
        await self.tracker.capture(
            user.id,
            start["payload"],
            bot_id=bot.id,
            source="start" if message.chat.type == ChatType.PRIVATE else "startgroup",
            at=time_of(message),
        )


def _is_for(bot: Bot, mention: str | None) -> bool:
    """Tell whether ``/start@mention`` is for this bot.

    Only a name that aiogram has learned already is compared: asking Telegram would make the
    update wait for the network. Without one the update is taken as it is, meant for its receiver.
    """
    username = username_of(bot)
    return mention is None or username is None or mention.lower() == username.lower()
