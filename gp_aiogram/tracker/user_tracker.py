"""The tracker as one user's update sees it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from gp_aiogram.decorators import DEPOSIT
from gp_aiogram.model.event import FIRST_DEPOSIT, LATER_DEPOSIT, REFUND, Event, update_event_id
from gp_aiogram.model.session import Session
from gp_aiogram.tracker import Tracker

#: One conversion under several names: an update that tells of it is recorded under one of them.
_KINDS: Mapping[str, str] = {
    DEPOSIT: "Purchase",
    FIRST_DEPOSIT: "Purchase",
    LATER_DEPOSIT: "Purchase",
    "JoinRequest": "Subscribe",
}


class UserTracker:
    """Tracks for one user during one update; injected into handlers as ``gp``.

    :param update_id: Telegram's number of the update, makes event ids stable; 0 for an update
        that another library made up.
    """

    __slots__ = (
        "_loaded",
        "_recorded",
        "_session",
        "_tracked",
        "at",
        "bot_id",
        "telegram_id",
        "touch",
        "tracker",
        "update_id",
    )

    def __init__(
        self,
        tracker: Tracker,
        telegram_id: int,
        bot_id: int,
        update_id: int,
    ) -> None:
        self.telegram_id = telegram_id
        self.bot_id = bot_id
        self.update_id = update_id
        #: When the update says it happened; None when it does not say.
        self.at: datetime | None = None
        #: What the update's own link has brought; None when it has none.
        self.touch: Session | None = None
        #: The bot's own tracker.
        self.tracker = tracker
        self._tracked = 0
        self._recorded: list[str] = []
        self._session: Session | None = None
        self._loaded = False

    def __repr__(self) -> str:
        return f"UserTracker(telegram_id={self.telegram_id}, bot_id={self.bot_id})"

    @property
    def session(self) -> Session | None:
        """The session that counts for this user; None for an organic one.

        :raises RuntimeError: in filters and outer middlewares, where nothing has read it yet.
        """
        if not self._loaded:
            msg = "the session is read for handlers that take gp; elsewhere await gp.load() first"
            raise RuntimeError(msg)
        return self._session

    async def load(self) -> Session | None:
        """Read the session that counts when the update happened from the store, once."""
        if not self._loaded:
            self._session = await self.tracker.session(self.telegram_id, self.bot_id, at=self.at)
            self._loaded = True
        return self._session

    def forgo(self) -> None:
        """Do without the session, because the store failed."""
        self._loaded = True

    def has_recorded(self, name: str) -> bool:
        """Tell whether an event was recorded during this update, under whichever name."""
        return _kind(name) in self._recorded

    def event_id(self, rule: str, name: str) -> str | None:
        """Make the id of an event: the same when Telegram delivers the update again.

        What ``auto`` would record, too, has one id whoever records it first: a handler may fail
        at the first delivery and succeed at the second.

        :param rule: what tells this place in the code from others.
        :return: None when the update is not Telegram's; then each event is one of its own.
        """
        if not self.update_id:
            return None
        kind = _kind(name)
        if kind not in self._recorded and kind in map(_kind, self.tracker.auto):
            rule, name = "auto", kind
        return update_event_id(self.bot_id, self.update_id, rule, name)

    async def identify(
        self,
        *,
        user: object = None,
        contact: object = None,
        **traits: object,
    ) -> None:
        """Keep what is known of this user; see :meth:`Tracker.identify`."""
        await self.tracker.identify(self.telegram_id, user=user, contact=contact, **traits)

    async def track(
        self,
        name: str,
        *,
        value: object = None,
        currency: str | None = None,
        user_data: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        event_id: str | None = None,
        event_time: datetime | None = None,
        once: str | int | None = None,
        order: str | int | None = None,
        to: str | Collection[str] | None = None,
    ) -> Event | None:
        """Record an event of this user; see :meth:`Tracker.track`.

        The same update makes the same event ids, so one that Telegram delivers twice counts once.
        """
        if event_id is None:
            event_id = self._next_event_id(name)
        with self._recording(name):
            return await self.tracker.track(
                name,
                telegram_id=self.telegram_id,
                bot_id=self.bot_id,
                value=value,
                currency=currency,
                user_data=user_data,
                session_id=session_id,
                event_id=event_id,
                event_time=event_time or self.at,
                once=once,
                order=order,
                to=to,
            )

    async def deposit(
        self,
        *,
        value: object,
        currency: str | None = None,
        user_data: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        event_id: str | None = None,
        event_time: datetime | None = None,
        once: str | int | None = None,
        to: str | Collection[str] | None = None,
        ftd_within: timedelta | None = None,
        ftd_needs_session: bool = False,
        renewal: bool = False,
    ) -> Event | None:
        """Record a deposit of this user; see :meth:`Tracker.deposit`."""
        if event_id is None:
            event_id = self._next_event_id(DEPOSIT)
        with self._recording(DEPOSIT):
            return await self.tracker.deposit(
                telegram_id=self.telegram_id,
                bot_id=self.bot_id,
                value=value,
                currency=currency,
                user_data=user_data,
                session_id=session_id,
                event_id=event_id,
                event_time=event_time or self.at,
                once=once,
                to=to,
                ftd_within=ftd_within,
                ftd_needs_session=ftd_needs_session,
                renewal=renewal,
            )

    async def refund(
        self,
        once: str | int,
        *,
        value: object = None,
        currency: str | None = None,
        user_data: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        event_id: str | None = None,
        event_time: datetime | None = None,
        to: str | Collection[str] | None = None,
    ) -> Event | None:
        """Take back what this user has paid; see :meth:`Tracker.refund`."""
        if event_id is None:
            event_id = self._next_event_id(REFUND)
        with self._recording(REFUND):
            return await self.tracker.refund(
                once,
                telegram_id=self.telegram_id,
                bot_id=self.bot_id,
                value=value,
                currency=currency,
                user_data=user_data,
                session_id=session_id,
                event_id=event_id,
                event_time=event_time or self.at,
                to=to,
            )

    async def opt_out(self) -> None:
        """Record nothing more of this user; see :meth:`Tracker.opt_out`."""
        await self.tracker.opt_out(self.telegram_id)

    async def opt_in(self) -> None:
        """Record this user again; see :meth:`Tracker.opt_in`."""
        await self.tracker.opt_in(self.telegram_id)

    async def forget(self) -> None:
        """Erase what is stored of this user; see :meth:`Tracker.forget`."""
        await self.tracker.forget(self.telegram_id)

    def _next_event_id(self, name: str) -> str | None:
        rule = f"gp.track {self._tracked}"
        self._tracked += 1
        return self.event_id(rule, name)

    @contextmanager
    def _recording(self, name: str) -> Iterator[None]:
        """Remember an event from now on, unless recording it fails."""
        kind = _kind(name)
        self._recorded.append(kind)
        try:
            yield
        except Exception:
            self._recorded.remove(kind)
            raise


def _kind(name: str) -> str:
    return _KINDS.get(name, name)
