"""The contract between gp_aiogram and whatever remembers for it.

Three small parts, so that one can be replaced without the others: a :class:`SessionStore` knows
the touches of users, a :class:`ProfileStore` what else is known of users and clicks, an
:class:`Outbox` keeps events until every destination has settled them. A :class:`Store` is all
three. ``gp_aiogram.testing.StoreContract`` tests an implementation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gp_aiogram.model.click import Click
from gp_aiogram.model.clock import Clock
from gp_aiogram.model.event import Event, Traits
from gp_aiogram.model.session import Session, Source
from gp_aiogram.stores.records import (
    Acceptance,
    Decide,
    Delivery,
    Known,
    Profile,
    Settlement,
    State,
)


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
        preferred: Collection[Source] = (),
    ) -> Session | None:
        """Return the last (or first) touch of a user.

        :param bot_id: only touches of this bot; None means of any bot.
        :param since: not older than this.
        :param until: not younger than this.
        :param preferred: touches of these sources go before all others.
        """

    @abstractmethod
    async def forget_sessions(self, telegram_id: int) -> set[str]:
        """Erase every touch of a user, and return the session ids that they named."""

    @abstractmethod
    async def prune_sessions(self, before: datetime, limit: int) -> int:
        """Erase touches that are older, at most so many, and return how many were."""


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

    @abstractmethod
    async def add_invite(self, link: str, session_id: str) -> None:
        """Keep which session an invite link stands for; a later one replaces an earlier one."""

    @abstractmethod
    async def invited(self, link: str) -> str | None:
        """Return the session that an invite link stands for."""

    @abstractmethod
    async def forget_profile(self, telegram_id: int, session_ids: Collection[str]) -> None:
        """Erase the traits of a user, and the clicks of these sessions with their invite links.

        A link that stands for a session without a click names a campaign, not a person: it stays.
        """

    @abstractmethod
    async def prune_clicks(self, before: datetime, limit: int) -> int:
        """Erase clicks that are older, with their invite links, and return how many clicks were.

        :param limit: at most so many.
        """


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
        once: Collection[str] = (),
        order: str | None = None,
    ) -> bool:
        """Keep an event and one pending delivery for each destination, all or nothing.

        Returns when they are as safe as the store can make them.

        :param once: keys of which each lets one event through, for ever.
        :param order: what the event was paid with or for, so that :meth:`cancel` finds it.
        :return: False when the event id or a once-key is known already: nothing was kept.
        """

    @abstractmethod
    async def add_keys(self, keys: Collection[str]) -> int:
        """Make once-keys known as if events had had them, and return how many were new."""

    @abstractmethod
    async def drop_keys(self, keys: Collection[str]) -> None:
        """Make once-keys unknown again."""

    @abstractmethod
    async def known_keys(self, keys: Collection[str]) -> set[str]:
        """Return those of the once-keys that are known."""

    @abstractmethod
    async def cancel(self, order: str, reason: str) -> list[Delivery]:
        """Skip the deliveries of an order's events that surely nobody got.

        Those are pending or dead, not claimed, and :data:`MAY_BE_TAKEN` is not in their reason.

        :return: every delivery of these events, as it is now.
        """

    @abstractmethod
    async def cancel_user(self, telegram_id: int, reason: str) -> int:
        """Skip a user's deliveries that are pending and not claimed, and return how many."""

    @abstractmethod
    async def forget_events(self, telegram_id: int) -> int:
        """Erase a user's events with their deliveries, and return how many events were.

        Their event ids stay known, as do once-keys, in a form that names nobody: see
        :mod:`gp_aiogram.stores.keys`.
        """

    @abstractmethod
    async def prune_events(self, before: datetime, dead_before: datetime, limit: int) -> int:
        """Erase old events with their deliveries, and return how many events were erased.

        Their event ids stay known. Events are looked at in the order of their acceptance, up to
        the first one that is younger than both limits.

        :param before: events accepted earlier, of which no delivery is pending or dead.
        :param dead_before: events accepted earlier, of which no delivery is pending.
        :param limit: at most so many.
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

    async def known(
        self,
        telegram_id: int,
        bot_id: int | None,
        *,
        keys: Collection[str],
        first: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
        preferred: Collection[Source] = (),
    ) -> Known:
        """Return what :meth:`find_session`, :meth:`profile` and :meth:`known_keys` tell together.

        A store that can do so with one look should.
        """
        session = await self.find_session(
            telegram_id,
            bot_id,
            first=first,
            since=since,
            until=until,
            preferred=preferred,
        )
        session_id = None if session is None else session.session_id
        profile = await self.profile(telegram_id, session_id)
        return Known(session, profile, await self.known_keys(keys))

    async def accept_knowing(
        self,
        decide: Decide,
        telegram_id: int,
        bot_id: int | None,
        **which: Any,
    ) -> tuple[Acceptance | None, bool]:
        """Look up what is known of a user, and keep what is decided by that.

        A store that can do so in one transaction should: it is faster, and nothing comes between.

        :param decide: does not wait; may be called in another thread, and again after a failure.
        :param which: as for :meth:`known`.
        :return: the decision, and whether it was kept, as :meth:`accept` tells.
        """
        decision = decide(await self.known(telegram_id, bot_id, **which))
        if decision is None:
            return None, False
        event, destinations, once, order = decision
        return decision, await self.accept(event, [*destinations], once=once, order=order)

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
