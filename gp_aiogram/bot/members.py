"""What a change of membership means: somebody joined, left, or blocked the bot."""

from __future__ import annotations

from typing import Any

from aiogram.enums import ChatMemberStatus, ChatType
from aiogram.types import ChatMemberUpdated

_INSIDE = frozenset(
    {ChatMemberStatus.CREATOR, ChatMemberStatus.ADMINISTRATOR, ChatMemberStatus.MEMBER},
)


def has_joined(change: ChatMemberUpdated) -> bool:
    """Tell whether a person came in, not merely was promoted, restricted or unbanned.

    Of a banned person who is inside all of a sudden only the way tells: an administrator may have
    lifted the ban by adding him.
    """
    if change.new_chat_member.user.is_bot:
        return False
    came = not _is_inside(change.old_chat_member) and _is_inside(change.new_chat_member)
    was_banned = change.old_chat_member.status == ChatMemberStatus.KICKED
    by_himself = change.from_user.id == change.new_chat_member.user.id
    invited = change.invite_link is not None or bool(change.via_join_request)
    return came and (not was_banned or by_himself or invited)


def has_left(change: ChatMemberUpdated) -> bool:
    """Tell whether a person went, and was not banned."""
    return (
        not change.new_chat_member.user.is_bot
        and _is_inside(change.old_chat_member)
        and change.new_chat_member.status == ChatMemberStatus.LEFT
    )


def has_blocked(change: ChatMemberUpdated) -> bool:
    """Tell whether a person blocked the bot, by an update of the bot's own membership."""
    return (
        change.chat.type == ChatType.PRIVATE
        and change.new_chat_member.status == ChatMemberStatus.KICKED
    )


def _is_inside(member: Any) -> bool:
    if member.status == ChatMemberStatus.RESTRICTED:
        return bool(member.is_member)
    return member.status in _INSIDE
