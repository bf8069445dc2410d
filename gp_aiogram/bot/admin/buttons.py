"""The buttons below what admins are shown: replay dead letters, resume a destination."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Literal

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from gp_aiogram.bot.admin.overview import DestinationView
from gp_aiogram.bot.admin.texts import number

#: States in which somebody may know better than the pacer; not that in which it asks to wait.
_RESUMABLE = ("refused", "failing")


class Press(CallbackData, prefix="gp_admin"):
    """What a button does.

    :param mark: of the destination, whose name may be too long for Telegram's 64 bytes.
    """

    action: Literal["replay", "resume"]
    mark: str

    def destination(self, names: Iterable[str]) -> str | None:
        """Return which of these destinations is meant."""
        return next((name for name in names if _mark(name) == self.mark), None)


def buttons(views: Iterable[DestinationView]) -> InlineKeyboardMarkup | None:
    """Return a button for everything that can be done; None when nothing can."""
    rows = []
    for view in views:
        if view.state in _RESUMABLE:
            rows.append([_button(f"▶ Resume {view.name}", "resume", view.name)])
        if view.dead:
            text = f"↻ Replay {number(view.dead)} dead of {view.name}"
            rows.append([_button(text, "replay", view.name)])
    return InlineKeyboardMarkup(inline_keyboard=rows) if rows else None


def _button(text: str, action: Literal["replay", "resume"], name: str) -> InlineKeyboardButton:
    data = Press(action=action, mark=_mark(name)).pack()
    return InlineKeyboardButton(text=text, callback_data=data)


def _mark(name: str) -> str:
    return blake2b(name.encode(), digest_size=6).hexdigest()
