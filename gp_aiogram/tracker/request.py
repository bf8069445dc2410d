"""What callers ask to have recorded, and the check that turns it into a draft of an event."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from gp_aiogram.errors import EventError, short_repr
from gp_aiogram.model.click import Click
from gp_aiogram.model.clock import Clock
from gp_aiogram.model.event import (
    VALUED_NAMES,
    Event,
    is_text,
    new_event,
    utc_from_timestamp,
    validate_telegram_id,
)
from gp_aiogram.model.firing import Firing
from gp_aiogram.model.money import Stars, is_stars
from gp_aiogram.model.session import Session, Source
from gp_aiogram.model.user_data import validate_user_data
from gp_aiogram.model.wording import describe

logger = logging.getLogger("gp_aiogram")

#: Where an event whose value was in Telegram Stars keeps how many there were.
STARS_KEY = "telegram_stars"

#: The value of ``once=`` that lets one event through per user.
PER_USER = "user"


#: Whether ``once=`` counts for one bot, or for all bots of a store: several bots may tell of the
#: same thing.
OnceScope = Literal["bot", "store"]


#: What ``tracker.*`` does while the store is away.
OnOutage = Literal["raise", "journal"]


class Idempotency(NamedTuple):
    """By what a request is known when it is sent again.

    :param scope: within which keys differ, such as a workspace.
    :param key: the ``Idempotency-Key``.
    :param digest: of what was asked for: under one key it stays the same.
    """

    scope: str
    key: str
    digest: str


@dataclass(kw_only=True, slots=True)
class EventRequest:
    """One event to record, as the caller described it; see :meth:`gp_aiogram.Tracker.track`.

    :param is_one_conversion: the event id stands for one conversion, under whichever name.
    :param firing: how it is to be fired, where that is not for the destination to say.
    :param idempotency: lets one event through for it, and nothing else under the same key.
    :param keeps_touch: a session that is named is a touch of the user, and kept as one.
    """

    name: str
    telegram_id: int
    bot_id: int | None = None
    value: object = None
    currency: str | None = None
    user_data: Mapping[str, Any] | None = None
    session_id: str | None = None
    event_id: str | None = None
    event_time: datetime | None = None
    once: str | int | None = None
    order: str | int | None = None
    to: str | Collection[str] | None = None
    once_scope: OnceScope = "bot"
    is_one_conversion: bool = False
    firing: Firing | None = None
    idempotency: Idempotency | None = None
    keeps_touch: bool = True


class NewClick(NamedTuple):
    """A click that has passed the check, as it is stored."""

    session_id: str
    click: Click


class DepositRules(NamedTuple):
    """What makes a first deposit an FTD; see :meth:`gp_aiogram.Tracker.deposit`.

    :param repeated: somebody knows that it is not the first, though the first may be told later.
    """

    within: timedelta | None = None
    needs_session: bool = False
    renewal: bool = False
    repeated: bool = False


class Draft(NamedTuple):
    """A request that has passed the check: what remains is to find out what is known of the user.

    :param event: valid, without what only the store knows.
    :param is_timed: the caller said when it happened.
    :param names_bot: the caller said which bot it was.
    :param once: :data:`PER_USER`, a key, or None.
    :param order: what a refund finds the event by.
    :param to: names of destinations; None means all that accept the event.
    :param once_scope: as of :class:`EventRequest`, like those that follow.
    """

    event: Event
    is_timed: bool
    names_bot: bool
    once: str | None
    order: str | None
    to: Sequence[str] | None
    once_scope: OnceScope = "bot"
    is_one_conversion: bool = False
    idempotency: Idempotency | None = None
    keeps_touch: bool = True


class NewTouch(NamedTuple):
    """A touch that is to be stored.

    :param ids: ids of the click that its payload carried, by their names.
    """

    session: Session
    ids: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Arrival:
    """How a user came by an invite link, whose session is not known yet.

    :param name: of the link, as Telegram tells it.
    """

    bot_id: int | None
    telegram_id: int
    link: str
    name: str | None
    source: Source
    at: datetime

    def touch(self, session_id: str, payload: str | None = None) -> Session:
        """Return the touch, once the session is known.

        :param payload: None means the link's name, or the session id where it has none.
        """
        payload = payload or self.name or session_id
        return Session(self.bot_id, self.telegram_id, session_id, self.source, self.at, payload)


class RequestCheck:
    """Checks requests.

    :param destinations: names that ``to=`` may hold.
    :param convertible: codes of currencies that some destination converts, besides ISO 4217.
    :param stars: what Telegram Stars are worth; None refuses values in stars.
    :param clock: gives events without a time of their own the present one.
    """

    def __init__(
        self,
        destinations: Collection[str],
        convertible: Collection[str],
        stars: Stars | None,
        clock: Clock,
    ) -> None:
        self._destinations = destinations
        self._convertible = convertible
        self._worthless: set[str] = set()
        self._stars = stars
        self._clock = clock

    def event(self, request: EventRequest) -> Draft:
        """Check a request for an event.

        :raises EventError: when no event can be built from it; the text names the rule.
        """
        return self._draft(request)

    def deposit(self, request: EventRequest, rules: DepositRules) -> Draft:
        """Check a request for a deposit; the draft is a DEP.

        :raises EventError: when no event can be built from it; the text names the rule.
        """
        draft = self._draft(request)
        if draft.once == PER_USER:
            msg = "once='user' would let one deposit through: give the order's id, or nothing"
            raise EventError(msg)
        within: object = rules.within
        if within is not None and (not isinstance(within, timedelta) or within <= timedelta(0)):
            msg = f"ftd_within must be a positive timedelta, not {short_repr(within)}"
            raise EventError(msg)
        return draft

    def refund(self, request: EventRequest) -> Draft:
        """Check a request for a refund; ``once`` is the order's id.

        :raises EventError: when no event can be built from it; the text names the rule.
        """
        draft = self._draft(request)
        if draft.order is None:
            msg = f"refund() needs the order's id of the payment, not {describe(request.once)}"
            raise EventError(msg)
        return draft

    def _draft(self, request: EventRequest) -> Draft:
        to = self._named(request.to)
        moment = request.event_time
        value, currency, user_data = self._without_stars(request)
        event = new_event(
            request.name,
            telegram_id=request.telegram_id,
            event_time=utc_from_timestamp(self._clock.time()) if moment is None else moment,
            event_id=request.event_id,
            bot_id=validate_bot_id(request.bot_id),
            session_id=request.session_id,
            value=value,
            currency=currency,
            user_data=user_data,
            convertible=self._convertible,
        )
        if request.firing is not None:
            event = replace(event, traits=request.firing.to_traits())
        if event.value == 0 and event.name in VALUED_NAMES and event.name not in self._worthless:
            self._worthless.add(event.name)
            logger.warning(
                "%s is recorded with the value 0: platforms optimise for it", event.name
            )
        once = validate_once(request.once)
        order = validate_once(request.order) if request.order is not None else once
        return Draft(
            event=event,
            is_timed=moment is not None,
            names_bot=request.bot_id is not None,
            once=once,
            order=None if order == PER_USER else order,
            to=to,
            once_scope=request.once_scope,
            is_one_conversion=request.is_one_conversion,
            idempotency=request.idempotency,
            keeps_touch=request.keeps_touch,
        )

    def _named(self, to: str | Collection[str] | None) -> list[str] | None:
        if to is None:
            return None
        named = [to] if isinstance(to, str) else list(to)
        if unknown := [name for name in named if name not in self._destinations]:
            names = ", ".join(self._destinations)
            msg = f"to= names no destination: {short_repr(unknown[0])}; there are {names}"
            raise EventError(msg)
        return named

    def _without_stars(
        self,
        request: EventRequest,
    ) -> tuple[object, str | None, Mapping[str, Any] | None]:
        """Turn Telegram Stars into money; how many there were stays in ``user_data``."""
        value, currency, user_data = request.value, request.currency, request.user_data
        if self._stars is None or value is None or not is_stars(currency):
            return value, currency, user_data
        count = {STARS_KEY: self._stars.count(value), **validate_user_data(user_data)}
        return self._stars.worth(value), self._stars.currency, count


def validate_once(once: object) -> str | None:
    """Return what ``once=`` says, as text.

    :raises EventError: when it is neither ``"user"`` nor a key.
    """
    if once is None:
        return None
    if isinstance(once, bool) or not (isinstance(once, int) or is_text(once)) or once == "":
        msg = f"once must be 'user' or a key such as an order's id, not {describe(once)}"
        raise EventError(msg)
    return str(once)


def validate_bot_id(bot_id: object) -> int | None:
    """Return a bot's id, which is a Telegram id like a user's; None names no bot.

    :raises EventError: when it is none.
    """
    if bot_id is None:
        return None
    try:
        return validate_telegram_id(bot_id)
    except EventError as error:
        msg = str(error).replace("telegram_id must be a user's", "bot_id must be a bot's")
        raise EventError(msg) from None
