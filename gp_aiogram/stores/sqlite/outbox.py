"""Events and their deliveries in a SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple, cast

from gp_aiogram.model.clock import from_ms
from gp_aiogram.model.event import Event
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.leases import Leases
from gp_aiogram.stores.records import MAX_DELAY, Acceptance, Delivery, Settlement, State
from gp_aiogram.stores.sqlite.file import SQLiteFile, existing, fetched, insert, update
from gp_aiogram.stores.sqlite.once_keys import Seen
from gp_aiogram.stores.sqlite.recent import RecentEvents

#: Every column of a delivery and its event, for :func:`delivery_of`.
DELIVERY = """
    SELECT seq, destination, state, attempts, since_ms, due_ms, reason, receipt, body
    FROM delivery JOIN event USING (seq)
"""

#: What shared a transaction has its times in common.
_moment = lru_cache(maxsize=1024)(from_ms)


#: Columns of the deliveries to claim, in the order of :func:`_claimed`.
_CLAIM = "seq, attempts, since_ms, due_ms, reason, receipt"


class Kept(NamedTuple):
    """An event that was kept: its number, and the length of its JSON."""

    seq: int
    length: int


class _Claim(NamedTuple):
    destination: str
    limit: int


class SQLiteOutbox(Outbox):
    """The part of :class:`~gp_aiogram.SQLiteStore` that keeps events."""

    _file: SQLiteFile
    _leases: Leases[tuple[str, int]]
    _recent: RecentEvents

    #: Of the last event that this object has numbered. What was rolled back or erased leaves a
    #: gap: within one process a number stands for one event for ever.
    _last_seq = 0

    async def accept(
        self,
        event: Event,
        destinations: Sequence[str],
        *,
        once: Collection[str] = (),
        order: str | None = None,
    ) -> bool:
        """Keep an event and its deliveries; returns when they are on disk."""
        acceptance = Acceptance(event, destinations, once, order)
        return self._remembered(event, await self._file.submit(self._accept, acceptance))

    def _remembered(self, event: Event, kept: Kept | None) -> bool:
        """Have the event at hand for who claims it; whether it was kept at all."""
        if kept is not None and self._file.is_open:
            self._recent.add(kept.seq, event, kept.length)
        return kept is not None

    async def claim(self, destination: str, limit: int, *, lease: float) -> list[Delivery]:
        """Take due deliveries."""
        due = await self._file.submit(self._claim, _Claim(destination, limit), reads=True)
        tokens = self._leases.grant(((destination, row[0]) for row, _ in due), lease)
        return [
            _claimed(event, destination, row, token)
            for (row, event), token in zip(due, tokens, strict=True)
        ]

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Record outcomes."""
        await self._file.submit(self._settle, settlements)
        await self.release([one.delivery for one in settlements if not one.provisional])

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give claimed deliveries back."""
        for delivery in deliveries:
            self._leases.end(delivery.token)

    async def next_due(self, destination: str) -> float | None:
        """Seconds until the next unclaimed delivery is due."""
        now_ms = self._now_ms()
        latest_ms = now_ms + MAX_DELAY * 1000
        soonest, set_back = (
            f"""
            SELECT seq, due_ms FROM delivery
            WHERE destination = ? AND state = 'pending' AND due_ms {condition} ?
            ORDER BY due_ms, seq LIMIT ?
            """
            for condition in ("<=", ">")
        )
        rows = await self._file.read(
            f"SELECT * FROM ({soonest}) UNION ALL SELECT * FROM ({set_back})",
            (destination, latest_ms, len(self._leases) + 1) * 2,
        )
        waits = [
            0 if due_ms > latest_ms else max(0, due_ms - now_ms)
            for seq, due_ms in rows
            if not self._leases.holds((destination, seq))
        ]
        return min(waits) / 1000 if waits else None

    async def deliveries(self, event_id: str) -> list[Delivery]:
        """Every delivery of one event."""
        rows = await self._file.read(
            f"{DELIVERY} WHERE event_id = ? ORDER BY destination",
            (event_id,),
        )
        return [delivery_of(row) for row in rows]

    async def dead_letters(
        self,
        destination: str | None = None,
        *,
        limit: int = 100,
    ) -> list[Delivery]:
        """Deliveries that were given up."""
        rows = await self._file.read(
            f"""
            {DELIVERY} WHERE state = 'dead'
            AND (:destination IS NULL OR destination = :destination)
            ORDER BY seq, destination LIMIT :limit
            """,
            {"destination": destination, "limit": limit},
        )
        return [delivery_of(row) for row in rows]

    async def replay(
        self,
        destination: str | None = None,
        *,
        event_id: str | None = None,
    ) -> int:
        """Make dead letters due again."""
        replayed: int = await self._file.submit(self._replay, (destination, event_id))
        return replayed

    async def counts(self) -> dict[str, dict[State, int]]:
        """How many deliveries each destination has in each state."""
        rows = await self._file.read(
            "SELECT destination, state, count(*) FROM delivery GROUP BY destination, state",
            (),
        )
        counted: dict[str, dict[State, int]] = defaultdict(dict)
        for destination, state, count in rows:
            counted[destination][state] = count
        return dict(counted)

    async def bot_of(self, telegram_id: int) -> int | None:
        """Return the bot of the user's newest event that names one."""
        rows = await self._file.read(
            """
            SELECT bot_id FROM event WHERE telegram_id = ? AND bot_id IS NOT NULL
            ORDER BY seq DESC LIMIT 1
            """,
            (telegram_id,),
        )
        return cast("int", rows[0][0]) if rows else None

    # Bulk operations: each does one kind of thing for every caller of a shared transaction, in
    # SQLite's thread.

    def _accept(
        self,
        connection: sqlite3.Connection,
        acceptances: Sequence[Acceptance],
    ) -> list[Kept | None]:
        seen = Seen(connection)
        event_ids = [acceptance.event.event_id for acceptance in acceptances]
        known_ids = existing(connection, "event", "event_id", event_ids)
        known_ids |= seen.erased(event_ids)
        digests = [seen.keys(acceptance.once) for acceptance in acceptances]
        known_keys = seen.known([*chain(*digests)])
        now_ms = self._now_ms()
        events: list[tuple[Any, ...]] = []
        deliveries: list[tuple[Any, ...]] = []
        keys: list[bytes] = []
        results: list[Kept | None] = []
        numbers = self._numbers(connection)
        for (event, destinations, _, order), once in zip(acceptances, digests, strict=True):
            if event.event_id in known_ids or not known_keys.isdisjoint(once):
                results.append(None)
                continue
            known_ids.add(event.event_id)
            known_keys.update(once)
            keys += once
            seq, body = next(numbers), event.to_json()
            results.append(Kept(seq, len(body)))
            digest = None if order is None else seen.key(order)
            user = event.telegram_id, event.bot_id
            events.append((seq, event.event_id, *user, now_ms, body, digest))
            deliveries += [(seq, name, now_ms, now_ms) for name in {*destinations}]
        columns = "seq, event_id, telegram_id, bot_id, accepted_ms, body, order_digest"
        insert(connection, f"event ({columns})", events)
        insert(connection, "delivery (seq, destination, since_ms, due_ms)", deliveries)
        seen.add(keys, now_ms)
        return results

    def _numbers(self, connection: sqlite3.Connection) -> Iterator[int]:
        """Number events upwards, also across what was rolled back."""
        ((last,),) = connection.execute("SELECT coalesce(max(seq), 0) FROM event")
        self._last_seq = max(self._last_seq, last)
        while True:
            self._last_seq += 1
            yield self._last_seq

    def _claim(
        self,
        connection: sqlite3.Connection,
        claims: Sequence[_Claim],
    ) -> list[list[tuple[Any, Event]]]:
        # The callers take the leases, once they have the rows: whatever goes wrong before that,
        # nobody holds anything.
        taken: set[tuple[str, int]] = set()
        due = [self._claim_one(connection, claim, taken) for claim in claims]
        events = self._events(connection, {row[0] for rows in due for row in rows})
        return [[(row, events[row[0]]) for row in rows] for rows in due]

    def _events(self, connection: sqlite3.Connection, seqs: Collection[int]) -> dict[int, Event]:
        recent = {seq: event for seq in seqs if (event := self._recent.get(seq)) is not None}
        others = [seq for seq in seqs if seq not in recent]
        rows = fetched(connection, "SELECT seq, body FROM event WHERE seq IN ({marks})", others)
        return recent | {seq: Event.from_json(body) for seq, body in rows}

    def _claim_one(
        self,
        connection: sqlite3.Connection,
        claim: _Claim,
        taken: set[tuple[str, int]],
    ) -> list[Any]:
        now_ms = self._now_ms()
        due: list[Any] = []
        # The second condition finds what a clock set back left far in the future.
        for condition, moment in (("<=", now_ms), (">", now_ms + MAX_DELAY * 1000)):
            if len(due) == claim.limit:
                break
            rows = connection.execute(
                f"""
                SELECT {_CLAIM} FROM delivery
                WHERE destination = ? AND state = 'pending' AND due_ms {condition} ?
                ORDER BY due_ms, seq LIMIT ?
                """,
                (claim.destination, moment, claim.limit + len(self._leases) + len(taken)),
            )
            for row in rows:
                key = (claim.destination, row[0])
                if len(due) < claim.limit and key not in taken and not self._leases.holds(key):
                    taken.add(key)
                    due.append(row)
        return due

    def _settle(
        self,
        connection: sqlite3.Connection,
        batches: Sequence[Sequence[Settlement]],
    ) -> list[None]:
        now_ms = self._now_ms()
        held: dict[tuple[str, int], Settlement] = {}
        for settlement in chain.from_iterable(batches):
            key = self._leases.key(settlement.delivery.token)
            if key is not None and (key not in held or held[key].provisional):
                held[key] = settlement
        for (destination, *_), same in _alike(held).items():
            one = held[destination, same[0]]
            changes = (
                one.state,
                now_ms + round(min(one.delay, MAX_DELAY) * 1000),
                one.attempts,
                _storable(one.reason),
                _receipt(one.receipt),
            )
            update(connection, _SETTLE, (*changes, destination), same)
        return [None] * len(batches)

    def _replay(
        self,
        connection: sqlite3.Connection,
        choices: Sequence[tuple[str | None, str | None]],
    ) -> list[int]:
        return [self._replay_one(connection, *choice) for choice in choices]

    def _replay_one(
        self,
        connection: sqlite3.Connection,
        destination: str | None,
        event_id: str | None,
    ) -> int:
        cursor = connection.execute(
            """
            UPDATE delivery
            SET state = 'pending', attempts = 0, since_ms = :now_ms, due_ms = :now_ms
            WHERE state = 'dead' AND (:destination IS NULL OR destination = :destination)
            AND (:event_id IS NULL OR seq = (SELECT seq FROM event WHERE event_id = :event_id))
            """,
            {"now_ms": self._now_ms(), "destination": destination, "event_id": event_id},
        )
        return cursor.rowcount

    def _now_ms(self) -> int:
        return round(self.clock.time() * 1000)


