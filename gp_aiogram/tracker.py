"""The object that a bot owns: it records sessions and events, and has them delivered."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from gp_aiogram import rules
from gp_aiogram.attribution import SOURCES, Attribution, Session, Source
from gp_aiogram.click import Click
from gp_aiogram.courier import Courier
from gp_aiogram.destinations.base import Destination
from gp_aiogram.enrichment import Enrichment
from gp_aiogram.errors import ConfigurationError, EventError, shown
from gp_aiogram.event import (
    Event,
    checked_moment,
    checked_telegram_id,
    is_text,
    new_event,
)
from gp_aiogram.init_data import verified
from gp_aiogram.settings import Settings
from gp_aiogram.stats import DestinationStats, Stats
from gp_aiogram.stores.base import (
    Delivery,
    Outbox,
    ProfileStore,
    SessionStore,
    SplitStore,
    Store,
)
from gp_aiogram.stores.sqlite import SQLiteStore
from gp_aiogram.traits import from_contact, from_user, prepared

if TYPE_CHECKING:
    from aiogram import Dispatcher

logger = logging.getLogger("gp_aiogram")

DEFAULT_STORE = "gp.sqlite3"
DEFAULT_ATTRIBUTION = Attribution()

#: Random bytes in a session id. As digits they pass the grammars that bots have, and with their
#: prefix they fit into the 32 characters of an invite link's name.
_SESSION_ENTROPY = 14

#: Seconds that the store gets to close.
_STORE_CLOSING = 5.0


class Tracker:
    """Records sessions and events, and has them delivered.

    :param destinations: where events go; each needs a name of its own.
    :param store: keeps sessions and events; ``SQLiteStore("gp.sqlite3")`` unless given. A
        :class:`~gp_aiogram.stores.base.SessionStore` alone replaces that part only.
    :param attribution: how payloads are read, and which touch counts.
    :raises ConfigurationError: when two destinations share a name.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        *,
        store: Store | SplitStore | SessionStore | None = None,
        attribution: Attribution = DEFAULT_ATTRIBUTION,
    ) -> None:
        names = [destination.name for destination in destinations]
        if len(names) != len(set(names)):
            msg = f"two destinations share a name, give one name=...: {', '.join(sorted(names))}"
            raise ConfigurationError(msg)
        whole = _whole_store(store)
        self.attribution = attribution
        self.counts: Counter[str] = Counter()
        #: Whether something emits what ``@track`` marks; set by the middleware that does.
        self.emits = False
        self._enrichment = Enrichment(whole, attribution, self.counts)
        self._sessions = whole.sessions
        self._profiles = whole.profiles
        self._outbox = whole.outbox
        self._courier = Courier(destinations, self._outbox)
        self._warned = False

    @classmethod
    def from_settings(cls, settings: Settings | None = None) -> Tracker:
        """Build a tracker from ``GP_*`` environment variables and ``.env``.

        :param settings: read from the environment unless given.
        :raises ConfigurationError: names every variable that is missing or malformed.
        """
        settings = settings or Settings()
        return cls(
            settings.destinations(),
            store=settings.build_store(),
            attribution=settings.attribution.build(),
        )

    def __repr__(self) -> str:
        return f"Tracker({', '.join(self._courier.lanes)})"

    @property
    def bots(self) -> dict[int, str | None]:
        """Bots whose updates came through here, with their usernames as far as known."""
        return self._enrichment.bots

    def setup(self, dispatcher: Dispatcher) -> None:
        """Add capture, emission, start and close to a dispatcher; harmless when repeated."""
        from gp_aiogram.bot.setup import setup  # noqa: PLC0415 - the one door to the wing with aiogram

        setup(dispatcher, self)

    async def start(self) -> None:
        """Open the store and begin to deliver; harmless when already started.

        :raises StoreError: when the store cannot be used.
        """
        for part in self._parts():
            await part.open()
        self._courier.start()
        if not self.emits and (marked := rules.marked_handlers()):
            logger.warning(
                "nothing emits what @track marks on %s: call tracker.setup(dp)",
                ", ".join(marked),
            )

    async def close(self, grace: float = 5.0) -> None:
        """Stop delivering and close the store.

        Events tracked later are still stored; the next start delivers them.

        :param grace: seconds to let requests that are under way finish.
        """
        await self._courier.stop(grace)
        closing = [asyncio.ensure_future(part.close()) for part in self._parts()]
        _, unfinished = await asyncio.wait(closing, timeout=_STORE_CLOSING)
        for task in unfinished:
            task.cancel()
            logger.error("the store did not close within %.0f s", _STORE_CLOSING)
        for task in closing:
            if task.done() and not task.cancelled() and (error := task.exception()):
                logger.error("closing the store failed", exc_info=error)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def track(
        self,
        name: str,
        *,
        telegram_id: int,
        bot_id: int | None = None,
        value: object = None,
        currency: str | None = None,
        user_data: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        event_id: str | None = None,
        event_time: datetime | None = None,
        once: str | int | None = None,
        to: str | Collection[str] | None = None,
    ) -> Event | None:
        """Record an event; returns when it is in the store and will be delivered.

        :param name: ``FTD``, ``DEP``, ``REG``, ``Subscribe``, ``JoinRequest``, ``Purchase``,
            ``INSTALL``, ``TRIAL``, or any name of your own.
        :param bot_id: None means whichever bot of this store knows the user.
        :param value: units of the currency, not minor units; FTD, DEP and Purchase need one.
        :param currency: ISO 4217 code; USD when a value comes without one.
        :param user_data: JSON values. An e-mail address or phone number in it never gets into the
            store: under a key such as ``email`` or ``phone`` it becomes a hashed trait of the
            event, anywhere else it is left out.
        :param session_id: None means the session that counts by the attribution policy.
        :param event_id: a second event with the same id is not recorded; drawn when None.
        :param event_time: with time zone; now when None.
        :param once: ``"user"`` lets one event of this name through per user (and bot); any other
            text or number lets one event of this name through for it, e.g. an order's id.
        :param to: names of destinations; None means all that want such an event.
        :return: None when ``once`` or ``event_id`` says that it was recorded before.
        :raises EventError: when no event can be built from this; nothing was recorded.
        :raises StoreError: when the store failed; nothing was recorded.
        """
        named = self._named(to)
        now = self._enrichment.now()
        event = new_event(
            name,
            telegram_id=telegram_id,
            event_time=event_time or now,
            event_id=event_id,
            session_id=session_id,
            value=value,
            currency=currency,
            user_data=user_data,
        )
        event = await self._enrichment.complete(
            event,
            bot_id=bot_id,
            session_id=session_id,
            event_time=event_time,
        )
        destinations = self._all_that_want(event) if named is None else named
        accepted = await self._outbox.accept(event, destinations, once=_once_key(once, event))
        if not accepted:
            self.counts["duplicates"] += 1
            return None
        self.counts["tracked"] += 1
        self._deliver_soon(destinations)
        return event

    async def capture(
        self,
        telegram_id: int,
        payload: str,
        *,
        bot_id: int | None = None,
        source: Source = "manual",
        at: datetime | None = None,
    ) -> Session | None:
        """Keep a touch of a user.

        :param payload: what came with the deep link.
        :param bot_id: None means whichever bot of this store knows the user.
        :param at: when it happened, with time zone; now when None.
        :return: None when the payload holds no session.
        :raises EventError: when the user or the source makes no sense.
        :raises StoreError: when the store failed.
        """
        if source not in SOURCES:
            msg = f"source must be one of {', '.join(sorted(SOURCES))}, not {shown(source)}"
            raise EventError(msg)
        session_id = self.attribution.session_id(payload)
        if session_id is None:
            return None
        checked_telegram_id(telegram_id)
        moment = self._enrichment.now() if at is None else checked_moment("at", at)
        if bot_id is None:
            bot_id = await self._enrichment.bot_of(telegram_id)
        session = Session(bot_id, telegram_id, session_id, source, moment, payload)
        await self._sessions.add_session(session)
        self.counts["captured"] += 1
        return session

    async def register_click(self, click: Click, session_id: str | None = None) -> str:
        """Keep what a landing page saw of a click; put the result into ``?start=``.

        :param session_id: made anew, and impossible to guess, when None.
        :raises EventError: when no deep link can carry the session id, or a click has it already.
        :raises StoreError: when the store failed.
        """
        if session_id is None:
            session_id = f"gp_{secrets.token_hex(_SESSION_ENTROPY)}"
        if self.attribution.session_id(session_id) != session_id:
            msg = f"no deep link of this bot can carry the session id {shown(session_id)}"
            raise EventError(msg)
        if not await self._profiles.add_click(session_id, click.with_fbc()):
            msg = f"there is a click with the session id {shown(session_id)} already"
            raise EventError(msg)
        return session_id

    async def identify(
        self,
        telegram_id: int,
        *,
        user: object = None,
        contact: object = None,
        **traits: object,
    ) -> None:
        """Keep what is known of a user, for the platforms to find him by.

        Everything is normalised and hashed, as each platform wants it, before it is stored. A
        value that cannot be used is left out.

        :param user: Telegram's own ``User``, if its names and language shall be used.
        :param contact: a ``Contact`` that the user has shared of himself; somebody else's is
            left out.
        :param traits: ``email``, ``phone`` (with country code), ``first_name``, ``last_name``,
            ``gender``, ``birthday``, ``city``, ``state``, ``zip_code``, ``country``,
            ``external_id``, ``lead_id``.
        :raises EventError: when a trait has another name.
        :raises StoreError: when the store failed.
        """
        checked_telegram_id(telegram_id)
        known = {**from_user(user), **from_contact(contact, telegram_id), **traits}
        await self._profiles.add_traits(telegram_id, prepared(known))

    async def session(self, telegram_id: int, bot_id: int | None = None) -> Session | None:
        """Return the session that counts for a user now, by the attribution policy.

        :param bot_id: None means whichever bot of this store knows the user.
        """
        return await self._enrichment.session(telegram_id, bot_id, None)

    async def flush(self, timeout: float = 10.0) -> bool:
        """Wait until nothing is due.

        :param timeout: seconds to wait at most.
        :return: False when something is still due, or when nobody delivers it.
        """
        return await self._courier.flush(timeout)

    async def stats(self) -> Stats:
        """Tell what happened so far and how the destinations are doing."""
        stored = await self._outbox.counts()
        lanes = self._courier.lanes
        return Stats(
            counts=dict(self.counts),
            destinations={
                name: DestinationStats(
                    state=lanes[name].state if name in lanes else None,
                    deliveries=stored.get(name, {}),
                    retried=lanes[name].counts["retried"] if name in lanes else 0,
                )
                for name in sorted({*stored, *lanes})
            },
        )

    async def deliveries(self, event_id: str) -> list[Delivery]:
        """Return what became of an event at each of its destinations."""
        return await self._outbox.deliveries(event_id)

    async def dead_letters(
        self,
        destination: str | None = None,
        *,
        limit: int = 100,
    ) -> list[Delivery]:
        """Return deliveries that were given up, with the reason, oldest event first.

        :param destination: None means of every destination.
        """
        return await self._outbox.dead_letters(destination, limit=limit)

    async def replay(
        self,
        destination: str | None = None,
        *,
        event_id: str | None = None,
    ) -> int:
        """Have dead letters delivered after all; they keep their event id.

        :param destination: None means of every destination.
        :param event_id: None means of every event.
        :return: how many are due again.
        """
        replayed = await self._outbox.replay(destination, event_id=event_id)
        self._courier.wake(self._courier.lanes)
        return replayed

    async def capture_init_data(
        self,
        token: str,
        init_data: str,
        *,
        max_age: timedelta = timedelta(hours=24),
    ) -> Session | None:
        """Keep the touch of a user who opened a Mini App by a ``?startapp=…`` link.

        :param token: of the bot whose Mini App it is; Telegram signs with it.
        :param init_data: ``Telegram.WebApp.initData`` as it is.
        :param max_age: older data is refused: whoever got hold of it could use it for ever.
        :return: None when there was no ``startapp``, or it holds no session.
        :raises EventError: when the data is forged, another bot's, too old, from the future or
            malformed; the text holds neither token nor data.
        :raises StoreError: when the store failed.
        """
        opening = verified(token, init_data, now=self._enrichment.now(), max_age=max_age)
        if opening.start_param is None:
            return None
        return await self.capture(
            opening.telegram_id,
            opening.start_param,
            bot_id=opening.bot_id,
            source="startapp",
            at=opening.auth_date,
        )

    def _parts(self) -> list[SessionStore | ProfileStore | Outbox]:
        """The store's parts; one that is several at once is here once."""
        parts = (self._outbox, self._profiles, self._sessions)
        return list({id(part): part for part in parts}.values())

    def _named(self, to: str | Collection[str] | None) -> list[str] | None:
        if to is None:
            return None
        known = self._courier.lanes
        named = [to] if isinstance(to, str) else list(to)
        if unknown := [name for name in named if name not in known]:
            msg = f"to= names no destination: {shown(unknown[0])}; there are {', '.join(known)}"
            raise EventError(msg)
        return named

    def _all_that_want(self, event: Event) -> list[str]:
        lanes = self._courier.lanes.items()
        return [name for name, lane in lanes if lane.destination.wants(event)]

    def _deliver_soon(self, destinations: Collection[str]) -> None:
        if self._courier.running:
            self._courier.wake(destinations)
        elif not self._warned:
            self._warned = True
            logger.warning("events are stored but wait: start the tracker to have them delivered")


def _whole_store(store: Store | SplitStore | SessionStore | None) -> Store | SplitStore:
    if store is None:
        return SQLiteStore(DEFAULT_STORE)
    if isinstance(store, (Store, SplitStore)):
        return store
    if isinstance(store, SessionStore):
        return SplitStore.of(store, SQLiteStore(DEFAULT_STORE))
    msg = f"store=... must be a Store such as SQLiteStore('gp.sqlite3'), not {shown(store)}"
    raise ConfigurationError(msg)


def _once_key(once: object, event: Event) -> str | None:
    if once is None:
        return None
    if once == "user":
        return f"user:{event.bot_id or 0}:{event.telegram_id}:{event.name}"
    if isinstance(once, bool) or not (isinstance(once, int) or is_text(once)) or once == "":
        msg = f"once must be 'user' or a key such as an order's id, not {shown(once)}"
        raise EventError(msg)
    return f"key:{event.name}:{once}"
