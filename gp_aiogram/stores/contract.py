"""The contract between gp_aiogram and whatever remembers for it.

Three small parts, so that one can be replaced without the others: a :class:`SessionStore` knows
the touches of users, a :class:`ProfileStore` clicks, traits and invite links, an :class:`Outbox`
events and their deliveries. A :class:`Store` holds one of each.

The docstrings are the semantics; ``gp_aiogram.testing`` tests an implementation against them.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime

from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Traits
from gp_aiogram.model.session import Session, SessionQuery, pick
from gp_aiogram.stores.keys import OnceKey
from gp_aiogram.stores.records import (
    AcceptResult,
    Change,
    Claim,
    ContextQuery,
    Delivery,
    DeliveryFilter,
    Entry,
    Outcome,
    Profile,
    State,
    UserContext,
)


class _Part:
    async def open(self) -> None:
        """Get ready; called before use, and harmless when already open."""

    async def close(self) -> None:
        """Let go of files and connections. Use after closing opens again."""


class SessionStore(_Part, ABC):
    """Remembers every touch of every user, per bot."""

    @abstractmethod
    async def add(self, session: Session) -> None:
        """Keep a touch. The same touch (bot, user, session id, time) again changes nothing.

        A store may limit the touches of a user, as long as the first and the last of each bot
        stay.
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

        :param since: not older than this; None sets no limit.
        :param until: not younger than this; None sets no limit.
        """

    @abstractmethod
    async def erase(self, telegram_id: int) -> set[str]:
        """Erase every touch of a user, and return the session ids that they named."""

    async def shared(self, telegram_id: int, session_ids: Collection[str]) -> set[str]:
        """Return those of a user's session ids that touches of other users name as well.

        Their clicks are not erased with this user; a click goes with its last user. A store that
        cannot tell names none, as this one.
        """
        del telegram_id, session_ids
        return set()

    @abstractmethod
    async def prune(self, before: datetime, limit: int) -> int:
        """Erase touches that are older, at most ``limit``, and return how many were erased."""


class ProfileStore(_Part, ABC):
    """Remembers clicks by session id, traits by user, and which session an invite link carries."""

    @abstractmethod
    async def add_click(self, session_id: str, click: Click) -> bool:
        """Keep what a landing page saw.

        :param click: with its time.
        :return: False when the session id has a click already: nothing was changed.
        """

    @abstractmethod
    async def add_traits(self, telegram_id: int, traits: Traits) -> None:
        """Keep traits of a user; a field that is known already is overwritten."""

    @abstractmethod
    async def profile(self, telegram_id: int, session_id: str | None) -> Profile:
        """Return the traits of a user, and the click of the session."""

    @abstractmethod
    async def add_invite(self, link: str, session_id: str) -> None:
        """Keep which session an invite link carries; a later one replaces an earlier one."""

    @abstractmethod
    async def invited(self, link: str) -> str | None:
        """Return the session that an invite link carries."""

    @abstractmethod
    async def erase(self, telegram_id: int, session_ids: Collection[str]) -> None:
        """Erase the traits of a user, and the clicks of these sessions with their invite links.

        A link that carries a session without a click names a campaign, not a person: it stays.
        """

    @abstractmethod
    async def prune(self, before: datetime, limit: int) -> int:
        """Erase clicks that are older, with their invite links.

        :param limit: at most so many clicks.
        :return: how many clicks were erased.
        """


class Outbox(_Part, ABC):
    """Keeps events and their deliveries; what it has accepted survives.

    A delivery is ``pending`` until it is ``delivered``, ``skipped`` or ``dead``. To deliver it,
    claim it: nobody else gets it until it is settled, released, or the lease of the claim ends.
    A claim is proved by its token; an outcome under a token that no longer holds changes nothing.
    """

    @abstractmethod
    async def accept(self, entry: Entry) -> AcceptResult:
        """Store an event, its once-keys and one pending delivery per destination: all or nothing.

        Returns when they are as safe as the store can make them. Id and name together tell an
        event from others. Events and once-keys stay known when the event is erased.
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
        """Claim deliveries that are due, the longest due first.

        :param limit: at most so many.
        :param lease: seconds after which the claim ends by itself.
        :param capped: claim only deliveries with a ``batch_cap``, which are the remains of
            rejected batches, and of these only as many as fit into one batch: the cap of the
            first is the cap of the claim, and deliveries with a lower one are left out. By
            default all that have a cap are left out.
        """

    @abstractmethod
    async def extend(self, claim: Claim, lease: float) -> None:
        """Let what is still held of a claim end ``lease`` seconds from now."""

    @abstractmethod
    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes and end the claims on these deliveries, unless provisional.

        A delivery that was skipped while it was claimed stays skipped when its outcome is
        ``pending``: it is not tried again.
        """

    @abstractmethod
    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """End the claims on these deliveries; they are as they were, and no attempt is counted."""

    @abstractmethod
    async def wait(self, destination: str, timeout: float) -> bool:
        """Wait until a delivery is due that nobody has claimed, capped or not.

        :param timeout: seconds to wait at most; 0 only looks.
        :return: False when none was due in time.
        """

    @abstractmethod
    async def add_keys(self, keys: Collection[OnceKey]) -> int:
        """Make once-keys known as if events had had them, and return how many were new."""

    @abstractmethod
    async def drop_keys(self, keys: Collection[OnceKey]) -> None:
        """Make once-keys unknown again."""

    @abstractmethod
    async def known_keys(self, keys: Collection[OnceKey]) -> set[OnceKey]:
        """Return those of the once-keys that are known."""

    @abstractmethod
    async def select(
        self,
        where: DeliveryFilter,
        *,
        limit: int = 100,
        after: Delivery | None = None,
    ) -> list[Delivery]:
        """Return deliveries, oldest event first, those of one event by destination.

        One whose event cannot be read is shown as dead, with what is known of the event.

        :param limit: at most so many.
        :param after: the last delivery of the page before.
        """

    @abstractmethod
    async def transition(self, where: DeliveryFilter, change: Change, *, limit: int) -> int:
        """Change deliveries, claimed ones included unless ``where.unclaimed``.

        :param limit: change at most so many; call again while as many were.
        :return: how many were changed. What is as the change wants it already is not; with
            ``restart`` that is a pending delivery without attempts and cap that is due since its
            trying began.
        """

    @abstractmethod
    async def erase(self, where: DeliveryFilter, *, limit: int) -> int:
        """Erase events all of whose deliveries are meant, with their deliveries, oldest first.

        An event without deliveries is meant by what the filter says of events alone. Claims on
        what is erased end. With ``accepted_before`` a store may stop at the first event that is
        younger; what a clock set back has dated earlier stays until then.

        :param limit: at most so many events.
        :return: how many events were erased.
        """

    @abstractmethod
    async def counts(self) -> dict[str, dict[State, int]]:
        """How many deliveries each destination has in each state (states without any left out).

        Its cost does not grow with what is stored.
        """

    @abstractmethod
    async def bot_of(self, telegram_id: int) -> int | None:
        """Return the bot of the user's newest event that names one."""


