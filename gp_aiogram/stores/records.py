"""What goes into stores and comes out of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event, Traits
from gp_aiogram.model.session import Session, SessionQuery
from gp_aiogram.stores.keys import OnceKey

State = Literal["pending", "delivered", "skipped", "dead"]

STATES: tuple[State, ...] = get_args(State)

#: No retry is scheduled further ahead, in seconds. A delivery that seems to be due later was
#: scheduled before the wall clock went back, and is due at once.
MAX_DELAY = 2 * 60 * 60

#: What became of an :class:`Entry`: it was ``stored``; the event or a once-key was known
#: (``duplicate``); a key of ``unless`` was known (``blocked``).
AcceptResult = Literal["stored", "duplicate", "blocked"]


class Entry(NamedTuple):
    """An event to store, with one pending delivery for each destination.

    :param destinations: names; none is fine.
    :param once: each admits a single event, permanently.
    :param order: what a refund finds the event by.
    :param unless: nothing is stored when one of these keys is known.
    :param marks: become known with the event, but do not speak against it.
    """

    event: Event
    destinations: Collection[str]
    once: Collection[OnceKey] = ()
    order: str | None = None
    unless: Collection[OnceKey] = ()
    marks: Collection[OnceKey] = ()


class Delivery(NamedTuple):
    """One event on its way to one destination.

    :param attempts: how many failed tries counted so far.
    :param since: when the trying began, in UTC: at acceptance, or at the last replay.
    :param due: when it may be tried (again), in UTC; of interest while pending.
    :param reason: why the last try failed, or why it is dead or skipped.
    :param receipt: what the destination answered on success.
    :param maybe_delivered: a try, this or an earlier one, may have succeeded without an answer.
    :param batch_cap: at most so many events may share its next request, because a larger batch
        was rejected; None means no limit of its own.
    :param seq: number of the event in its store; a later event has a higher one.
    :param token: the claim that this object stands for; empty when it was only looked at.
    """

    event: Event
    destination: str
    state: State
    attempts: int
    since: datetime
    due: datetime
    reason: str | None = None
    receipt: Mapping[str, Any] = MappingProxyType({})
    maybe_delivered: bool = False
    batch_cap: int | None = None
    seq: int = 0
    token: str = ""


class Claim(NamedTuple):
    """Deliveries that nobody else gets until they are settled, released, or their lease ends.

    :param now: the store's own time of the claim, in UTC: ages are judged by it.
    :param token: proves the claim; each of the deliveries carries it.
    """

    deliveries: Sequence[Delivery]
    now: datetime
    token: str


class Outcome(NamedTuple):
    """What became of a claimed delivery.

    :param state: ``pending`` puts it back for another try.
    :param delay: seconds until that try; at most :data:`MAX_DELAY`.
    :param attempts: how many failed tries count from now on.
    :param maybe_delivered: the destination may have got it although no answer says so.
    :param batch_cap: as of :class:`Delivery`.
    :param provisional: keep the claim, another outcome follows; this one stands if none does.
    """

    delivery: Delivery
    state: State
    delay: float = 0.0
    attempts: int = 0
    reason: str | None = None
    receipt: Mapping[str, Any] = MappingProxyType({})
    maybe_delivered: bool = False
    batch_cap: int | None = None
    provisional: bool = False


@dataclass(frozen=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries are meant; a part that is None sets no limit.

    Of the event:

    :param event_id: events with this id, whatever their name.
    :param order: events of this order.
    :param telegram_id: events of this user.
    :param bot_id: events of this bot, or of none that is known.
    :param accepted_before: events accepted earlier.

    Of the delivery:

    :param destination: its name.
    :param states: any of these.
    :param maybe_delivered: whether it may have been delivered.
    :param unclaimed: leave out what is claimed now.
    """

    event_id: str | None = None
    order: str | None = None
    telegram_id: int | None = None
    bot_id: int | None = None
    accepted_before: datetime | None = None
    destination: str | None = None
    states: frozenset[State] | None = None
    maybe_delivered: bool | None = None
    unclaimed: bool = False


class Change(NamedTuple):
    """What :meth:`~gp_aiogram.stores.contract.Outbox.transition` makes of deliveries.

    :param reason: None keeps the reason that is there.
    :param restart: as if just accepted: no failed tries, no cap, due and tried since now.
    """

    state: State
    reason: str | None = None
    restart: bool = False


@dataclass(frozen=True)
class Profile:
    """What is known of a user and of the click that brought them.

    :param click: None when nothing was registered for the session.
    """

    click: Click | None = None
    traits: Traits = field(default_factory=dict)


class ContextQuery(NamedTuple):
    """What is wanted of a user for an event.

    :param touch: which touch counts.
    :param session_id: named by the caller; then no touch is looked for.
    :param keys: once-keys in question.
    """

    touch: SessionQuery
    session_id: str | None = None
    keys: Collection[OnceKey] = ()


class UserContext(NamedTuple):
    """What a store knows of a user.

    :param session: the touch that counts; None when there is none, or the caller named a session.
    :param profile: traits, and the click of that session.
    :param keys: those of the keys in question that are known.
    :param failures: what could not be read, ``"session"`` or ``"profile"``, and why.
    """

    session: Session | None
    profile: Profile
    keys: Collection[OnceKey]
    failures: Mapping[str, Exception] = MappingProxyType({})
