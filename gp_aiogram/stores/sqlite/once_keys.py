"""What a SQLite file remembers forever: digests of once-keys, and of events that it has erased."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from gp_aiogram.stores.keys import (
    OnceKey,
    event_digest,
    legacy_event_digest,
    legacy_once_digest,
    once_digest,
    order_digest,
)
from gp_aiogram.stores.sqlite.bulk import change_in, insert, select_in

#: What tells an event from others: its id and its name.
Identity = tuple[str, str]


class OnceKeys:
    """The digests, as one transaction sees them.

    :param connection: within SQLite's thread.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        ((self._salt, self._has_erased, self._has_legacy),) = connection.execute(
            "SELECT salt, erased, legacy FROM store",
        )

    def digest(self, key: OnceKey) -> bytes:
        """Return the digest that is stored of a once-key."""
        return once_digest(self._salt, key)

    def digests(self, keys: Collection[OnceKey]) -> list[bytes]:
        """Return all digests by which the file may know once-keys; first those that are stored.

        Keys of a file of an earlier version were plain texts.
        """
        if not keys:
            return []
        digests = [once_digest(self._salt, key) for key in keys]
        if self._has_legacy:
            texts = (key.legacy_text for key in keys)
            digests += [legacy_once_digest(self._salt, text) for text in texts if text is not None]
        return digests

    def order_digest(self, order: str) -> bytes:
        """Return by what the events of an order are found."""
        return order_digest(self._salt, order)

    def erased(self, events: Iterable[Identity]) -> set[Identity]:
        """Return those of the events that the file has erased."""
        if not self._has_erased:
            return set()
        digests = {event: self._event_digests(*event) for event in events}
        known = self.known([*chain.from_iterable(digests.values())])
        return {event for event, own in digests.items() if not known.isdisjoint(own)}

    def known(self, digests: Sequence[bytes]) -> set[bytes]:
        """Return those of the digests that the file knows."""
        query = "SELECT digest FROM seen WHERE digest IN ({marks})"
        return {digest for (digest,) in select_in(self._connection, query, digests)}

    def add(self, digests: Iterable[bytes], now_ms: int) -> int:
        """Remember digests, and return how many were new."""
        rows = [(digest, now_ms) for digest in digests]
        return insert(self._connection, "INSERT OR IGNORE INTO seen", rows)

    def add_erased(self, events: Iterable[Identity], now_ms: int) -> None:
        """Remember events that are erased now."""
        self.add((event_digest(self._salt, *event) for event in events), now_ms)
        self._connection.execute("UPDATE store SET erased = 1")

    def _event_digests(self, event_id: str, name: str) -> list[bytes]:
        digests = [event_digest(self._salt, event_id, name)]
        if self._has_legacy:
            digests.append(legacy_event_digest(self._salt, event_id))
        return digests


class Addition(NamedTuple):
    """Once-keys to make known."""

    keys: Collection[OnceKey]
    now_ms: int


def add_keys(connection: sqlite3.Connection, additions: Sequence[Addition]) -> list[int]:
    """Make once-keys known, and return how many of each caller's were new."""
    once = OnceKeys(connection)
    counts = []
    for keys, now_ms in additions:
        digests = [once.digests([key]) for key in keys]
        known = once.known([*chain.from_iterable(digests)])
        new = {own[0] for own in digests if known.isdisjoint(own)}
        counts.append(once.add(new, now_ms))
    return counts


def drop_keys(
    connection: sqlite3.Connection,
    dropped: Sequence[Collection[OnceKey]],
) -> list[None]:
    """Make once-keys unknown."""
    once = OnceKeys(connection)
    digests = once.digests([*chain.from_iterable(dropped)])
    change_in(connection, "DELETE FROM seen WHERE digest IN ({marks})", digests)
    return [None] * len(dropped)


def known_keys(
    connection: sqlite3.Connection,
    asked: Sequence[Collection[OnceKey]],
) -> list[set[OnceKey]]:
    """Return those of each caller's once-keys that are known."""
    if not any(asked):
        return [set() for _ in asked]
    once = OnceKeys(connection)
    digests = {key: once.digests([key]) for keys in asked for key in keys}
    known = once.known([*chain.from_iterable(digests.values())])
    return [{key for key in keys if not known.isdisjoint(digests[key])} for keys in asked]
