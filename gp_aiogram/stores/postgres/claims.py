"""Claims deliveries of a PostgreSQL schema; a claim is in the row, as a token and a lease."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any, NamedTuple

from gp_aiogram.model.clock import from_ms
from gp_aiogram.model.event import Event
from gp_aiogram.stores.postgres.rows import CLAIMED, COLUMNS, FAR_MS, NOW
from gp_aiogram.stores.postgres.spoilt import bury
from gp_aiogram.stores.postgres.transaction import Transaction, columns
from gp_aiogram.stores.recent import RecentEvents
from gp_aiogram.stores.records import Claim, Delivery
from gp_aiogram.stores.rows import delivery_of
from gp_aiogram.stores.spoilt import DELIVERY_IS_SPOILT, is_sound, read_events


def _free(cap: str, moments: str) -> str:
    return f"""
        SELECT {COLUMNS} FROM {{gp}}.delivery
        WHERE destination = CAST(:destination AS TEXT) AND state = 'pending'
            AND batch_cap IS {cap} AND due_ms {moments} AND NOT {CLAIMED}
    """


_UNTIL, _AFTER = "<= CAST(:now AS BIGINT)", f"> CAST(:now AS BIGINT) + {FAR_MS}"

#: What others are claiming right now is theirs.
_TAKE = "ORDER BY due_ms, seq LIMIT CAST(:limit AS BIGINT) FOR UPDATE SKIP LOCKED"

#: What is due, and what a clock set back has left far in the future. An index answers each, in
#: order.
FRESH = tuple(_free("NULL", moments) + _TAKE for moments in (_UNTIL, _AFTER))

#: The first of those with a cap, and what may share a request with it.
CAPPED = tuple(
    _free("NOT NULL", moments) + "AND batch_cap >= CAST(:cap AS INTEGER) "
    "AND seq <> CAST(:first AS BIGINT) " + _TAKE
    for moments in (_UNTIL, _AFTER)
)

_EVENTS = "SELECT seq, body FROM {gp}.event WHERE seq = ANY(CAST(:seqs AS BIGINT[]))"

_GRANT = """
    UPDATE {gp}.delivery SET token = CAST(:token AS TEXT), lease_ms = CAST(:until AS BIGINT)
    WHERE seq = ANY(CAST(:seqs AS BIGINT[])) AND destination = CAST(:destination AS TEXT)
"""

_EXTEND = f"""
    UPDATE {{gp}}.delivery SET lease_ms = CAST(:until AS BIGINT)
    WHERE seq = ANY(CAST(:seqs AS BIGINT[])) AND destination = CAST(:destination AS TEXT)
        AND token = CAST(:token AS TEXT) AND {CLAIMED}
"""

_RELEASE = """
    UPDATE {gp}.delivery SET token = NULL, lease_ms = 0
    FROM unnest(
        CAST(:seqs AS BIGINT[]), CAST(:destinations AS TEXT[]), CAST(:tokens AS TEXT[])
    ) AS held (seq, destination, token)
    WHERE delivery.seq = held.seq AND delivery.destination = held.destination
        AND delivery.token = held.token
"""


def _soonest(cap: str) -> str:
    """Return the due time of the first delivery that nobody has claimed."""
    return f"""(
        SELECT due_ms FROM {{gp}}.delivery
        WHERE destination = wanted.destination AND state = 'pending' AND batch_cap IS {cap}
            AND due_ms <= now.ms + {FAR_MS}
            AND NOT (lease_ms > now.ms AND lease_ms <= now.ms + {FAR_MS})
        ORDER BY due_ms LIMIT 1
    )"""


def _is_far(cap: str) -> str:
    return f"""EXISTS (
        SELECT 1 FROM {{gp}}.delivery
        WHERE destination = wanted.destination AND state = 'pending' AND batch_cap IS {cap}
            AND due_ms > now.ms + {FAR_MS}
            AND NOT (lease_ms > now.ms AND lease_ms <= now.ms + {FAR_MS})
    )"""


NEXT_DUE = f"""
    SELECT wanted.destination, now.ms,
        least({_soonest("NULL")}, {_soonest("NOT NULL")}),
        {_is_far("NULL")} OR {_is_far("NOT NULL")}
    FROM unnest(CAST(:destinations AS TEXT[])) AS wanted (destination),
        (SELECT {{gp}}.now_ms() AS ms) AS now
"""


def _first_since(cap: str) -> str:
    """Return since when the delivery is tried whose turn is next."""
    return f"""(
        SELECT since_ms FROM {{gp}}.delivery
        WHERE destination = wanted.destination AND state = 'pending' AND batch_cap IS {cap}
        ORDER BY due_ms, seq LIMIT 1
    )"""


OLDEST = f"""
    SELECT wanted.destination, now.ms - least({_first_since("NULL")}, {_first_since("NOT NULL")})
    FROM unnest(CAST(:destinations AS TEXT[])) AS wanted (destination),
        (SELECT {{gp}}.now_ms() AS ms) AS now
