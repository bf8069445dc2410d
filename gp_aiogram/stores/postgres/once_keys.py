"""What a PostgreSQL store remembers forever: digests of once-keys and of events."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import chain

from gp_aiogram.stores.keys import OnceKey, legacy_once_digest, once_digest
from gp_aiogram.stores.postgres.transaction import Transaction

#: Advisory locks, for digests to be spread over: few enough for every batch to hold them all.
_BUCKETS = 128

_LOCK = """
    SELECT pg_advisory_xact_lock{kind}(CAST(:space AS INTEGER), bucket)
    FROM unnest(CAST(:buckets AS INTEGER[])) AS bucket
"""
_EXCLUSIVELY = _LOCK.replace("{kind}", "")
_TOGETHER = _LOCK.replace("{kind}", "_shared")

_ADD = """
    INSERT INTO {gp}.seen (digest, at_ms)
    SELECT digest, now.ms
    FROM unnest(CAST(:digests AS BYTEA[])) AS digest, (SELECT {gp}.now_ms() AS ms) AS now
    ON CONFLICT DO NOTHING RETURNING digest
"""

DROP = "DELETE FROM {gp}.seen WHERE digest = ANY(CAST(:digests AS BYTEA[]))"

_KNOWN = "SELECT digest FROM {gp}.seen WHERE digest = ANY(CAST(:digests AS BYTEA[]))"


async def lock_against_opt_outs(transaction: Transaction, digests: Iterable[bytes]) -> None:
    """Let nobody opt out until the end of a transaction that has seen that they have not.

    A key that is not there yet cannot be locked itself. Those who accept events do not hold each
    other up.
    """
    await _lock(transaction, _TOGETHER, digests)


async def add_keys(
    transaction: Transaction,
    additions: Sequence[Collection[OnceKey]],
) -> list[int]:
    """Make once-keys known, and return how many of each caller's were new."""
    salt = transaction.salt
    known = await _known_before(transaction, chain.from_iterable(additions))
    digests = [[once_digest(salt, key) for key in keys if key not in known] for keys in additions]
    opt_outs = [
        once_digest(salt, key) for key in chain.from_iterable(additions) if is_opt_out(key)
    ]
    await _lock(transaction, _EXCLUSIVELY, opt_outs)
    # Always in one order, so that two transactions do not wait for each other.
    wanted = sorted({*chain.from_iterable(digests)})
    new = {row[0] for row in await transaction.fetch(_ADD, digests=wanted)} if wanted else set()
    counts = []
    for own in digests:
        counts.append(len(new.intersection(own)))
        new.difference_update(own)
    return counts


async def drop_keys(
    transaction: Transaction,
    dropped: Sequence[Collection[OnceKey]],
) -> list[None]:
    """Make once-keys unknown."""
    keys = {*chain.from_iterable(dropped)}
    digests = sorted(
        {*(once_digest(transaction.salt, key) for key in keys), *legacy_digests(transaction, keys)}
    )
    if digests:
        await transaction.fetch(DROP, digests=digests)
    return [None] * len(dropped)


async def known_keys(
    transaction: Transaction,
    asked: Sequence[Collection[OnceKey]],
) -> list[set[OnceKey]]:
    """Return those of each caller's once-keys that are known."""
    digests = {
        key: {once_digest(transaction.salt, key), *legacy_digests(transaction, [key])}
        for keys in asked
        for key in keys
    }
    if not digests:
        return [set() for _ in asked]
    rows = await transaction.fetch(_KNOWN, digests=[*chain.from_iterable(digests.values())])
    known = {row[0] for row in rows}
    return [{key for key in keys if not known.isdisjoint(digests[key])} for keys in asked]


def legacy_digests(transaction: Transaction, keys: Iterable[OnceKey]) -> list[bytes]:
    """Return by what else a store that came from an early SQLite file may know keys."""
    if not transaction.has_legacy:
        return []
    texts = (key.legacy_text for key in keys)
    return [legacy_once_digest(transaction.salt, text) for text in texts if text is not None]


def is_opt_out(key: OnceKey) -> bool:
    """Return whether a key is a user's opt-out, which events look for and never take."""
    return key.kind == "opt_out"


async def _lock(transaction: Transaction, statement: str, digests: Iterable[bytes]) -> None:
    buckets = sorted({digest[0] % _BUCKETS for digest in digests})
    if buckets:
        await transaction.fetch(statement, space=transaction.lock_space, buckets=buckets)


async def _known_before(transaction: Transaction, keys: Iterable[OnceKey]) -> set[OnceKey]:
    """Return those of the keys that are known from before keys had parts."""
    digests = {key: legacy_digests(transaction, [key]) for key in keys}
    asked = [*chain.from_iterable(digests.values())]
    rows = await transaction.fetch(_KNOWN, digests=asked) if asked else ()
    known = {row[0] for row in rows}
    return {key for key, own in digests.items() if not known.isdisjoint(own)}
