"""Looks up, changes and erases what a filter means in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from gp_aiogram.model.clock import Clock
from gp_aiogram.stores.conditions import Conditions
from gp_aiogram.stores.leases import Leases
from gp_aiogram.stores.pages import Changed, Erasure, Key, Page, Shown, Transition
from gp_aiogram.stores.recent import RecentEvents
from gp_aiogram.stores.records import Change, Delivery, DeliveryFilter, State
from gp_aiogram.stores.spoilt import readable
from gp_aiogram.stores.sqlite.bulk import change_in, select_in
from gp_aiogram.stores.sqlite.conditions import WORDING, conditions_of
from gp_aiogram.stores.sqlite.once_keys import OnceKeys
from gp_aiogram.stores.sqlite.rows import COLUMNS, now_ms, storable
from gp_aiogram.stores.sqlite.spoilt import event_or_stand_in
from gp_aiogram.stores.sqlite.tally import Tally

#: Deliveries, or events, that one transaction looks at, and that it returns or changes: few enough
#: that whoever writes does not wait 50 ms for it.
WINDOW, PAGE = 1000, 250

#: Of what one transaction looks at.
_WITHIN = """
    (delivery.seq, delivery.destination) > (:after_seq, :after_destination)
    AND (delivery.seq, delivery.destination) <= (:end_seq, :end_destination)
"""

_SELECT = f"""
    SELECT {COLUMNS}, event.body FROM delivery JOIN event USING (seq)
    WHERE {{events}} AND {{deliveries}} AND {_WITHIN}
    ORDER BY delivery.seq, delivery.destination LIMIT :limit
"""

_TO_CHANGE = f"""
    SELECT delivery.seq, delivery.destination, delivery.state
    FROM delivery JOIN event USING (seq)
    WHERE {{events}} AND {{deliveries}} AND NOT ({{done}}) AND {_WITHIN}
    ORDER BY delivery.seq, delivery.destination LIMIT :limit
"""
_DONE = "delivery.state = :state AND ifnull(:reason, reason) IS reason"
_FRESH = "attempts = 0 AND batch_cap IS NULL AND since_ms = due_ms AND due_ms <= :now"

_CHANGE = """
    UPDATE delivery SET state = ?, reason = ifnull(?, reason)
    WHERE destination = ? AND seq IN ({marks})
"""
_RESTART = """
    UPDATE delivery SET state = ?, reason = ifnull(?, reason),
        attempts = 0, batch_cap = NULL, since_ms = ?, due_ms = ?
    WHERE destination = ? AND seq IN ({marks})
"""

_TO_ERASE = """
    SELECT seq, event_id, name FROM event
    WHERE {events} AND seq > :after_seq AND seq <= :end_seq AND NOT EXISTS (
        SELECT * FROM delivery WHERE delivery.seq = event.seq AND NOT ({deliveries})
    )
    ORDER BY seq LIMIT :limit
"""

#: The last of what one transaction looks at, when more may follow.
_LAST_DELIVERY = """
    SELECT seq, destination FROM delivery
    WHERE {found_by} AND (seq, destination) > (:after_seq, :after_destination)
    ORDER BY seq, destination LIMIT 1 OFFSET :window - 1
"""
_LAST_EVENT = """
    SELECT seq, '' FROM event WHERE {found_by} AND seq > :after_seq
    ORDER BY seq LIMIT 1 OFFSET :window - 1
"""
#: Events are numbered in the order of their acceptance: what follows the first younger one is not
#: even looked at.
_AGES = """
    SELECT seq, accepted_ms >= :accepted_before FROM event WHERE seq > :after_seq
    ORDER BY seq LIMIT :window