"""


class Demand(NamedTuple):
    """What somebody wants to claim.

    :param lease: seconds.
    """

    destination: str
    limit: int
    lease: float
    capped: bool


class Extension(NamedTuple):
    """A claim that shall end later, so many seconds from now."""

    claim: Claim
    lease: float


class Claims:
    """Works for many callers at once.

    :param recent: events that need no reading.
    """

    def __init__(self, recent: RecentEvents) -> None:
        self._recent = recent

    async def claim(
        self,
        transaction: Transaction,
        demands: Sequence[Demand],
    ) -> list[Claim]:
        """Claim for each caller, the longest due first.

        What cannot be read is settled as dead in the same transaction.
        """
        ((now,),) = await transaction.fetch(NOW)
        return [await self._claim(transaction, demand, now) for demand in demands]

    async def _claim(self, transaction: Transaction, demand: Demand, now: int) -> Claim:
        token = secrets.token_hex(12)
        rows = await _find(transaction, demand, now)
        events, reasons = await self._events(transaction, [row[0] for row in rows])
        spoilt = {tuple(row[:2]): reasons[row[0]] for row in rows if row[0] in reasons}
        spoilt |= {tuple(row[:2]): DELIVERY_IS_SPOILT for row in rows if not is_sound(row)}
        sound = [row for row in rows if tuple(row[:2]) not in spoilt]
        if spoilt:
            await bury(transaction, spoilt, now)
        if sound:
            await transaction.fetch(
                _GRANT,
                token=token,
                until=now + lease_ms(demand.lease),
                seqs=[row[0] for row in sound],
                destination=demand.destination,
            )
        deliveries = [delivery_of(row, events[row[0]], token) for row in sound]
        return Claim(deliveries, from_ms(now), token)

    async def _events(
        self,
        transaction: Transaction,
        seqs: Collection[int],
    ) -> tuple[dict[int, Event], dict[int, str]]:
        """Return events by their numbers, and why the rest of them cannot be read."""
        events = self._recent.find(seqs)
        others = [seq for seq in seqs if seq not in events]
        rows = await transaction.fetch(_EVENTS, seqs=others) if others else ()
        read, reasons = read_events(others, rows)
        return {**events, **read}, reasons


async def extend(transaction: Transaction, extensions: Sequence[Extension]) -> list[None]:
    """Let what is still held of claims end later."""
    ((now,),) = await transaction.fetch(NOW)
    for claim, lease in extensions:
        if not claim.deliveries:
            continue
        await transaction.fetch(
            _EXTEND,
            until=now + lease_ms(lease),
            seqs=[delivery.seq for delivery in claim.deliveries],
            destination=claim.deliveries[0].destination,
            token=claim.token,
            now=now,
        )
    return [None] * len(extensions)


async def release(
    transaction: Transaction,
    given_back: Sequence[Sequence[Delivery]],
) -> list[None]:
    """End claims; a token that does not hold a delivery changes nothing."""
    held = sorted(
        {
            (delivery.seq, delivery.destination, delivery.token)
            for delivery in chain.from_iterable(given_back)
            if delivery.token
        }
    )
    if held:
        seqs, destinations, tokens = columns(held, 3)
        await transaction.fetch(_RELEASE, seqs=seqs, destinations=destinations, tokens=tokens)
        transaction.wake(destinations)
    return [None] * len(given_back)


async def next_due(
    transaction: Transaction,
    destinations: Sequence[str],
) -> list[float | None]:
    """Return in how many seconds an unclaimed delivery is due; None without any."""
    rows = await transaction.fetch(NEXT_DUE, destinations=sorted({*destinations}))
    waits: dict[str, float | None] = {}
    for destination, now, soonest, is_far in rows:
        if is_far:
            waits[destination] = 0.0
        else:
            waits[destination] = None if soonest is None else max(0, soonest - now) / 1000
    return [waits[destination] for destination in destinations]


async def oldest(
    transaction: Transaction,
    destinations: Sequence[str],
) -> list[float | None]:
    """Return for how many seconds the delivery has been tried whose turn is next."""
    rows = await transaction.fetch(OLDEST, destinations=sorted({*destinations}))
    ages = {row[0]: row[1] for row in rows}
    return [
        None if ages[destination] is None else max(0, ages[destination]) / 1000
        for destination in destinations
    ]


def lease_ms(seconds: float) -> int:
    """Return a lease in milliseconds; longer ones would be taken for a clock's doing."""
    return round(min(seconds * 1000, FAR_MS))


async def _find(transaction: Transaction, demand: Demand, now: int) -> list[Any]:
    if demand.limit < 1:
        return []
    if not demand.capped:
        return await _take(transaction, FRESH, demand, now, demand.limit)
    first = await _take(transaction, CAPPED, demand, now, 1, cap=0, first=0)
    if not first:
        return []
    seq, cap = first[0][0], first[0][-1]
    most = min(demand.limit, cap) - 1
    return first + await _take(transaction, CAPPED, demand, now, most, cap=cap, first=seq)


async def _take(
    transaction: Transaction,
    statements: Sequence[str],
    demand: Demand,
    now: int,
    limit: int,
    **more: int,
) -> list[Any]:
    """Lock what is free, and return it: first what is due, then what is far in the future."""
    rows: list[Any] = []
    for statement in statements:
        if len(rows) < limit:
            rows += await transaction.fetch(
                statement,
                destination=demand.destination,
                now=now,
                limit=limit - len(rows),
                **more,
            )
    return rows
