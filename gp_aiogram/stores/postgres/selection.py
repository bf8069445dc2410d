"""Looks up, changes and erases what a filter means in a PostgreSQL schema."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from gp_aiogram.stores.conditions import Conditions
from gp_aiogram.stores.pages import Changed, Erasure, Key, Page, Shown, Transition
from gp_aiogram.stores.postgres.conditions import WORDING, conditions_of
from gp_aiogram.stores.postgres.rows import COLUMNS, NOW, storable
from gp_aiogram.stores.postgres.spoilt import event_or_stand_in
from gp_aiogram.stores.postgres.transaction import Transaction
from gp_aiogram.stores.recent import RecentEvents
from gp_aiogram.stores.records import Change, Delivery, DeliveryFilter
from gp_aiogram.stores.spoilt import readable

#: Deliveries, or events, that one transaction looks at, and that it returns or changes: few enough
#: that whoever reads or writes does not wait long for it.
WINDOW, PAGE = 5000, 500

#: Of what one transaction looks at.
_WITHIN = """
    (delivery.seq, delivery.destination) > (
        CAST(:after_seq AS BIGINT), CAST(:after_destination AS TEXT)
    )
    AND (delivery.seq, delivery.destination) <= (
        CAST(:end_seq AS BIGINT), CAST(:end_destination AS TEXT)
    )
    AND event.seq >= CAST(:after_seq AS BIGINT) AND event.seq <= CAST(:end_seq AS BIGINT)
"""

#: An index finds few events by what it says; it must be used before the order is thought of.
_NARROWED = """
    WITH event AS MATERIALIZED (SELECT * FROM {{gp}}.event WHERE {narrow})
"""
_PLAIN, _FEW = "{gp}.event", "event"

_SELECT = f"""
    SELECT {COLUMNS}, event.body
    FROM {{source}} JOIN {{{{gp}}}}.delivery ON delivery.seq = event.seq
    WHERE {{events}} AND {{deliveries}} AND {_WITHIN}
    ORDER BY delivery.seq, delivery.destination LIMIT CAST(:limit AS BIGINT)
"""

_TO_CHANGE = f"""
    SELECT delivery.seq, delivery.destination, delivery.state
    FROM {{source}} JOIN {{{{gp}}}}.delivery ON delivery.seq = event.seq
    WHERE {{events}} AND {{deliveries}} AND NOT ({{done}}) AND {_WITHIN}
    ORDER BY delivery.seq, delivery.destination LIMIT CAST(:limit AS BIGINT)
    FOR UPDATE OF delivery
"""
_DONE = """
    delivery.state = CAST(:state AS TEXT)
    AND coalesce(CAST(:reason AS TEXT), delivery.reason) IS NOT DISTINCT FROM delivery.reason
"""
_FRESH = """
    delivery.attempts = 0 AND delivery.batch_cap IS NULL
    AND delivery.since_ms = delivery.due_ms AND delivery.due_ms <= CAST(:now AS BIGINT)
"""

_CHANGE = """
    UPDATE {gp}.delivery SET state = CAST(:state AS TEXT),
        reason = coalesce(CAST(:reason AS TEXT), reason)
    WHERE destination = CAST(:destination AS TEXT) AND seq = ANY(CAST(:seqs AS BIGINT[]))
"""
_RESTART = """
    UPDATE {gp}.delivery SET state = CAST(:state AS TEXT),
        reason = coalesce(CAST(:reason AS TEXT), reason), attempts = 0, batch_cap = NULL,
        since_ms = CAST(:now AS BIGINT), due_ms = CAST(:now AS BIGINT)
    WHERE destination = CAST(:destination AS TEXT) AND seq = ANY(CAST(:seqs AS BIGINT[]))
"""

_TO_ERASE = """
    SELECT event.seq FROM {source}
    WHERE {events} AND event.seq > CAST(:after_seq AS BIGINT)
        AND event.seq <= CAST(:end_seq AS BIGINT)
        AND NOT EXISTS (
            SELECT 1 FROM {{gp}}.delivery
            WHERE delivery.seq = event.seq AND NOT ({deliveries})
        )
    ORDER BY event.seq LIMIT CAST(:limit AS BIGINT)
"""
#: The deliveries first, as whoever claims and settles them has it.
_LOCK = """
    SELECT seq FROM {gp}.delivery WHERE seq = ANY(CAST(:seqs AS BIGINT[]))
    ORDER BY seq, destination FOR UPDATE
