"""Records what Telegram's own updates tell, without a handler."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiogram import BaseMiddleware, Bot
from aiogram.enums import ChatType
from aiogram.types import ChatMemberUpdated, Message, TelegramObject, Update

from gp_aiogram.bot.members import has_blocked, has_joined, has_left
from gp_aiogram.bot.payments import completed, is_refund, payment_of
from gp_aiogram.bot.starts import start_of
from gp_aiogram.bot.updates import GP_KEY, time_of, user_tracker
from gp_aiogram.errors import GPError
from gp_aiogram.model.event import REFUND
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.user_tracker import UserTracker

logger = logging.getLogger("gp_aiogram.auto")

#: The type of update that an event is made of; Telegram must be asked to deliver it.
UPDATE_TYPES: Mapping[str, str] = {
    "Blocked": "my_chat_member",
    "JoinRequest": "chat_join_request",
    "Leave": "chat_member",
    "Purchase": "message",
    "Refund": "message",
    "Start": "message",
    "Subscribe": "chat_member",
    "Subscription": "subscription",
}


@dataclass(frozen=True)
class _Happened:
    """What an update tells.

    :param name: of the event.
    :param place: counts once per user, link and this; None counts each update.
    """

    name: str
    place: str | None = None
    user_data: Mapping[str, Any] = field(default_factory=dict)


class AutoMiddleware(BaseMiddleware):
    """Outer middleware for ``dp.update``: records the events that ``Tracker(auto=...)`` names.

    It does so when the bot's own handlers are done, whatever became of them, unless one of them
    has recorded the same.

    :param tracker: records the events.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        """Pass an update on, then record what it tells."""
        try:
            result = await handler(event, data)
        except Exception:
            await self._record(event, data)
            raise
        await self._record(event, data)
        return result

    async def _record(self, update: TelegramObject, data: dict[str, Any]) -> None:
        try:
            if isinstance(update, Update):
                happened = _read(update, data["bot"])
                if happened is not None and happened.name in self.tracker.auto:
                    await self._keep(happened, update, data)
        except GPError as error:
            self._count(error)
        except Exception as error:  # noqa: BLE001 - the bot's own error handlers must not see it
            self._count(error, exc_info=error)

    async def _keep(self, happened: _Happened, update: Update, data: dict[str, Any]) -> None:
        gp: UserTracker | None = data.get(GP_KEY) or user_tracker(self.tracker, update, data)
        if gp is None or gp.has_recorded(happened.name):
            return
        gp.at = time_of(update.event)
        arguments: dict[str, Any] = {
            "event_id": gp.event_id("auto", happened.name),
            "user_data": happened.user_data,
        }
        payment = payment_of(update.message)
        if payment is not None:
            arguments = completed(arguments, payment)
        if happened.place is not None:
            came_by = await self._came_by(gp)
            arguments["once"] = f"{happened.place}:{gp.telegram_id}:{came_by}"
        arguments |= {"telegram_id": gp.telegram_id, "bot_id": gp.bot_id, "event_time": gp.at}
        if happened.name == REFUND:
            await self.tracker.refund(**arguments)
        else:
            await self.tracker.track(happened.name, **arguments)

    async def _came_by(self, gp: UserTracker) -> str | None:
        """Return the session of the update's own link, else the one that counts."""
        try:
            session = gp.touch or await gp.load()
        except Exception:
            # An event without its session is worth more than no event.
            self.tracker.counts["session_errors"] += 1
            logger.exception("the session of %r could not be read", gp)
            return None
        return None if session is None else session.session_id

    def _count(self, error: Exception, exc_info: Exception | None = None) -> None:
        self.tracker.counts["auto_errors"] += 1
        logger.error("an update recorded nothing: %s", error, exc_info=exc_info)


def _read(update: Update, bot: Bot) -> _Happened | None:
    if update.message is not None:
        return _read_message(update.message, bot)
    if update.chat_join_request is not None:
        chat_id = update.chat_join_request.chat.id
        return _Happened("JoinRequest", f"{chat_id}", {"chat_id": chat_id})
    if update.chat_member is not None:
        return _read_member(update.chat_member)
    if update.my_chat_member is not None and has_blocked(update.my_chat_member):
        return _Happened("Blocked")
    # Before aiogram 3.31 it is not there, or is what Telegram sent.
    subscription = getattr(update, "subscription", None)
    if isinstance(subscription, TelegramObject):
        told = subscription.model_dump(include={"state", "invoice_payload"})
        return _Happened("Subscription", user_data=told)
    return None


def _read_message(message: Message, bot: Bot) -> _Happened | None:
    if message.successful_payment is not None:
        return _Happened("Purchase")
    if is_refund(message):
        return _Happened(REFUND)
    if message.chat.type == ChatType.PRIVATE and start_of(message, bot):
        return _Happened("Start", f"start {bot.id}")
    return None


def _read_member(change: ChatMemberUpdated) -> _Happened | None:
    """Read what happened in a chat; every bot that is an administrator there is told of it."""
    chat_id = change.chat.id
    if has_joined(change):
        return _Happened("Subscribe", f"{chat_id}", {"chat_id": chat_id})
    if has_left(change):
        return _Happened("Leave", f"{chat_id} {change.date}", {"chat_id": chat_id})
    return None
