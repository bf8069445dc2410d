"""Cancels and erases events and their deliveries in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from gp_aiogram.model.clock import Clock, to_ms
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.leases import Leases
from gp_aiogram.stores.records import MAY_BE_TAKEN, Delivery
from gp_aiogram.stores.sqlite.file import SQLiteFile, fetched
from gp_aiogram.stores.sqlite.once_keys import Seen
from gp_aiogram.stores.sqlite.outbox import DELIVERY, delivery_of
from gp_aiogram.stores.sqlite.recent import RecentEvents

#: A delivery as leases know it: destination and number of the event.
_Key = tuple[str, int]


class _Cancellation(NamedTuple):
    #: Of the events: a column and what it must be.
    column: str
    value: Any
    #: Of the deliveries, in SQL.
    which: str
    reason: str


_WAITING = "state = 'pending'"
_UNTOLD = f"state IN ('pending', 'dead') AND instr(ifnull(reason, ''), '{MAY_BE_TAKEN}') = 0"


class _Pruning(NamedTuple):
    before_ms: int
    dead_before_ms: int
    limit: int


class SQLiteErasure(Outbox):
    """The part of :class:`~gp_aiogram.SQLiteStore` that takes events back."""

    clock: Clock
    _file: SQLiteFile
    _leases: Leases[_Key]
    _recent: RecentEvents

    async def cancel(self, order: str, reason: str) -> list[Delivery]:
        """Skip the deliveries of an order that nobody got."""
        wish = _Cancellation("order_digest", order, _UNTOLD, reason)
        _, rows = await self._file.submit(self._cancel, wish)
        return [delivery_of(row) for row in rows]

    async def cancel_user(self, telegram_id: int, reason: str) -> int:
        """Skip the waiting deliveries of a user."""
        wish = _Cancellation("telegram_id", telegram_id, _WAITING, reason)
        skipped, _ = await self._file.submit(self._cancel, wish)
        return int(skipped)

    async def forget_events(self, telegram_id: int) -> int:
        """Erase a user's events with their deliveries."""
        return await self._erased(await self._file.submit(self._forget, telegram_id))

    async def prune_events(self, before: datetime, dead_before: datetime, limit: int) -> int:
        """Erase old events with their deliveries."""
        wish = _Pruning(to_ms(before), to_ms(dead_before), limit)
        return await self._erased(await self._file.submit(self._prune, wish))

    async def _erased(self, erased: tuple[int, Sequence[_Key]]) -> int:
        """End the leases of what is gone: a later event may get the number of an erased one."""
        events, keys = erased
        for key in keys:
            self._leases.revoke(key)
            self._recent.drop(key[1])
        return events

    def _cancel(
        self,
        connection: sqlite3.Connection,
        wishes: Sequence[_Cancellation],
    ) -> list[tuple[int, list[Any]]]:
        return [self._cancel_one(connection, wish) for wish in wishes]

    def _cancel_one(
        self,
        connection: sqlite3.Connection,
        wish: _Cancellation,
    ) -> tuple[int, list[Any]]:
        value = Seen(connection).key(wish.value) if wish.column == "order_digest" else wish.value
        query = f"{DELIVERY} WHERE {wish.column} = ? {{which}} ORDER BY seq, destination"
        free = [
            (wish.reason, seq, destination)
            for seq, destination, *_ in connection.execute(
                query.format(which=f"AND {wish.which}"),
                (value,),
            )
            if not self._leases.holds((destination, seq))
        ]
        connection.executemany(
            "UPDATE delivery SET state = 'skipped', reason = ? WHERE seq = ? AND destination = ?",
            free,
        )
        return len(free), connection.execute(query.format(which=""), (value,)).fetchall()

    def _forget(
        self,
        connection: sqlite3.Connection,
        telegram_ids: Sequence[int],
    ) -> list[tuple[int, list[_Key]]]:
        query = "SELECT seq FROM event WHERE telegram_id = ?"
        return [
            self._erase(connection, [seq for (seq,) in connection.execute(query, (telegram_id,))])
            for telegram_id in telegram_ids
        ]

    def _prune(
        self,
        connection: sqlite3.Connection,
        wishes: Sequence[_Pruning],
    ) -> list[tuple[int, list[_Key]]]:
        return [self._erase(connection, [*_old(connection, wish)]) for wish in wishes]

    def _erase(
        self,
        connection: sqlite3.Connection,
        seqs: Collection[int],
    ) -> tuple[int, list[_Key]]:
        numbers = [*seqs]
        if not numbers:
            return 0, []
        ids = fetched(connection, "SELECT event_id FROM event WHERE seq IN ({marks})", numbers)
        query = "SELECT destination, seq FROM delivery WHERE seq IN ({marks})"
        keys = [(destination, seq) for destination, seq in fetched(connection, query, numbers)]
        rows = [(seq,) for seq in numbers]
        connection.executemany("DELETE FROM delivery WHERE seq = ?", rows)
        connection.executemany("DELETE FROM event WHERE seq = ?", rows)
        now_ms = round(self.clock.time() * 1000)
        Seen(connection).add_erased((event_id for (event_id,) in ids), now_ms)
        return len(numbers), keys


def _old(connection: sqlite3.Connection, wish: _Pruning) -> Iterator[int]:
    """Find what may go, from the oldest event on: the younger ones are not even looked at."""
    query = """
        SELECT seq, accepted_ms,
        (SELECT group_concat(DISTINCT state) FROM delivery WHERE delivery.seq = event.seq)
        FROM event ORDER BY seq
    """
    found = 0
    for seq, accepted_ms, states in connection.execute(query):
        if found == wish.limit or accepted_ms >= max(wish.before_ms, wish.dead_before_ms):
            return
        known = (states or "").split(",")
        limit_ms = wish.dead_before_ms if "dead" in known else wish.before_ms
        if "pending" not in known and accepted_ms < limit_ms:
            found += 1
            yield seq
