"""People who talk to bots: they press START, write and press inline buttons."""

from __future__ import annotations

from typing import Any, Literal, overload

from gp_aiogram.sandbox.telegram.messages import SandboxButton, SandboxMessage, command_entities
from gp_aiogram.sandbox.telegram.people import Person


class Talker(Person):
    """Someone who talks to bots."""

    @overload
    async def start(
        self,
        payload: str | None = ...,
        *,
        bot_id: int | None = ...,
        expect_reply: Literal[True] = ...,
    ) -> SandboxMessage: ...
    @overload
    async def start(
        self, payload: str | None = ..., *, bot_id: int | None = ..., expect_reply: Literal[False]
    ) -> None: ...
    async def start(
        self, payload: str | None = None, *, bot_id: int | None = None, expect_reply: bool = True
    ) -> SandboxMessage | None:
        """Follow a link to the bot and press START.

        :param payload: the link's ``start`` parameter, such as ``gp_a1b2c3``.
        :param bot_id: the bot.
        :param expect_reply: whether to wait for the reply and return it.
        :raises TimeoutError: no reply came.
        """
        text = "/start" if payload is None else f"/start {payload}"
        return await self._send(text, bot_id, expect_reply=expect_reply)

    @overload
    async def send(
        self, text: str, *, bot_id: int | None = ..., expect_reply: Literal[True] = ...
    ) -> SandboxMessage: ...
    @overload
    async def send(
        self, text: str, *, bot_id: int | None = ..., expect_reply: Literal[False]
    ) -> None: ...
    async def send(
        self, text: str, *, bot_id: int | None = None, expect_reply: bool = True
    ) -> SandboxMessage | None:
        """Send a text message.

        :param text: the text; commands in it are marked as such.
        :param bot_id: the bot.
        :param expect_reply: whether to wait for the reply and return it.
        :raises TimeoutError: no reply came.
        """
        return await self._send(text, bot_id, expect_reply=expect_reply)

    @overload
    async def click(
        self, label_or_data: str, *, bot_id: int | None = ..., expect_reply: Literal[True] = ...
    ) -> SandboxMessage: ...
    @overload
    async def click(
        self, label_or_data: str, *, bot_id: int | None = ..., expect_reply: Literal[False]
    ) -> None: ...
    async def click(
        self, label_or_data: str, *, bot_id: int | None = None, expect_reply: bool = True
    ) -> SandboxMessage | None:
        """Press an inline button under the newest message that has it.

        :param label_or_data: the button's text or callback data.
        :param bot_id: the bot.
        :param expect_reply: whether to wait for the reply and return it.
        :raises LookupError: no message of the bot has such a button; the text lists the buttons.
        :raises TimeoutError: no reply came.
        """
        bot_id = self._bot(bot_id)
        message, button = self._find(label_or_data, bot_id)
        query = {
            "id": self._wire.ask(bot_id, self.id),
            "from": self.profile,
            "message": dict(message.raw),
            "chat_instance": f"{bot_id}{self.id}",
            "data": button.callback_data,
        }
        return await self._act({"callback_query": query}, bot_id, expect_reply=expect_reply)

    def _find(self, label_or_data: str, bot_id: int) -> tuple[SandboxMessage, SandboxButton]:
        seen: list[str] = []
        for message in reversed([m for m in self.messages if m.bot_id == bot_id]):
            for button in message.buttons:
                if button.callback_data is None:
                    seen.append(f"{button.text!r} (does not send callback data)")
                elif label_or_data in (button.text, button.callback_data):
                    return message, button
                else:
                    seen.append(f"{button.text!r} ({button.callback_data})")
        msg = (
            f"user {self.id} has no button {label_or_data!r} from bot {bot_id}; "
            f"newest first there are: {', '.join(seen) or 'none'}"
        )
        raise LookupError(msg)

    async def _send(
        self, text: str, bot_id: int | None, *, expect_reply: bool
    ) -> SandboxMessage | None:
        bot_id = self._bot(bot_id)
        content: dict[str, Any] = {"text": text}
        entities = command_entities(text)
        if entities:
            content["entities"] = entities
        update = {"message": self._says(bot_id, **content)}
        return await self._act(update, bot_id, expect_reply=expect_reply)
