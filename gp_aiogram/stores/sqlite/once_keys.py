"""What a SQLite file remembers for ever: digests of once-keys and of the ids of erased events."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import cast

from gp_aiogram.model.clock import Clock
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.keys import id_digest, key_digest
from gp_aiogram.stores.sqlite.file import SQLiteFile, existing


class Seen:
    """The digests, as one transaction sees them.

    :param connection: within SQLite's thread.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        ((self._salt, self._has_erased),) = connection.execute("SELECT salt, erased FROM store")

    def key(self, key: str) -> bytes:
        """Return the digest of a once-key or an order."""
        return key_digest(self._salt, key)

    def keys(self, keys: Iterable[str]) -> set[bytes]:
        """Return the digests of once-keys."""
        return {key_digest(self._salt, key) for key in keys}

    def known(self, digests: Sequence[bytes]) -> set[bytes]:
        """Return those that are remembered."""
        return existing(self._connection, "seen", "digest", digests)

    def erased(self, event_ids: Collection[str]) -> set[str]:
        """Return those of the ids that belonged to events that were erased."""
        if not self._has_erased:
            return set()
        by_digest = {id_digest(self._salt, event_id): event_id for event_id in event_ids}
        return {by_digest[digest] for digest in self.known([*by_digest])}

    def add(self, digests: Iterable[bytes], now_ms: int) -> int:
        """Remember digests, and return how many were new."""
        rows = [(digest, now_ms) for digest in digests]
        insert = "INSERT OR IGNORE INTO seen VALUES (?, ?)"
        return self._connection.executemany(insert, rows).rowcount if rows else 0

    def add_erased(self, event_ids: Iterable[str], now_ms: int) -> None:
        """Remember the ids of events that are erased now."""
        self.add((id_digest(self._salt, event_id) for event_id in event_ids), now_ms)
        self._connection.execute("UPDATE store SET erased = 1")


class SQLiteKeys(Outbox):
    """The part of :class:`~gp_aiogram.SQLiteStore` that knows once-keys apart from events."""

    clock: Clock
    _file: SQLiteFile

    async def add_keys(self, keys: Collection[str]) -> int:
        """Make once-keys known."""
        now_ms = round(self.clock.time() * 1000)
        return cast("int", await self._file.submit(_add, (keys, now_ms)))

    async def drop_keys(self, keys: Collection[str]) -> None:
        """Make once-keys unknown again."""
        await self._file.submit(_drop, keys)

    async def known_keys(self, keys: Collection[str]) -> set[str]:
        """Return those of the once-keys that are known."""
        return cast("set[str]", await self._file.submit(known_of, keys, reads=True))


def _add(
    connection: sqlite3.Connection,
    additions: Sequence[tuple[Collection[str], int]],
) -> list[int]:
    seen = Seen(connection)
    return [seen.add(seen.keys(keys), now_ms) for keys, now_ms in additions]


def _drop(connection: sqlite3.Connection, dropped: Sequence[Collection[str]]) -> list[None]:
    seen = Seen(connection)
    digests = [(digest,) for keys in dropped for digest in seen.keys(keys)]
    connection.executemany("DELETE FROM seen WHERE digest = ?", digests)
    return [None] * len(dropped)


def known_of(connection: sqlite3.Connection, asked: Sequence[Collection[str]]) -> list[set[str]]:
    """Return those of each caller's once-keys that are known."""
    seen = Seen(connection)
    digests = [{seen.key(key): key for key in keys} for keys in asked]
    known = seen.known([*chain.from_iterable(digests)])
    return [{key for digest, key in own.items() if digest in known} for own in digests]
