"""Records what Telegram's own updates tell, without a handler."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from aiogram import BaseMiddleware, Bot
from aiogram.enums import ChatType
from aiogram.types import ChatMemberUpdated, Message, TelegramObject, Update

from gp_aiogram.bot.joins import came_by
from gp_aiogram.bot.members import has_blocked, has_joined, has_left
from gp_aiogram.bot.payments import is_refund
from gp_aiogram.bot.recorder import record_event
from gp_aiogram.bot.starts import start_of
from gp_aiogram.bot.updates import UserTrackers, bind_event
from gp_aiogram.model.event import REFUND
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.arguments import EventArguments
from gp_aiogram.tracker.containment import contained

logger = logging.getLogger("gp_aiogram.auto")


class _Occurrence(NamedTuple):
    """What an update tells.

    :param name: of the event.
    :param place: counts once per user, link and place; None counts each update.
    """

    name: str
    place: str | None = None
    user_data: Mapping[str, Any] | None = None


class AutoMiddleware(BaseMiddleware):
    """Outer middleware for ``dp.update`` that records the events of ``Tracker(auto=...)``.

    It runs after the bot's handlers, whether they succeed or not, and records nothing that one of
    them has recorded already.

    :param tracker: records the events.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self._user_trackers = UserTrackers(tracker)

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
        with contained(self.tracker, "auto_errors", logger, "an update"):
            if not isinstance(update, Update):
                return
            occurrence = _read(update, data["bot"])
            if occurrence is None or occurrence.name not in self.tracker.auto:
                return
            gp = self._user_trackers.get(update, data)
            if gp is None or gp.has_recorded(occurrence.name):
                return
            bind_event(gp, update.event, data["bot"])
            arguments: EventArguments = {"user_data": occurrence.user_data}
            if occurrence.place is not None:
                session_id = await came_by(gp)
                arguments["once"] = f"{occurrence.place}:{gp.telegram_id}:{session_id}"
                # Each bot that is an administrator of a chat tells of the same.
                arguments["once_scope"] = "store"
            # Apart from ``gp``: a handler that records late must not be taken for a second one.
            apart, name = gp.without_history(), occurrence.name
            await record_event(apart, name, update.event, arguments, site_id="auto")


def _read(update: Update, bot: Bot) -> _Occurrence | None:
    if update.message is not None:
        return _read_message(update.message, bot)
    if update.chat_join_request is not None:
        chat_id = update.chat_join_request.chat.id
        return _Occurrence("JoinRequest", f"{chat_id}", {"chat_id": chat_id})
    if update.chat_member is not None:
        return _read_member(update.chat_member)
    if update.my_chat_member is not None and has_blocked(update.my_chat_member):
        return _Occurrence("Blocked")
    # Before aiogram 3.31 the attribute is missing, or holds the raw JSON.
    subscription = getattr(update, "subscription", None)
    if isinstance(subscription, TelegramObject):
        fields = subscription.model_dump(include={"state", "invoice_payload"})
        return _Occurrence("Subscription", user_data=fields)
    return None


def _read_message(message: Message, bot: Bot) -> _Occurrence | None:
    if message.successful_payment is not None:
        return _Occurrence("Purchase")
    if is_refund(message):
        return _Occurrence(REFUND)
    if message.chat.type == ChatType.PRIVATE and start_of(message, bot):
        return _Occurrence("Start", f"start {bot.id}")
    return None


def _read_member(change: ChatMemberUpdated) -> _Occurrence | None:
    """Read what happened in a chat: each bot that is an administrator there gets the update."""
    chat_id = change.chat.id
    if has_joined(change):
        return _Occurrence("Subscribe", f"{chat_id}", {"chat_id": chat_id})
    if has_left(change):
        return _Occurrence("Leave", f"{chat_id} {change.date}", {"chat_id": chat_id})
    return None
