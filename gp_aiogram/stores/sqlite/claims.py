"""Finds deliveries of a SQLite file that may be claimed, and settles those that were."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Any, NamedTuple

from gp_aiogram.model.clock import Clock, from_ms
from gp_aiogram.model.event import Event
from gp_aiogram.stores.leases import Leases
from gp_aiogram.stores.pages import Key
from gp_aiogram.stores.recent import RecentEvents
from gp_aiogram.stores.records import MAX_DELAY, Outcome, State
from gp_aiogram.stores.rows import key_of, receipt_text
from gp_aiogram.stores.spoilt import DELIVERY_IS_SPOILT, is_sound, read_events
from gp_aiogram.stores.sqlite.bulk import change_in, select_in
from gp_aiogram.stores.sqlite.rows import COLUMNS, now_ms, storable
from gp_aiogram.stores.sqlite.spoilt import bury
from gp_aiogram.stores.sqlite.tally import Tally
from gp_aiogram.stores.tries import tries_text

_MAX_DELAY_MS = round(MAX_DELAY * 1000)


def _pending(cap: str, moments: str) -> str:
    return f"""
        SELECT {COLUMNS} FROM delivery
        WHERE destination = ? AND state = 'pending' AND batch_cap IS {cap} AND due_ms {moments} ?
        ORDER BY due_ms, seq
    """


#: By whether deliveries with a batch cap are meant: what is due until a moment, and after it.
#: An index answers each, in order.
_UNTIL = {False: _pending("NULL", "<="), True: _pending("NOT NULL", "<=")}
_AFTER = {False: _pending("NULL", ">"), True: _pending("NOT NULL", ">")}

#: When the trying of the delivery began whose turn is next; the same indexes answer it.
_FIRST = tuple(
    f"""
        SELECT since_ms FROM delivery
        WHERE destination = ? AND state = 'pending' AND batch_cap IS {cap}
        ORDER BY due_ms, seq LIMIT 1
    """
    for cap in ("NULL", "NOT NULL")
)

_EVENTS = "SELECT seq, body FROM event WHERE seq IN ({marks})"

_SETTLE = """
    UPDATE delivery
    SET state = ?, due_ms = ?, attempts = ?, reason = ?, receipt = ?, maybe_delivered = ?,
        batch_cap = ?, tries = ifnull(?, tries)
    WHERE destination = ? AND state = ? AND seq IN ({marks})
