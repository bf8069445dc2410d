"""What an update says about itself: whose it is, and when it happened."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from aiogram import Bot
from aiogram.types import Update

from gp_aiogram.bot._aiogram_internals import username_of
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.user_tracker import UserTracker

#: The names under which handlers ask for the user's tracker, and for the bot's.
GP_KEY, TRACKER_KEY = "gp", "tracker"


class UserTrackers:
    """Makes ``gp`` for updates.

    :param tracker: the bot's own.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._bot: Bot | None = None
        self._bot_id = 0

    def get(self, update: Update, data: dict[str, Any]) -> UserTracker | None:
        """Return the ``gp`` of an update; one is offered unless a middleware has done so before.

        :param data: aiogram's own context, with what its user middleware found.
        :return: None when the update is about nobody known.
        """
        offered = data.get(GP_KEY)
        return offered if isinstance(offered, UserTracker) else self.offer(update, data)

    def offer(self, update: Update, data: dict[str, Any]) -> UserTracker | None:
        """Make the ``gp`` of an update and put it into ``data``, None too; see :meth:`get`."""
        # Of a member aiogram names the actor, who may be an admin; it happened to the member.
        change = update.chat_member
        user = change.new_chat_member.user if change else data.get("event_from_user")
        if user is None:
            data[GP_KEY] = None
            return None
        bot = data["bot"]
        if bot is not self._bot:
            # Not for each update, since ``Bot.id`` reads the token anew.
            self._bot, self._bot_id = bot, bot.id
            self._tracker.meet_bot(self._bot_id)
        gp = UserTracker(self._tracker, user.id, self._bot_id, update.update_id)
        data[GP_KEY] = gp
        return gp


def bind_event(gp: UserTracker, event: object, bot: Bot) -> None:
    """Tell ``gp`` what only events need: when it happened, and what the bot is called."""
    gp.bind_update(at=time_of(event))
    gp.tracker.meet_bot(gp.bot_id, username_of(bot))


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