"""
#: Another look at those whose deliveries nobody changes any more.
_STILL = """
    SELECT event.seq FROM {{gp}}.event
    WHERE {events} AND event.seq = ANY(CAST(:seqs AS BIGINT[]))
        AND NOT EXISTS (
            SELECT 1 FROM {{gp}}.delivery
            WHERE delivery.seq = event.seq AND NOT ({deliveries})
        )
    ORDER BY event.seq FOR UPDATE
"""
_DELETE_DELIVERIES = """
    DELETE FROM {gp}.delivery WHERE seq = ANY(CAST(:seqs AS BIGINT[]))
    RETURNING destination, state
"""
_DELETE_EVENTS = "DELETE FROM {gp}.event WHERE seq = ANY(CAST(:seqs AS BIGINT[]))"

#: The last of what one transaction looks at, when more may follow.
_LAST_DELIVERY = """
    SELECT seq, destination FROM {{gp}}.delivery
    WHERE {found_by} AND (seq, destination) > (
        CAST(:after_seq AS BIGINT), CAST(:after_destination AS TEXT)
    )
    ORDER BY seq, destination LIMIT 1 OFFSET CAST(:window AS BIGINT) - 1
"""
_LAST_EVENT = """
    SELECT seq, '' FROM {source} WHERE event.seq > CAST(:after_seq AS BIGINT)
    ORDER BY seq LIMIT 1 OFFSET CAST(:window AS BIGINT) - 1
"""
#: Events are numbered in the order of their acceptance, more or less: what follows the first
#: younger one is not even looked at.
_AGES = """
    SELECT seq, accepted_ms >= CAST(:accepted_before AS BIGINT) FROM {gp}.event
    WHERE seq > CAST(:after_seq AS BIGINT) ORDER BY seq LIMIT CAST(:window AS BIGINT)
"""

_FIRST: Key = (0, "")
_BEYOND: Key = (2**63 - 1, "")


class Erased(NamedTuple):
    """How many events were erased, and where the page has ended."""

    events: int
    end: Key | None


class _Look:
    """What one transaction looks at for one filter."""

    def __init__(self, transaction: Transaction, where: DeliveryFilter, now: int) -> None:
        self._transaction = transaction
        self._where = where
        self.conditions: Conditions = conditions_of(where, transaction.salt, now)
        self._narrow = WORDING.narrow_condition(where)
        self.parameters: dict[str, Any] = self.conditions.parameters
        self.now = now

    async def fetch(self, statement: str, **more: Any) -> Sequence[Any]:
        """Run a statement that is written with the filter's conditions."""
        events, deliveries, _ = self.conditions
        narrow = "" if self._narrow is None else _NARROWED.format(narrow=self._narrow)
        text = narrow + statement.format(
            source=_PLAIN if self._narrow is None else _FEW,
            events=events,
            deliveries=deliveries,
            done=more.pop("done", ""),
        )
        return await self._transaction.fetch(text, **self.parameters, **more)

    async def limit_to_window(self, after: Key | None) -> Key | None:
        """Look at the next deliveries only, and return the last; None without more."""
        self._start(after)
        if self._narrow is None:
            found_by = _indexed_condition(self._where)
            statement = _LAST_DELIVERY.format(found_by=found_by)
            rows = await self._transaction.fetch(statement, **self.parameters, window=WINDOW)
        else:
            rows = await self.fetch(_LAST_EVENT, window=WINDOW)
        return self._end(rows)

    async def limit_to_events(self, after: Key | None) -> Key | None:
        """Look at the next events only, and return the last; None without more."""
        self._start(after)
        if self._narrow is None and self._where.accepted_before is not None:
            ages = await self._transaction.fetch(_AGES, **self.parameters, window=WINDOW)
            old = [seq for seq, _ in takewhile(lambda age: not age[1], ages)]
            self._end([(old[-1] if old else 0, "")])
            return (old[-1], "") if len(old) == WINDOW else None
        return self._end(await self.fetch(_LAST_EVENT, window=WINDOW))

    def _start(self, after: Key | None) -> None:
        self.parameters["after_seq"], self.parameters["after_destination"] = after or _FIRST

    def _end(self, rows: Sequence[Any]) -> Key | None:
        end = (rows[0][0], rows[0][1]) if rows else None
        self.parameters["end_seq"], self.parameters["end_destination"] = end or _BEYOND
        return end


