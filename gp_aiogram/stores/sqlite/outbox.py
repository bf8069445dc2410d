"""Events and their deliveries in a SQLite file."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gp_aiogram.model.clock import Clock
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.keys import OnceKey
from gp_aiogram.stores.leases import Leases
from gp_aiogram.stores.notifier import Notifier
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
from gp_aiogram.stores.rows import delivery_of, key_of
from gp_aiogram.stores.sqlite.acceptance import Acceptance
from gp_aiogram.stores.sqlite.claims import Claims, Demand
from gp_aiogram.stores.sqlite.listing import Listing
from gp_aiogram.stores.sqlite.once_keys import Addition, add_keys, drop_keys, known_keys
from gp_aiogram.stores.sqlite.rows import now_ms
from gp_aiogram.stores.sqlite.selection import PAGE, Selection
from gp_aiogram.stores.sqlite.tally import counts
from gp_aiogram.stores.sqlite.work import DatabaseFile

_BOT = """
    SELECT bot_id FROM event WHERE telegram_id = ? AND bot_id IS NOT NULL
    ORDER BY seq DESC LIMIT 1
"""


class SQLiteOutbox(Outbox):
    """The part of :class:`~gp_aiogram.SQLiteStore` that keeps events.

    :param clock: its wall clock tells what is due, its monotonic time ends claims.
    """

    one_process = True

    def __init__(self, file: DatabaseFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._leases: Leases[Key] = Leases(clock)
        recent = RecentEvents()
        self._acceptance = Acceptance(clock, recent)
        self._claims = Claims(clock, self._leases, recent)
        self._selection = Selection(clock, self._leases, recent)
        self._listing = Listing(clock, self._leases)
        self._notifier = Notifier(self._next_due)
        self._erasing = Erasing()
        # The file's next owner may claim what this one holds, and number events as this one.
        file.on_release(self._leases.clear)
        file.on_release(recent.clear)

    async def open(self) -> None:
        """Open the file."""
        await self._file.open()

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()

    async def accept(self, entry: Entry) -> AcceptResult:
        """Store an event and its deliveries; returns when they are on disk."""
        result = await self._file.submit(self._acceptance.accept, entry)
        if result == "stored":
            self._notifier.notify(entry.destinations)
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
        demand = Demand(destination, limit, capped)
        rows, events, now = await self._file.submit(self._claims.find, demand, reads=True)
        token = self._leases.grant([row[:2] for row in rows], lease)
        deliveries = [
            delivery_of(row, event, token) for row, event in zip(rows, events, strict=True)
        ]
        return Claim(deliveries, now, token)

    async def extend(self, claim: Claim, lease: float) -> None:
        """Let a claim end later."""
        self._leases.extend(map(key_of, claim.deliveries), claim.token, lease)

    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes."""
        await self._file.submit(self._claims.settle, outcomes)
        await self.release([outcome.delivery for outcome in outcomes if not outcome.provisional])

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give claimed deliveries back."""
        for delivery in deliveries:
            self._leases.end(key_of(delivery), delivery.token)
        self._notifier.notify({delivery.destination for delivery in deliveries})

    async def wait(self, destination: str, timeout: float) -> bool:
        """Wait until a delivery is due."""
        return await self._notifier.wait(destination, timeout)

    async def add_keys(self, keys: Collection[OnceKey]) -> int:
        """Make once-keys known."""
        return await self._file.submit(add_keys, Addition(keys, now_ms(self._clock)))

    async def drop_keys(self, keys: Collection[OnceKey]) -> None:
        """Make once-keys unknown again."""
        await self._file.submit(drop_keys, keys)

    async def known_keys(self, keys: Collection[OnceKey]) -> set[OnceKey]:
        """Return those of the once-keys that are known."""
        return await self._file.submit(known_keys, keys, reads=True)

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
            return await self._file.submit(self._selection.select, wanted, reads=True)

        return await gather(page, limit, None if after is None else key_of(after))

    async def events(self, where: DeliveryFilter, span: Span) -> list[EventRecord]:
        """Return events with their deliveries; a transaction looks at a window of them only."""

        async def page(left: int, end: int | None) -> Listed:
            wanted = Wanted(where, following(span, left, end))
            return await self._file.submit(self._listing.events, wanted, reads=True)

        return await gather(page, span.limit)

    async def transition(self, where: DeliveryFilter, change: Change, *, limit: int) -> int:
        """Change deliveries."""

        async def page(left: int, end: Key | None) -> Changed:
            transition = Transition(where, change, min(left, PAGE), end)
            changed = await self._file.submit(self._selection.transition, transition)
            if change.state == "pending":
                self._notifier.notify({*changed.destinations})
            return changed

        return len(await gather(page, limit))

    async def erase(self, where: DeliveryFilter, *, limit: int) -> int:
        """Erase events with their deliveries."""

        async def page(left: int, end: Key | None) -> tuple[int, Key | None]:
            erased = await self._file.submit(
                self._selection.erase, Erasure(where, min(left, PAGE), end)
            )
            for key in erased.keys:
                self._leases.revoke(key)
            return erased.events, erased.end

        return await self._erasing.run(page, where, limit)

    async def counts(self) -> dict[str, dict[State, int]]:
        """How many deliveries each destination has in each state."""
        return await self._file.submit(counts, None, reads=True)

    async def oldest_pending(self, destination: str) -> float | None:
        """How long the pending delivery has been tried whose turn is next."""
        return await self._file.submit(self._claims.oldest, destination, reads=True)

    async def bot_of(self, telegram_id: int) -> int | None:
        """Return the bot of the user's newest event that names one."""
        rows = await self._file.read(_BOT, (telegram_id,))
        return rows[0][0] if rows else None

    async def _next_due(self, destination: str) -> float | None:
        return await self._file.submit(self._claims.next_due, destination, reads=True)
