"""What the bots of one Telegram stand-in share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gp_aiogram.sandbox.server import Bell
from gp_aiogram.sandbox.telegram import params as read
from gp_aiogram.sandbox.telegram.chats import SandboxChat
from gp_aiogram.sandbox.telegram.params import Params
from gp_aiogram.sandbox.telegram.people import Person
from gp_aiogram.sandbox.telegram.updates import ApiError, Update

#: A method of the Bot API.
Method = Callable[[Params], Awaitable[Any]]


class ApiCall(NamedTuple):
    """One call of a bot.

    :param method: its name as Telegram spells it.
    :param params: its parameters, decoded.
    """

    method: str
    params: Params


@dataclass(frozen=True)
class Shared:
    """What all bots of one stand-in share.

    :param bell: rung after every call.
    :param push: queues an update for a bot.
    :param calls: every call of a known method, oldest first.
    :param chats: the chats bots may write to, by id.
    :param groups: those of them that people join and leave, by id.
    :param users: the people in private chats, by id.
    :param blocked: pairs of a bot and a user who has blocked it.
    """

    bell: Bell
    push: Callable[[Update, int], Awaitable[Update]]
    calls: list[ApiCall] = field(default_factory=list)
    chats: dict[int, dict[str, Any]] = field(default_factory=dict)
    groups: dict[int, SandboxChat] = field(default_factory=dict)
    users: dict[int, Person] = field(default_factory=dict)
    blocked: set[tuple[int, int]] = field(default_factory=set)

    def chat(self, params: Params) -> dict[str, Any]:
        """The chat that a call is about.

        :param params: the parameters of the call.
        :raises ApiError: no such chat is known.
        """
        name = params.get("chat_id")
        if isinstance(name, str) and name.startswith("@"):
            named = [chat for chat in self.chats.values() if chat.get("username") == name[1:]]
            found = named[0] if named else None
        else:
            found = self.chats.get(read.integer(params, "chat_id"))
        if found is None:
            raise ApiError(400, "Bad Request: chat not found")
        return found

    def writable_chat(self, bot_id: int, params: Params) -> dict[str, Any]:
        """The chat that a bot wants to write to.

        :param bot_id: the bot.
        :param params: the parameters of the call.
        :raises ApiError: no such chat is known, or the bot may not write to it.
        """
        chat = self.chat(params)
        if (bot_id, chat["id"]) in self.blocked:
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        if chat["id"] in self.groups:
            self.groups[chat["id"]].check_writer(bot_id)
        return chat
