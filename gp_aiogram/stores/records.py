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


class Try(NamedTuple):
    """A failed try to deliver an event.

    :param number: among the failed tries of its delivery, counted from 1. Replays go on counting.
    :param at: when the answer came, or none did, in UTC; no finer than milliseconds.
    :param outcome: ``failed``; ``unsure``, when it may have been taken without an answer;
        ``rejected``; ``batch rejected``, when it shared a request with others; ``stopped``, when
        the process ended before an answer came. Later versions may have more.
    :param status: HTTP status of the answer; None without any.
    :param reason: what was answered, or why nothing was, cut to a few hundred characters.
    """

    number: int
    at: datetime
    outcome: str
    status: int | None
    reason: str


class Delivery(NamedTuple):
    """One event on its way to one destination.

    :param attempts: how many failed attempts counted so far.
    :param since: since when it has been tried, in UTC: its acceptance, or the last replay.
    :param due: when it may be tried (again), in UTC; of a settled delivery, when it was
        settled.
    :param reason: why the last attempt failed, or why it is dead or skipped.
    :param receipt: the destination's answer on success.
    :param maybe_delivered: an attempt may have succeeded although its answer was lost.
    :param batch_cap: the most events that may share its next request, because a larger batch was
        rejected; None sets no limit.
    :param seq: number of the event in its store; later events have higher numbers.
    :param token: of the claim through which you got it; empty if it was only read.
    :param tries: the failed attempts; of many, the first and the last ones. Their numbers show how
        many are left out. Empty if the outbox keeps none.
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
    tries: Sequence[Try] = ()

    @property
    def tries_left_out(self) -> int:
        """How many failed tries there were beside :attr:`tries`."""
        return self.tries[-1].number - len(self.tries) if self.tries else 0


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
    :param tries: the failed tries that are known from now on; None keeps those that are there.
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
    tries: Sequence[Try] | None = None


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


class Span(NamedTuple):
    """Which part of a numbered list is wanted.

    :param after: only what has a higher number.
    :param before: only what has a lower one; None sets no limit.
    :param limit: the most to return.
    :param newest: the highest number first, else the lowest.
    """

    after: int = 0
    before: int | None = None
    limit: int = 100
    newest: bool = False


class TouchRecord(NamedTuple):
    """A touch as it is stored.

    :param number: of the touch in its store; a later one has a higher one.
    """

    number: int
    session: Session


class EventRecord(NamedTuple):
    """An event as it is stored, with everything that became of it.

    :param seq: number of the event in its store, as of :class:`Delivery`.
    :param accepted: when it was stored, in UTC.
    :param deliveries: by destination, in the order of their names.
    """

    seq: int
    event: Event
    accepted: datetime
    deliveries: Sequence[Delivery]


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


class Unmatched(NamedTuple):
    """A conversion that somebody has told of before its user turned up.

    :param key: tells it from all others.
    :param click_id: by which the user is known: a session id, or an id of a click.
    :param at: when it was told, in UTC.
    :param body: what was told, as JSON values. ``until``, if it is there, says in ISO format until
        when it waits: a store that forgets by itself keeps it for longer than that.
    """

    key: str
    click_id: str
    at: datetime
    body: Mapping[str, Any]


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
