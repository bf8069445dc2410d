"""Notes failed tries with their deliveries, and keeps the notes short."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from gp_aiogram.stores.records import Outcome, Try

#: What :attr:`~gp_aiogram.stores.records.Try.outcome` tells of a try.
TryOutcome = Literal["failed", "unsure", "rejected", "batch rejected", "stopped"]

#: How many tries are kept: the first, and the last.
FIRST, LAST = 1, 10

#: Characters that are kept of a reason.
LONGEST_REASON = 300


def noted(
    outcome: Outcome,
    what: TryOutcome,
    reason: str,
    *,
    at: datetime,
    status: int | None = None,
) -> Outcome:
    """Return an outcome with the try that has led to it.

    :param at: when it ended; the same for all events of a request.
    :param status: HTTP status of the answer.
    """
    known = tuple(outcome.delivery.tries)
    number = known[-1].number + 1 if known else 1
    # A subclass may have an attribute of this name that is no number.
    told = int(status) if isinstance(status, int) else None
    tries = (*known, Try(number, at, what, told, _cut(reason)))
    if len(tries) > FIRST + LAST:
        tries = (*tries[:FIRST], *tries[-LAST:])
    return outcome._replace(tries=tries)


def _cut(reason: str) -> str:
    return reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 1]}…"
