"""Stores new events with their deliveries in a PostgreSQL schema."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from gp_aiogram.stores.keys import (
    event_digest,
    legacy_event_digest,
    once_digest,
    order_digest,
)
from gp_aiogram.stores.postgres.once_keys import (
    DROP,
    is_opt_out,
    legacy_digests,
    lock_against_opt_outs,
)
from gp_aiogram.stores.postgres.transaction import Transaction, columns
from gp_aiogram.stores.recent import RecentEvents
from gp_aiogram.stores.records import AcceptResult, Entry

#: Takes digests and tells which were new, which of others are known, and numbers for events.
#: Whoever takes a digest that another transaction has just taken waits for its end.
_TAKE = """
    WITH now AS MATERIALIZED (SELECT {gp}.now_ms() AS ms),
    taken AS (
        INSERT INTO {gp}.seen (digest, at_ms)
        SELECT digest, ms FROM unnest(CAST(:digests AS BYTEA[])) AS digest, now
        ON CONFLICT DO NOTHING RETURNING digest
    )
    SELECT
        (SELECT ms FROM now),
        ARRAY(SELECT digest FROM taken),
        ARRAY(SELECT digest FROM {gp}.seen WHERE digest = ANY(CAST(:looked_for AS BYTEA[]))),
        ARRAY(SELECT nextval('{gp}.event_seq') FROM generate_series(1, CAST(:count AS INTEGER)))
"""

_INSERT = """
    WITH stored AS (
        INSERT INTO {gp}.event
            (seq, event_id, name, telegram_id, bot_id, accepted_ms, order_digest, body)
        SELECT seq, event_id, name, telegram_id, bot_id, CAST(:now AS BIGINT), order_digest, body
        FROM unnest(
            CAST(:seqs AS BIGINT[]), CAST(:ids AS TEXT[]), CAST(:names AS TEXT[]),
            CAST(:users AS BIGINT[]), CAST(:bots AS BIGINT[]), CAST(:orders AS BYTEA[]),
            CAST(:bodies AS BYTEA[])
        ) AS new (seq, event_id, name, telegram_id, bot_id, order_digest, body)
    )
    INSERT INTO {gp}.delivery (seq, destination, since_ms, due_ms)
    SELECT seq, destination, CAST(:now AS BIGINT), CAST(:now AS BIGINT)
    FROM unnest(CAST(:of AS BIGINT[]), CAST(:destinations AS TEXT[])) AS new (seq, destination)
