"""Conversions whose user has not turned up, as rows of a PostgreSQL table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b
from itertools import chain

from gp_aiogram.model import codec
from gp_aiogram.model.clock import to_ms
from gp_aiogram.stores.keys import DIGEST_SIZE
from gp_aiogram.stores.postgres.transaction import Transaction, columns
from gp_aiogram.stores.records import Unmatched

_COLUMNS = "key, click_id, at_ms, body"

_ADD = f"""
    INSERT INTO {{gp}}.unmatched ({_COLUMNS}, digest)
    SELECT {_COLUMNS}, digest FROM unnest(
        CAST(:keys AS TEXT[]), CAST(:click_ids AS TEXT[]), CAST(:times AS BIGINT[]),
        CAST(:bodies AS BYTEA[]), CAST(:digests AS BYTEA[])
    ) AS new ({_COLUMNS}, digest)
    ON CONFLICT DO NOTHING
"""

#: By a session id, or an id of its click.
OF_SESSION = f"""
    SELECT {_COLUMNS} FROM {{gp}}.unmatched
    WHERE digest = ANY(ARRAY(
        SELECT CAST(:digest AS BYTEA)
        UNION SELECT digest FROM {{gp}}.click_id WHERE session_id = CAST(:session_id AS TEXT)
    ))
    ORDER BY at_ms, key LIMIT CAST(:limit AS BIGINT)
"""

PAGE = f"""
    SELECT {_COLUMNS} FROM {{gp}}.unmatched
    WHERE (at_ms, key) > (CAST(:at AS BIGINT), CAST(:key AS TEXT))
    ORDER BY at_ms, key LIMIT CAST(:limit AS BIGINT)
"""

_DROP = "DELETE FROM {gp}.unmatched WHERE key = ANY(CAST(:keys AS TEXT[]))"


async def add(transaction: Transaction, conversions: Sequence[Unmatched]) -> list[bool]:
    """Keep conversions; those that are kept already stay as they are."""
    first: dict[str, Unmatched] = {}
    for one in conversions:
        first.setdefault(one.key, one)
    rows = [
        (
            key,
            first[key].click_id,
            to_ms(first[key].at),
            codec.encode(dict(first[key].body)),
            digest_of(first[key].click_id),
        )
        for key in sorted(first)
    ]
    keys, click_ids, times, bodies, digests = columns(rows, 5)
    await transaction.fetch(
        _ADD, keys=keys, click_ids=click_ids, times=times, bodies=bodies, digests=digests
    )
    return [True] * len(conversions)


async def drop(transaction: Transaction, keys: Sequence[Collection[str]]) -> list[None]:
    """Keep conversions no longer."""
    await transaction.fetch(_DROP, keys=sorted({*chain.from_iterable(keys)}))
    return [None] * len(keys)


def digest_of(click_id: str) -> bytes:
    """Return by what an id is found: some are longer than an index takes."""
    return blake2b(click_id.encode("utf-8", "surrogatepass"), digest_size=DIGEST_SIZE).digest()
