"""A store in this process's memory, for tests and experiments: it forgets everything at exit."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gp_aiogram.attribution import Session
from gp_aiogram.click import Click
from gp_aiogram.clock import Clock, SystemClock, from_ms
from gp_aiogram.event import Event, Traits
from gp_aiogram.stores.base import MAX_DELAY, Delivery, Profile, Settlement, State, Store
from gp_aiogram.stores.leases import Leases


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


class MemoryStore(Store):
    """Sessions and outbox in memory.

    :param clock: what tells the time; this machine's clocks unless a test turns its own.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self._touches: dict[int, list[Session]] = defaultdict(list)
        self._clicks: dict[str, Click] = {}
        self._traits: dict[int, dict[str, Mapping[str, str]]] = defaultdict(dict)
        self._events: dict[str, list[_Row]] = {}
        self._bots: dict[int, int] = {}
        self._once: set[str] = set()
        self._pending: dict[str, list[_Row]] = defaultdict(list)
        self._leases: Leases[tuple[str, str]] = Leases(self.clock)

    async def add_session(self, session: Session) -> None:
        """Keep a touch."""
        touches = self._touches[session.telegram_id]
        if not any(_same_touch(session, known) for known in touches):
            insort(touches, session, key=lambda touch: touch.at)

    async def find_session(
        self,
        telegram_id: int,
        bot_id: int | None,
        *,
        first: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Session | None:
        """Return the last (or first) touch of a user."""
        touches = self._touches.get(telegram_id, [])
        for touch in touches if first else reversed(touches):
            if bot_id is not None and touch.bot_id != bot_id:
                continue
            if since is not None and touch.at < since:
                continue
            if until is not None and touch.at > until:
                continue
            return touch
        return None

    async def add_click(self, session_id: str, click: Click) -> bool:
        """Keep what a landing page saw."""
        if session_id in self._clicks:
            return False
        self._clicks[session_id] = click
        return True

    async def add_traits(self, telegram_id: int, traits: Traits) -> None:
        """Keep traits of a user."""
        known = self._traits[telegram_id]
        for platform, fields in traits.items():
            if fields:
                known[platform] = {**known.get(platform, {}), **fields}

    async def profile(self, telegram_id: int, session_id: str | None) -> Profile:
        """Return everything known of a user, and the click of his session."""
        click = None if session_id is None else self._clicks.get(session_id)
        traits = self._traits.get(telegram_id, {})
        return Profile(click, {platform: dict(fields) for platform, fields in traits.items()})

    async def accept(
        self,
        event: Event,
        destinations: Sequence[str],
        *,
        once: str | None = None,
    ) -> bool:
        """Keep an event and its deliveries."""
        if event.event_id in self._events or once in self._once:
            return False
        if once is not None:
            self._once.add(once)
        seq, now = len(self._events), self._now_ms()
        rows = [_Row(seq, event, name, now, now) for name in sorted(set(destinations))]
        self._events[event.event_id] = rows
        if event.bot_id is not None:
            self._bots[event.telegram_id] = event.bot_id
        for row in rows:
            self._put_back(row)
        return True

    async def claim(self, destination: str, limit: int, *, lease: float) -> list[Delivery]:
        """Take due deliveries."""
        claimed: list[Delivery] = []
        for row in self._due(destination):
            if len(claimed) == limit:
                break
            key = row.event.event_id, destination
            if not self._leases.holds(key):
                claimed.append(row.delivery(self._leases.grant(key, lease)))
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
            if not self._leases.holds((row.event.event_id, destination))
        )
        soonest = min(waits, default=None)
        return None if soonest is None else soonest / 1000

    async def deliveries(self, event_id: str) -> list[Delivery]:
        """Every delivery of one event."""
        return [row.delivery() for row in self._events.get(event_id, [])]

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
        return self._bots.get(telegram_id)

    def _now_ms(self) -> int:
        return round(self.clock.time() * 1000)

    def _rows(self) -> Iterator[_Row]:
        return (row for rows in self._events.values() for row in rows)

    def _row(self, event_id: str, destination: str) -> _Row:
        return next(row for row in self._events[event_id] if row.destination == destination)

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


def _same_touch(one: Session, other: Session) -> bool:
    return (one.bot_id, one.session_id, one.at) == (other.bot_id, other.session_id, other.at)