"""


class _Candidate(NamedTuple):
    """An entry, and the digests that decide about it.

    :param own: no other event may have them.
    :param opt_outs: nobody may have added them.
    :param others: those of ``unless`` that events take.
    :param legacy_own: as ``own``, and nobody can add them any more.
    :param legacy_unless: as ``opt_outs``, and nobody can add them any more.
    :param body: what is stored of the event.
    """

    entry: Entry
    own: frozenset[bytes]
    opt_outs: frozenset[bytes]
    others: frozenset[bytes]
    marks: frozenset[bytes]
    legacy_own: frozenset[bytes]
    legacy_unless: frozenset[bytes]
    body: bytes


class _Verdict(NamedTuple):
    """What becomes of candidates, and which digests stay."""

    results: list[AcceptResult]
    accepted: list[_Candidate]
    kept: set[bytes]


class Acceptance:
    """Takes in the events of many callers at once.

    :param recent: gets the events; None leaves it to whoever claims them to read them.
    """

    def __init__(self, recent: RecentEvents | None) -> None:
        self._recent = recent

    async def accept(
        self,
        transaction: Transaction,
        entries: Sequence[Entry],
    ) -> list[AcceptResult]:
        """Store every event that is neither blocked nor a duplicate.

        Every digest in question is taken first. What was there is known; what nobody had is ours
        until the end of the transaction, so that nobody else can take it meanwhile. What turns
        out not to be needed is given back.
        """
        candidates = [_candidate(transaction, entry) for entry in entries]
        opt_outs = {*chain.from_iterable(one.opt_outs for one in candidates)}
        await lock_against_opt_outs(transaction, opt_outs)
        wanted = {*chain.from_iterable(one.own | one.others | one.marks for one in candidates)}
        legacy = {*chain.from_iterable(one.legacy_own | one.legacy_unless for one in candidates)}
        ((now, taken, found, seqs),) = await transaction.fetch(
            _TAKE,
            # Always in one order, so that two transactions do not wait for each other.
            digests=sorted(wanted),
            looked_for=[*(opt_outs - wanted) | legacy],
            count=len(entries),
        )
        verdict = _decide(candidates, (wanted - {*taken}) | {*found})
        needless = {*taken} - verdict.kept
        if needless:
            await transaction.fetch(DROP, digests=sorted(needless))
        if verdict.accepted:
            await self._insert(transaction, verdict.accepted, sorted(seqs), now)
        return verdict.results

    async def _insert(
        self,
        transaction: Transaction,
        accepted: Sequence[_Candidate],
        seqs: Sequence[int],
        now: int,
    ) -> None:
        events: list[tuple[Any, ...]] = []
        deliveries: list[tuple[int, str]] = []
        for seq, candidate in zip(seqs, accepted, strict=False):
            event, destinations, _, order, *_ = candidate.entry
            digest = None if order is None else order_digest(transaction.salt, order)
            events.append(
                (
                    seq,
                    event.event_id,
                    event.name,
                    event.telegram_id,
                    event.bot_id,
                    digest,
                    candidate.body,
                )
            )
            for destination in {*destinations}:
                deliveries.append((seq, destination))
                transaction.count(destination, "pending")
            transaction.wake(destinations)
            if self._recent is not None:
                self._recent.add(seq, event, len(candidate.body))
        numbers, ids, names, users, bots, orders, bodies = columns(events, 7)
        of, destinations_of = columns(deliveries, 2)
        await transaction.fetch(
            _INSERT,
            seqs=numbers,
            ids=ids,
            names=names,
            users=users,
            bots=bots,
            orders=orders,
            bodies=bodies,
            of=of,
            destinations=destinations_of,
            now=now,
        )


def _candidate(transaction: Transaction, entry: Entry) -> _Candidate:
    event, salt = entry.event, transaction.salt
    identity = event_digest(salt, event.event_id, event.name)
    return _Candidate(
        entry,
        own=frozenset([identity, *(once_digest(salt, key) for key in entry.once)]),
        opt_outs=frozenset(once_digest(salt, key) for key in entry.unless if is_opt_out(key)),
        others=frozenset(once_digest(salt, key) for key in entry.unless if not is_opt_out(key)),
        marks=frozenset(once_digest(salt, key) for key in entry.marks),
        legacy_own=frozenset(_legacy_own(transaction, entry)),
        legacy_unless=frozenset(legacy_digests(transaction, entry.unless)),
        body=event.to_json().encode(),
    )


def _legacy_own(transaction: Transaction, entry: Entry) -> list[bytes]:
    digests = legacy_digests(transaction, entry.once)
    if transaction.has_legacy:
        digests.append(legacy_event_digest(transaction.salt, entry.event.event_id))
    return digests


def _decide(candidates: Sequence[_Candidate], known: set[bytes]) -> _Verdict:
    """Let candidates in one after the other.

    :param known: of all digests in question.
    """
    verdict = _Verdict([], [], set())
    known = set(known)
    for candidate in candidates:
        blocking = candidate.opt_outs | candidate.others | candidate.legacy_unless
        if not known.isdisjoint(blocking):
            verdict.results.append("blocked")
        elif not known.isdisjoint(candidate.own | candidate.legacy_own):
            verdict.results.append("duplicate")
        else:
            verdict.results.append("stored")
            verdict.accepted.append(candidate)
            verdict.kept.update(candidate.own, candidate.marks)
            known.update(candidate.own, candidate.marks)
    return verdict
