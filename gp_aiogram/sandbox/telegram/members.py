"""People who join and leave chats, and who block bots."""

from __future__ import annotations

import time

from gp_aiogram.sandbox.telegram.chats import SandboxChat
from gp_aiogram.sandbox.telegram.people import Person
from gp_aiogram.sandbox.telegram.profiles import bot_profile


class Member(Person):
    """Someone who joins and leaves chats and blocks bots."""

    async def join(self, chat: SandboxChat, link: str | None = None) -> None:
        """Join a chat, or ask to when the link makes requests.

        :param chat: the chat.
        :param link: the invite link; ``None`` to join a public chat by its name.
        :raises RefusedError: the user is in already or banned, the chat is private, or the link
            has expired, was revoked or is used up.
        """
        await chat.join(self, link)

    async def leave(self, chat: SandboxChat) -> None:
        """Leave a chat.

        :param chat: the chat.
        :raises RefusedError: the user is not in it.
        """
        await chat.leave(self)

    async def block(self, *, bot_id: int | None = None) -> None:
        """Block a bot: it can no longer write to the user.

        :param bot_id: the bot.
        """
        await self._set_blocked(self._bot(bot_id), blocked=True)

    async def unblock(self, *, bot_id: int | None = None) -> None:
        """Unblock a bot.

        :param bot_id: the bot.
        """
        await self._set_blocked(self._bot(bot_id), blocked=False)

    async def _set_blocked(self, bot_id: int, *, blocked: bool) -> None:
        if self._wire.is_blocked(bot_id, self.id) == blocked:
            return
        self._wire.set_blocked(bot_id, self.id, blocked=blocked)
        bot = bot_profile(bot_id)
        free = {"user": bot, "status": "member"}
        shut = {"user": bot, "status": "kicked", "until_date": 0}
        update = {
            "chat": self.chat,
            "from": self.profile,
            "date": int(time.time()),
            "old_chat_member": free if blocked else shut,
            "new_chat_member": shut if blocked else free,
        }
        await self._wire.push({"my_chat_member": update}, bot_id)
