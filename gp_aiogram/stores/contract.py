"""The contract between gp_aiogram and whatever remembers for it.

Three small parts, so that one can be replaced without the others: a :class:`SessionStore` knows
the touches of users, a :class:`ProfileStore` clicks, traits and invite links, an :class:`Outbox`
events and their deliveries. A :class:`Store` holds one of each, a :class:`UserStore` the first
two.

The docstrings are the semantics; ``gp_aiogram.testing`` tests an implementation against them.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime, timezone
from typing import Any, ClassVar

from typing_extensions import Self

from gp_aiogram.errors import ConfigurationError, StoreUnavailable
from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Traits
from gp_aiogram.model.retention import Retention
from gp_aiogram.model.session import Session, SessionQuery, pick
from gp_aiogram.stores.keys import OnceKey
from gp_aiogram.stores.listing import events_by_select
from gp_aiogram.stores.records import (
    AcceptResult,
    Change,
    Claim,
    ContextQuery,
    Delivery,
    DeliveryFilter,
    Entry,
    EventRecord,
    Outcome,
    Profile,
    Span,
    State,
    TouchRecord,
    Unmatched,
    UserContext,
)


class _Part:
    async def open(self) -> None:
        """Open the store. Called before use; does nothing when already open."""

    async def close(self) -> None:
        """Let go of files and connections. Use after closing opens again."""

    def keep_for(self, retention: Retention) -> None:
        """Hear how long a tracker keeps what is stored.

        Of interest to a store that forgets by itself: not before that. Others are pruned.
        """
        del retention

    def within(self, connection: object) -> Self:
        """Return the same part, in a transaction of the caller's, where it can work in one.

        A part that cannot returns itself, as this one, and sees what is committed. Only an
        outbox has to: see :meth:`Outbox.within`.
        """
        del connection
        return self


class SessionStore(_Part, ABC):
    """Remembers every touch of every user, per bot."""

    @abstractmethod
    async def add(self, session: Session) -> None:
        """Store a touch. Storing the same touch (bot, user, session id, time) again does nothing.

        A store may limit the touches of a user, but must keep the first and the last of each
        bot.
        """

    @abstractmethod
    async def history(
        self,
        telegram_id: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Session]:
        """Return a user's touches with every bot, oldest first; at the same moment, as added.

        :param since: leave out older touches; None sets no limit.
        :param until: leave out younger touches; None sets no limit.
        """

    @abstractmethod
    async def erase(self, telegram_id: int) -> set[str]:
        """Erase every touch of a user, and return the session ids of these touches."""

    async def shared(self, telegram_id: int, session_ids: Collection[str]) -> set[str]:
        """Return those of a user's session ids that other users' touches have as well.

        Their clicks are not erased with this user: a click is erased with its last user. Return an
        empty result, as here, if your store cannot find out.
        """
        del telegram_id, session_ids
        return set()

    async def touches_of(self, session_id: str, limit: int = 100) -> Sequence[Session]:
        """Return the touches of all users with a session id, the latest first.

        Use an index for it. Return nothing, as here, if your store cannot find out.
        """
        del session_id, limit
        return ()

    async def touches(self, span: Span) -> Sequence[TouchRecord] | None:
        """Return touches of all users in the order in which they were added.

        Use an index for it: its cost must not grow with the number of touches.

        :return: None, as here, if your store keeps no such order.
        """
        del span
        return None

    @abstractmethod
    async def prune(self, before: datetime, limit: int) -> int:
        """Erase up to ``limit`` older touches, and return how many were erased."""


class ProfileStore(_Part, ABC):
    """Remembers clicks by session id, traits by user, and which session an invite link carries."""

    @abstractmethod
    async def add_click(self, session_id: str, click: Click) -> bool:
        """Store a click that a landing page saw.

        :param click: its time is set.
        :return: False when the session id has a click already; nothing is changed then.
        """

    async def sessions_of(self, click_id: str, limit: int = 100) -> Sequence[str]:
        """Return the session ids of clicks that hold an id, whatever its name.

        The ids of a click are those of :meth:`~gp_aiogram.Click.click_ids`. Use an index for it.
        Return nothing, as here, if your store cannot find out.
        """
        del click_id, limit
        return ()

    @abstractmethod
    async def add_traits(self, telegram_id: int, traits: Traits) -> None:
        """Store traits of a user; fields that are stored already are overwritten."""

    @abstractmethod
    async def profile(self, telegram_id: int, session_id: str | None) -> Profile:
        """Return the traits of a user, and the click of the session."""

    async def users_of_lead(self, lead_id: str, limit: int = 100) -> Sequence[int]:
        """Return the users who have this ``lead_id`` among their traits.

        Use an index for it. Return nothing, as here, if your store cannot find out.
        """
        del lead_id, limit
        return ()

    @abstractmethod
    async def add_invite(self, link: str, session_id: str) -> None:
        """Store which session an invite link carries; a later call replaces an earlier one."""

    @abstractmethod
    async def invited(self, link: str) -> str | None:
        """Return the session that an invite link carries."""

    async def add_unmatched(self, conversion: Unmatched) -> bool:
        """Store a conversion until its user is known. Storing the same key again does nothing.

        :return: False, as here, if your store keeps no conversions.
        """
        del conversion
        return False

    async def unmatched_of(self, session_id: str, limit: int = 100) -> Sequence[Unmatched]:
        """Return the conversions that belong to a session's user, the earliest first.

        Their click id is the session id, or an id of its click (:meth:`sessions_of`). Use an index
        for it: it is called for each touch.
        """
        del session_id, limit
        return ()

    async def unmatched(
        self, limit: int = 100, after: Unmatched | None = None
    ) -> Sequence[Unmatched]:
        """Return stored conversions, the earliest first; at the same moment, by key.

        :param after: the last one of the previous page.
        """
        del limit, after
        return ()

    async def drop_unmatched(self, keys: Collection[str]) -> None:
        """Remove conversions; ignores those that are not stored."""
        del keys

    @abstractmethod
    async def erase(self, telegram_id: int, session_ids: Collection[str]) -> None:
        """Erase the traits of a user, and the clicks of these sessions with their invite links.

        Keep links that carry a session without a click: they belong to a campaign, not a person.
        """

    @abstractmethod
    async def prune(self, before: datetime, limit: int) -> int:
        """Erase older clicks, with their invite links.

        :param limit: the most clicks to erase.
        :return: how many clicks were erased.
        """


class Outbox(_Part, ABC):
    """Stores events and their deliveries. Accepted events survive a crash.

    A delivery is ``pending`` until it is ``delivered``, ``skipped`` or ``dead``. To deliver it,
    claim it: no other process gets it until it is settled, released, or the claim's lease ends.
    Each claim has a token. An outcome with an outdated token changes nothing.
    """

    #: Whether only one process can use it, so that no other can deliver what this one records.
    one_process: ClassVar[bool] = False

    def within(self, connection: object) -> Self:
        """Return the same outbox, working in the caller's transaction.

        The event, its deliveries and its once-keys are stored when the caller commits, and leave
        no trace when the caller rolls back. The outbox sees what the caller has written.

        :raises ConfigurationError: when the outbox does not support this, as here, or does not
            know the type of the connection.
        """
        del connection
        msg = (
            f"connection= needs an outbox in PostgreSQL, PostgresStore(...), not "
            f"{type(self).__name__}: no other can share the transaction of your database"
        )
        raise ConfigurationError(msg)

    @abstractmethod
    async def accept(self, entry: Entry) -> AcceptResult:
        """Store an event, its once-keys and one pending delivery per destination: all or nothing.

        Return when they are durable. Id and name together identify an event. Ids and once-keys
        stay known after the event is erased.
        """

    @abstractmethod
    async def claim(
        self,
        destination: str,
        limit: int,
        *,
        lease: float,
        capped: bool = False,
    ) -> Claim:
        """Claim due deliveries, those that have been due for longest first.

        :param limit: the most to return.
        :param lease: seconds after which the claim ends by itself.
        :param capped: claim only deliveries with a ``batch_cap``, the remains of rejected batches,
            and only as many as fit into one batch. The cap of the first one limits the claim, and
            deliveries with a lower cap are left out. By default, all with a cap are left out.
        """

    @abstractmethod
    async def extend(self, claim: Claim, lease: float) -> None:
        """Let the lease of a claim's remaining deliveries end ``lease`` seconds from now."""

    @abstractmethod
    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes and end the claims on these deliveries, unless provisional.

        If a delivery was skipped while it was claimed, and its outcome is ``pending``, it stays
        skipped: it is not tried again.

        An outbox may keep the failed attempts of deliveries. If it does, it returns them with the
        delivery for as long as this is stored, also after replays; others return none.
        """

    @abstractmethod
    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """End the claims on these deliveries without a change. No attempt is counted."""

    @abstractmethod
    async def wait(self, destination: str, timeout: float) -> bool:
        """Wait until an unclaimed delivery is due, with or without a cap.

        :param timeout: the most seconds to wait; 0 returns at once.
        :return: False when none became due in time.
        """

    @abstractmethod
    async def add_keys(self, keys: Collection[OnceKey]) -> int:
        """Store once-keys as if events had used them, and return how many were new."""

    @abstractmethod
    async def drop_keys(self, keys: Collection[OnceKey]) -> None:
        """Remove once-keys."""

    @abstractmethod
    async def known_keys(self, keys: Collection[OnceKey]) -> set[OnceKey]:
        """Return those of the once-keys that are stored."""

    @abstractmethod
    async def select(
        self,
        where: DeliveryFilter,
        *,
        limit: int = 100,
        after: Delivery | None = None,
    ) -> list[Delivery]:
        """Return deliveries, oldest event first; those of one event by destination.

        A delivery whose event cannot be read is returned as dead, with what is known of the event.

        :param limit: the most to return.
        :param after: the last delivery of the previous page.
        """

    async def events(self, where: DeliveryFilter, span: Span) -> Sequence[EventRecord]:
        """Return events with all their deliveries, for display.

        The filter selects an event if its conditions on events hold and, if it has conditions on
        deliveries, one of the event's deliveries meets them. Of an event that cannot be read,
        return what is known.

        A store should read only what the span asks for. This default reads everything from
        ``span.after`` on, and leaves out events without deliveries.
        """
        return await events_by_select(self, where, span)

    @abstractmethod
    async def transition(self, where: DeliveryFilter, change: Change, *, limit: int) -> int:
        """Change deliveries, claimed ones included unless ``where.unclaimed``.

        :param limit: the most to change; call again while that many were changed.
        :return: how many were changed. Deliveries that are already in the wanted state do not
            count; with ``restart``, these are pending deliveries without attempts and cap that
            are due since they were accepted or replayed.
        """

    @abstractmethod
    async def erase(self, where: DeliveryFilter, *, limit: int) -> int:
        """Erase events all of whose deliveries the filter selects, oldest event first.

        Their deliveries are erased with them. Events without deliveries are selected by the
        conditions on events alone. Claims on erased deliveries end. With ``accepted_before``, a
        store may stop at the first younger event, so that an event which a clock that was set
        back has dated too early is erased later.

        :param limit: the most events to erase.
        :return: how many events were erased.
        """

    @abstractmethod
    async def counts(self) -> dict[str, dict[State, int]]:
        """Return how many deliveries each destination has in each state; zeros are left out.

        Its cost must not grow with the number of deliveries.
        """

    async def oldest_pending(self, destination: str) -> float | None:
        """Return for how many seconds the next pending delivery has been tried.

        The next one is that which has been due for longest, or else will be due first. Of the next
        one without a ``batch_cap`` and the next one with a cap, it is the older. Claimed
        deliveries count. Use an index for it: its cost should not grow with the number of
        deliveries. This default asks :meth:`select` for the oldest event instead, and uses the
        clock of this machine.

        :return: None when nothing is pending.
        """
        pending = DeliveryFilter(destination=destination, states=frozenset({"pending"}))
        oldest = await self.select(pending, limit=1)
        if not oldest:
            return None
        return max(0.0, (datetime.now(timezone.utc) - oldest[0].since).total_seconds())

    @abstractmethod
    async def bot_of(self, telegram_id: int) -> int | None:
        """Return the bot of the user's newest event that has one."""


