"""Stores new events with their deliveries in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from gp_aiogram.model.clock import Clock
from gp_aiogram.stores.records import AcceptResult, Entry
from gp_aiogram.stores.sqlite.bulk import insert, select_in
from gp_aiogram.stores.sqlite.once_keys import OnceKeys
from gp_aiogram.stores.sqlite.recent import RecentEvents
from gp_aiogram.stores.sqlite.rows import now_ms
from gp_aiogram.stores.sqlite.tally import Tally

_KNOWN_EVENTS = "SELECT event_id, name FROM event WHERE event_id IN ({marks})"

_INSERT_EVENTS = """
    INSERT INTO event
    (seq, event_id, name, telegram_id, bot_id, accepted_ms, order_digest, body)
"""

_INSERT_DELIVERIES = "INSERT INTO delivery (seq, destination, since_ms, due_ms)"

#: An event's id and name: what tells it from others.
_Identity = tuple[str, str]


class _Candidate(NamedTuple):
    """An entry, and the digests that decide on it."""

    entry: Entry
    blockers: list[bytes]
    #: Of its once-keys, as they are stored.
    keys: list[bytes]
    #: Of its once-keys and of the event itself, as the file may know them.
    duplicates: list[bytes]

    @property
    def identity(self) -> _Identity:
        return self.entry.event.event_id, self.entry.event.name


class Acceptance:
    """Takes in the events of many callers at once.

    :param clock: its wall clock tells when an event was accepted.
    :param recent: gets the events.
    """

    def __init__(self, clock: Clock, recent: RecentEvents) -> None:
        self._clock = clock
        self._recent = recent
        self._last_seq = 0

    def accept(
        self,
        connection: sqlite3.Connection,
        entries: Sequence[Entry],
    ) -> list[AcceptResult]:
        """Store every event that is neither blocked nor a duplicate."""
        once = OnceKeys(connection)
        candidates = [_candidate(once, entry) for entry in entries]
        known = once.known([*chain.from_iterable(c.blockers + c.duplicates for c in candidates)])
        results = _judge(candidates, known, _known_events(connection, entries))
        accepted = [
            candidate
            for candidate, result in zip(candidates, results, strict=True)
            if result == "stored"
        ]
        self._insert(connection, once, accepted)
        return results

    def _insert(
        self,
        connection: sqlite3.Connection,
        once: OnceKeys,
        accepted: Sequence[_Candidate],
    ) -> None:
        at_ms = now_ms(self._clock)
        seqs = self._numbers(connection, len(accepted))
        events: list[tuple[Any, ...]] = []
        deliveries: list[tuple[int, str, int, int]] = []
        tally = Tally()
        for seq, (entry, _, _, _) in zip(seqs, accepted, strict=True):
            event = entry.event
            identity = event.event_id, event.name
            order = None if entry.order is None else once.order_digest(entry.order)
            user = event.telegram_id, event.bot_id
            events.append((seq, *identity, *user, at_ms, order, event.to_json()))
            for destination in {*entry.destinations}:
                deliveries.append((seq, destination, at_ms, at_ms))
                tally.add(destination, "pending")
        insert(connection, _INSERT_EVENTS, events)
        insert(connection, _INSERT_DELIVERIES, deliveries)
        once.add((key for candidate in accepted for key in candidate.keys), at_ms)
        tally.write(connection)
        for candidate, (seq, *_, body) in zip(accepted, events, strict=True):
            self._recent.add(seq, candidate.entry.event, len(body))

    def _numbers(self, connection: sqlite3.Connection, count: int) -> range:
        """Number events upwards.

        What was rolled back or erased leaves a gap: a claim on an event that is gone must never
        hold for another.
        """
        ((highest,),) = connection.execute("SELECT coalesce(max(seq), 0) FROM event")
        first = max(self._last_seq, highest) + 1
        self._last_seq = first + count - 1
        return range(first, first + count)


def _candidate(once: OnceKeys, entry: Entry) -> _Candidate:
    duplicates = once.digests(entry.once)
    keys = duplicates[: len(entry.once)]
    return _Candidate(
        entry,
        once.digests(entry.unless),
        keys,
        duplicates + once.erased_digests(entry.event),
    )


def _known_events(connection: sqlite3.Connection, entries: Iterable[Entry]) -> set[_Identity]:
    event_ids = [entry.event.event_id for entry in entries]
    return {*select_in(connection, _KNOWN_EVENTS, event_ids)}


def _judge(
    candidates: Iterable[_Candidate],
    known: set[bytes],
    known_events: set[_Identity],
) -> list[AcceptResult]:
    """Tell what becomes of each; those that are stored count for those that follow."""
    results: list[AcceptResult] = []
    for candidate in candidates:
        if not known.isdisjoint(candidate.blockers):
            results.append("blocked")
        elif candidate.identity in known_events or not known.isdisjoint(candidate.duplicates):
            results.append("duplicate")
        else:
            known_events.add(candidate.identity)
            known.update(candidate.keys)
            results.append("stored")
    return results
