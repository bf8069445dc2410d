"""A person as the Telegram stand-in knows one: a profile, a private chat with every bot."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from gp_aiogram.sandbox.server import Bell
from gp_aiogram.sandbox.telegram.messages import SandboxAnswer, SandboxMessage
from gp_aiogram.sandbox.telegram.payments import PaymentDesk
from gp_aiogram.sandbox.telegram.updates import RefusedError, Update


class Wire(Protocol):
    """What people need of the stand-in."""

    bell: Bell
    timeout: float
    checkout_timeout: float

    @property
    def bot_id(self) -> int:
        """The bot users talk to by default."""

    def next_message_id(self, bot_id: int) -> int:
        """The number of the next message between a bot and its users."""

    def ask(self, bot_id: int, user_id: int) -> str:
        """The id of a new callback query that the bot may answer once."""

    def payments(self, bot_id: int) -> PaymentDesk:
        """What a bot has sold."""

    def set_blocked(self, bot_id: int, user_id: int, *, blocked: bool) -> None:
        """Let a bot write to a user, or not."""

    def is_blocked(self, bot_id: int, user_id: int) -> bool:
        """Whether a user has blocked a bot."""

    async def push(self, update: Update, bot_id: int | None = None) -> Update:
        """Queue an update for a bot."""

    def story(self, bot_id: int, update_id: int) -> str:
        """What has become of an update, in words."""


class Person:
    """One person; what people do is added by the classes that build on this one.

    :param wire: the stand-in.
    :param profile: the ``User`` of the Bot API.
    """

    def __init__(self, wire: Wire, profile: dict[str, Any]) -> None:
        self.profile = profile
        self.messages: list[SandboxMessage] = []
        self.answers: list[SandboxAnswer] = []
        self._wire = wire
        self._received: list[SandboxMessage] = []

    def __repr__(self) -> str:
        return f"SandboxUser({self.id}, {self.profile['first_name']!r})"

    @property
    def id(self) -> int:
        """The Telegram user id, which is the id of the private chat too."""
        return int(self.profile["id"])

    @property
    def chat(self) -> dict[str, Any]:
        """The private chat as the Bot API describes it."""
        shown = ("id", "first_name", "last_name", "username")
        chat = {key: self.profile[key] for key in shown if key in self.profile}
        return {**chat, "type": "private"}

    def show(self, raw: Mapping[str, Any]) -> None:
        """Show a message a bot has sent or edited.

        :param raw: the ``Message`` of the Bot API.
        """
        message = SandboxMessage.from_raw(raw)
        self._received.append(message)
        for index, old in enumerate(self.messages):
            if (old.bot_id, old.message_id) == (message.bot_id, message.message_id):
                self.messages[index] = message
                return
        self.messages.append(message)

    def _bot(self, bot_id: int | None) -> int:
        return self._wire.bot_id if bot_id is None else bot_id

    def _says(self, bot_id: int, **content: Any) -> dict[str, Any]:
        return {
            "message_id": self._wire.next_message_id(bot_id),
            "from": self.profile,
            "chat": self.chat,
            "date": int(time.time()),
            **content,
        }

    async def _act(
        self, update: Update, bot_id: int, *, expect_reply: bool
    ) -> SandboxMessage | None:
        if self._wire.is_blocked(bot_id, self.id):
            msg = "YOU_BLOCKED_USER"
            raise RefusedError(msg)
        before = len(self._received)
        update = await self._wire.push(update, bot_id)
        if not expect_reply:
            return None

        def replies() -> list[SandboxMessage]:
            return [m for m in self._received[before:] if m.bot_id == bot_id]

        if not await self._wire.bell.until(replies, self._wire.timeout):
            msg = (
                f"bot {bot_id} sent nothing to user {self.id} within {self._wire.timeout:g} s: "
                f"{self._wire.story(bot_id, update['update_id'])}; "
                "if it has nothing to say here, pass expect_reply=False"
            )
            raise TimeoutError(msg)
        return replies()[0]
