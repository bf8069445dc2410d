"""The object that a bot owns: it records sessions and events, and has them delivered."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from gp_aiogram.decorators import marked_handlers
from gp_aiogram.delivery.courier import Courier
from gp_aiogram.destinations.base import Destination
from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.model.event import validate_auto
from gp_aiogram.model.money import Stars
from gp_aiogram.model.retention import Retention
from gp_aiogram.model.session import Attribution
from gp_aiogram.settings.settings import Settings
from gp_aiogram.stores.contract import Outbox, ProfileStore, SessionStore, SplitStore, Store
from gp_aiogram.stores.sqlite.store import SQLiteStore
from gp_aiogram.tracker.before_send import BeforeSend
from gp_aiogram.tracker.deliveries import Deliveries
from gp_aiogram.tracker.deposits import Deposits
from gp_aiogram.tracker.enrichment import Enrichment
from gp_aiogram.tracker.invites import Invites
from gp_aiogram.tracker.privacy import Privacy
from gp_aiogram.tracker.pruning import keep_pruning
from gp_aiogram.tracker.refunds import Refunds
from gp_aiogram.tracker.users import Users

if TYPE_CHECKING:
    from aiogram import Dispatcher

logger = logging.getLogger("gp_aiogram")

DEFAULT_STORE = "gp.sqlite3"
DEFAULT_ATTRIBUTION = Attribution()
DEFAULT_STARS = Stars()
DEFAULT_RETENTION = Retention()

#: Seconds that the store gets to close.
_STORE_CLOSING = 5.0


class Tracker(Deposits, Refunds, Users, Privacy, Deliveries):
    """Records sessions and events, and has them delivered.

    :param destinations: where events go; each needs a name of its own.
    :param store: keeps sessions and events; ``SQLiteStore("gp.sqlite3")`` unless given. A
        :class:`~gp_aiogram.stores.contract.SessionStore` alone replaces that part only.
    :param attribution: how payloads are read, and which touch counts.
    :param before_send: gets each event before it is stored; returns it, another one made by
        ``dataclasses.replace``, or None to drop it. It may be async.
    :param stars: what Telegram Stars are worth; None refuses events in stars.
    :param auto: events to record without handlers, of :data:`gp_aiogram.model.event.AUTO_NAMES`.
    :param retention: how long what is stored is kept.
    :raises ConfigurationError: when two destinations share a name, or ``auto`` names no event.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        *,
        store: Store | SplitStore | SessionStore | None = None,
        attribution: Attribution = DEFAULT_ATTRIBUTION,
        before_send: BeforeSend | None = None,
        stars: Stars | None = DEFAULT_STARS,
        auto: Collection[str] = (),
        retention: Retention = DEFAULT_RETENTION,
    ) -> None:
        names = [destination.name for destination in destinations]
        _check_stars(stars, destinations)
        if len(names) != len(set(names)):
            msg = f"two destinations share a name, give one name=...: {', '.join(sorted(names))}"
            raise ConfigurationError(msg)
        whole = _whole_store(store)
        self.attribution = attribution
        self.stars = stars
        #: What counts is kept, however long the window is.
        self.retention = replace(
            retention,
            sessions=max(retention.sessions, attribution.window),
        )
        self.auto = validate_auto(auto)
        self._before_send = before_send
        self._aside: set[asyncio.Task[None]] = set()
        self._pruning: asyncio.Task[None] | None = None
        self.counts: Counter[str] = Counter()
        #: Whether something emits what ``@track`` marks; set by the middleware that does.
        self.emits = False
        self._enrichment = Enrichment(whole, attribution, self.counts)
        self._sessions = whole.sessions
        self._profiles = whole.profiles
        self._outbox = whole.outbox
        self._unerased = {}
        self._courier = Courier(destinations, self._outbox)
        #: Invite links that carry sessions.
        self.invites = Invites(whole.profiles, attribution, self._outbox.clock)

    @classmethod
    def from_settings(
        cls,
        settings: Settings | None = None,
        *,
        before_send: BeforeSend | None = None,
        auto: Collection[str] = (),
    ) -> Tracker:
        """Build a tracker from ``GP_*`` environment variables and ``.env``.

        :param settings: read from the environment unless given.
        :param before_send: as for the constructor.
        :param auto: events to record without handlers, besides those of the settings.
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
        )

    def __repr__(self) -> str:
        return f"Tracker({', '.join(self._courier.lanes)})"

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
        if self._pruning is None:
            self._pruning = asyncio.create_task(keep_pruning(self.prune), name="gp_aiogram prunes")
        if not self.emits and (marked := marked_handlers()):
            logger.warning(
                "nothing emits what @track marks on %s: call tracker.setup(dp)",
                ", ".join(marked),
            )

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something recorded that nobody may wait for; :meth:`close` does."""
        task = asyncio.create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def close(self, grace: float = 5.0) -> None:
        """Stop delivering and close the store.

        Events tracked later are still stored; the next start delivers them.

        :param grace: seconds to let requests that are under way finish.
        """
        pruning, self._pruning = self._pruning, None
        if pruning is not None:
            pruning.cancel()
            await asyncio.wait([pruning], timeout=_STORE_CLOSING)
        await self._finish_aside(grace)
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

    async def _finish_aside(self, grace: float) -> None:
        """Wait for what is recorded aside; what takes longer is given up, and told."""
        if not self._aside:
            return
        _, unfinished = await asyncio.wait(self._aside, timeout=grace)
        if not unfinished:
            return
        logger.error("%d handler(s) had nothing recorded: the store is stuck", len(unfinished))
        for task in unfinished:
            task.cancel()
        await asyncio.wait(unfinished, timeout=_STORE_CLOSING)

    def _parts(self) -> list[SessionStore | ProfileStore | Outbox]:
        """The store's parts; one that is several at once is here once."""
        parts = (self._outbox, self._profiles, self._sessions)
        return list({id(part): part for part in parts}.values())


def _whole_store(store: Store | SplitStore | SessionStore | None) -> Store | SplitStore:
    if store is None:
        return SQLiteStore(DEFAULT_STORE)
    if isinstance(store, (Store, SplitStore)):
        return store
    if isinstance(store, SessionStore):
        return SplitStore.of(store, SQLiteStore(DEFAULT_STORE))
    msg = f"store=... must be a Store such as SQLiteStore('gp.sqlite3'), not {short_repr(store)}"
    raise ConfigurationError(msg)


def _check_stars(stars: Stars | None, destinations: Sequence[Destination]) -> None:
    for destination in destinations:
        if stars is not None and not destination.knows_currency(stars.currency):
            msg = (
                f"{destination.name} does not take {stars.currency}, which stars are converted "
                "to: choose another Tracker(stars=Stars(currency=...)), or give it a rate"
            )
            raise ConfigurationError(msg)