class Selection:
    """Works for many callers at once.

    :param recent: loses what is erased.
    """

    def __init__(self, recent: RecentEvents) -> None:
        self._recent = recent

    async def select(self, transaction: Transaction, pages: Sequence[Page]) -> list[Shown]:
        """Return the deliveries that each caller wants to see."""
        now = await _now(transaction)
        return [await self._select(transaction, page, now) for page in pages]

    async def transition(
        self,
        transaction: Transaction,
        transitions: Sequence[Transition],
    ) -> list[Changed]:
        """Change deliveries."""
        now = await _now(transaction)
        return [await self._transition(transaction, one, now) for one in transitions]

    async def erase(self, transaction: Transaction, erasures: Sequence[Erasure]) -> list[Erased]:
        """Erase events with their deliveries; the events stay known."""
        now = await _now(transaction)
        return [await self._erase(transaction, one, now) for one in erasures]

    async def _select(self, transaction: Transaction, page: Page, now: int) -> Shown:
        look = _Look(transaction, page.where, now)
        end = await look.limit_to_window(page.after)
        rows = await look.fetch(_SELECT, limit=page.limit)
        shown = [await _shown(transaction, row, body, now) for *row, body in rows]
        return Shown(shown, _end_of(rows, page.limit, end))

    async def _transition(
        self,
        transaction: Transaction,
        transition: Transition,
        now: int,
    ) -> Changed:
        where, change, limit, after = transition
        look = _Look(transaction, where, now)
        end = await look.limit_to_window(after)
        rows = await look.fetch(
            _TO_CHANGE,
            done=f"{_DONE} AND {_FRESH}" if change.restart else _DONE,
            state=change.state,
            reason=storable(change.reason),
            limit=limit,
        )
        await _change(transaction, rows, change, now)
        return Changed([row[1] for row in rows], _end_of(rows, limit, end))

    async def _erase(self, transaction: Transaction, erasure: Erasure, now: int) -> Erased:
        where, limit, after = erasure
        look = _Look(transaction, where, now)
        end = await look.limit_to_events(after)
        rows = await look.fetch(_TO_ERASE, limit=limit)
        if not rows:
            return Erased(0, end)
        await transaction.fetch(_LOCK, seqs=[row[0] for row in rows])
        events, deliveries, parameters = look.conditions
        still = _STILL.format(events=events, deliveries=deliveries)
        seqs = [
            row[0]
            for row in await transaction.fetch(still, **parameters, seqs=[row[0] for row in rows])
        ]
        for destination, state in await transaction.fetch(_DELETE_DELIVERIES, seqs=seqs):
            transaction.count(destination, state, -1)
        await transaction.fetch(_DELETE_EVENTS, seqs=seqs)
        self._recent.drop(seqs)
        return Erased(len(seqs), (rows[-1][0], "") if len(rows) == limit else end)


async def _now(transaction: Transaction) -> int:
    ((now,),) = await transaction.fetch(NOW)
    return int(now)


def _end_of(rows: Sequence[Any], limit: int, end: Key | None) -> Key | None:
    return (rows[-1][0], rows[-1][1]) if rows and len(rows) == limit else end


async def _shown(transaction: Transaction, row: Any, body: Any, now: int) -> Delivery:
    """Return a delivery; one that cannot be read is shown as the dead letter that it is."""
    event, wrong = await event_or_stand_in(transaction, row[0], body)
    return readable(row, event, wrong, now)


def _indexed_condition(where: DeliveryFilter) -> str:
    """Return what an index finds deliveries by, in order."""
    if where.states != frozenset({"dead"}):
        return "TRUE"
    dead = "state = 'dead'"
    if where.destination is None:
        return dead
    return f"{dead} AND destination = CAST(:destination AS TEXT)"


async def _change(
    transaction: Transaction,
    rows: Iterable[Sequence[Any]],
    change: Change,
    now: int,
) -> None:
    """Change deliveries, given by their keys and states."""
    statement = _RESTART if change.restart else _CHANGE
    by_destination: dict[str, list[int]] = defaultdict(list)
    for seq, destination, state in rows:
        by_destination[destination].append(seq)
        transaction.move(destination, state, change.state)
    for destination, seqs in by_destination.items():
        await transaction.fetch(
            statement,
            state=change.state,
            reason=storable(change.reason),
            destination=destination,
            seqs=seqs,
            now=now,
        )
    if change.state == "pending":
        transaction.wake(by_destination)
