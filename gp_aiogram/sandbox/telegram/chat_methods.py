"""The methods of the Bot API by which one bot runs chats: invite links, requests, members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gp_aiogram.sandbox.telegram import params as read
from gp_aiogram.sandbox.telegram.chats import SandboxChat
from gp_aiogram.sandbox.telegram.invites import InviteLink, Terms
from gp_aiogram.sandbox.telegram.params import Params
from gp_aiogram.sandbox.telegram.profiles import bot_profile
from gp_aiogram.sandbox.telegram.shared import Method, Shared
from gp_aiogram.sandbox.telegram.updates import ApiError

_ADMINS = ("creator", "administrator")

#: What needs rights, and why it cannot be done in a private chat.
_LINKS = ("manage chat invite link", "can't invite members to a private chat")
_REQUESTS = ("manage chat join requests", "the chat can't have join requests")
_MEMBERS = ("restrict/unrestrict chat member", "can't ban members in private chats")


class ChatMethods:
    """The chats of one bot.

    :param bot_id: the bot.
    :param shared: what it shares with other bots.
    """

    def __init__(self, bot_id: int, shared: Shared) -> None:
        self._bot_id = bot_id
        self._shared = shared

    @property
    def methods(self) -> Mapping[str, Method]:
        """The methods by name."""
        return {
            "createChatInviteLink": self._create_chat_invite_link,
            "editChatInviteLink": self._edit_chat_invite_link,
            "revokeChatInviteLink": self._revoke_chat_invite_link,
            "exportChatInviteLink": self._export_chat_invite_link,
            "approveChatJoinRequest": self._approve_chat_join_request,
            "declineChatJoinRequest": self._decline_chat_join_request,
            "getChatMember": self._get_chat_member,
            "banChatMember": self._ban_chat_member,
            "unbanChatMember": self._unban_chat_member,
        }

    async def _create_chat_invite_link(self, params: Params) -> Any:
        chat = self._managed(params, *_LINKS)
        link = InviteLink(bot_profile(self._bot_id), Terms.from_params(params))
        chat.links[link.url] = link
        return link.raw(self._bot_id)

    async def _edit_chat_invite_link(self, params: Params) -> Any:
        link = self._own_link(params)
        if link.is_primary:
            raise ApiError(400, "Bad Request: CHAT_INVITE_PERMANENT")
        if link.is_revoked:
            raise ApiError(400, "Bad Request: INVITE_HASH_EXPIRED")
        link.terms = Terms.from_params(params)
        return link.raw(self._bot_id)

    async def _revoke_chat_invite_link(self, params: Params) -> Any:
        link = self._own_link(params)
        link.is_revoked = True
        return link.raw(self._bot_id)

    async def _export_chat_invite_link(self, params: Params) -> Any:
        chat = self._managed(params, *_LINKS)
        for old in chat.links.values():
            if old.is_primary and old.creator["id"] == self._bot_id:
                old.is_revoked = True
        link = InviteLink(bot_profile(self._bot_id), is_primary=True)
        chat.links[link.url] = link
        return link.url

    async def _approve_chat_join_request(self, params: Params) -> Any:
        return await self._decide(params, approve=True)

    async def _decline_chat_join_request(self, params: Params) -> Any:
        return await self._decide(params, approve=False)

    async def _get_chat_member(self, params: Params) -> Any:
        chat = self._chat(params)
        profile = self._profile(read.user_id(params))
        if chat is None:
            return {"user": profile, "status": "member"}
        if profile["id"] != self._bot_id and chat.status(self._bot_id) != "administrator":
            raise ApiError(400, "Bad Request: member list is inaccessible")
        return chat.member(profile)

    async def _ban_chat_member(self, params: Params) -> Any:
        chat = self._managed(params, *_MEMBERS)
        profile = self._profile(read.user_id(params))
        if chat.status(profile["id"]) in _ADMINS:
            raise ApiError(400, "Bad Request: user is an administrator of the chat")
        until = read.integer(params, "until_date")
        banned = {"user": profile, "status": "kicked", "until_date": until}
        await chat.change(bot_profile(self._bot_id), banned)
        return True

    async def _unban_chat_member(self, params: Params) -> Any:
        chat = self._managed(params, *_MEMBERS)
        profile = self._profile(read.user_id(params))
        if params.get("only_if_banned") and chat.status(profile["id"]) != "kicked":
            return True
        await chat.change(bot_profile(self._bot_id), {"user": profile, "status": "left"})
        return True

    async def _decide(self, params: Params, *, approve: bool) -> bool:
        chat = self._managed(params, *_REQUESTS)
        profile = self._profile(read.user_id(params))
        if chat.status(profile["id"]) not in ("left", "kicked"):
            raise ApiError(400, "Bad Request: USER_ALREADY_PARTICIPANT")
        if profile["id"] not in chat.requests:
            raise ApiError(400, "Bad Request: HIDE_REQUESTER_MISSING")
        await chat.decide(profile, bot_profile(self._bot_id), approve=approve)
        return True

    def _own_link(self, params: Params) -> InviteLink:
        chat = self._managed(params, *_LINKS)
        url = str(params.get("invite_link", ""))
        if not url:
            raise ApiError(400, "Bad Request: invite link must be non-empty")
        link = chat.links.get(url)
        if link is None or link.creator["id"] != self._bot_id:
            raise ApiError(400, "Bad Request: INVITE_HASH_EXPIRED")
        return link

    def _managed(self, params: Params, task: str, not_in_private: str) -> SandboxChat:
        chat = self._chat(params)
        if chat is None:
            raise ApiError(400, f"Bad Request: {not_in_private}")
        if chat.status(self._bot_id) != "administrator":
            raise ApiError(400, f"Bad Request: not enough rights to {task}")
        return chat

    def _chat(self, params: Params) -> SandboxChat | None:
        chat_id = self._shared.chat(params)["id"]
        if chat_id in self._shared.users:
            return None
        if chat_id not in self._shared.groups:
            raise ApiError(400, "Bad Request: chat not found")
        return self._shared.groups[chat_id]

    def _profile(self, user_id: int) -> dict[str, Any]:
        if user_id == self._bot_id:
            return bot_profile(user_id)
        if user_id not in self._shared.users:
            raise ApiError(400, "Bad Request: PARTICIPANT_ID_INVALID")
        return self._shared.users[user_id].profile
