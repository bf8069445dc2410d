"""Channels and groups: their members, how these join and leave, and the updates that bots get."""

from __future__ import annotations

from typing import Any, Protocol

from gp_aiogram.sandbox.telegram.errors import ApiError, RefusedError
from gp_aiogram.sandbox.telegram.invites import InviteLink
from gp_aiogram.sandbox.telegram.messages import bot_profile
from gp_aiogram.sandbox.telegram.updates import Update

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


class TelegramPort(Protocol):
    """How a chat reaches the bots in it."""

    def clock(self) -> float:
        """Return unix seconds."""

    def push(self, update: Update, bot_id: int) -> object:
        """Queue an update for a bot."""

    def push_message(
        self, bot_id: int, sender: dict[str, Any], chat: dict[str, Any], **content: Any
    ) -> object:
        """Queue a new message for a bot."""


class Person(Protocol):
    """A user who joins or leaves a chat, or decides in it."""

    @property
    def profile(self) -> dict[str, Any]:
        """The ``User`` of the Bot API."""


class SandboxChat:
    """A channel or supergroup; see :meth:`TelegramSandbox.channel`.

    The bots among its administrators are told what happens in it. Decisions are made by its
    owner unless ``by`` names another user.

    :param telegram: reaches the bots.
    :param raw: the ``Chat`` of the Bot API.
    :param owner: the ``User`` of the Bot API who owns it.
    """

    def __init__(self, telegram: TelegramPort, raw: dict[str, Any], owner: dict[str, Any]) -> None:
        self.raw = raw
        self.links: dict[str, InviteLink] = {}
        self.requests: dict[int, InviteLink] = {}
        self._telegram = telegram
        self._owner = owner
        self._members = {owner["id"]: _member(owner, "creator", is_anonymous=False)}

    def __repr__(self) -> str:
        return f"SandboxChat({self.id}, {self.raw['title']!r})"

    @property
    def id(self) -> int:
        """The chat id."""
        return int(self.raw["id"])

    def member(self, profile: dict[str, Any]) -> dict[str, Any]:
        """Find the ``ChatMember`` of a user.

        :param profile: the ``User``.
        """
        return self._members.get(profile["id"], _member(profile, "left"))

    def status(self, user_id: int) -> str:
        """Tell the status of a user: ``left``, ``member``, ``administrator`` and so on.

        :param user_id: the user or bot.
        """
        return str(self._members.get(user_id, {"status": "left"})["status"])

    def set_up(self, bot_id: int, *, admin: bool = True) -> None:
        """Have a bot in the chat from the beginning: no updates are sent.

        :param bot_id: the bot.
        :param admin: whether it is an administrator.
        """
        self._members[bot_id] = self._membership(bot_profile(bot_id), admin=admin)

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

    async def join(self, user: Person, url: str | None = None) -> None:
        """Have a user join, or ask to join; see :meth:`SandboxUser.join`.

        :param user: the user.
        :param url: the invite link; ``None`` to join a public chat.
        :raises RefusedError: the user may not join.
        """
        profile = user.profile
        if self.status(profile["id"]) not in _OUTSIDE:
            msg = "USER_ALREADY_PARTICIPANT"
            raise RefusedError(msg)
        banned = self.status(profile["id"]) == "kicked"
        if url is None:
            if banned or "username" not in self.raw:
                msg = "CHANNEL_PRIVATE"
                raise RefusedError(msg)
            self._admit(profile, profile)
            return
        link = self.links.get(url)
        if banned or link is None or not link.is_open:
            msg = "INVITE_HASH_EXPIRED"
            raise RefusedError(msg)
        if link.terms.creates_join_request:
            self._request(profile, link)
        else:
            self._admit(profile, profile, link)

    async def leave(self, user: Person) -> None:
        """Have a user leave; see :meth:`SandboxUser.leave`.

        :param user: the user.
        :raises RefusedError: the user is not a member.
        """
        profile = user.profile
        if self.status(profile["id"]) in _OUTSIDE:
            msg = "USER_NOT_PARTICIPANT"
            raise RefusedError(msg)
        self._post_service_message(profile, left_chat_member=profile)
        self.change(profile, _member(profile, "left"))

    async def approve(self, user: Person, *, by: Person | None = None) -> None:
        """Have an administrator approve a request to join.

        :param user: the user who asked to join.
        :param by: the administrator.
        :raises LookupError: there is no such request.
        """
        self.decide(user.profile, self._actor(by), approve=True)

    async def decline(self, user: Person, *, by: Person | None = None) -> None:
        """Have an administrator decline a request to join: no updates are sent.

        :param user: the user who asked to join.
        :param by: the administrator.
        :raises LookupError: there is no such request.
        """
        self.decide(user.profile, self._actor(by), approve=False)

    async def promote(self, user: Person, *, by: Person | None = None) -> None:
        """Make a user an administrator.

        :param user: the user.
        :param by: the administrator who promotes them.
        """
        self.change(self._actor(by), self._membership(user.profile, admin=True))

    async def demote(self, user: Person, *, by: Person | None = None) -> None:
        """Make an administrator an ordinary member again.

        :param user: the administrator.
        :param by: the administrator who demotes them.
        """
        self.change(self._actor(by), _member(user.profile, "member"))

    async def ban(self, user: Person, *, by: Person | None = None) -> None:
        """Remove a user and keep them from joining again.

        :param user: the user.
        :param by: the administrator who bans them.
        """
        self.change(self._actor(by), _member(user.profile, "kicked", until_date=0))

    async def unban(self, user: Person, *, by: Person | None = None) -> None:
        """Let a banned user join again; this does not make them a member.

        :param user: the user.
        :param by: the administrator who unbans them.
        """
        self.change(self._actor(by), _member(user.profile, "left"))

    async def add_bot(self, bot_id: int, *, admin: bool = True, by: Person | None = None) -> None:
        """Have a user add a bot, or change whether it is an administrator.

        :param bot_id: the bot.
        :param admin: whether it becomes an administrator.
        :param by: the user.
        """
        self.change(self._actor(by), self._membership(bot_profile(bot_id), admin=admin))

    async def remove_bot(self, bot_id: int, *, by: Person | None = None) -> None:
        """Have a user remove a bot.

        :param bot_id: the bot.
        :param by: the user.
        """
        self.change(self._actor(by), _member(bot_profile(bot_id), "kicked", until_date=0))

    def decide(self, profile: dict[str, Any], actor: dict[str, Any], *, approve: bool) -> None:
        """Decide on a request to join.

        :param profile: the ``User`` who asked to join.
        :param actor: the ``User`` who decides.
        :param approve: whether the request is approved.
        :raises LookupError: there is no such request.
        """
        link = self.requests.pop(profile["id"])
        if approve:
            self._admit(profile, actor, link, via_join_request=True)

    def change(
        self,
        actor: dict[str, Any],
        new: dict[str, Any],
        link: InviteLink | None = None,
        **more: Any,
    ) -> None:
        """Change the status of a member, and tell the bots.

        :param actor: the ``User`` who changes it.
        :param new: the new ``ChatMember``.
        :param link: the link by which the member joined.
        :param more: further fields of ``ChatMemberUpdated``.
        """
        subject = new["user"]
        old = {**self.member(subject), "user": subject}
        if old == new:
            return
        admin_bots = self._admin_bots()
        self._members[subject["id"]] = new
        if new["status"] in _OUTSIDE:
            for each in self.links.values():
                each.joined.discard(subject["id"])
        update = {
            "chat": self.raw,
            "from": actor,
            "date": int(self._telegram.clock()),
            "old_chat_member": old,
            "new_chat_member": new,
        }
        if subject["is_bot"]:
            self._telegram.push({"my_chat_member": update}, subject["id"])
        for bot_id in admin_bots:
            if bot_id != subject["id"]:
                by_link = {} if link is None else {"invite_link": link.raw(bot_id)}
                self._telegram.push({"chat_member": {**update, **by_link, **more}}, bot_id)

    def _request(self, profile: dict[str, Any], link: InviteLink) -> None:
        if profile["id"] in self.requests:
            return
        self.requests[profile["id"]] = link
        request = {
            "chat": self.raw,
            "from": profile,
            "user_chat_id": profile["id"],
            "date": int(self._telegram.clock()),
        }
        pending = list(self.requests.values()).count(link)
        for bot_id in self._admin_bots():
            by_link = {"invite_link": link.raw(bot_id, pending)}
            self._telegram.push({"chat_join_request": {**request, **by_link}}, bot_id)

    def _admit(
        self,
        profile: dict[str, Any],
        actor: dict[str, Any],
        link: InviteLink | None = None,
        **more: Any,
    ) -> None:
        if link is not None:
            link.joined.add(profile["id"])
        period = 0 if link is None else link.terms.subscription_period
        paid = {"until_date": int(self._telegram.clock()) + period} if period else {}
        self.change(actor, _member(profile, "member", **paid), link, **more)
        self._post_service_message(profile, new_chat_members=[profile])

    def _post_service_message(self, profile: dict[str, Any], **content: Any) -> None:
        if self.raw["type"] == "channel":
            return
        for user_id, member in list(self._members.items()):
            if member["user"]["is_bot"] and member["status"] not in _OUTSIDE:
                self._telegram.push_message(user_id, profile, self.raw, **content)

    def _admin_bots(self) -> list[int]:
        return [
            user_id
            for user_id, member in self._members.items()
            if member["user"]["is_bot"] and member["status"] == "administrator"
        ]

    def _actor(self, by: Person | None) -> dict[str, Any]:
        return self._owner if by is None else by.profile

    def _membership(self, profile: dict[str, Any], *, admin: bool) -> dict[str, Any]:
        if not admin:
            return _member(profile, "member")
        rights = dict.fromkeys((*_RIGHTS, *_RIGHTS_IN[self.raw["type"]]), True)
        return _member(profile, "administrator", can_be_edited=False, **rights, is_anonymous=False)


def _member(profile: dict[str, Any], status: str, **more: Any) -> dict[str, Any]:
    return {"user": profile, "status": status, **more}
