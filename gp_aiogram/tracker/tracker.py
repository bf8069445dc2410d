"""The object that a bot owns: it records sessions and events, and has them delivered."""

from __future__ import annotations

import logging
import os
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
from gp_aiogram.delivery.pacing import PacerState
from gp_aiogram.delivery.stats import Stats, TrackerCount
from gp_aiogram.destinations.base import Destination
from gp_aiogram.errors import EventError, short_repr
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
from gp_aiogram.stores.contract import SessionStore, UserStore
from gp_aiogram.stores.records import Delivery, DeliveryFilter
from gp_aiogram.telemetry.automatic import automatic_observers
from gp_aiogram.telemetry.observer import Observer
from gp_aiogram.telemetry.telemetry import Telemetry
from gp_aiogram.tracker.background import Background
from gp_aiogram.tracker.before_send import BeforeSend, Review
from gp_aiogram.tracker.bots import Bots
from gp_aiogram.tracker.construction import coins_of, validate_arguments, whole_store
from gp_aiogram.tracker.conversions import Conversions
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
from gp_aiogram.tracker.recorders import Recorders
from gp_aiogram.tracker.recording import Recorded, Recording
from gp_aiogram.tracker.refunds import Refunds
from gp_aiogram.tracker.request import DepositRules, EventRequest, OnOutage, RequestCheck
from gp_aiogram.tracker.session_history import History
from gp_aiogram.tracker.user_search import UserSearch
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
    """Records sessions and events, and delivers the events in the background.

    :param destinations: where events go; each needs its own name.
    :param store: keeps sessions and events; by default ``SQLiteStore("gp.sqlite3")``. If you pass
        a :class:`~gp_aiogram.SessionStore` or a :class:`~gp_aiogram.RedisStore`, it replaces only
        its own part of that default.
    :param attribution: how payloads are read, and which touch gets the credit.
    :param before_send: called with each event before it is stored. Return the event, a changed
        copy made by ``dataclasses.replace``, or None to drop it. It may be async.
    :param stars: what Telegram Stars are worth; None refuses events in Stars.
    :param auto: events to record without a decorator, from
        :data:`gp_aiogram.model.event.AUTO_NAMES`.
    :param retention: how long stored data is kept.
    :param journal: a file that holds what handlers record while the store is slow, locked or
        unreachable. It exists only then. Each process in the same folder has its own file, such
        as ``gp.journal.2``, and takes over the files of processes that have ended. None keeps
        these records in memory.
    :param phone_region: ISO 3166-1 code, such as ``"RU"``, of the country that is meant when a
        phone number has no country code (extra ``phone``); None leaves such numbers out.
    :param payments_identify: pass the name, e-mail, phone and address that users give with a
        payment to ``identify()``. Ask for their consent first.
    :param strict: raise the errors of ``gp.*`` calls in handlers, for development and tests.
        By default they are logged and counted, and the handler goes on.
    :param deliver: False when ``gp-aiogram worker`` or another tracker of the same store delivers.
        This tracker then only records. Give it the same destinations.
    :param clock: the clock to use; tests may pass their own.
    :raises ConfigurationError: when two destinations share a name, or ``auto`` has an unknown
        event.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        *,
        store: UserStore | SessionStore | None = None,
        attribution: Attribution = DEFAULT_ATTRIBUTION,
        before_send: BeforeSend | None = None,
        stars: Stars | None = DEFAULT_STARS,
        auto: Collection[AutoName | str] = (),
        retention: Retention = DEFAULT_RETENTION,
        journal: str | os.PathLike[str] | None = DEFAULT_JOURNAL,
        phone_region: str | None = None,
        payments_identify: bool = False,
        strict: bool = False,
        deliver: bool = True,
        clock: Clock = DEFAULT_CLOCK,
    ) -> None:
        validate_arguments(destinations, stars, before_send)
        store = whole_store(store)
        self.attribution = attribution
        self.stars = stars
        self.payments_identify = payments_identify
        self.strict = strict
        #: Whether this process delivers what is recorded.
        self.delivers = deliver
        region = None if phone_region is None else validate_phone_region(phone_region)
        #: What counts is kept, however long the window is.
        self.retention = replace(
            retention,
            sessions=max(retention.sessions, attribution.window),
        )
        store.keep_for(self.retention)
        self.auto = validate_auto(auto)
        self.counts: Counter[TrackerCount] = Counter()
        #: Invite links that carry sessions.
        self.invites = Invites(store.profiles, attribution, clock)
        #: Keeps sessions and events.
        self.store = store
        self._bots = Bots()
        self._background = Background()
        self._emits = False
        self._telemetry = Telemetry(*automatic_observers())
        self._courier = Courier(destinations, store.outbox, clock=clock, telemetry=self._telemetry)
        pending = PendingTouches()
        journals = Journals(None if journal is None else Path(journal), store.place)
        history = History(attribution.history, self.counts, clock.monotonic)
        enrichment = Enrichment(
            store=store,
            attribution=attribution,
            bots=self._bots,
            pending=pending,
            journals=journals,
            history=history,
            phone_region=region,
            counts=self.counts,
        )
        coins = coins_of(destinations)
        self._check = RequestCheck(self._courier.lanes, coins, stars, clock)
        recording = Recording(
            enrichment=enrichment,
            review=None if before_send is None else Review(before_send, coins, region),
            coins=coins,
            outbox=store.outbox,
            courier=self._courier,
            counts=self.counts,
            telemetry=self._telemetry,
            delivers=deliver,
        )
        self._recorders = Recorders(
            store,
            recording,
            Deposits(recording, enrichment, store.outbox),
            Refunds(recording, store.outbox, self.counts),
        )
        self._search = UserSearch(store)
        #: Records what is told of clicks, such as the postbacks of affiliate networks.
        self.conversions = Conversions(
            store=store,
            search=self._search,
            check=self._check,
            recording=recording,
            deposits=self._recorders.deposits,
            refunds=self._recorders.refunds,
            counts=self.counts,
        )
        self._users = Users(
            store=store,
            enrichment=enrichment,
            attribution=attribution,
            invites=self.invites,
            pending=pending,
            clock=clock,
            phone_region=region,
            without_traits=[one.name for one in destinations if not one.uses_traits],
            arrived=self.conversions.settle,
            counts=self.counts,
        )
        self._privacy = Privacy(store, journals)
        #: What handlers record through, since it holds up nobody.
        self.intake = Intake(
            check=self._check,
            recorders=self._recorders,
            users=self._users,
            privacy=self._privacy,
            journals=journals,
            counts=self.counts,
        )
        self._deliveries = Deliveries(
            store.outbox, self._courier, self.intake, self.counts, delivers=deliver
        )
        self._life_cycle = LifeCycle(
            store=store,
            intake=self.intake,
            courier=self._courier,
            background=self._background,
            history=history,
            delivers=deliver,
            prune=self.prune,
        )

    @classmethod
    def from_settings(
        cls,
        settings: Settings | None = None,
        *,
        attribution: Attribution | None = None,
        before_send: BeforeSend | None = None,
        auto: Collection[str] = (),
        strict: bool = False,
    ) -> Tracker:
        """Build a tracker from ``GP_*`` environment variables and ``.env``.

        :param settings: read from the environment unless given.
        :param attribution: replaces that of the settings, for what no variable can hold, such as
            ``parse`` and ``history``.
        :param before_send: as for the constructor.
        :param auto: events to record without a decorator, in addition to those of the settings.
        :param strict: as for the constructor.
        :raises ConfigurationError: names every variable that is missing or malformed.
        """
        settings = settings or Settings()
        return cls(
            settings.destinations(),
            store=settings.build_store(),
            attribution=settings.attribution.build() if attribution is None else attribution,
            before_send=before_send,
            stars=settings.stars.build(),
            auto=settings.auto | validate_auto(auto),
            retention=settings.retention.build(),
            journal=settings.journal,
            phone_region=settings.phone_region,
            payments_identify=settings.payments_identify,
            strict=strict,
            deliver=settings.deliver,
        )

    def __repr__(self) -> str:
        return f"Tracker({', '.join(self._courier.lanes)})"

    @property
    def destinations(self) -> list[Destination]:
        """Where events go."""
        return [lane.destination for lane in self._courier.lanes.values()]

    @property
    def states(self) -> Mapping[str, PacerState]:
        """The state of each destination that this process delivers to, by name."""
        return self._deliveries.states()

    @property
    def waits(self) -> Mapping[str, float]:
        """Seconds until each destination of this process may be called, by name."""
        return self._deliveries.waits()

    @property
    def running(self) -> bool:
        """Whether the tracker is started, and delivers unless other processes do."""
        return self._life_cycle.running

    def observe(self, observer: Observer) -> None:
        """Tell an observer what happens to events from now on."""
        self._telemetry.add(observer)

    # Life cycle

    def setup(self, dispatcher: Dispatcher) -> None:
        """Add capture, tracking, start and close to a dispatcher. A second call does nothing."""
        from gp_aiogram.bot.setup import setup  # noqa: PLC0415 - the one door to the room above

        setup(dispatcher, self)

    async def start(self) -> None:
        """Open the store and begin to deliver. Does nothing when already started.

        It also starts when the store is unreachable: what handlers record waits in the journal,
        and deliveries begin when the store is back.

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
        elif not self.delivers:
            self._log_who_delivers()

    def _log_who_delivers(self) -> None:
        if not self.store.outbox.one_process:
            logger.info("this process records only: workers deliver (gp-aiogram worker)")
            return
        logger.warning(
            "deliver=False, but only this process can use %r: nothing is delivered while it runs. "
            "Leave deliver=False out, or use a store that workers can share, such as PostgreSQL",
            self.store,
        )

    async def close(self, grace: float = 5.0) -> None:
        """Stop delivering and close the store.

        Events tracked later are still stored; the next start delivers them.

        :param grace: seconds that requests in progress have to finish.
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
        """Bots whose updates came through this tracker, with their usernames if known."""
        return self._bots.usernames

    def meet_bot(self, bot_id: int, username: str | None = None) -> None:
        """Remember a bot whose updates come through here. Does nothing when the bot is known.

        :param username: without ``@``; None while nobody knows it.
        """
        self._bots.meet(bot_id, username)

    def announce_emission(self) -> None:
        """Declare that something records what ``@track`` marks, so that no warning is logged."""
        self._emits = True

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a recording in the background; :meth:`close` waits for it."""
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
        connection: object | None = None,
        on_outage: OnOutage = "raise",
    ) -> Event | None:
        """Record an event. When this returns, the event is stored and will be delivered.

        :param name: ``FTD``, ``DEP``, ``REG``, ``Subscribe``, ``JoinRequest``, ``Purchase``,
            ``INSTALL``, ``TRIAL``, or any name of your own.
        :param bot_id: None means the bot of this store that knows the user.
        :param value: units of the currency, not minor units; FTD, DEP and Purchase need one.
        :param currency: ISO 4217 code, or ``XTR`` for Telegram Stars, which are converted; USD
            when a value comes without one.
        :param user_data: JSON values. E-mail addresses and phone numbers in it are never stored as
            they are: under a key such as ``email`` or ``phone`` they become hashed traits of the
            event, anywhere else they are left out.
        :param session_id: None means the session that the attribution policy chooses.
        :param event_id: a second event with this id and name is not recorded. Random when None.
        :param event_time: with time zone; now when None.
        :param once: ``"user"`` records this event name once per user and bot. Any other text or
            number, such as an order's id, records it once for that value.
        :param order: the id by which :meth:`refund` finds the event, if it is not ``once``.
        :param to: names of destinations; None means all that accept the event.
        :param connection: your own transaction, in which the event is stored: it is recorded when
            you commit, and leaves no trace when you roll back. It works with
            :class:`~gp_aiogram.PostgresStore` and an asyncpg connection, or SQLAlchemy's
            ``AsyncSession`` or ``AsyncConnection``, to the same database.
        :param on_outage: ``"journal"`` writes the event to the journal on disk while the store is
            unreachable or does not answer in time. It is recorded when the store is back, in
            order. The returned event holds what is known so far; it may turn out later that the
            event was recorded before.
        :return: None when nothing is recorded: according to ``once`` or ``event_id`` the event was
            recorded before, the user opted out, or ``before_send`` dropped it.
        :raises EventError: when the arguments make no valid event; nothing was recorded.
        :raises StoreError: when the store failed (with ``on_outage="journal"``, the journal as
            well). Nothing was recorded. Roll back the transaction of ``connection``.
        :raises ConfigurationError: when the store cannot use ``connection``, or it is not in a
            transaction.
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
        if self._intake_takes(on_outage, connection):
            return await self.intake.track(request, is_sure=True)
        return await self._recorders.within(connection).events.record(self._check.event(request))

    async def record(self, request: EventRequest) -> Recorded:
        """Record an event as :meth:`track` does, and say whether it is new.

        :raises EventError: when the arguments make no valid event; nothing was recorded.
        :raises StoreError: when the store failed; nothing was recorded.
        """
        return await self._recorders.events.tell(self._check.event(request))

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
        connection: object | None = None,
        on_outage: OnOutage = "raise",
    ) -> Event | None:
        """Record a deposit: ``FTD`` if it is the user's first with this bot, else ``DEP``.

        The store decides which deposit is the first, also when several arrive at the same time.
        The other arguments are those of :meth:`track`.

        :param once: an order's id. A deposit that is reported again stays what it was.
        :param ftd_within: the first deposit is an FTD only within this time after the touch.
        :param ftd_needs_session: the first deposit is an FTD only if the user has a session.
        :param renewal: an automatic renewal, which is never an FTD.
        :param on_outage: as for :meth:`track`. A deposit in the journal is returned as a ``DEP``,
            because only the store can tell whether it is the first.
        :raises EventError: when the arguments make no valid event; nothing was recorded.
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
        if self._intake_takes(on_outage, connection):
            return await self.intake.deposit(request, rules, is_sure=True)
        deposits = self._recorders.within(connection).deposits
        return await deposits.record(self._check.deposit(request, rules), rules)

    async def mark_deposited(
        self,
        telegram_ids: int | Iterable[int],
        *,
        bot_id: int | None = None,
    ) -> int:
        """Mark users who deposited before you used gp_aiogram: they get no FTD.

        :param telegram_ids: of one user or of many.
        :param bot_id: None means with any bot.
        :return: how many of them are newly marked.
        :raises EventError: when one of them is not a user id; nothing was stored.
        :raises StoreError: when the store failed; call it again.
        """
        return await self._recorders.deposits.mark(telegram_ids, bot_id)

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
        connection: object | None = None,
        on_outage: OnOutage = "raise",
    ) -> Event | None:
        """Record the refund of a payment that was recorded under an order's id.

        Pending deliveries of the payment are cancelled. Destinations that support refunds, and
        that may have received the payment, get a ``Refund`` event. For the other destinations the
        log says that the payment stays counted there.

        :param once: the order's id under which the payment was recorded.
        :param value: the refunded amount; None means the whole payment, if it is still stored.
        :param connection: your own transaction, as for :meth:`track`.
        :param on_outage: as for :meth:`track`; the payment is looked up when the store is back.
        :return: the ``Refund`` event; None when nothing is recorded, as with :meth:`track`.
        :raises EventError: when the arguments make no valid event.
        :raises StoreError: when the store failed; call it again.
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
        if self._intake_takes(on_outage, connection):
            return await self.intake.refund(request, is_sure=True)
        refunds = self._recorders.within(connection).refunds
        return await refunds.record(self._check.refund(request))

    def _intake_takes(self, on_outage: object, connection: object | None) -> bool:
        """Return whether a request may end up in the journal."""
        if on_outage not in {"raise", "journal"}:
            msg = f"on_outage must be 'raise' or 'journal', not {short_repr(on_outage)}"
            raise EventError(msg)
        if on_outage == "journal" and connection is not None:
            msg = (
                "on_outage='journal' cannot be combined with connection=...: what is recorded in "
                "your own transaction must not be kept when that fails"
            )
            raise EventError(msg)
        if on_outage == "journal" and not self.intake.survives:
            msg = "on_outage='journal' needs a journal on the disk: give the tracker journal=..."
            raise EventError(msg)
        return on_outage == "journal"

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
        :param bot_id: None means the bot of this store that knows the user.
        :param at: when it happened, with time zone; now when None.
        :return: None when the payload holds no session, or the user opted out.
        :raises EventError: when the user or the source is invalid.
        :raises StoreError: when the store failed.
        """
        new = self._users.touch(telegram_id, payload, bot_id=bot_id, source=source, at=at)
        return None if new is None else await self._users.store_touch(new)

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
        :param name: its name, which carries the session if you made the link that way.
        :return: None when the link carries no session, or the user opted out.
        :raises EventError: when the user is invalid.
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

        :param token: token of the Mini App's bot, with which Telegram signs the data.
        :param init_data: ``Telegram.WebApp.initData``, unchanged.
        :param max_age: older data is refused, because a stolen copy would otherwise work forever;
            a timedelta, or seconds.
        :return: None when there was no ``startapp`` parameter, or it holds no session.
        :raises EventError: when the data is forged, malformed, another bot's, too old or from the
            future. The text contains neither the token nor the data.
        :raises StoreError: when the store failed.
        """
        return await self._users.capture_init_data(token, init_data, max_age=max_age)

    async def register_click(self, click: Click, session_id: str | None = None) -> str:
        """Store an ad click that a landing page saw. Put the returned id into ``?start=``.

        :param session_id: None draws a new one that nobody can guess.
        :raises EventError: when a deep link cannot carry the session id, or it has a click.
        :raises StoreError: when the store failed.
        """
        return await self._users.store_click(self._users.new_click(click, session_id))

    async def identify(
        self,
        telegram_id: int,
        *,
        user: object = None,
        contact: object = None,
        order_info: object = None,
        **traits: object,
    ) -> frozenset[str]:
        """Store what you know about a user, so that ad platforms can recognise them.

        Everything is normalised and hashed, as each platform requires, before it is stored. Values
        that no platform can use are left out.

        :param user: Telegram's ``User``, to use its names and language.
        :param contact: the ``Contact`` that the user has shared; the contact of another person is
            left out.
        :param order_info: the ``OrderInfo`` of a payment: name, e-mail, phone and address.
        :param traits: ``email``, ``phone`` (with country code), ``first_name``, ``last_name``,
            ``gender``, ``birthday``, ``city``, ``state``, ``zip_code``, ``country``,
            ``external_id``, ``lead_id``.
        :return: names of the traits that at least one platform can use.
        :raises EventError: when a trait has an unknown name.
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
        """Return the session of a user that the attribution policy chooses.

        :param bot_id: None means the bot of this store that knows the user.
        :param at: the moment to choose it for, with time zone; now when None.
        """
        return await self._users.session(telegram_id, bot_id, at)

    async def find_users(self, session_id: str, *, limit: int = 100) -> list[Session]:
        """Return who came with a session: the latest touch of each user and bot.

        Several users may share a link. The latest touch comes first.

        :param limit: how many of the session's latest touches to look at.
        :raises StoreError: when the store failed.
        """
        return await self._search.users(session_id, limit)

    # Privacy

    async def opt_out(self, telegram_id: int) -> None:
        """Record nothing more about a user, in any bot, until they opt in again.

        Pending deliveries are cancelled. Stored data stays; see :meth:`forget`.

        :raises StoreError: when the store failed.
        """
        await self._privacy.opt_out(telegram_id)

    async def opt_in(self, telegram_id: int) -> None:
        """Record a user again. Does nothing when they never opted out.

        :raises StoreError: when the store failed.
        """
        await self._privacy.opt_in(telegram_id)

    async def forget(self, telegram_id: int) -> None:
        """Erase a user's sessions, clicks, traits and events, delivered or not.

        Once-keys and an opt-out stay, as digests that do not identify the user, so that a first
        deposit still counts once. Data that destinations have received must be erased there.

        :raises StoreError: when the store failed; call it again.
        """
        await self.intake.erase(validate_telegram_id(telegram_id))
        await self._privacy.forget(telegram_id)

    async def prune(self) -> int:
        """Erase what is older than :attr:`retention`, and return how many rows were erased.

        Conversions that wait for their users are recorded or given up as well. A started tracker
        does all this every hour.

        :raises StoreError: when the store failed.
        """
        now = self._users.now()
        given_up = await self.conversions.sweep(now)
        return given_up + await prune(self.store, self.retention, now)

    # Deliveries

    async def flush(self, timeout: float = 10.0) -> bool:
        """Wait until no delivery is due.

        With ``deliver=False`` it waits until other processes have settled every delivery,
        including retries.

        :param timeout: seconds to wait at most.
        :return: False when something is still due, or when no process delivers it.
        """
        return await self._deliveries.flush(timeout)

    async def stats(self) -> Stats:
        """Return counts of what happened so far, and the state of each destination."""
        return await self._deliveries.stats()

    async def deliveries(self, event_id: str) -> list[Delivery]:
        """Return the deliveries of an event, one for each of its destinations."""
        return await self._deliveries.of_event(event_id)

    async def dead_letters(
        self,
        destination: str | None = None,
        *,
        limit: int = 100,
    ) -> list[Delivery]:
        """Return dead letters with their reasons, oldest event first.

        :param destination: None means every destination.
        """
        return await self._deliveries.dead_letters(destination, limit)

    async def replay(
        self,
        destination: str | None = None,
        *,
        event_id: str | None = None,
        telegram_id: int | None = None,
        bot_id: int | None = None,
        accepted_before: datetime | None = None,
        maybe_delivered: bool | None = None,
    ) -> int:
        """Try dead letters again; they keep their event ids.

        :param destination: None means every destination.
        :param event_id: None means every event.
        :param telegram_id: None means every user.
        :param bot_id: None means every bot.
        :param accepted_before: only events that were accepted earlier, with time zone.
        :param maybe_delivered: True: only deliveries whose answer was lost, so that the
            destination may have received them. False: only the others. None: both.
        :return: how many dead letters there were. Those of users who opted out are skipped.
        """
        return await self._deliveries.replay(
            DeliveryFilter(
                event_id=event_id,
                telegram_id=telegram_id,
                bot_id=bot_id,
                accepted_before=accepted_before,
                destination=destination,
                maybe_delivered=maybe_delivered,
            )
        )

    async def purge(
        self,
        destination: str | None = None,
        *,
        event_id: str | None = None,
    ) -> int:
        """Give up dead letters: they become skipped, and :meth:`replay` does not find them.

        Their events stay in the store until :attr:`retention` ends.

        :param destination: None means every destination.
        :param event_id: None means every event.
        :return: how many dead letters there were.
        """
        return await self._deliveries.purge(destination, event_id)

    def resume(self, destination: str) -> bool:
        """Call a paused, failing or throttled destination at once.

        One event goes first. If it succeeds, the others follow. A paused destination is also tried
        every few minutes; use this when you have just fixed the token and do not want to wait.

        :param destination: its name.
        :return: False when the destination needs no call, or this process does not deliver.
        :raises ConfigurationError: when no destination has this name.
        """
        return self._deliveries.resume(destination)
