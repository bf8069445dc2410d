"""Channels and groups of the Telegram stand-in: who is in them, how people join and leave."""

from __future__ import annotations

import time
from typing import Any, Protocol

from gp_aiogram.sandbox.telegram.invites import InviteLink
from gp_aiogram.sandbox.telegram.profiles import bot_profile
from gp_aiogram.sandbox.telegram.updates import ApiError, RefusedError, Update

_OUTSIDE = ("left", "kicked")
_RIGHTS = (
    "can_manage_chat",
    "can_change_info",
    "can_delete_messages",
    "can_invite_users",
    "can_restrict_members",
    "can_promote_members",
    "can_manage_video_chats",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
    "can_send_welcome_messages",
)
_RIGHTS_IN = {
    "channel": ("can_post_messages", "can_edit_messages", "can_manage_direct_messages"),
    "supergroup": ("can_pin_messages", "can_manage_topics", "can_manage_tags"),
}


class Visitor(Protocol):
    """Someone who joins, leaves or decides."""

    @property
    def profile(self) -> dict[str, Any]:
        """The ``User`` of the Bot API."""


class Post(Protocol):
    """What a chat needs of the stand-in."""

    def next_message_id(self, bot_id: int) -> int:
        """The number of the next message a bot sees."""

    async def push(self, update: Update, bot_id: int | None = None) -> Update:
        """Queue an update for a bot."""


