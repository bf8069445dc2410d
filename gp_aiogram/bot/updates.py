"""What an update says about itself: whose it is, and when it happened."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from aiogram import Bot
from aiogram.types import Update, User

from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.user_tracker import UserTracker

#: The name under which handlers ask for the user's tracker.
GP_KEY = "gp"


def user_tracker(tracker: Tracker, update: Update, data: dict[str, Any]) -> UserTracker | None:
    """Return the tracker of the user an update is about; None when it is about nobody known.

    :param data: aiogram's own context, with what its user middleware found.
    """
    user: User | None = data.get("event_from_user")
    if update.chat_member is not None:
        # aiogram names the actor, who may be an admin; it happened to the member.
        user = update.chat_member.new_chat_member.user
    if user is None:
        return None
    bot_id: int = data["bot"].id
    if bot_id not in tracker.bots:
        tracker.bots[bot_id] = None
    return UserTracker(tracker, user.id, bot_id, update.update_id)


def complete(gp: UserTracker, event: object, bot: Bot) -> None:
    """Tell ``gp`` what is asked for events only: when it happened, and what the bot is called."""
    gp.at = time_of(event)
    bots = gp.tracker.bots
    if bots[gp.bot_id] is None:
        bots[gp.bot_id] = username_of(bot)


def username_of(bot: Bot) -> str | None:
    """Return a bot's username without asking Telegram; None while aiogram has not learned it."""
    me: User | None = getattr(bot, "_me", None)
    return None if me is None else me.username


def time_of(event: object) -> datetime | None:
    """Return when an event happened by Telegram's clock; None when it does not say.

    A callback query's message has a date, but that is when the button was sent.
    """
    moment = getattr(event, "edit_date", None) or getattr(event, "date", None)
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        return moment
    if isinstance(moment, int) and moment > 0:
        return datetime.fromtimestamp(moment, timezone.utc)
    return None
