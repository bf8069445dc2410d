"""The object that a bot owns: it records sessions and events, and has them delivered."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from gp_aiogram.decorators import marked_handlers
from gp_aiogram.delivery.courier import Courier
from gp_aiogram.delivery.stats import Stats, TrackerCount
from gp_aiogram.destinations.base import Destination
from gp_aiogram.identity.phones import validate_phone_region
from gp_aiogram.model.click import Click
from gp_aiogram.model.clock import Clock, SystemClock
from gp_aiogram.model.event import (
    LATER_DEPOSIT,
    REFUND,
    AutoName,
    Event,
    EventName,
    validate_auto,
    validate_telegram_id,
)
from gp_aiogram.model.money import Stars
from gp_aiogram.model.retention import Retention
from gp_aiogram.model.session import Attribution, Session, Source
from gp_aiogram.settings import Settings
from gp_aiogram.stores.contract import SessionStore, Store
from gp_aiogram.stores.records import Delivery
from gp_aiogram.tracker.background import Background
from gp_aiogram.tracker.before_send import BeforeSend, Review
from gp_aiogram.tracker.bots import Bots
from gp_aiogram.tracker.construction import coins_of, validate_arguments, whole_store
from gp_aiogram.tracker.deliveries import Deliveries
from gp_aiogram.tracker.deposits import Deposits
from gp_aiogram.tracker.enrichment import Enrichment
from gp_aiogram.tracker.intake import Intake
from gp_aiogram.tracker.invites import Invites
from gp_aiogram.tracker.journals import Journals
from gp_aiogram.tracker.life_cycle import LifeCycle
from gp_aiogram.tracker.pending_touches import PendingTouches
from gp_aiogram.tracker.privacy import Privacy
from gp_aiogram.tracker.pruning import prune
from gp_aiogram.tracker.recording import Recording
from gp_aiogram.tracker.refunds import Refunds
from gp_aiogram.tracker.request import DepositRules, EventRequest, RequestCheck
from gp_aiogram.tracker.users import Users

if TYPE_CHECKING:
    from aiogram import Dispatcher

logger = logging.getLogger("gp_aiogram")

DEFAULT_JOURNAL = "gp.journal"
DEFAULT_ATTRIBUTION = Attribution()
DEFAULT_STARS = Stars()
DEFAULT_RETENTION = Retention()
DEFAULT_CLOCK = SystemClock()


class Tracker:
    """Records sessions and events, and has them delivered.

    :param destinations: where events go; each needs a name of its own.
    :param store: keeps sessions and events; ``SQLiteStore("gp.sqlite3")`` unless given. A
        :class:`~gp_aiogram.SessionStore` alone replaces that part only.
    :param attribution: how payloads are read, and which touch counts.
    :param before_send: gets each event before it is stored; returns it, another one made by
        ``dataclasses.replace``, or None to drop it. It may be async.
    :param stars: what Telegram Stars are worth; None refuses events in stars.
    :param auto: events to record without handlers, of
        :data:`gp_aiogram.model.event.AUTO_NAMES`.
    :param retention: how long what is stored is kept.
    :param journal: where what handlers record waits while the store is slow, locked or away: a
        file that exists only then. None keeps it in memory.
    :param phone_region: ISO 3166-1 code of the country whose phone numbers need no country code,
        such as ``"RU"`` (extra ``phone``); None leaves such numbers out.
    :param payments_identify: ``identify()`` users by the name, e-mail, phone and address that they
        give with a payment; ask for their consent.
    :param strict: ``gp.*`` in handlers raises what makes no sense, for development and tests;
        otherwise it is logged and counted, and the handler goes on.
    :param clock: tells the time; this machine's unless a test turns its own.
    :raises ConfigurationError: when two destinations share a name, or ``auto`` names no event.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        *,
        store: Store | SessionStore | None = None,
        attribution: Attribution = DEFAULT_ATTRIBUTION,
        before_send: BeforeSend | None = None,
        stars: Stars | None = DEFAULT_STARS,
        auto: Collection[AutoName | str] = (),
        retention: Retention = DEFAULT_RETENTION,
        journal: str | os.PathLike[str] | None = DEFAULT_JOURNAL,
        phone_region: str | None = None,
        payments_identify: bool = False,
        strict: bool = False,
        clock: Clock = DEFAULT_CLOCK,
    ) -> None:
        validate_arguments(destinations, stars, before_send)
        store = whole_store(store)
        self.attribution = attribution
        self.stars = stars
        self.payments_identify = payments_identify
        self.strict = strict
        region = None if phone_region is None else validate_phone_region(phone_region)
        #: What counts is kept, however long the window is.
        self.retention = replace(
            retention,
            sessions=max(retention.sessions, attribution.window),
        )
        self.auto = validate_auto(auto)
        self.counts: Counter[TrackerCount] = Counter()
        #: Invite links that carry sessions.
        self.invites = Invites(store.profiles, attribution, clock)
        #: Keeps sessions and events.
        self.store = store
        self._bots = Bots()
        self._background = Background()
        self._emits = False
        self._courier = Courier(destinations, store.outbox, clock=clock)
        pending = PendingTouches()
        journals = Journals(None if journal is None else Path(journal))
        enrichment = Enrichment(
            store=store,
            attribution=attribution,
            bots=self._bots,
            pending=pending,
            journals=journals,
            phone_region=region,
            counts=self.counts,
        )
        coins = coins_of(destinations)
        self._check = RequestCheck(self._courier.lanes, coins, stars, clock)
        self._recording = Recording(
            enrichment=enrichment,
            review=None if before_send is None else Review(before_send, coins, region),
            coins=coins,
            outbox=store.outbox,
            courier=self._courier,
            counts=self.counts,
        )
        self._deposits = Deposits(self._recording, enrichment, store.outbox)
        self._refunds = Refunds(self._recording, store.outbox, self.counts)
        self._users = Users(
            store=store,
            enrichment=enrichment,
            attribution=attribution,
            invites=self.invites,
            pending=pending,
            clock=clock,
            phone_region=region,
            without_traits=[one.name for one in destinations if not one.uses_traits],
            counts=self.counts,
        )
        self._privacy = Privacy(store)
        #: What handlers record through, since it holds up nobody.
        self.intake = Intake(
            check=self._check,
            recording=self._recording,
            deposits=self._deposits,
            refunds=self._refunds,
            users=self._users,
            privacy=self._privacy,
            journals=journals,
            counts=self.counts,
        )
        self._deliveries = Deliveries(store.outbox, self._courier, self.intake, self.counts)
        self._life_cycle = LifeCycle(
            store=store,
            intake=self.intake,
            courier=self._courier,
            background=self._background,
            prune=self.prune,
        )

    @classmethod
    def from_settings(
        cls,
        settings: Settings | None = None,
        *,
        before_send: BeforeSend | None = None,
        auto: Collection[str] = (),
        strict: bool = False,
    ) -> Tracker:
        """Build a tracker from ``GP_*`` environment variables and ``.env``.

        :param settings: read from the environment unless given.
        :param before_send: as for the constructor.
        :param auto: events to record without handlers, besides those of the settings.
        :param strict: as for the constructor.
        :raises ConfigurationError: names every variable that is missing or malformed.
        """
        settings = settings or Settings()
        return cls(
            settings.destinations(),
            store=settings.build_store(),
            attribution=settings.attribution.build(),
            before_send=before_send,
            stars=settings.stars.build(),
            auto=settings.auto | validate_auto(auto),
            retention=settings.retention.build(),
            journal=settings.journal,
            phone_region=settings.phone_region,
            payments_identify=settings.payments_identify,
            strict=strict,
        )

    def __repr__(self) -> str:
        return f"Tracker({', '.join(self._courier.lanes)})"

    @property
    def destinations(self) -> list[Destination]:
        """Where events go."""
        return [lane.destination for lane in self._courier.lanes.values()]

    # Life cycle

    def setup(self, dispatcher: Dispatcher) -> None:
        """Add capture, emission, start and close to a dispatcher; harmless when repeated."""
        from gp_aiogram.bot.setup import setup  # noqa: PLC0415 - the one door to the room above

        setup(dispatcher, self)

    async def start(self) -> None:
        """Open the store and begin to deliver; harmless when already started.

        A store that is away for the moment is no reason not to start: what handlers record waits
        in the journal, and deliveries begin when the store is back.

        :raises StoreError: when the store cannot be used as it is configured.
        """
        await self._life_cycle.start(self._log_start)
        if not self._emits and (marked := marked_handlers()):
            logger.warning(
                "nothing emits what @track marks on %s: call tracker.setup(dp)",
                ", ".join(marked),
            )

    def _log_start(self) -> None:
        logger.info(
            "started: destinations %s; store %r; window %s, %s touch; auto %s",
            ", ".join(self._courier.lanes) or "none",
            self.store,
            self.attribution.window,
            self.attribution.touch,
            ", ".join(sorted(self.auto)) or "none",
        )
        if not self._courier.lanes:
            logger.warning("there is no destination: events are stored, and go nowhere")

    async def close(self, grace: float = 5.0) -> None:
        """Stop delivering and close the store.

        Events tracked later are still stored; the next start delivers them.

        :param grace: seconds to let requests that are under way finish.
        """
        await self._life_cycle.close(grace)

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

    # What middlewares tell and ask

    @property
    def bots(self) -> Mapping[int, str | None]:
        """Bots whose updates came through here, with their usernames as far as known."""
        return self._bots.usernames

    def meet_bot(self, bot_id: int, username: str | None = None) -> None:
        """Remember a bot whose updates come through here; harmless when known.

        :param username: without ``@``; None while nobody knows it.
        """
        self._bots.meet(bot_id, username)

    def announce_emission(self) -> None:
        """Say that something emits what ``@track`` marks, so that no warning is needed."""
        self._emits = True

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a recording that nobody may wait for; :meth:`close` does."""
        self._background.run(work)

    # Events

    async def track(
        self,
        name: EventName,
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
        order: str | int | None = None,
        to: str | Collection[str] | None = None,
    ) -> Event | None:
        """Record an event; returns when it is in the store and will be delivered.

        :param name: ``FTD``, ``DEP``, ``REG``, ``Subscribe``, ``JoinRequest``, ``Purchase``,
            ``INSTALL``, ``TRIAL``, or any name of your own.
        :param bot_id: None means whichever bot of this store knows the user.
        :param value: units of the currency, not minor units; FTD, DEP and Purchase need one.
        :param currency: ISO 4217 code, or ``XTR`` for Telegram Stars, which are converted; USD
            when a value comes without one.
        :param user_data: JSON values. An e-mail address or phone number in it never gets into the
            store: under a key such as ``email`` or ``phone`` it becomes a hashed trait of the
            event, anywhere else it is left out.
        :param session_id: None means the session that counts by the attribution policy.
        :param event_id: a second event with the same id and name is not recorded; drawn when None.
        :param event_time: with time zone; now when None.
        :param once: ``"user"`` lets one event of this name through per user (and bot); any other
            text or number lets one event of this name through for it, e.g. an order's id.
        :param order: what :meth:`refund` finds the event by, where that is not ``once``.
        :param to: names of destinations; None means all that accept such an event.
        :return: None when nothing is recorded: ``once`` or ``event_id`` says that it was before,
            the user opted out, or ``before_send`` dropped it.
        :raises EventError: when no event can be built from this; nothing was recorded.
        :raises StoreError: when the store failed; nothing was recorded.
        """
        request = EventRequest(
            name=name,
            telegram_id=telegram_id,
            bot_id=bot_id,
            value=value,
            currency=currency,
            user_data=user_data,
            session_id=session_id,
            event_id=event_id,
            event_time=event_time,
            once=once,
            order=order,
            to=to,
        )
        return await self._recording.record(self._check.event(request))

    async def deposit(
        self,
        *,
        telegram_id: int,
        value: object,
        bot_id: int | None = None,
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
        """Record a deposit: ``FTD`` when it is the user's first (with this bot), else ``DEP``.

        The store decides it, so of any number of deposits at the same time one is the first. The
        other arguments are those of :meth:`track`.

        :param once: an order's id; reported again, a deposit stays what it was.
        :param ftd_within: the first deposit is an FTD only so long after the touch that counts.
        :param ftd_needs_session: the first deposit is an FTD only of a user with a session.
        :param renewal: the user made no decision, so it is never an FTD.
        :raises EventError: when no event can be built from this; nothing was recorded.
        :raises StoreError: when the store failed; nothing was recorded.
        """
        rules = DepositRules(ftd_within, ftd_needs_session, renewal)
        request = EventRequest(
            name=LATER_DEPOSIT,
            telegram_id=telegram_id,
            bot_id=bot_id,
            value=value,
            currency=currency,
            user_data=user_data,
            session_id=session_id,
            event_id=event_id,
            event_time=event_time,
            once=once,
            to=to,
        )
        return await self._deposits.record(self._check.deposit(request, rules), rules)

    async def mark_deposited(
        self,
        telegram_ids: int | Iterable[int],
        *,
        bot_id: int | None = None,
    ) -> int:
        """Mark users who deposited before gp_aiogram was there: no FTD will come of them.

        :param telegram_ids: of one user or of many.
        :param bot_id: None means with any bot.
        :return: how many were not known yet.
        :raises EventError: when one of them is no user; nothing was stored.
        :raises StoreError: when the store failed; mark them again.
        """
        return await self._deposits.mark(telegram_ids, bot_id)

    async def refund(
        self,
        once: str | int,
        *,
        telegram_id: int,
        bot_id: int | None = None,
        value: object = None,
        currency: str | None = None,
        user_data: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        event_id: str | None = None,
        event_time: datetime | None = None,
        to: str | Collection[str] | None = None,
    ) -> Event | None:
        """Take back what was recorded under an order's id.

        Pending deliveries of the payment are cancelled. Destinations that know refunds and may
        have got the payment get a ``Refund``; of the others the log tells that it stays counted
        there.

        :param once: the order's id that the payment was recorded with.
        :param value: what was given back; None means all of the payment, if it is still known.
        :return: the ``Refund``; None when nothing is recorded, as with :meth:`track`.
        :raises EventError: when no event can be built from this.
        :raises StoreError: when the store failed; report the refund again.
        """
        request = EventRequest(
            name=REFUND,
            telegram_id=telegram_id,
            bot_id=bot_id,
            value=value,
            currency=currency,
            user_data=user_data,
            session_id=session_id,
            event_id=event_id,
            event_time=event_time,
            once=once,
            to=to,
        )
        return await self._refunds.record(self._check.refund(request))

    # Users

    async def capture(
        self,
        telegram_id: int,
        payload: str,
        *,
        bot_id: int | None = None,
        source: Source = "manual",
        at: datetime | None = None,
    ) -> Session | None:
        """Store a touch of a user.

        :param payload: what came with the deep link.
        :param bot_id: None means whichever bot of this store knows the user.
        :param at: when it happened, with time zone; now when None.
        :return: None when the payload holds no session, or the user opted out.
        :raises EventError: when the user or the source makes no sense.
        :raises StoreError: when the store failed.
        """
        touch = self._users.touch(telegram_id, payload, bot_id=bot_id, source=source, at=at)
        return None if touch is None else await self._users.store_touch(touch)

    async def capture_invite(
        self,
        telegram_id: int,
        link: str,
        *,
        name: str | None = None,
        bot_id: int | None = None,
        source: Source = "invite",
        at: datetime | None = None,
    ) -> Session | None:
        """Store the touch of a user who came by an invite link; see :attr:`Tracker.invites`.

        :param link: the invite link.
        :param name: its name, which carries a session if the link was made so.
        :return: None when the link carries no session, or the user opted out.
        :raises EventError: when the user makes no sense.
        :raises StoreError: when the store failed.
        """
        return await self._users.store_arrival(
            self._users.arrival(telegram_id, link, name, bot_id=bot_id, source=source, at=at)
        )

    async def capture_init_data(
        self,
        token: str,
        init_data: str,
        *,
        max_age: timedelta | float = timedelta(hours=24),
    ) -> Session | None:
        """Store the touch of a user who opened a Mini App by a ``?startapp=…`` link.

        :param token: of the bot whose Mini App it is; Telegram signs with it.
        :param init_data: ``Telegram.WebApp.initData`` as it is.
        :param max_age: older data is refused, since whoever got hold of it could use it for ever;
            a timedelta, or seconds.
        :return: None when there was no ``startapp``, or it holds no session.
        :raises EventError: when the data is forged, another bot's, too old, from the future or
            malformed; the text holds neither token nor data.
        :raises StoreError: when the store failed.
        """
        return await self._users.capture_init_data(token, init_data, max_age=max_age)

    async def register_click(self, click: Click, session_id: str | None = None) -> str:
        """Store what a landing page saw of a click; put the result into ``?start=``.

        :param session_id: made anew, and impossible to guess, when None.
        :raises EventError: when no deep link can carry the session id, or a click has it already.
        :raises StoreError: when the store failed.
        """
        return await self._users.register_click(click, session_id)

    async def identify(
        self,
        telegram_id: int,
        *,
        user: object = None,
        contact: object = None,
        order_info: object = None,
        **traits: object,
    ) -> frozenset[str]:
        """Store what is known of a user, for the platforms to recognise them by.

        Everything is normalised and hashed, as each platform wants it, before it is stored. A
        value that cannot be used is left out.

        :param user: Telegram's own ``User``, if its names and language shall be used.
        :param contact: a ``Contact`` that the user has shared of themselves; somebody else's is
            left out.
        :param order_info: the ``OrderInfo`` of a payment: name, e-mail, phone and address.
        :param traits: ``email``, ``phone`` (with country code), ``first_name``, ``last_name``,
            ``gender``, ``birthday``, ``city``, ``state``, ``zip_code``, ``country``,
            ``external_id``, ``lead_id``.
        :return: names of the traits that at least one platform can use.
        :raises EventError: when a trait has another name.
        :raises StoreError: when the store failed.
        """
        ready, usable = self._users.traits(
            telegram_id, user=user, contact=contact, order_info=order_info, traits=traits
        )
        await self._users.store_traits(telegram_id, ready)
        return usable

    async def session(
        self,
        telegram_id: int,
        bot_id: int | None = None,
        *,
        at: datetime | None = None,
    ) -> Session | None:
        """Return the session that counts for a user, by the attribution policy.

        :param bot_id: None means whichever bot of this store knows the user.
        :param at: when it shall count, with time zone; now when None.
        """
        return await self._users.session(telegram_id, bot_id, at)

    # Privacy

    async def opt_out(self, telegram_id: int) -> None:
        """Record nothing more of a user, whatever bot they talk to, until they opt in again.

        Pending deliveries are cancelled. What is stored stays: see :meth:`forget`.

        :raises StoreError: when the store failed.
        """
        await self._privacy.opt_out(telegram_id)

    async def opt_in(self, telegram_id: int) -> None:
        """Record a user again; harmless when they never opted out.

        :raises StoreError: when the store failed.
        """
        await self._privacy.opt_in(telegram_id)

    async def forget(self, telegram_id: int) -> None:
        """Erase a user's sessions, clicks, traits and events, delivered or not.

        Once-keys stay, and the opt-out of a user who has opted out, as digests that name nobody:
        a first deposit counts once all the same. What destinations have got is theirs to erase.

        :raises StoreError: when the store failed; forget again.
        """
        await self.intake.erase(validate_telegram_id(telegram_id))
        await self._privacy.forget(telegram_id)

    async def prune(self) -> int:
        """Erase what :attr:`retention` keeps no longer, and return how many rows were.

        A started tracker does so every hour.

        :raises StoreError: when the store failed.
        """
        return await prune(self.store, self.retention, self._users.now())

    # Deliveries

    async def flush(self, timeout: float = 10.0) -> bool:
        """Wait until nothing is due.

        :param timeout: seconds to wait at most.
        :return: False when something is still due, or when nobody delivers it.
        """
        deadline = time.monotonic() + timeout
        if not await self.intake.flush(timeout):
            return False
        return await self._courier.flush(deadline - time.monotonic())

    async def stats(self) -> Stats:
        """Tell what happened so far and how the destinations are doing."""
        return await self._deliveries.stats()

    async def deliveries(self, event_id: str) -> list[Delivery]:
        """Return what became of an event at each of its destinations."""
        return await self._deliveries.of_event(event_id)

    async def dead_letters(
        self,
        destination: str | None = None,
        *,
        limit: int = 100,
    ) -> list[Delivery]:
        """Return deliveries that were given up, with the reason, oldest event first.

        :param destination: None means of every destination.
        """
        return await self._deliveries.dead_letters(destination, limit)

    async def replay(
        self,
        destination: str | None = None,
        *,
        event_id: str | None = None,
    ) -> int:
        """Have dead letters delivered after all; they keep their event id.

        :param destination: None means of every destination.
        :param event_id: None means of every event.
        :return: how many were dead letters; those of users who have opted out are skipped.
        """
        return await self._deliveries.replay(destination, event_id)
