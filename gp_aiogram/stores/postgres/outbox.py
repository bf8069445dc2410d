"""Events and their deliveries in a PostgreSQL schema."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from typing_extensions import Self

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.keys import OnceKey
from gp_aiogram.stores.pages import (
    Changed,
    Erasure,
    Key,
    Listed,
    Page,
    Shown,
    Transition,
    Wanted,
)
from gp_aiogram.stores.paging import Erasing, following, gather
from gp_aiogram.stores.postgres.acceptance import Acceptance
from gp_aiogram.stores.postgres.callers import CallersTransaction
from gp_aiogram.stores.postgres.claims import (
    Claims,
    Demand,
    Extension,
    extend,
    oldest,
    release,
)
from gp_aiogram.stores.postgres.listing import list_events
from gp_aiogram.stores.postgres.once_keys import add_keys, drop_keys, known_keys
from gp_aiogram.stores.postgres.selection import PAGE, Erased, Selection
from gp_aiogram.stores.postgres.server import PostgresServer
from gp_aiogram.stores.postgres.settlement import settle
from gp_aiogram.stores.recent import RecentEvents
from gp_aiogram.stores.records import (
    AcceptResult,
    Change,
    Claim,
    Delivery,
    DeliveryFilter,
    Entry,
    EventRecord,
    Outcome,
    Span,
    State,
)
from gp_aiogram.stores.rows import key_of

_BOT = """
    SELECT bot_id FROM {gp}.event
    WHERE telegram_id = CAST(:telegram_id AS BIGINT) AND bot_id IS NOT NULL
    ORDER BY seq DESC LIMIT 1
"""

_COUNTS = """
    SELECT destination, state, CAST(sum(n) AS BIGINT) FROM {gp}.tally
    GROUP BY destination, state HAVING sum(n) > 0
"""


class PostgresOutbox(Outbox):
    """The part of :class:`~gp_aiogram.PostgresStore` that keeps events.

    :param server: where they are.
    :param callers: their own transaction, when everything shall be done in that.
    """

    def __init__(self, server: PostgresServer, callers: CallersTransaction | None = None) -> None:
        self._server = server
        self._work = callers or server
        recent = RecentEvents()
        # What a caller writes they may yet roll back.
        self._acceptance = Acceptance(recent if callers is None else None)
        self._claims = Claims(recent)
        self._selection = Selection(recent)
        self._erasing = Erasing()

    async def open(self) -> None:
        """Connect, and bring the tables up to date."""
        await self._server.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._server.close()

    def within(self, connection: object) -> Self:
        """Return the same outbox, in a transaction of the caller's."""
        return type(self)(self._server, CallersTransaction(self._server, connection))

    async def accept(self, entry: Entry) -> AcceptResult:
        """Store an event and its deliveries; returns when the server has them on its disk."""
        result = await self._work.submit(self._acceptance.accept, entry)
        if result == "stored":
            self._work.notify(entry.destinations)
        return result

    async def claim(
        self,
        destination: str,
        limit: int,
        *,
        lease: float,
        capped: bool = False,
    ) -> Claim:
        """Claim due deliveries."""
        return await self._work.submit(
            self._claims.claim, Demand(destination, limit, lease, capped)
        )

    async def extend(self, claim: Claim, lease: float) -> None:
        """Let a claim end later."""
        await self._work.submit(extend, Extension(claim, lease))

    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes."""
        await self._work.submit(settle, outcomes)
        self._work.notify({outcome.delivery.destination for outcome in outcomes})

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give claimed deliveries back."""
        await self._work.submit(release, deliveries)
        self._work.notify({delivery.destination for delivery in deliveries})

    async def wait(self, destination: str, timeout: float) -> bool:
        """Wait until a delivery is due."""
        return await self._server.wait(destination, timeout)

    async def add_keys(self, keys: Collection[OnceKey]) -> int:
        """Make once-keys known."""
        return await self._work.submit(add_keys, keys)

    async def drop_keys(self, keys: Collection[OnceKey]) -> None:
        """Make once-keys unknown again."""
        await self._work.submit(drop_keys, keys)

    async def known_keys(self, keys: Collection[OnceKey]) -> set[OnceKey]:
        """Return those of the once-keys that are known."""
        return await self._work.submit(known_keys, keys, reads=True)

    async def select(
        self,
        where: DeliveryFilter,
        *,
        limit: int = 100,
        after: Delivery | None = None,
    ) -> list[Delivery]:
        """Return deliveries, oldest event first."""

        async def page(left: int, end: Key | None) -> Shown:
            wanted = Page(where, min(left, PAGE), end)
            return await self._work.submit(self._selection.select, wanted, reads=True)

        return await gather(page, limit, None if after is None else key_of(after))

    async def events(self, where: DeliveryFilter, span: Span) -> list[EventRecord]:
        """Return events with their deliveries; a transaction looks at a window of them only."""

        async def page(left: int, end: int | None) -> Listed:
            wanted = Wanted(where, following(span, left, end))
            return await self._work.submit(list_events, wanted, reads=True)

        return await gather(page, span.limit)

    async def transition(self, where: DeliveryFilter, change: Change, *, limit: int) -> int:
        """Change deliveries."""

        async def page(left: int, end: Key | None) -> Changed:
            transition = Transition(where, change, min(left, PAGE), end)
            changed = await self._work.submit(self._selection.transition, transition)
            if change.state == "pending":
                self._work.notify({*changed.destinations})
            return changed

        return len(await gather(page, limit))

    async def erase(self, where: DeliveryFilter, *, limit: int) -> int:
        """Erase events with their deliveries."""

        async def page(left: int, end: Key | None) -> Erased:
            return await self._work.submit(
                self._selection.erase, Erasure(where, min(left, PAGE), end)
            )

        return await self._erasing.run(page, where, limit)

    async def counts(self) -> dict[str, dict[State, int]]:
        """How many deliveries each destination has in each state."""
        counted: dict[str, dict[State, int]] = defaultdict(dict)
        for destination, state, count in await self._work.read(_COUNTS):
            counted[destination][state] = count
        return dict(counted)

    async def oldest_pending(self, destination: str) -> float | None:
        """How long the pending delivery has been tried whose turn is next."""
        return await self._work.submit(oldest, destination, reads=True)

    async def bot_of(self, telegram_id: int) -> int | None:
        """Return the bot of the user's newest event that names one."""
        rows = await self._work.read(_BOT, telegram_id=telegram_id)
        return rows[0][0] if rows else None
