"""Invite links to channels and groups that carry the session of a click."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import timedelta
from typing import Any, Protocol

from gp_aiogram.errors import EventError, short_repr
from gp_aiogram.model.clock import Clock
from gp_aiogram.model.event import is_text, validate_text
from gp_aiogram.model.own_links import CUT, plain_link
from gp_aiogram.model.session import Attribution, Parsed
from gp_aiogram.stores.contract import ProfileStore

logger = logging.getLogger("gp_aiogram.invites")

#: "Invite link name; 0-32 characters" (Bot API, ``createChatInviteLink``).
MAX_NAME = 32

#: "Currently, it must always be 2592000 (30 days)" (Bot API,
#: ``createChatSubscriptionInviteLink``).
_MONTH = timedelta(days=30)


class InviteMaker(Protocol):
    """The methods of aiogram's ``Bot`` that make links."""

    async def create_chat_invite_link(
        self,
        chat_id: int | str,
        name: str | None = None,
        expire_date: Any = None,
        member_limit: int | None = None,
        creates_join_request: bool | None = None,
    ) -> Any:
        """Make a link; the result has it as ``invite_link``."""

    async def create_chat_subscription_invite_link(
        self,
        chat_id: int | str,
        subscription_period: Any,
        subscription_price: int,
        name: str | None = None,
    ) -> Any:
        """Make a link whose users pay; the result has it as ``invite_link``."""


class Invites:
    """Makes invite links for sessions, and tells the session of a link.

    A link's name carries the session where it can; the store knows the others.

    :param profiles: keeps which session a link stands for.
    :param attribution: reads the session from a link's name.
    :param clock: tells from when a link expires.
    """

    def __init__(self, profiles: ProfileStore, attribution: Attribution, clock: Clock) -> None:
        self._profiles = profiles
        self._attribution = attribution
        self._clock = clock
        self._updates: frozenset[str] | None = None
        self._warned: set[str] = set()

    def learn_updates(self, kinds: Collection[str]) -> None:
        """Learn which updates the bot asks Telegram for; those of several dispatchers add up."""
        self._updates = (self._updates or frozenset()) | frozenset(kinds)

    async def create(
        self,
        bot: InviteMaker,
        chat_id: int | str,
        session_id: str,
        *,
        expires: timedelta = timedelta(days=1),
        member_limit: int = 1,
        join_request: bool = False,
        subscription_price: int | None = None,
        subscription_period: timedelta = _MONTH,
    ) -> str:
        """Make a link that brings a session into a channel or group.

        :param bot: an administrator there who may invite users.
        :param expires: how long the link works.
        :param member_limit: how many people may join by it; 1 to 99999. Telegram takes none
            together with ``join_request``.
        :param join_request: whoever uses the link must be approved.
        :param subscription_price: Telegram Stars that a member of the channel pays at once and
            for each period to come, 1 to 10000; ``auto`` and decorators take it for the value of
            the ``Subscribe``. Such a link has neither ``expires`` nor ``member_limit``, and lets
            nobody ask.
        :param subscription_period: what that pays for; Telegram knows 30 days only.
        :return: the link.
        :raises EventError: when the session id is none, or the price; no link was made.
        :raises StoreError: when the store failed; the link exists, but stands for nothing.
        :raises Exception: what Telegram answers to the bot, as aiogram raises it.
        """
        fits = len(validate_text("a session id", session_id)) <= MAX_NAME
        says_it = fits and self._attribution.session_id(session_id) == session_id
        name = session_id if fits else None
        if subscription_price is not None:
            _validate_price(subscription_price, join_request=join_request)
        self._warn_if_unseen("chat_join_request" if join_request else "chat_member")
        if subscription_price is None:
            made = await bot.create_chat_invite_link(
                chat_id,
                name=name,
                expire_date=int(self._clock.time() + expires.total_seconds()),
                member_limit=None if join_request else member_limit,
                creates_join_request=join_request,
            )
        else:
            made = await bot.create_chat_subscription_invite_link(
                chat_id,
                subscription_period=int(subscription_period.total_seconds()),
                subscription_price=subscription_price,
                name=name,
            )
        link = str(made.invite_link)
        if not says_it:
            await self.bind(link, session_id)
        return link

    async def bind(self, link: str, session_id: str) -> None:
        """Let a link that was made elsewhere stand for a session.

        :param link: as Telegram shows it to the bot. The links of other administrators are cut
            there, and cannot be told apart: have the bot make them.
        :raises EventError: when the link is cut, or one of them is no text.
        :raises StoreError: when the store failed.
        """
        checked = validate_text("a session id", session_id)
        await self._profiles.add_invite(plain_link(_checked_link(link)), checked)

    async def session_id(self, link: str, name: str | None) -> str | None:
        """Return the session that a link stands for; see :meth:`read`."""
        read = await self.read(link, name)
        return None if read is None else read.session_id

    async def read(self, link: str, name: str | None) -> Parsed | None:
        """Return what a link stands for: the session that it was bound to, else its name's.

        :param name: of the link, as Telegram tells it.
        :raises StoreError: when the store failed.
        """
        bound = await self._profiles.invited(plain_link(link))
        if bound:
            return Parsed(bound)
        return None if name is None else self._attribution.read(name)

    def _warn_if_unseen(self, kind: str) -> None:
        """Warn once where the bot does not ask for the updates that tell who came by a link."""
        if self._updates is None or kind in self._updates or kind in self._warned:
            return
        self._warned.add(kind)
        event = "JoinRequest" if kind == "chat_join_request" else "Subscribe"
        logger.warning(
            "invite links are made, but nobody will be seen coming by them: the bot asks Telegram "
            "for no %s updates. Give it a handler for them, or Tracker(auto={%r}), and name them "
            "where you give allowed_updates yourself",
            kind,
            event,
        )


def _validate_price(price: object, *, join_request: bool) -> None:
    if isinstance(price, bool) or not isinstance(price, int) or price < 1:
        msg = f"subscription_price must be a number of Telegram Stars, not {short_repr(price)}"
        raise EventError(msg)
    if join_request:
        msg = "Telegram has no links whose users both pay and must be approved: choose one"
        raise EventError(msg)


def _checked_link(link: object) -> str:
    if not is_text(link) or not link.strip() or link.rstrip().endswith(CUT):
        msg = f"an invite link must be a whole one, as its maker sees it, not {short_repr(link)}"
        raise EventError(msg)
    return link