class UserStore:
    """A session store and a profile store: what is known of users, without their events.

    :param sessions: the touches of users.
    :param profiles: clicks, traits and invite links.
    """

    def __init__(self, *, sessions: SessionStore, profiles: ProfileStore) -> None:
        self.sessions = sessions
        self.profiles = profiles

    def __repr__(self) -> str:
        parts = ", ".join(type(part).__name__ for part in self._parts())
        return f"{type(self).__name__}({parts})"

    async def open(self) -> None:
        """Get every part ready. Does nothing when already open.

        :raises StoreError: when a part cannot be used.
        """
        for part in self._parts():
            await part.open()

    async def close(self) -> None:
        """Close every part, also when one of them fails. Use after closing opens again.

        :raises Exception: what the first part that failed has raised.
        """
        closed = await asyncio.gather(
            *(part.close() for part in self._parts()),
            return_exceptions=True,
        )
        for error in closed:
            if error is not None:
                raise error

    def keep_for(self, retention: Retention) -> None:
        """Tell every part how long a tracker keeps what is stored."""
        for part in self._parts():
            part.keep_for(retention)

    def _parts(self) -> list[SessionStore | ProfileStore | Outbox]:
        """Return the parts; one that serves several purposes is here once."""
        return _each_once(self.profiles, self.sessions)