class Store:
    """A session store, a profile store and an outbox; each may live elsewhere.

    :class:`~gp_aiogram.SQLiteStore` and :class:`~gp_aiogram.MemoryStore` are stores whose parts
    live in one place. To replace a part, put a store together::

        Store.of(MySessions(pool), SQLiteStore("gp.sqlite3"))

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
        self.sessions = sessions
        self.profiles = profiles
        self.outbox = outbox

    def __repr__(self) -> str:
        parts = ", ".join(type(part).__name__ for part in self._parts())
        return f"{type(self).__name__}({parts})"

    @classmethod
    def of(cls, sessions: SessionStore | Store, rest: Store) -> Store:
        """Take the sessions of one store and everything else of another."""
        own = sessions.sessions if isinstance(sessions, Store) else sessions
        return Store(sessions=own, profiles=rest.profiles, outbox=rest.outbox)

    async def open(self) -> None:
        """Get every part ready; harmless when already open.

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

    async def load_context(self, query: ContextQuery) -> UserContext:
        """Return what is known of a user for an event.

        A part that cannot be read costs no other part: see :attr:`UserContext.failures`. A store
        whose parts live in one place should answer with one look.

        :raises StoreError: when the once-keys cannot be read.
        """
        failures: dict[str, Exception] = {}
        session, session_id, profile = None, query.session_id, Profile()
        if session_id is None:
            try:
                session = await self.find_session(query.touch)
            except Exception as error:  # noqa: BLE001 - a session store of the user's own
                failures["session"] = error
            session_id = None if session is None else session.session_id
        try:
            profile = await self.profiles.profile(query.touch.telegram_id, session_id)
        except Exception as error:  # noqa: BLE001 - as above
            failures["profile"] = error
        keys = await self.outbox.known_keys(query.keys) if query.keys else ()
        return UserContext(session, profile, keys, failures)

    async def find_session(self, query: SessionQuery) -> Session | None:
        """Return the touch that counts."""
        history = await self.sessions.history(
            query.telegram_id,
            since=query.since,
            until=query.until,
        )
        return pick(history, query)

    def _parts(self) -> list[SessionStore | ProfileStore | Outbox]:
        """Return the parts; one that serves several purposes is here once."""
        parts = (self.outbox, self.profiles, self.sessions)
        return list({id(part): part for part in parts}.values())


#: The name that :class:`Store` had where its parts live apart; it stays until 1.0.
SplitStore = Store
