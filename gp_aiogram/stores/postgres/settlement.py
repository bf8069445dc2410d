"""Records what became of claimed deliveries in a PostgreSQL schema."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from gp_aiogram.stores.pages import Key
from gp_aiogram.stores.postgres.rows import CLAIMED, NOW, storable
from gp_aiogram.stores.postgres.transaction import Transaction, columns
from gp_aiogram.stores.records import MAX_DELAY, Outcome, State
from gp_aiogram.stores.rows import receipt_text
from gp_aiogram.stores.tries import tries_text

#: Nobody changes them until the end of the transaction; always in one order.
_HELD = f"""
    SELECT delivery.seq, delivery.destination, delivery.state, delivery.token, {CLAIMED}
    FROM {{gp}}.delivery
    JOIN unnest(CAST(:seqs AS BIGINT[]), CAST(:destinations AS TEXT[]))
        AS wanted (seq, destination)
        ON delivery.seq = wanted.seq AND delivery.destination = wanted.destination
    ORDER BY delivery.seq, delivery.destination FOR UPDATE OF delivery
"""

_SETTLE = """
    UPDATE {gp}.delivery SET state = new.state, due_ms = new.due_ms, attempts = new.attempts,
        reason = new.reason, receipt = new.receipt, maybe_delivered = new.maybe_delivered,
        batch_cap = new.batch_cap, tries = coalesce(new.tries, delivery.tries),
        token = CASE WHEN new.is_over THEN NULL ELSE token END,
        lease_ms = CASE WHEN new.is_over THEN 0 ELSE lease_ms END
    FROM unnest(
        CAST(:seqs AS BIGINT[]), CAST(:destinations AS TEXT[]), CAST(:states AS TEXT[]),
        CAST(:dues AS BIGINT[]), CAST(:attempts AS INTEGER[]), CAST(:reasons AS TEXT[]),
        CAST(:receipts AS TEXT[]), CAST(:maybes AS BOOLEAN[]), CAST(:caps AS INTEGER[]),
        CAST(:over AS BOOLEAN[]), CAST(:tries AS TEXT[])
    ) AS new (
        seq, destination, state, due_ms, attempts, reason, receipt, maybe_delivered, batch_cap,
        is_over, tries
    )
    WHERE delivery.seq = new.seq AND delivery.destination = new.destination
"""

_END = """
    UPDATE {gp}.delivery SET token = NULL, lease_ms = 0
    FROM unnest(CAST(:seqs AS BIGINT[]), CAST(:destinations AS TEXT[]))
        AS settled (seq, destination)
    WHERE delivery.seq = settled.seq AND delivery.destination = settled.destination
"""


@dataclass
class _Held:
    """A delivery whose claim holds.

    :param state: what it is in at first, and comes to be in.
    :param outcome: the last that counts; None while there is none.
    """

    token: str
    before: State
    state: State
    outcome: Outcome | None = None
    is_over: bool = False


async def settle(
    transaction: Transaction,
    batches: Sequence[Sequence[Outcome]],
) -> list[None]:
    """Record outcomes whose claims hold; after a provisional one another may follow."""
    outcomes = [*chain.from_iterable(batches)]
    if not outcomes:
        return [None] * len(batches)
    ((now,),) = await transaction.fetch(NOW)
    held = await _held(transaction, outcomes, now)
    for outcome in outcomes:
        delivery = outcome.delivery
        known = held.get((delivery.seq, delivery.destination))
        if known is not None and known.token == delivery.token and not known.is_over:
            _apply(known, outcome)
    await _write(transaction, held, now)
    return [None] * len(batches)


def _apply(held: _Held, outcome: Outcome) -> None:
    held.is_over = not outcome.provisional
    if (held.state, outcome.state) == ("skipped", "pending"):
        return
    held.state, held.outcome = outcome.state, outcome


async def _held(
    transaction: Transaction,
    outcomes: Collection[Outcome],
    now: int,
) -> dict[Key, _Held]:
    """Lock the deliveries, and return those that are claimed."""
    keys = sorted({(one.delivery.seq, one.delivery.destination) for one in outcomes})
    seqs, destinations = columns(keys, 2)
    rows = await transaction.fetch(_HELD, seqs=seqs, destinations=destinations, now=now)
    return {
        (seq, destination): _Held(token, state, state)
        for seq, destination, state, token, is_claimed in rows
        if token and is_claimed
    }


async def _write(transaction: Transaction, held: dict[Key, _Held], now: int) -> None:
    rows: list[tuple[Any, ...]] = []
    for (seq, destination), one in held.items():
        if one.outcome is None:
            continue
        outcome = one.outcome
        rows.append(
            (
                seq,
                destination,
                outcome.state,
                now + round(min(outcome.delay, MAX_DELAY) * 1000),
                outcome.attempts,
                storable(outcome.reason),
                receipt_text(outcome.receipt),
                outcome.maybe_delivered,
                outcome.batch_cap,
                one.is_over,
                tries_text(outcome.tries),
            )
        )
        transaction.move(destination, one.before, outcome.state)
        if outcome.state == "pending":
            transaction.wake([destination])
    if rows:
        (
            seqs,
            destinations,
            states,
            dues,
            attempts,
            reasons,
            receipts,
            maybes,
            caps,
            over,
            tries,
        ) = columns(rows, 11)
        await transaction.fetch(
            _SETTLE,
            seqs=seqs,
            destinations=destinations,
            states=states,
            dues=dues,
            attempts=attempts,
            reasons=reasons,
            receipts=receipts,
            maybes=maybes,
            caps=caps,
            over=over,
            tries=tries,
        )
    only_over = [key for key, one in held.items() if one.is_over and one.outcome is None]
    if only_over:
        seqs, destinations = columns(only_over, 2)
        await transaction.fetch(_END, seqs=seqs, destinations=destinations)
