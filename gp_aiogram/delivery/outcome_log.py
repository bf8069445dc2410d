"""Logs what became of the events of a batch."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from gp_aiogram.stores.records import Outcome

logger = logging.getLogger("gp_aiogram.courier")


def log_outcomes(destination: str, outcomes: Sequence[Outcome]) -> None:
    """Log a line for everything that happened to events, with their number and the reason.

    Of the failed tries of an event the first is told, which begins the retries, and with the
    delivery how they ended; those between are for debugging.
    """
    final = [outcome for outcome in outcomes if not outcome.provisional]
    _log_delivered(destination, [outcome for outcome in final if outcome.state == "delivered"])
    ends = Counter((_level_and_end(outcome), outcome.reason) for outcome in final)
    for (level_and_end, reason), count in ends.items():
        if level_and_end is not None:
            level, end = level_and_end
            logger.log(level, "%s: %d event(s) %s: %s", destination, count, end, reason)


def _log_delivered(destination: str, delivered: Sequence[Outcome]) -> None:
    if not delivered:
        return
    retried = sum(outcome.delivery.attempts > 0 for outcome in delivered)
    after = f", {retried} of them after failed tries" if retried else ""
    logger.info("%s: %d event(s) delivered%s", destination, len(delivered), after)


def _level_and_end(outcome: Outcome) -> tuple[int, str] | None:
    """Say how what happened is logged; None when it is told elsewhere."""
    if outcome.state == "dead":
        return logging.ERROR, "given up"
    if outcome.state == "skipped":
        return logging.INFO, "skipped"
    if outcome.state == "pending" and outcome.receipt and not outcome.delivery.receipt:
        return logging.INFO, "not settled yet"
    if outcome.state == "delivered" or outcome.attempts == outcome.delivery.attempts:
        return None
    if outcome.attempts == 1:
        return logging.INFO, "failed and will be tried again"
    return logging.DEBUG, "failed again"
