"""Bots as the Bot API describes them to others."""

from __future__ import annotations

from typing import Any


def bot_profile(bot_id: int) -> dict[str, Any]:
    """A bot as the Bot API describes it to others.

    :param bot_id: the digits of its token.
    """
    return {
        "id": bot_id,
        "is_bot": True,
        "first_name": "Sandbox",
        "username": f"sandbox_{bot_id}_bot",
    }
