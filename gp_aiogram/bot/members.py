"""Reads changes of membership: somebody joined, left, or blocked the bot."""

from __future__ import annotations

from typing import Any

from aiogram.enums import ChatMemberStatus, ChatType
from aiogram.types import ChatMemberUpdated

_STAFF = frozenset({ChatMemberStatus.CREATOR, ChatMemberStatus.ADMINISTRATOR})


def has_joined(change: ChatMemberUpdated) -> bool:
    """Return whether a person came in, and was not merely promoted, restricted or unbanned.

    Somebody who comes in as an administrator is staff. A banned person who is suddenly inside may
    have been added by an administrator, which lifts the ban; they joined only if they were
    invited or did it themselves.
    """
    old, new = change.old_chat_member, change.new_chat_member
    if new.user.is_bot or new.status in _STAFF or _is_inside(old) or not _is_inside(new):
        return False
    invited = change.invite_link is not None or bool(change.via_join_request)
    return old.status != ChatMemberStatus.KICKED or invited or _is_own_doing(change)


def has_left(change: ChatMemberUpdated) -> bool:
    """Return whether a person left of their own accord."""
    old, new = change.old_chat_member, change.new_chat_member
    gone = _is_inside(old) and not _is_inside(new) and new.status != ChatMemberStatus.KICKED
    return gone and not new.user.is_bot and _is_own_doing(change)


def has_blocked(change: ChatMemberUpdated) -> bool:
    """Return whether a person blocked the bot.

    :param change: of the bot's own membership.
    """
    return (
        change.chat.type == ChatType.PRIVATE
        and change.new_chat_member.status == ChatMemberStatus.KICKED
    )


def _is_inside(member: Any) -> bool:
    if member.status == ChatMemberStatus.RESTRICTED:
        # A restricted member who leaves stays restricted.
        return bool(member.is_member)
    return member.status == ChatMemberStatus.MEMBER or member.status in _STAFF


def _is_own_doing(change: ChatMemberUpdated) -> bool:
    return change.from_user.id == change.new_chat_member.user.id
