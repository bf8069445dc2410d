"""The updates that are fed to a dispatcher, and the user who sends them."""

from __future__ import annotations

from typing import Any

from aiogram import Bot
from aiogram.types import Update, User

BOT = Bot("42:TEST")
# Polling asks for it before the first update.
BOT._me = User(id=42, is_bot=True, first_name="Bot", username="ada_bot")  # noqa: SLF001

_USER = {"id": 7, "is_bot": False, "first_name": "Ada", "username": "ada", "language_code": "en"}
_MESSAGE = {
    "message_id": 1,
    "date": 1_790_000_000,
    "chat": {"id": 7, "type": "private", "first_name": "Ada", "username": "ada"},
    "from": _USER,
    "text": "hello",
}
_QUERY = {"id": "1", "from": _USER, "message": _MESSAGE, "chat_instance": "-1", "data": "buy:1"}


def message(update_id: int = 1, **changes: Any) -> Update:
    """Make an update with a message."""
    return _mounted({"update_id": update_id, "message": _MESSAGE | changes})


def callback_query(update_id: int = 1) -> Update:
    """Make an update with a callback query."""
    return _mounted({"update_id": update_id, "callback_query": _QUERY})


def _mounted(raw: dict[str, Any]) -> Update:
    """Tie an update to the bot, as polling does: ``feed_update`` would rebuild any other."""
    return Update.model_validate(raw, context={"bot": BOT})