_SETTLE = """
    UPDATE delivery SET state = ?, due_ms = ?, attempts = ?, reason = ?, receipt = ?
    WHERE destination = ? AND seq IN ({marks})
"""


def _alike(held: Mapping[tuple[str, int], Settlement]) -> dict[tuple[Any, ...], list[int]]:
    """Put what became the same together: events of one request have one receipt, one object."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for (destination, seq), one in held.items():
        outcome = one.state, one.delay, one.attempts, one.reason, id(one.receipt)
        alike.setdefault((destination, *outcome), []).append(seq)
    return alike


def _storable(text: str | None) -> str | None:
    """Escape half an emoji, as a server may answer it: SQLite keeps no lone surrogate."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def _receipt(receipt: Mapping[str, Any]) -> str | None:
    return json.dumps(receipt, default=str) if receipt else None


def _claimed(event: Event, destination: str, row: Any, token: str) -> Delivery:
    _, attempts, since_ms, due_ms, reason, receipt = row
    return Delivery(
        event=event,
        destination=destination,
        state="pending",
        attempts=attempts,
        since=_moment(since_ms),
        due=_moment(due_ms),
        reason=reason,
        receipt=json.loads(receipt) if receipt else {},
        token=token,
    )


def delivery_of(row: Any, token: str = "") -> Delivery:
    """Return the delivery in a row of :data:`DELIVERY`."""
    _, destination, state, attempts, since_ms, due_ms, reason, receipt, body = row
    return Delivery(
        event=Event.from_json(body),
        destination=destination,
        state=state,
        attempts=attempts,
        since=_moment(since_ms),
        due=_moment(due_ms),
        reason=reason,
        receipt=json.loads(receipt) if receipt else {},
        token=token,
    )
