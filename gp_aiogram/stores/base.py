"""The contract between gp_aiogram and whatever remembers for it.

Three small parts, so that one can be replaced without the others: a :class:`SessionStore` knows
the touches of users, a :class:`ProfileStore` what else is known of users and clicks, an
:class:`Outbox` keeps events until every destination has settled them. A :class:`Store` is all
three. ``gp_aiogram.testing.StoreContract`` tests an implementation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from gp_aiogram.attribution import Session
from gp_aiogram.click import Click
from gp_aiogram.clock import Clock
from gp_aiogram.event import Event, Traits

State = Literal["pending", "delivered", "skipped", "dead"]

STATES: tuple[State, ...] = get_args(State)

#: No retry is ever scheduled further ahead, in seconds. A delivery that seems to be due later was
#: scheduled before the wall clock went back, and is due at once.
MAX_DELAY = 2 * 60 * 60


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one destination.

    :param attempts: how many failed tries counted so far.
    :param since: when the trying began, in UTC: at acceptance, or at the last replay.
    :param due: when it may be tried (again), in UTC; of interest while pending.
    :param reason: why the last try failed, or why it is dead or skipped.
    :param receipt: what the destination answered on success.
    :param token: the claim that this object stands for; empty when it was only looked at.
    """

    event: Event
    destination: str
    state: State
    attempts: int
    since: datetime
    due: datetime
    reason: str | None = None
    receipt: Mapping[str, Any] = field(default_factory=dict)
    token: str = ""


@dataclass(frozen=True)
class Settlement:
    """What became of a claimed delivery.

    :param state: ``pending`` puts it back for another try.
    :param delay: seconds until that try; at most :data:`MAX_DELAY`.
    :param attempts: how many failed tries count from now on.
    :param provisional: keep the claim, another settlement follows; this one stands if none does.
    """

    delivery: Delivery
    state: State
    delay: float = 0.0
    attempts: int = 0
    reason: str | None = None
    receipt: Mapping[str, Any] = field(default_factory=dict)
    provisional: bool = False


class SessionStore(ABC):
    """Remembers every touch of every user, per bot."""

    async def open(self) -> None:  # noqa: B027 - optional
        """Get ready; called before use, and harmless when already open."""

    async def close(self) -> None:  # noqa: B027 - optional
        """Let go of files and connections. Use after closing opens again."""

    @abstractmethod
    async def add_session(self, session: Session) -> None:
        """Keep a touch. The same touch (bot, user, session id, time) again changes nothing."""

    @abstractmethod
    async def find_session(
        self,
        telegram_id: int,
        bot_id: int | None,
        *,
        first: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Session | None:
        """Return the last (or first) touch of a user.

        :param bot_id: only touches of this bot; None means of any bot.
        :param since: not older than this.
        :param until: not younger than this.
        """


@dataclass(frozen=True)
class Profile:
    """What is known of a user and of the click that brought him.

    :param click: None when nothing was registered for the session.
    """

    click: Click | None = None
    traits: Traits = field(default_factory=dict)


class ProfileStore(ABC):
    """Remembers clicks by session id, and traits by user."""

    async def open(self) -> None:  # noqa: B027 - optional
        """Get ready; called before use, and harmless when already open."""

    async def close(self) -> None:  # noqa: B027 - optional
        """Let go of files and connections. Use after closing opens again."""

    @abstractmethod
    async def add_click(self, session_id: str, click: Click) -> bool:
        """Keep what a landing page saw.

        :return: False when the session id has a click already: nothing was changed.
        """

    @abstractmethod
    async def add_traits(self, telegram_id: int, traits: Traits) -> None:
        """Keep traits of a user; a field that is known already is overwritten."""

    @abstractmethod
    async def profile(self, telegram_id: int, session_id: str | None) -> Profile:
        """Return everything known of a user, and the click of his session."""


class Outbox(ABC):
    """Keeps events and their deliveries; what it has accepted survives.

    Time is the outbox's own: ``clock`` is this machine's unless the database has a better one.
    """

    clock: Clock

    async def open(self) -> None:  # noqa: B027 - optional
        """Get ready; called before use, and harmless when already open."""

    async def close(self) -> None:  # noqa: B027 - optional
        """Let go of files and connections. Use after closing opens again."""

    @abstractmethod
    async def accept(
        self,
        event: Event,
        destinations: Sequence[str],
        *,
        once: str | None = None,
    ) -> bool:
        """Keep an event and one pending delivery for each destination, all or nothing.

        Returns when they are as safe as the store can make them.

        :param once: a key that lets one event through, for ever.
        :return: False when the event id or the once-key is known already: nothing was kept.
        """

    @abstractmethod
    async def claim(self, destination: str, limit: int, *, lease: float) -> list[Delivery]:
        """Take due deliveries, the longest due first; nobody else gets them until settled.

        :param lease: seconds after which they are due again if nobody settles them.
        """

    @abstractmethod
    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Record outcomes. One whose claim is no longer held (lease over) changes nothing."""

    @abstractmethod
    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give claimed deliveries back as they were: still due, no attempt counted."""

    @abstractmethod
    async def next_due(self, destination: str) -> float | None:
        """Seconds until the next unclaimed delivery is due: 0 when one is, None without any."""

    @abstractmethod
    async def deliveries(self, event_id: str) -> list[Delivery]:
        """Every delivery of one event, ordered by destination."""

    @abstractmethod
    async def dead_letters(
        self,
        destination: str | None = None,
        *,
        limit: int = 100,
    ) -> list[Delivery]:
        """Deliveries that were given up, oldest event first.

        :param destination: None means of every destination.
        """

    @abstractmethod
    async def replay(
        self,
        destination: str | None = None,
        *,
        event_id: str | None = None,
    ) -> int:
        """Make dead letters due again, as if just accepted, and return how many.

        :param destination: None means of every destination.
        :param event_id: None means of every event.
        """

    @abstractmethod
    async def counts(self) -> dict[str, dict[State, int]]:
        """How many deliveries each destination has in each state (states without any left out)."""

    @abstractmethod
    async def bot_of(self, telegram_id: int) -> int | None:
        """Return the bot of the user's newest event that names one."""


class Store(SessionStore, ProfileStore, Outbox):
    """All parts in one place."""

    @property
    def sessions(self) -> SessionStore:
        """The part that knows touches."""
        return self

    @property
    def profiles(self) -> ProfileStore:
        """The part that knows clicks and traits."""
        return self

    @property
    def outbox(self) -> Outbox:
        """The part that keeps events."""
        return self


@dataclass(frozen=True)
class SplitStore:
    """Several stores used as one: sessions in the bot's own database, say, and a default outbox.

    :param sessions: knows touches.
    :param outbox: keeps events.
    :param profiles: knows clicks and traits.
    """

    sessions: SessionStore
    outbox: Outbox
    profiles: ProfileStore

    @classmethod
    def of(cls, sessions: SessionStore, rest: Store) -> SplitStore:
        """Take the sessions of one store and everything else of another."""
        return cls(sessions, rest, rest)
