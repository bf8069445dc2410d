"""Captures deep links and invite links before anything else in the bot can drop the update."""

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
from gp_aiogram.bot.starts import COMMAND, start_of
from gp_aiogram.bot.updates import UserTrackers, time_of
from gp_aiogram.model.session import Session, Source
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.user_tracker import UserTracker

logger = logging.getLogger("gp_aiogram.capture")

#: What a person comes in by.
_Entry = Message | ChatJoinRequest | ChatMemberUpdated

_Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


class CaptureMiddleware(BaseMiddleware):
    """Outer middleware for ``dp.update`` that stores sessions and injects ``gp``.

    Every update goes on to the handlers. Only messages that people send count: no business
    messages, channel posts, edited or forwarded messages.

    :param tracker: stores the sessions.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self._user_trackers = UserTrackers(tracker)

    def __call__(self, handler: _Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Offer ``gp`` and pass an update on, once the touch in it is stored."""
        # No coroutine function: most updates hold no touch, and would pay for a coroutine more.
        try:
            if isinstance(event, Update):
                # Offered first, so that all parts of an update share one, whatever fails later.
                gp = self._user_trackers.offer(event, data)
                entry = _entry(event)
                if gp is not None and entry is not None:
                    return self._capture_first(gp, entry, handler, event, data)
        except Exception as error:  # noqa: BLE001 - the bot's own error handlers must not see it
            self._report(error)
        return handler(event, data)

    async def _capture_first(
        self,
        gp: UserTracker,
        entry: _Entry,
        handler: _Handler,
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        try:
            gp.bind_update(touch=await self._captured(entry, data["bot"]))
        except Exception as error:  # noqa: BLE001 - as above
            self._report(error)
        return await handler(event, data)

    def _report(self, error: Exception) -> None:
        self.tracker.counts["capture_errors"] += 1
        logger.error("an update could not be captured; the bot goes on", exc_info=error)

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
        return await self.tracker.intake.capture(
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
        return await self.tracker.intake.capture_invite(
            user.id,
            entry.invite_link.invite_link,
            name=entry.invite_link.name,
            bot_id=bot.id,
            source=source,
            at=time_of(entry),
        )


def _entry(update: Update) -> _Entry | None:
    """Return the part of an update by which somebody may have come in; most have none.

    Asked for each update, so it looks no closer than it must.
    """
    message = update.message
    if message is None:
        return update.chat_join_request or update.chat_member
    text = message.text
    return message if text is not None and COMMAND in text else None
