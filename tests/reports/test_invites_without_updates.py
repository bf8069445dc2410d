"""Invite links whose joins no update tells of lost every session in silence.

The most asked question of all about joins (grammY#264, pyTelegramBotAPI#1918). In public chats
Telegram leaves the link out (telegram-bot-api#428).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.types import Message

from gp_aiogram import MemoryStore, Tracker

JOINS = Path(__file__).parents[2] / "docs" / "howto" / "joins.md"


class Links:
    """The part of a bot that makes invite links."""

    async def create_chat_invite_link(self, chat_id: int | str, **terms: Any) -> Any:
        return type("Link", (), {"invite_link": "https://t.me/+abc"})

    create_chat_subscription_invite_link = create_chat_invite_link


async def test_the_first_link_warns_that_no_join_will_be_seen(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracker, dp = Tracker([], store=MemoryStore()), Dispatcher()
    tracker.setup(dp)

    @dp.message()
    async def handler(message: Message) -> None: ...

    await dp.emit_startup()
    await tracker.invites.create(Links(), -1001, "gp_a1")
    await dp.emit_shutdown()
    assert "the bot asks Telegram for no chat_member updates" in caplog.text


def test_the_docs_say_what_public_chats_do() -> None:
    assert "leaves the invite link out" in JOINS.read_text("utf-8")
