"""The tracker as one user's update sees it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any

from typing_extensions import Unpack

from gp_aiogram.decorators import title_of
from gp_aiogram.errors import ConfigurationError, StoreError, short_repr
from gp_aiogram.model.event import (
    FIRST_DEPOSIT,
    LATER_DEPOSIT,
    REFUND,
    Event,
    EventName,
    update_event_id,
)
from gp_aiogram.model.session import Session
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.arguments import DepositArguments, EventArguments, RefundArguments
from gp_aiogram.tracker.containment import contained
from gp_aiogram.tracker.request import DepositRules, EventRequest

logger = logging.getLogger("gp_aiogram.gp")

#: What a deposit is called before the store has told a first one from a later one.
DEPOSIT = "deposit"

#: Several names of one conversion: an update that tells of it is recorded under one of them.
_CONVERSIONS: Mapping[str, str] = {
    DEPOSIT: "Purchase",
    FIRST_DEPOSIT: "Purchase",
    LATER_DEPOSIT: "Purchase",
    "JoinRequest": "Subscribe",
}


class UserTracker:
    """Tracks one user during one update; injected into handlers as ``gp``.

    Calls in handlers do not raise, except with ``connection=``. A call that fails, or has invalid
    arguments, records nothing; it is logged with the handler's name and counted in
    ``tracker.counts["handler_errors"]``. ``Tracker(strict=True)`` raises such errors.
    :meth:`Tracker.track` and the tracker's other methods always raise.

    :param tracker: the bot's tracker.
    :param update_id: Telegram's number of the update, which makes event ids stable; 0 for an
        update that another library created.
    """

    # One is made for each update, and few updates need more than the constructor sets: the rest
    # has its first value on the class.

    #: When the update says it happened; None when it does not say.
    at: datetime | None = None
    #: What the update's own link has brought; None when it has none.
    touch: Session | None = None
    #: The handler that has it now, for log lines; None in filters and outer middlewares.
    handler: Callable[..., Any] | None = None
    _session: Session | None = None
    _is_loaded = False
    _calls = 0

    def __init__(
        self,
        tracker: Tracker,
        telegram_id: int,
        bot_id: int,
        update_id: int,
    ) -> None:
        self.tracker = tracker
        self.telegram_id = telegram_id
        self.bot_id = bot_id
        self.update_id = update_id

    def __repr__(self) -> str:
        return f"UserTracker(telegram_id={self.telegram_id}, bot_id={self.bot_id})"

    @cached_property
    def _recorded(self) -> list[str]:
        """What was recorded through this, each conversion by its first name."""
        return []

    @property
    def session(self) -> Session | None:
        """The user's session; None for an organic user.

        :raises RuntimeError: in filters and outer middlewares, where it is not loaded yet.
        """
        if not self._is_loaded:
            msg = "the session is read for handlers that take gp; elsewhere await gp.load() first"
            raise RuntimeError(msg)
        return self._session

    async def load(self) -> Session | None:
        """Load the session that counted when the update happened, once.

        :return: None also when the store could not be read, which is logged and counted.
        """
        if not self._is_loaded:
            try:
                intake = self.tracker.intake
                self._session = await intake.session(self.telegram_id, self.bot_id, self.at)
            except Exception:
                self.tracker.counts["session_errors"] += 1
                logger.exception("the session of %r could not be read; the bot goes on", self)
            self._is_loaded = True
        return self._session

    def proceed_without_session(self) -> None:
        """Set :attr:`session` to None because the store could not be read."""
        self._is_loaded = True

    def bind_update(
        self,
        *,
        at: datetime | None = None,
        touch: Session | None = None,
    ) -> None:
        """Add what the update says; None keeps what is known.

        :param at: when it happened, with time zone.
        :param touch: the touch that the update's own link has made.
        """
        self.at = at or self.at
        self.touch = touch or self.touch

    def without_history(self) -> UserTracker:
        """Return a tracker for the same update that has recorded nothing yet."""
        other = UserTracker(self.tracker, self.telegram_id, self.bot_id, self.update_id)
        other.bind_update(at=self.at, touch=self.touch)
        other._session, other._is_loaded = self._session, self._is_loaded
        return other

    def has_recorded(self, name: str) -> bool:
        """Return whether this tracker has recorded an event, under any of its names."""
        return conversion_of(name) in self._recorded

    def event_id(self, site_id: str, name: str) -> str | None:
        """Make the id of an event: the same when Telegram delivers the update again.

        An event that ``auto`` would record has the same id there. So it counts once, also when a
        handler fails at Telegram's first delivery and succeeds at the second.

        :param site_id: identifies the place in the code that records the event.
        :return: None when the update is not from Telegram; each event then gets its own id.
        """
        if not self.update_id:
            return None
        if not self.has_recorded(name) and self._is_automatic(name):
            return self._automatic_id(name)
        return update_event_id(self.bot_id, self.update_id, site_id, name)

    def _is_automatic(self, name: str) -> bool:
        """Return whether ``auto`` would record the conversion, too."""
        return conversion_of(name) in map(conversion_of, self.tracker.auto)

    def _automatic_id(self, name: str) -> str:
        return update_event_id(self.bot_id, self.update_id, "auto", conversion_of(name))

    async def track(self, name: EventName, **arguments: Unpack[EventArguments]) -> Event | None:
        """Record an event for this user; see :meth:`Tracker.track`.

        Event ids depend on the update, so an update that Telegram delivers twice counts once.

        :return: None also when it could not be recorded.
        :raises StoreError: with ``connection``, because your transaction has failed as well.
        :raises ConfigurationError: when the store cannot use ``connection``.
        """
        with self._contained(f"gp.track({short_repr(name)})", arguments):
            return await self.record(name, **arguments)
        return None

    async def deposit(self, **arguments: Unpack[DepositArguments]) -> Event | None:
        """Record a deposit for this user; see :meth:`Tracker.deposit`.

        :return: None also when it could not be recorded.
        :raises StoreError: with ``connection``, as :meth:`track`.
        :raises ConfigurationError: with ``connection``, as :meth:`track`.
        """
        with self._contained("gp.deposit()", arguments):
            return await self.record_deposit(**arguments)
        return None

    async def refund(self, once: str | int, **arguments: Unpack[RefundArguments]) -> Event | None:
        """Record a refund for this user; see :meth:`Tracker.refund`.

        :return: None also when it could not be recorded.
        :raises StoreError: with ``connection``, as :meth:`track`.
        :raises ConfigurationError: with ``connection``, as :meth:`track`.
        """
        with self._contained(f"gp.refund({short_repr(once)})", arguments):
            return await self.record_refund(once, **arguments)
        return None

    async def identify(
        self,
        *,
        user: object = None,
        contact: object = None,
        order_info: object = None,
        **traits: object,
    ) -> frozenset[str]:
        """Store what you know about this user; see :meth:`Tracker.identify`.

        :return: an empty result also when it could not be stored.
        """
        with self._contained("gp.identify()", outcome="kept nothing"):
            return await self.tracker.intake.identify(
                self.telegram_id, user=user, contact=contact, order_info=order_info, traits=traits
            )
        return frozenset()

    async def opt_out(self) -> None:
        """Record nothing more about this user; see :meth:`Tracker.opt_out`."""
        with self._contained("gp.opt_out()", outcome="failed"):
            await self.tracker.intake.opt_out(self.telegram_id)

    async def opt_in(self) -> None:
        """Record this user again; see :meth:`Tracker.opt_in`."""
        with self._contained("gp.opt_in()", outcome="failed"):
            await self.tracker.intake.opt_in(self.telegram_id)

    async def forget(self) -> None:
        """Erase what is stored about this user; see :meth:`Tracker.forget`."""
        with self._contained("gp.forget()", outcome="failed"):
            await self.tracker.intake.forget(self.telegram_id)

    # The same for what contains errors itself, as decorators do

    async def record(self, name: EventName, **arguments: Unpack[EventArguments]) -> Event | None:
        """Record an event as :meth:`track` does, but raise errors.

        :raises EventError: when the arguments make no valid event.
        """
        connection = arguments.pop("connection", None)
        self._complete(arguments, name)
        with self._recording(name):
            request = self._request(name, **arguments)
            return await self.tracker.intake.track(request, connection)

    async def record_deposit(self, **arguments: Unpack[DepositArguments]) -> Event | None:
        """Record a deposit as :meth:`deposit` does, but raise errors.

        :raises EventError: when the arguments make no valid event.
        """
        rules = DepositRules(
            arguments.pop("ftd_within", None),
            arguments.pop("ftd_needs_session", False),
            arguments.pop("renewal", False),
        )
        connection = arguments.pop("connection", None)
        self._complete(arguments, DEPOSIT)
        with self._recording(DEPOSIT):
            request = self._request(LATER_DEPOSIT, **arguments)
            return await self.tracker.intake.deposit(request, rules, connection)

    async def record_refund(
        self, once: str | int, **arguments: Unpack[RefundArguments]
    ) -> Event | None:
        """Record a refund as :meth:`refund` does, but raise errors.

        :raises EventError: when the arguments make no valid event.
        """
        connection = arguments.pop("connection", None)
        self._complete(arguments, REFUND)
        with self._recording(REFUND):
            request = self._request(REFUND, once=once, **arguments)
            return await self.tracker.intake.refund(request, connection)

    def _contained(
        self,
        call: str,
        arguments: Mapping[str, Any] = MappingProxyType({}),
        outcome: str = "recorded nothing",
    ) -> AbstractContextManager[None]:
        source = call if self.handler is None else f"{call} in {title_of(self.handler)}"
        # Who shares their transaction has to know that it has failed.
        is_shared = arguments.get("connection") is not None
        let_through = (StoreError, ConfigurationError) if is_shared else ()
        return contained(
            self.tracker, "handler_errors", logger, source, outcome, let_through=let_through
        )

    def _request(self, name: str, **arguments: Any) -> EventRequest:
        is_automatic = self._is_automatic(name)
        return EventRequest(
            name=name,
            telegram_id=self.telegram_id,
            bot_id=self.bot_id,
            # ``auto`` may know the same by another name.
            is_one_conversion=is_automatic and arguments["event_id"] == self._automatic_id(name),
            **arguments,
        )

    def _complete(
        self,
        arguments: EventArguments | DepositArguments | RefundArguments,
        name: str,
    ) -> None:
        """Add the event's id and time where the caller gave none."""
        if arguments.get("event_id") is None:
            arguments["event_id"] = self.event_id(f"gp.track {self._calls}", name)
            self._calls += 1
        if arguments.get("event_time") is None:
            arguments["event_time"] = self.at

    @contextmanager
    def _recording(self, name: str) -> Iterator[None]:
        """Take an event as recorded from now on, unless recording it fails."""
        conversion = conversion_of(name)
        self._recorded.append(conversion)
        try:
            yield
        except Exception:
            self._recorded.remove(conversion)
            raise


def conversion_of(name: str) -> str:
    """Return under which name a conversion is known that has several."""
    return _CONVERSIONS.get(name, name)