"""

#: By the state of an outcome: the states in which its delivery may be, the usual one first. The
#: outcome's own comes last, where it counts no row that has just got there. What was skipped is
#: not tried again.
_STATES_BEFORE: Mapping[State, Sequence[State]] = {
    "pending": ("pending", "dead", "delivered"),
    "delivered": ("pending", "dead", "skipped", "delivered"),
    "skipped": ("pending", "dead", "delivered", "skipped"),
    "dead": ("pending", "skipped", "delivered", "dead"),
}


class Demand(NamedTuple):
    """What somebody wants to claim."""

    destination: str
    limit: int
    capped: bool


class Due(NamedTuple):
    """What somebody may claim, the longest due first.

    :param rows: of the deliveries.
    :param events: for each row.
    :param now: the time of the look.
    """

    rows: Sequence[Any]
    events: Sequence[Event]
    now: datetime


class _Same(NamedTuple):
    """Events whose deliveries to one destination had the same outcome."""

    destination: str
    outcome: Outcome
    seqs: list[int]


class Claims:
    """Works for many callers at once.

    The leases are the callers' to take and to end, when the transaction is over: whatever goes
    wrong before, nobody holds anything.

    :param clock: its wall clock tells what is due.
    :param leases: what is claimed.
    :param recent: events that need no decoding.
    """

    def __init__(self, clock: Clock, leases: Leases[Key], recent: RecentEvents) -> None:
        self._clock = clock
        self._leases = leases
        self._recent = recent

    def find(self, connection: sqlite3.Connection, demands: Sequence[Demand]) -> list[Due]:
        """Find what each caller may claim; nobody gets what is another's.

        What cannot be read is settled as dead in the same look.
        """
        at_ms = now_ms(self._clock)
        found: list[list[Any]] = []
        taken: set[Key] = set()
        spoilt: dict[Key, str] = {}
        for demand in demands:
            rows = self._find_for(connection, demand, at_ms, taken, spoilt)
            taken.update(row[:2] for row in rows)
            found.append(rows)
        events, reasons = self._events(connection, {seq for seq, _ in taken})
        spoilt |= {key: reasons[key[0]] for key in taken if key[0] in reasons}
        if spoilt:
            bury(connection, spoilt, at_ms)
            found = [[row for row in rows if row[0] in events] for rows in found]
        now = from_ms(at_ms)
        return [Due(rows, [events[row[0]] for row in rows], now) for rows in found]

    def next_due(
        self,
        connection: sqlite3.Connection,
        destinations: Sequence[str],
    ) -> list[float | None]:
        """Return in how many seconds an unclaimed delivery is due; None without any."""
        at_ms = now_ms(self._clock)
        return [self._next_due(connection, destination, at_ms) for destination in destinations]

    def oldest(
        self,
        connection: sqlite3.Connection,
        destinations: Sequence[str],
    ) -> list[float | None]:
        """Return for how many seconds the delivery has been tried whose turn is next."""
        at_ms = now_ms(self._clock)
        return [_oldest(connection, destination, at_ms) for destination in destinations]

    def settle(
        self,
        connection: sqlite3.Connection,
        batches: Sequence[Sequence[Outcome]],
    ) -> list[None]:
        """Record what became of deliveries whose claims hold."""
        at_ms = now_ms(self._clock)
        tally = Tally()
        for same in _alike(self._held(chain.from_iterable(batches))):
            _record(connection, same, at_ms, tally)
        tally.write(connection)
        return [None] * len(batches)

    def _find_for(
        self,
        connection: sqlite3.Connection,
        demand: Demand,
        at_ms: int,
        taken: Collection[Key],
        spoilt: dict[Key, str],
    ) -> list[Any]:
        destination, limit, capped = demand
        due = self._free(connection, _UNTIL[capped], (destination, at_ms))
        # What a clock set back has left far in the future.
        far = self._free(connection, _AFTER[capped], (destination, at_ms + _MAX_DELAY_MS))
        free = _sound((row for row in chain(due, far) if row[:2] not in taken), spoilt)
        return [*islice(_one_batch(free) if capped else free, limit)]

    def _events(
        self,
        connection: sqlite3.Connection,
        seqs: Collection[int],
    ) -> tuple[dict[int, Event], dict[int, str]]:
        """Return events by their numbers, and why the rest of them cannot be read."""
        events = self._recent.find(seqs)
        others = [seq for seq in seqs if seq not in events]
        read, reasons = read_events(others, select_in(connection, _EVENTS, others))
        return {**events, **read}, reasons

    def _next_due(
        self,
        connection: sqlite3.Connection,
        destination: str,
        at_ms: int,
    ) -> float | None:
        latest_ms = at_ms + _MAX_DELAY_MS
        waits = []
        for capped in (False, True):
            soonest = self._free(connection, _UNTIL[capped], (destination, latest_ms))
            waits += [max(0, row[5] - at_ms) / 1000 for row in islice(soonest, 1)]
            far = self._free(connection, _AFTER[capped], (destination, latest_ms))
            waits += [0.0 for _ in islice(far, 1)]
        return min(waits, default=None)

    def _free(
        self,
        connection: sqlite3.Connection,
        query: str,
        parameters: Sequence[Any],
    ) -> Iterator[Any]:
        """Yield the rows of deliveries that nobody has claimed."""
        rows = connection.execute(query, parameters)
        return (row for row in rows if not self._leases.holds(row[:2]))

    def _held(self, outcomes: Iterable[Outcome]) -> dict[Key, Outcome]:
        """Return the outcomes whose claims hold; after a provisional one another may follow."""
        held: dict[Key, Outcome] = {}
        for outcome in outcomes:
            key = key_of(outcome.delivery)
            earlier = held.get(key)
            if earlier is not None and not earlier.provisional:
                continue
            if self._leases.proves(outcome.delivery.token, key):
                held[key] = outcome
        return held


def _oldest(connection: sqlite3.Connection, destination: str, at_ms: int) -> float | None:
    rows = (row for query in _FIRST for row in connection.execute(query, (destination,)))
    # What is no number was written by another program; a claim will find it and say so.
    ages = (max(0, at_ms - since) / 1000 for (since,) in rows if isinstance(since, int))
    return max(ages, default=None)


def _sound(rows: Iterable[Any], spoilt: dict[Key, str]) -> Iterator[Any]:
    """Yield the rows that can be read, and put down the others."""
    for row in rows:
        if is_sound(row):
            yield row
        else:
            spoilt[row[:2]] = DELIVERY_IS_SPOILT


def _one_batch(free: Iterator[Any]) -> Iterator[Any]:
    """Yield what may share a request with the first."""
    for first in free:
        yield first
        cap = first[-1]
        yield from islice((row for row in free if row[-1] >= cap), cap - 1)
        return


def _alike(held: Mapping[Key, Outcome]) -> Iterable[_Same]:
    """Put what became the same together: events of one request have one receipt, one object."""
    alike: dict[tuple[Any, ...], _Same] = {}
    for (seq, destination), outcome in held.items():
        _, state, delay, attempts, reason, receipt, maybe, cap, _, tries = outcome
        known = None if tries is None else tuple(tries)
        same = destination, state, delay, attempts, reason, id(receipt), maybe, cap, known
        if same not in alike:
            alike[same] = _Same(destination, outcome, [])
        alike[same].seqs.append(seq)
    return alike.values()


def _record(
    connection: sqlite3.Connection,
    same: _Same,
    at_ms: int,
    tally: Tally,
) -> None:
    destination, outcome, seqs = same
    columns = (
        outcome.state,
        at_ms + round(min(outcome.delay, MAX_DELAY) * 1000),
        outcome.attempts,
        storable(outcome.reason),
        receipt_text(outcome.receipt),
        outcome.maybe_delivered,
        outcome.batch_cap,
        tries_text(outcome.tries),
    )
    left = len(seqs)
    for state in _STATES_BEFORE[outcome.state]:
        changed = change_in(connection, _SETTLE, seqs, before=(*columns, destination, state))
        tally.move(destination, state, outcome.state, changed)
        left -= changed
        if not left:
            break