"""

_FIRST: Key = (0, "")
_BEYOND: Key = (2**63 - 1, "")

_DELIVERIES = "SELECT seq, destination, state FROM delivery WHERE seq IN ({marks})"


class Erased(NamedTuple):
    """How many events were erased, with which deliveries, and where the page has ended."""

    events: int
    keys: list[Key]
    end: Key | None


class Selection:
    """Works for many callers at once.

    :param clock: its wall clock tells when a delivery is started again.
    :param leases: what is claimed.
    :param recent: loses what is erased.
    """

    def __init__(self, clock: Clock, leases: Leases[Key], recent: RecentEvents) -> None:
        self._clock = clock
        self._leases = leases
        self._recent = recent

    def select(
        self,
        connection: sqlite3.Connection,
        pages: Sequence[Page],
    ) -> list[Shown]:
        """Return the deliveries that each caller wants to see."""
        return [self._select(connection, *page) for page in pages]

    def transition(
        self,
        connection: sqlite3.Connection,
        transitions: Sequence[Transition],
    ) -> list[Changed]:
        """Change deliveries."""
        return [self._transition(connection, *transition) for transition in transitions]

    def erase(
        self,
        connection: sqlite3.Connection,
        erasures: Sequence[Erasure],
    ) -> list[Erased]:
        """Erase events with their deliveries; the events stay known."""
        return [self._erase(connection, *erasure) for erasure in erasures]

    def _select(
        self,
        connection: sqlite3.Connection,
        where: DeliveryFilter,
        limit: int,
        after: Key | None,
    ) -> Shown:
        events, deliveries, parameters = self._conditions(connection, where)
        end = _limit_to_window(connection, where, parameters, after)
        query = _SELECT.format(events=events, deliveries=deliveries)
        rows = connection.execute(query, {**parameters, "limit": limit}).fetchall()
        shown = [self._shown(connection, row, body) for *row, body in rows]
        return Shown(shown, rows[-1][:2] if len(rows) == limit else end)

    def _shown(self, connection: sqlite3.Connection, row: Any, body: Any) -> Delivery:
        """Return a delivery; one that cannot be read is shown as the dead letter that it is."""
        event, wrong = event_or_stand_in(connection, row[0], body)
        return readable(row, event, wrong, now_ms(self._clock))

    def _transition(
        self,
        connection: sqlite3.Connection,
        where: DeliveryFilter,
        change: Change,
        limit: int,
        after: Key | None,
    ) -> Changed:
        events, deliveries, parameters = self._conditions(connection, where)
        end = _limit_to_window(connection, where, parameters, after)
        at_ms = now_ms(self._clock)
        parameters.update(state=change.state, reason=storable(change.reason), now=at_ms)
        done = f"{_DONE} AND {_FRESH}" if change.restart else _DONE
        query = _TO_CHANGE.format(events=events, deliveries=deliveries, done=done)
        rows = connection.execute(query, {**parameters, "limit": limit}).fetchall()
        _change(connection, rows, change, at_ms)
        destinations = [destination for _, destination, _ in rows]
        return Changed(destinations, rows[-1][:2] if len(rows) == limit else end)

    def _erase(
        self,
        connection: sqlite3.Connection,
        where: DeliveryFilter,
        limit: int,
        after: Key | None,
    ) -> Erased:
        events, deliveries, parameters = self._conditions(connection, where)
        end = _limit_to_events(connection, where, parameters, after)
        query = _TO_ERASE.format(events=events, deliveries=deliveries)
        rows = connection.execute(query, {**parameters, "limit": limit}).fetchall()
        seqs = [seq for seq, *_ in rows]
        keys = _delete(connection, seqs)
        self._recent.drop(seqs)
        if rows:
            identities = [(event_id, name) for _, event_id, name in rows]
            OnceKeys(connection).add_erased(identities, now_ms(self._clock))
        return Erased(len(rows), keys, (seqs[-1], "") if len(rows) == limit else end)

    def _conditions(self, connection: sqlite3.Connection, where: DeliveryFilter) -> Conditions:
        if where.unclaimed:
            connection.create_function("is_claimed", 2, self._is_claimed)
        return conditions_of(where, connection)

    def _is_claimed(self, seq: int, destination: str) -> bool:
        return self._leases.holds((seq, destination))


def _limit_to_window(
    connection: sqlite3.Connection,
    where: DeliveryFilter,
    parameters: dict[str, Any],
    after: Key | None,
) -> Key | None:
    """Have a query look at the next deliveries only, and return the last; None without more."""
    parameters["after_seq"], parameters["after_destination"] = after or _FIRST
    narrow = WORDING.narrow_condition(where)
    if narrow is not None:
        query = _LAST_EVENT.format(found_by=narrow)
    else:
        query = _LAST_DELIVERY.format(found_by=_indexed_condition(where))
    end = _last(connection, query, parameters)
    parameters["end_seq"], parameters["end_destination"] = end or _BEYOND
    return end


def _limit_to_events(
    connection: sqlite3.Connection,
    where: DeliveryFilter,
    parameters: dict[str, Any],
    after: Key | None,
) -> Key | None:
    """Have a query look at the next events only, and return the last; None without more."""
    parameters["after_seq"], _ = after or _FIRST
    narrow = WORDING.narrow_condition(where)
    if narrow is None and where.accepted_before is not None:
        ages = connection.execute(_AGES, {**parameters, "window": WINDOW})
        old = [seq for seq, _ in takewhile(lambda age: not age[1], ages)]
        end = (old[-1], "") if len(old) == WINDOW else None
        parameters["end_seq"] = old[-1] if old else 0
        return end
    end = _last(connection, _LAST_EVENT.format(found_by=narrow or "TRUE"), parameters)
    parameters["end_seq"], _ = end or _BEYOND
    return end


def _indexed_condition(where: DeliveryFilter) -> str:
    """Return what an index finds deliveries by, in order."""
    if where.states != frozenset({"dead"}):
        return "TRUE"
    dead = "state = 'dead'"
    return dead if where.destination is None else f"{dead} AND destination = :destination"


def _last(
    connection: sqlite3.Connection,
    query: str,
    parameters: dict[str, Any],
) -> Key | None:
    found: Key | None = connection.execute(query, {**parameters, "window": WINDOW}).fetchone()
    return found


def _change(
    connection: sqlite3.Connection,
    rows: Iterable[tuple[int, str, State]],
    change: Change,
    at_ms: int,
) -> None:
    """Change deliveries, given by their keys and states."""
    statement = _RESTART if change.restart else _CHANGE
    times = (at_ms, at_ms) if change.restart else ()
    columns = (change.state, storable(change.reason), *times)
    by_destination: dict[str, list[int]] = defaultdict(list)
    tally = Tally()
    for seq, destination, state in rows:
        by_destination[destination].append(seq)
        tally.move(destination, state, change.state)
    for destination, seqs in by_destination.items():
        change_in(connection, statement, seqs, before=(*columns, destination))
    tally.write(connection)


def _delete(connection: sqlite3.Connection, seqs: Sequence[int]) -> list[Key]:
    """Delete events with their deliveries, and return the keys of these."""
    keys: list[Key] = []
    tally = Tally()
    for seq, destination, state in select_in(connection, _DELIVERIES, seqs):
        keys.append((seq, destination))
        tally.add(destination, state, -1)
    change_in(connection, "DELETE FROM delivery WHERE seq IN ({marks})", seqs)
    change_in(connection, "DELETE FROM event WHERE seq IN ({marks})", seqs)
    tally.write(connection)
    return keys
