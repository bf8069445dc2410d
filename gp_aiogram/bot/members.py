"""What a change of membership means: somebody joined, left, or blocked the bot."""

from __future__ import annotations

from typing import Any

from aiogram.enums import ChatMemberStatus, ChatType
from aiogram.types import ChatMemberUpdated

_STAFF = frozenset({ChatMemberStatus.CREATOR, ChatMemberStatus.ADMINISTRATOR})


def has_joined(change: ChatMemberUpdated) -> bool:
    """Tell whether a person came in, not merely was promoted, restricted or unbanned.

    Who comes in as an administrator is staff. Of a banned person who is inside all of a sudden
    only the way tells: an administrator may have lifted the ban by adding him.
    """
    old, new = change.old_chat_member, change.new_chat_member
    if new.user.is_bot or new.status in _STAFF or _is_inside(old) or not _is_inside(new):
        return False
    invited = change.invite_link is not None or bool(change.via_join_request)
    return old.status != ChatMemberStatus.KICKED or invited or _is_own_doing(change)


def has_left(change: ChatMemberUpdated) -> bool:
    """Tell whether a person went, and was not thrown out."""
    old, new = change.old_chat_member, change.new_chat_member
    gone = _is_inside(old) and not _is_inside(new) and new.status != ChatMemberStatus.KICKED
    return gone and not new.user.is_bot and _is_own_doing(change)


def has_blocked(change: ChatMemberUpdated) -> bool:
    """Tell whether a person blocked the bot, by an update of the bot's own membership."""
    return (
        change.chat.type == ChatType.PRIVATE
        and change.new_chat_member.status == ChatMemberStatus.KICKED
    )


def _is_inside(member: Any) -> bool:
    if member.status == ChatMemberStatus.RESTRICTED:
        # Who leaves stays restricted.
        return bool(member.is_member)
    return member.status == ChatMemberStatus.MEMBER or member.status in _STAFF


def _is_own_doing(change: ChatMemberUpdated) -> bool:
    return change.from_user.id == change.new_chat_member.user.id