class Store(UserStore):
    """A session store, a profile store and an outbox, each in its own place.

    :class:`~gp_aiogram.SQLiteStore` and :class:`~gp_aiogram.MemoryStore` keep all parts in one
    place. To replace a part, combine stores::

        Store.of(MySessions(pool), SQLiteStore("gp.sqlite3"))
        Store.of(RedisStore("redis://localhost"), SQLiteStore("gp.sqlite3"))

    :param sessions: the touches of users.
    :param profiles: clicks, traits and invite links.
    :param outbox: events and their deliveries.
    """

    def __init__(
        self,
        *,
        sessions: SessionStore,
        profiles: ProfileStore,
        outbox: Outbox,
    ) -> None:
        super().__init__(sessions=sessions, profiles=profiles)
        self.outbox = outbox

    #: What tells this store from others, for the journal: an absolute path, or a name without
    #: secrets that stays when the server's address changes. Stores without one are taken for one.
    place = ""

    @classmethod
    def of(cls, users: SessionStore | UserStore, rest: Store) -> Store:
        """Combine a store for users with a store for everything else.

        :param users: keeps sessions and profiles, or sessions alone.
        """
        if isinstance(users, UserStore):
            store = Store(sessions=users.sessions, profiles=users.profiles, outbox=rest.outbox)
        else:
            store = Store(sessions=users, profiles=rest.profiles, outbox=rest.outbox)
        store.place = rest.place
        return store

    def within(self, connection: object) -> Store:
        """Return the same store, working in the caller's transaction.

        :param connection: see :meth:`Outbox.within`.
        :raises ConfigurationError: when the outbox does not support this, or the connection.
        """
        return Store(
            sessions=self.sessions.within(connection),
            profiles=self.profiles.within(connection),
            outbox=self.outbox.within(connection),
        )

    async def load_context(self, query: ContextQuery) -> UserContext:
        """Return what is known of a user for an event.

        If one part cannot be read, the others are still returned: see
        ``failures`` of the result. A store with all parts in one place should need one query.

        :raises StoreUnavailable: when a part says that it is unreachable for now.
        :raises StoreError: when the once-keys cannot be read.
        """
        failures: dict[str, Exception] = {}
        session, session_id, profile = None, query.session_id, Profile()
        if session_id is None:
            try:
                session = await self.find_session(query.touch)
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - a session store of the user's own
                failures["session"] = error
            session_id = None if session is None else session.session_id
        try:
            profile = await self.profiles.profile(query.touch.telegram_id, session_id)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            failures["profile"] = error
        keys = await self.outbox.known_keys(query.keys) if query.keys else ()
        return UserContext(session, profile, keys, failures)

    async def find_session(self, query: SessionQuery) -> Session | None:
        """Return the touch that gets the credit."""
        history = await self.sessions.history(
            query.telegram_id,
            since=query.since,
            until=query.until,
        )
        return pick(history, query)

    def _parts(self) -> list[SessionStore | ProfileStore | Outbox]:
        """Return the parts; one that serves several purposes is here once."""
        return _each_once(self.outbox, self.profiles, self.sessions)


def _each_once(*parts: SessionStore | ProfileStore | Outbox) -> list[Any]:
    return list({id(part): part for part in parts}.values())


#: The name that :class:`Store` had where its parts live apart; it stays until 1.0.
SplitStore = Store
