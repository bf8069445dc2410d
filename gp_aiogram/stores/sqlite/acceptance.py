"""Stores new events with their deliveries in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

from gp_aiogram.model.clock import Clock
from gp_aiogram.stores.recent import RecentEvents
from gp_aiogram.stores.records import AcceptResult, Entry
from gp_aiogram.stores.sqlite.bulk import insert, select_in
from gp_aiogram.stores.sqlite.once_keys import Identity, OnceKeys
from gp_aiogram.stores.sqlite.rows import now_ms
from gp_aiogram.stores.sqlite.tally import Tally

_STORED = "SELECT event_id, name FROM event WHERE event_id IN ({marks})"

_INSERT_EVENTS = """
    INSERT INTO event
    (seq, event_id, name, telegram_id, bot_id, accepted_ms, order_digest, body)
"""

_INSERT_DELIVERIES = "INSERT INTO delivery (seq, destination, since_ms, due_ms)"


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
        blockers = [once.digests(entry.unless) for entry in entries]
        keys = [once.digests(entry.once) for entry in entries]
        known = once.known([*chain(*blockers, *keys)])
        identities = [(entry.event.event_id, entry.event.name) for entry in entries]
        known_events = _stored(connection, identities) | once.erased(identities)
        results: list[AcceptResult] = []
        accepted: list[Entry] = []
        new_keys: list[bytes] = []
        for entry, identity, blocking, own in zip(
            entries, identities, blockers, keys, strict=True
        ):
            if not known.isdisjoint(blocking):
                results.append("blocked")
            elif identity in known_events or not known.isdisjoint(own):
                results.append("duplicate")
            else:
                results.append("stored")
                accepted.append(entry)
                marks = [once.digest(key) for key in entry.marks]
                new_keys += own[: len(entry.once)] + marks
                known.update(own, marks)
                known_events.add(identity)
        at_ms = now_ms(self._clock)
        self._insert(connection, once, accepted, at_ms)
        once.add(new_keys, at_ms)
        return results

    def _insert(
        self,
        connection: sqlite3.Connection,
        once: OnceKeys,
        accepted: Sequence[Entry],
        at_ms: int,
    ) -> None:
        events: list[tuple[Any, ...]] = []
        deliveries: list[tuple[int, str, int, int]] = []
        seqs = self._numbers(connection, len(accepted))
        for seq, (event, destinations, _, order, *_) in zip(seqs, accepted, strict=True):
            events.append(
                (
                    seq,
                    event.event_id,
                    event.name,
                    event.telegram_id,
                    event.bot_id,
                    at_ms,
                    None if order is None else once.order_digest(order),
                    event.to_json(),
                )
            )
            deliveries += [(seq, destination, at_ms, at_ms) for destination in {*destinations}]
        insert(connection, _INSERT_EVENTS, events)
        insert(connection, _INSERT_DELIVERIES, deliveries)
        tally = Tally()
        for destination, count in Counter([row[1] for row in deliveries]).items():
            tally.add(destination, "pending", count)
        tally.write(connection)
        for entry, row in zip(accepted, events, strict=True):
            self._recent.add(row[0], entry.event, len(row[-1]))

    def _numbers(self, connection: sqlite3.Connection, count: int) -> range:
        """Number events upwards.

        What was rolled back or erased leaves a gap: a claim on an event that is gone must never
        hold for another.
        """
        ((highest,),) = connection.execute("SELECT coalesce(max(seq), 0) FROM event")
        first = max(self._last_seq, highest) + 1
        self._last_seq = first + count - 1
        return range(first, first + count)


def _stored(connection: sqlite3.Connection, identities: Sequence[Identity]) -> set[Identity]:
    return {*select_in(connection, _STORED, [event_id for event_id, _ in identities])}
