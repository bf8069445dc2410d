"""Invite links of a chat: the terms that Telegram accepts, and who may join by a link."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field, replace
from typing import Any

from gp_aiogram.sandbox.telegram import params as read
from gp_aiogram.sandbox.telegram.errors import ApiError
from gp_aiogram.sandbox.telegram.params import Params

MAX_NAME = 32
MAX_MEMBERS = 99_999

#: The only period of a subscription, in seconds, and the most stars that it may cost.
PERIOD, MAX_PRICE = 2_592_000, 10_000


@dataclass(frozen=True)
class Terms:
    """What a link allows.

    :param name: its name, which only administrators see; empty for none.
    :param expire_date: unix seconds; 0 for never.
    :param member_limit: how many members who joined by it may be in the chat at once; 0 for any
        number.
    :param creates_join_request: whether administrators approve everyone who follows it.
    :param subscription_period: seconds that a member has paid for; 0 where members pay nothing.
    :param subscription_price: what they pay for each period, in Telegram Stars.
    """

    name: str = ""
    expire_date: int = 0
    member_limit: int = 0
    creates_join_request: bool = False
    subscription_period: int = 0
    subscription_price: int = 0

    @classmethod
    def from_params(cls, params: Params) -> Terms:
        """Read the parameters that createChatInviteLink and editChatInviteLink share.

        A name that is too long is truncated silently, as TDLib does
        (``MAX_INVITE_LINK_TITLE_LENGTH``).

        :param params: the parameters.
        :raises ApiError: Telegram refuses such a link.
        """
        terms = cls(
            name=_name(params),
            expire_date=read.integer(params, "expire_date"),
            member_limit=max(0, read.integer(params, "member_limit")),
            creates_join_request=bool(params.get("creates_join_request")),
        )
        if terms.creates_join_request and terms.member_limit:
            msg = (
                "Bad Request: member limit can't be specified for links requiring "
                "administrator approval"
            )
            raise ApiError(400, msg)
        if terms.expire_date and terms.expire_date <= time.time():
            raise ApiError(400, "Bad Request: EXPIRE_DATE_INVALID")
        if terms.member_limit > MAX_MEMBERS:
            raise ApiError(400, "Bad Request: USAGE_LIMIT_INVALID")
        return terms

    @classmethod
    def of_subscription(cls, params: Params) -> Terms:
        """Read the parameters of createChatSubscriptionInviteLink.

        :param params: the parameters.
        :raises ApiError: Telegram refuses such a link.
        """
        terms = cls(
            name=_name(params),
            subscription_period=read.integer(params, "subscription_period"),
            subscription_price=read.integer(params, "subscription_price"),
        )
        if terms.subscription_period != PERIOD:
            raise ApiError(400, "Bad Request: SUBSCRIPTION_PERIOD_INVALID")
        if not 1 <= terms.subscription_price <= MAX_PRICE:
            raise ApiError(400, "Bad Request: PRICING_CHAT_INVALID")
        return terms

    def renamed(self, params: Params) -> Terms:
        """Return the terms as editChatSubscriptionInviteLink leaves them: by another name.

        :param params: the parameters.
        """
        return replace(self, name=_name(params))


def _name(params: Params) -> str:
    return str(params.get("name", "")).strip()[:MAX_NAME].rstrip()


@dataclass
class InviteLink:
    """One link.

    :param creator: the ``User`` who created it.
    :param terms: what it allows.
    :param is_primary: whether it is its creator's primary link, which has no terms.
    :param is_revoked: whether it was revoked.
    :param joined: the ids of the current members who joined by it.
    :param url: the link itself.
    """

    creator: dict[str, Any]
    terms: Terms = field(default_factory=Terms)
    is_primary: bool = False
    is_revoked: bool = False
    joined: set[int] = field(default_factory=set)
    url: str = field(default_factory=lambda: f"https://t.me/+{secrets.token_urlsafe(12)}")

    @property
    def is_open(self) -> bool:
        """Whether one more user may join by it."""
        terms = self.terms
        return not (
            self.is_revoked
            or (terms.expire_date and terms.expire_date <= time.time())
            or (terms.member_limit and len(self.joined) >= terms.member_limit)
        )

    def raw(self, viewer_id: int, pending: int = 0) -> dict[str, Any]:
        """Build the ``ChatInviteLink`` of the Bot API; only the creator sees the whole link.

        :param viewer_id: the bot that sees it.
        :param pending: how many requests to join by it wait for a decision.
        """
        half = self.url[: len(self.url) // 2] + "…"
        raw: dict[str, Any] = {
            "invite_link": self.url if viewer_id == self.creator["id"] else half,
            "name": self.terms.name,
            "creator": self.creator,
            "expire_date": self.terms.expire_date,
            "member_limit": self.terms.member_limit,
            "pending_join_request_count": pending,
            "subscription_period": self.terms.subscription_period,
            "subscription_price": self.terms.subscription_price,
        }
        return {
            **{key: value for key, value in raw.items() if value},
            "creates_join_request": self.terms.creates_join_request,
            "is_primary": self.is_primary,
            "is_revoked": self.is_revoked,
        }
