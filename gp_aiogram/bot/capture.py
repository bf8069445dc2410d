"""Catches deep links and invite links before anything else in the bot can drop them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware, Bot
from aiogram.enums import ChatType
from aiogram.types import (
    ChatJoinRequest,
    ChatMemberUpdated,
    Message,
    TelegramObject,
    Update,
    User,
)

from gp_aiogram.bot.members import has_joined
from gp_aiogram.bot.starts import is_command, start_of
from gp_aiogram.bot.updates import GP_KEY, time_of, user_tracker
from gp_aiogram.model.session import Session, Source
from gp_aiogram.tracker import Tracker

logger = logging.getLogger("gp_aiogram.capture")


#: By what a person comes in.
_Entry = Message | ChatJoinRequest | ChatMemberUpdated


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
                # First of all, so that whatever fails all parts of an update share one.
                gp = user_tracker(self.tracker, event, data)
                if gp is not None:
                    data[GP_KEY] = gp
                    if (entry := _entry(event)) is not None:
                        gp.touch = await self._captured(entry, data["bot"])
        except Exception:
            self.tracker.counts["capture_errors"] += 1
            logger.exception("an update could not be captured; the bot goes on")
        return await handler(event, data)

    async def _captured(self, entry: _Entry, bot: Bot) -> Session | None:
        if isinstance(entry, Message):
            return await self._captured_start(entry, bot)
        if isinstance(entry, ChatJoinRequest):
            return await self._captured_invite(entry, entry.from_user, bot, "join_request")
        if has_joined(entry):
            return await self._captured_invite(entry, entry.new_chat_member.user, bot, "invite")
        return None

    async def _captured_start(self, message: Message, bot: Bot) -> Session | None:
        start = start_of(message, bot)
        if start is None or start.payload is None:
            return None
        return await self.tracker.capture(
            start.telegram_id,
            start.payload,
            bot_id=bot.id,
            source="start" if message.chat.type == ChatType.PRIVATE else "startgroup",
            at=time_of(message),
        )

    async def _captured_invite(
        self,
        entry: ChatJoinRequest | ChatMemberUpdated,
        user: User,
        bot: Bot,
        source: Source,
    ) -> Session | None:
        if entry.invite_link is None:
            return None
        return await self.tracker.capture_invite(
            user.id,
            entry.invite_link.invite_link,
            name=entry.invite_link.name,
            bot_id=bot.id,
            source=source,
            at=time_of(entry),
        )


def _entry(update: Update) -> _Entry | None:
    """Return that of an update by which somebody may have come in; None is the rule."""
    message = update.message
    if message is not None:
        return message if is_command(message) else None
    return update.chat_join_request or update.chat_member