class SandboxChat:
    """A channel or supergroup; see :meth:`TelegramSandbox.channel`.

    What happens in it is told to the bots that are its administrators. Decisions are made by
    its owner unless ``by`` names somebody else.

    :param post: the stand-in.
    :param raw: the ``Chat`` of the Bot API.
    :param owner: the ``User`` of the Bot API who owns it.
    """

    def __init__(self, post: Post, raw: dict[str, Any], owner: dict[str, Any]) -> None:
        self.raw = raw
        self.links: dict[str, InviteLink] = {}
        self.requests: dict[int, InviteLink] = {}
        self._post = post
        self._owner = owner
        self._members = {owner["id"]: _member(owner, "creator", is_anonymous=False)}

    def __repr__(self) -> str:
        return f"SandboxChat({self.id}, {self.raw['title']!r})"

    @property
    def id(self) -> int:
        """The id of the chat."""
        return int(self.raw["id"])

    def member(self, profile: dict[str, Any]) -> dict[str, Any]:
        """The ``ChatMember`` of the Bot API.

        :param profile: the ``User``.
        """
        return self._members.get(profile["id"], _member(profile, "left"))

    def status(self, user_id: int) -> str:
        """What somebody is in the chat: ``left``, ``member``, ``administrator`` and so on.

        :param user_id: the user or bot.
        """
        return str(self._members.get(user_id, {"status": "left"})["status"])

    def set_up(self, bot_id: int, *, admin: bool = True) -> None:
        """Have a bot in the chat from the beginning: nobody is told.

        :param bot_id: the bot.
        :param admin: whether it is an administrator.
        """
        self._members[bot_id] = self._standing(bot_profile(bot_id), admin=admin)

    def check_writer(self, bot_id: int) -> None:
        """Check that a bot may write in the chat.

        :param bot_id: the bot.
        :raises ApiError: it may not.
        """
        status, kind = self.status(bot_id), self.raw["type"]
        if status == "kicked":
            raise ApiError(403, f"Forbidden: bot was kicked from the {kind} chat")
        if status == "left":
            raise ApiError(403, f"Forbidden: bot is not a member of the {kind} chat")
        if kind == "channel" and status != "administrator":
            raise ApiError(400, "Bad Request: need administrator rights in the channel chat")

    async def join(self, user: Visitor, url: str | None = None) -> None:
        """Let somebody come in, or ask to; see :meth:`SandboxUser.join`.

        :param user: who comes.
        :param url: the invite link; ``None`` for a public chat.
        :raises RefusedError: the way in is closed.
        """
        profile = user.profile
        if self.status(profile["id"]) not in _OUTSIDE:
            msg = "USER_ALREADY_PARTICIPANT"
            raise RefusedError(msg)
        if url is None:
            await self._join_in_public(profile)
            return
        link = self.links.get(url)
        if link is None or not link.is_open or self.status(profile["id"]) == "kicked":
            msg = "INVITE_HASH_EXPIRED"
            raise RefusedError(msg)
        if link.terms.creates_join_request:
            await self._request(profile, link)
        else:
            await self._admit(profile, profile, link)

    async def leave(self, user: Visitor) -> None:
        """Let somebody leave; see :meth:`SandboxUser.leave`.

        :param user: who leaves.
        :raises RefusedError: the user is not there.
        """
        profile = user.profile
        if self.status(profile["id"]) in _OUTSIDE:
            msg = "USER_NOT_PARTICIPANT"
            raise RefusedError(msg)
        await self._tell_group(profile, left_chat_member=profile)
        await self.change(profile, _member(profile, "left"))

    async def approve(self, user: Visitor, *, by: Visitor | None = None) -> None:
        """Let an administrator approve a request to join.

        :param user: who asked.
        :param by: the administrator.
        :raises LookupError: there is no such request.
        """
        await self.decide(user.profile, self._actor(by), approve=True)

    async def decline(self, user: Visitor, *, by: Visitor | None = None) -> None:
        """Let an administrator decline a request to join: nobody is told.

        :param user: who asked.
        :param by: the administrator.
        :raises LookupError: there is no such request.
        """
        await self.decide(user.profile, self._actor(by), approve=False)

    async def promote(self, user: Visitor, *, by: Visitor | None = None) -> None:
        """Make somebody an administrator.

        :param user: who is promoted.
        :param by: the administrator who does it.
        """
        await self.change(self._actor(by), self._standing(user.profile, admin=True))

    async def demote(self, user: Visitor, *, by: Visitor | None = None) -> None:
        """Make an administrator a member again.

        :param user: who is demoted.
        :param by: the administrator who does it.
        """
        await self.change(self._actor(by), _member(user.profile, "member"))

    async def ban(self, user: Visitor, *, by: Visitor | None = None) -> None:
        """Throw somebody out for ever.

        :param user: who is banned.
        :param by: the administrator who does it.
        """
        await self.change(self._actor(by), _member(user.profile, "kicked", until_date=0))

    async def unban(self, user: Visitor, *, by: Visitor | None = None) -> None:
        """Let a banned user join again, who is not in the chat by that.

        :param user: who is unbanned.
        :param by: the administrator who does it.
        """
        await self.change(self._actor(by), _member(user.profile, "left"))

    async def add_bot(self, bot_id: int, *, admin: bool = True, by: Visitor | None = None) -> None:
        """Let somebody add a bot, or change what it is in the chat.

        :param bot_id: the bot.
        :param admin: whether it becomes an administrator.
        :param by: who adds it.
        """
        await self.change(self._actor(by), self._standing(bot_profile(bot_id), admin=admin))

    async def remove_bot(self, bot_id: int, *, by: Visitor | None = None) -> None:
        """Let somebody throw a bot out.

        :param bot_id: the bot.
        :param by: who does it.
        """
        kicked = _member(bot_profile(bot_id), "kicked", until_date=0)
        await self.change(self._actor(by), kicked)

    async def decide(
        self, profile: dict[str, Any], actor: dict[str, Any], *, approve: bool
    ) -> None:
        """Decide on a request to join.

        :param profile: the ``User`` who asked.
        :param actor: the ``User`` who decides.
        :param approve: whether the user may come in.
        :raises LookupError: there is no such request.
        """
        link = self.requests.pop(profile["id"])
        if approve:
            await self._admit(profile, actor, link, via_join_request=True)

    async def change(
        self,
        actor: dict[str, Any],
        new: dict[str, Any],
        link: InviteLink | None = None,
        **more: Any,
    ) -> None:
        """Change what somebody is in the chat, and tell the bots.

        :param actor: the ``User`` who changes it.
        :param new: the new ``ChatMember``.
        :param link: the link by which the user came.
        :param more: further fields of ``ChatMemberUpdated``.
        """
        subject = new["user"]
        old = self.member(subject)
        if {**old, "user": subject} == new:
            return
        told = self._admin_bots()
        self._members[subject["id"]] = new
        if new["status"] in _OUTSIDE:
            for each in self.links.values():
                each.joined.discard(subject["id"])
        update = {
            "chat": self.raw,
            "from": actor,
            "date": int(time.time()),
            "old_chat_member": {**old, "user": subject},
            "new_chat_member": new,
        }
        if subject["is_bot"]:
            await self._post.push({"my_chat_member": update}, subject["id"])
        for bot_id in told:
            if bot_id != subject["id"]:
                by_link = {} if link is None else {"invite_link": link.raw(bot_id)}
                await self._post.push({"chat_member": {**update, **by_link, **more}}, bot_id)

    async def _join_in_public(self, profile: dict[str, Any]) -> None:
        if "username" not in self.raw or self.status(profile["id"]) == "kicked":
            msg = "CHANNEL_PRIVATE"
            raise RefusedError(msg)
        await self._admit(profile, profile)

    async def _request(self, profile: dict[str, Any], link: InviteLink) -> None:
        if profile["id"] in self.requests:
            return
        self.requests[profile["id"]] = link
        request = {
            "chat": self.raw,
            "from": profile,
            "user_chat_id": profile["id"],
            "date": int(time.time()),
        }
        pending = list(self.requests.values()).count(link)
        for bot_id in self._admin_bots():
            seen = {"invite_link": link.raw(bot_id, pending)}
            await self._post.push({"chat_join_request": {**request, **seen}}, bot_id)

    async def _admit(
        self,
        profile: dict[str, Any],
        actor: dict[str, Any],
        link: InviteLink | None = None,
        **more: Any,
    ) -> None:
        if link is not None:
            link.joined.add(profile["id"])
        await self.change(actor, _member(profile, "member"), link, **more)
        await self._tell_group(profile, new_chat_members=[profile])

    async def _tell_group(self, profile: dict[str, Any], **content: Any) -> None:
        if self.raw["type"] == "channel":
            return
        for member in list(self._members.values()):
            bot = member["user"]
            if bot["is_bot"] and member["status"] not in _OUTSIDE:
                message = {
                    "message_id": self._post.next_message_id(bot["id"]),
                    "from": profile,
                    "chat": self.raw,
                    "date": int(time.time()),
                    **content,
                }
                await self._post.push({"message": message}, bot["id"])

    def _admin_bots(self) -> list[int]:
        return [
            user_id
            for user_id, member in self._members.items()
            if member["user"]["is_bot"] and member["status"] == "administrator"
        ]

    def _actor(self, by: Visitor | None) -> dict[str, Any]:
        return self._owner if by is None else by.profile

    def _standing(self, profile: dict[str, Any], *, admin: bool) -> dict[str, Any]:
        if not admin:
            return _member(profile, "member")
        rights = dict.fromkeys((*_RIGHTS, *_RIGHTS_IN[self.raw["type"]]), True)
        return _member(profile, "administrator", can_be_edited=False, **rights, is_anonymous=False)


def _member(profile: dict[str, Any], status: str, **more: Any) -> dict[str, Any]:
    return {"user": profile, "status": status, **more}
