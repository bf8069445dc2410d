"""Events and their deliveries in memory."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Any

from gp_aiogram.model.clock import Clock, from_ms, to_ms
from gp_aiogram.model.event import Event
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.keys import id_digest, key_digest
from gp_aiogram.stores.leases import Leases
from gp_aiogram.stores.records import MAX_DELAY, MAY_BE_TAKEN, Delivery, Settlement, State


@dataclass(eq=False)
class _Row:
    """A delivery as it is kept; ``seq`` is the order in which events were accepted."""

    seq: int
    event: Event
    destination: str
    since_ms: int
    due_ms: int
    state: State = "pending"
    attempts: int = 0
    reason: str | None = None
    receipt: Mapping[str, Any] = field(default_factory=dict)

    @property
    def order(self) -> tuple[int, int]:
        return self.due_ms, self.seq

    @property
    def is_untold(self) -> bool:
        return self.state in ("pending", "dead") and MAY_BE_TAKEN not in (self.reason or "")

    def delivery(self, token: str = "") -> Delivery:
        return Delivery(
            event=self.event,
            destination=self.destination,
            state=self.state,
            attempts=self.attempts,
            since=from_ms(self.since_ms),
            due=from_ms(self.due_ms),
            reason=self.reason,
            receipt=self.receipt,
            token=token,
        )


@dataclass(eq=False)
class _Kept:
    """An event as it is kept, with its deliveries."""

    event: Event
    accepted_ms: int
    order: str | None
    rows: list[_Row]

    def is_older(self, before_ms: int, dead_before_ms: int) -> bool:
        states = {row.state for row in self.rows}
        limit_ms = dead_before_ms if "dead" in states else before_ms
        return "pending" not in states and self.accepted_ms < limit_ms


class MemoryOutbox(Outbox):
    """The part of :class:`~gp_aiogram.MemoryStore` that keeps events."""

    clock: Clock
    _leases: Leases[tuple[str, str]]
    #: By event id, in the order of acceptance; and the event ids of each user.
    _events: dict[str, _Kept]
    _users: dict[int, list[str]]
    _pending: dict[str, list[_Row]]
    #: Digests of once-keys, and of the ids of events that were erased.
    _salt: bytes
    _once: set[bytes]
    _erased: set[bytes]
    _seq: int

    async def accept(
        self,
        event: Event,
        destinations: Sequence[str],
        *,
        once: Collection[str] = (),
        order: str | None = None,
    ) -> bool:
        """Keep an event and its deliveries."""
        keys = self._digests(once)
        known = event.event_id in self._events or not self._once.isdisjoint(keys)
        if known or id_digest(self._salt, event.event_id) in self._erased:
            return False
        self._once |= keys.keys()
        self._seq += 1
        now = self._now_ms()
        rows = [_Row(self._seq, event, name, now, now) for name in sorted(set(destinations))]
        self._events[event.event_id] = _Kept(event, now, order, rows)
        self._users.setdefault(event.telegram_id, []).append(event.event_id)
        for row in rows:
            self._put_back(row)
        return True

    async def add_keys(self, keys: Collection[str]) -> int:
        """Make once-keys known."""
        new = self._digests(keys).keys() - self._once
        self._once |= new
        return len(new)

    async def drop_keys(self, keys: Collection[str]) -> None:
        """Make once-keys unknown again."""
        self._once -= self._digests(keys).keys()

    async def known_keys(self, keys: Collection[str]) -> set[str]:
        """Return those of the once-keys that are known."""
        return {key for digest, key in self._digests(keys).items() if digest in self._once}

    async def cancel(self, order: str, reason: str) -> list[Delivery]:
        """Skip the waiting deliveries of an order's events."""
        rows = [row for kept in self._events.values() if kept.order == order for row in kept.rows]
        self._skip((row for row in rows if row.is_untold), reason)
        return [row.delivery() for row in rows]

    async def cancel_user(self, telegram_id: int, reason: str) -> int:
        """Skip the waiting deliveries of a user."""
        rows = (row for kept in self._of_user(telegram_id) for row in kept.rows)
        return self._skip((row for row in rows if row.state == "pending"), reason)

    async def forget_events(self, telegram_id: int) -> int:
        """Erase a user's events with their deliveries."""
        return self._erase(self._of_user(telegram_id))

    async def prune_events(self, before: datetime, dead_before: datetime, limit: int) -> int:
        """Erase old events with their deliveries."""
        limits_ms = to_ms(before), to_ms(dead_before)
        oldest = takewhile(lambda kept: kept.accepted_ms < max(limits_ms), self._events.values())
        old = [kept for kept in oldest if kept.is_older(*limits_ms)]
        return self._erase(old[:limit])

    async def claim(self, destination: str, limit: int, *, lease: float) -> list[Delivery]:
        """Take due deliveries."""
        claimed: list[Delivery] = []
        for row in self._due(destination):
            if len(claimed) == limit:
                break
            if not self._held(row):
                key = row.event.event_id, destination
                claimed += map(row.delivery, self._leases.grant([key], lease))
        return claimed

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Record outcomes."""
        for settlement in settlements:
            token = settlement.delivery.token
            key = self._leases.key(token)
            if key is None:
                continue
            if not settlement.provisional:
                self._leases.end(token)
            row = self._row(*key)
            if row is None:
                continue  # erased in the meantime
            if row.state == "pending":
                self._take_out(row)
            row.state = settlement.state
            row.attempts = settlement.attempts
            row.reason = settlement.reason
            row.receipt = settlement.receipt
            row.due_ms = self._now_ms() + round(min(settlement.delay, MAX_DELAY) * 1000)
            if row.state == "pending":
                self._put_back(row)

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give claimed deliveries back."""
        for delivery in deliveries:
            self._leases.end(delivery.token)

    async def next_due(self, destination: str) -> float | None:
        """Seconds until the next unclaimed delivery is due."""
        now = self._now_ms()
        waits = (
            0 if row.due_ms > now + MAX_DELAY * 1000 else max(0, row.due_ms - now)
            for row in self._pending[destination]
            if not self._held(row)
        )
        soonest = min(waits, default=None)
        return None if soonest is None else soonest / 1000

    async def deliveries(self, event_id: str) -> list[Delivery]:
        """Every delivery of one event."""
        kept = self._events.get(event_id)
        return [] if kept is None else [row.delivery() for row in kept.rows]

    async def dead_letters(
        self,
        destination: str | None = None,
        *,
        limit: int = 100,
    ) -> list[Delivery]:
        """Deliveries that were given up."""
        return [row.delivery() for row in self._dead(destination, None)][:limit]

    async def replay(
        self,
        destination: str | None = None,
        *,
        event_id: str | None = None,
    ) -> int:
        """Make dead letters due again."""
        rows = list(self._dead(destination, event_id))
        for row in rows:
            row.state, row.attempts = "pending", 0
            row.since_ms = row.due_ms = self._now_ms()
            self._put_back(row)
        return len(rows)

    async def counts(self) -> dict[str, dict[State, int]]:
        """How many deliveries each destination has in each state."""
        counted: dict[str, Counter[State]] = defaultdict(Counter)
        for row in self._rows():
            counted[row.destination][row.state] += 1
        return {destination: dict(states) for destination, states in counted.items()}

    async def bot_of(self, telegram_id: int) -> int | None:
        """Return the bot of the user's newest event that names one."""
        bots = (kept.event.bot_id for kept in reversed(self._of_user(telegram_id)))
        return next((bot_id for bot_id in bots if bot_id is not None), None)

    def _now_ms(self) -> int:
        return round(self.clock.time() * 1000)

    def _rows(self) -> Iterator[_Row]:
        return (row for kept in self._events.values() for row in kept.rows)

    def _of_user(self, telegram_id: int) -> list[_Kept]:
        return [self._events[event_id] for event_id in self._users.get(telegram_id, [])]

    def _skip(self, rows: Iterable[_Row], reason: str) -> int:
        free = [row for row in rows if not self._held(row)]
        for row in free:
            if row.state == "pending":
                self._take_out(row)
            row.state, row.reason = "skipped", reason
        return len(free)

    def _held(self, row: _Row) -> bool:
        return self._leases.holds((row.event.event_id, row.destination))

    def _erase(self, events: Collection[_Kept]) -> int:
        """Remove events; their ids stay known."""
        for kept in events:
            for row in kept.rows:
                if row.state == "pending":
                    self._take_out(row)
            event = kept.event
            del self._events[event.event_id]
            self._users[event.telegram_id].remove(event.event_id)
            self._erased.add(id_digest(self._salt, event.event_id))
        return len(events)

    def _digests(self, keys: Collection[str]) -> dict[bytes, str]:
        return {key_digest(self._salt, key): key for key in keys}

    def _row(self, event_id: str, destination: str) -> _Row | None:
        kept = self._events.get(event_id)
        rows = [] if kept is None else kept.rows
        return next((row for row in rows if row.destination == destination), None)

    def _dead(self, destination: str | None, event_id: str | None) -> Iterator[_Row]:
        return (
            row
            for row in self._rows()
            if row.state == "dead"
            and destination in (None, row.destination)
            and event_id in (None, row.event.event_id)
        )

    def _due(self, destination: str) -> Iterator[_Row]:
        """Rows that may be tried now; also those that a clock set back left far in the future."""
        now = self._now_ms()
        rows = self._pending[destination]
        for row in rows:
            if row.due_ms > now:
                break
            yield row
        beyond = bisect_left(rows, now + MAX_DELAY * 1000 + 1, key=lambda row: row.due_ms)
        yield from rows[beyond:]

    def _put_back(self, row: _Row) -> None:
        insort(self._pending[row.destination], row, key=lambda known: known.order)

    def _take_out(self, row: _Row) -> None:
        rows = self._pending[row.destination]
        del rows[bisect_left(rows, row.order, key=lambda known: known.order)]
