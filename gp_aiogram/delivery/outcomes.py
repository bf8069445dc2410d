"""Says what is recorded of a delivery, for everything that can become of it."""

from __future__ import annotations

from gp_aiogram.delivery.stats import DeliveryCount
from gp_aiogram.destinations.base import Receipt
from gp_aiogram.stores.records import MAX_DELAY, Delivery, Outcome, State

#: Why a request was cancelled.
STOPPED = "stopped before an answer came"


def delivered(delivery: Delivery, receipt: Receipt) -> Outcome:
    """The destination took it."""
    return Outcome(delivery, "delivered", attempts=delivery.attempts, receipt=receipt)


def skipped(delivery: Delivery, reason: str) -> Outcome:
    """It is not meant for the destination."""
    return _ended(delivery, "skipped", reason)


def rejected(delivery: Delivery, reason: str) -> Outcome:
    """The destination will never take it."""
    return _ended(delivery, "dead", _doubted(reason, maybe_delivered=delivery.maybe_delivered))


def expired(delivery: Delivery, reason: str) -> Outcome:
    """It is too old to be tried again."""
    return _ended(delivery, "dead", reason)


def held(delivery: Delivery, reason: str, *, provisional: bool = False) -> Outcome:
    """It may have been taken: a person decides whether it is sent again."""
    return Outcome(
        delivery,
        "dead",
        attempts=delivery.attempts,
        reason=_doubted(reason, maybe_delivered=True),
        maybe_delivered=True,
        provisional=provisional,
    )


def retried(delivery: Delivery, reason: str, *, delay: float, ambiguous: bool) -> Outcome:
    """The try failed, and counts.

    :param delay: seconds until the next one.
    :param ambiguous: this try may have succeeded.
    """
    maybe_delivered = ambiguous or delivery.maybe_delivered
    return Outcome(
        delivery,
        "pending",
        delay=delay,
        attempts=delivery.attempts + 1,
        reason=_doubted(reason, maybe_delivered=maybe_delivered),
        receipt=delivery.receipt,
        maybe_delivered=maybe_delivered,
        batch_cap=delivery.batch_cap,
    )


def processing(delivery: Delivery, receipt: Receipt, *, check_after: float) -> Outcome:
    """The destination took it and tells later what became of it.

    :param check_after: seconds until it is asked.
    """
    return Outcome(
        delivery,
        "pending",
        delay=min(check_after, MAX_DELAY),
        attempts=delivery.attempts,
        reason="taken, and what became of it is asked later",
        receipt=receipt,
        maybe_delivered=True,
    )


def put_back(delivery: Delivery) -> Outcome:
    """It was not tried, or the try does not count: due now, behind what is due already."""
    return Outcome(
        delivery,
        "pending",
        attempts=delivery.attempts,
        reason=delivery.reason,
        receipt=delivery.receipt,
        maybe_delivered=delivery.maybe_delivered,
        batch_cap=delivery.batch_cap,
    )


def cut_off(delivery: Delivery) -> Outcome:
    """Its request was cancelled before an answer came: due now, and it may have been taken."""
    reason = _doubted(STOPPED, maybe_delivered=True)
    return put_back(delivery)._replace(reason=reason, maybe_delivered=True)


def split(delivery: Delivery, reason: str, *, batch_cap: int) -> Outcome:
    """It was part of a rejected batch: due now, in a smaller one."""
    reason = _doubted(reason, maybe_delivered=delivery.maybe_delivered)
    return put_back(delivery)._replace(reason=reason, batch_cap=batch_cap)


def counted_as(outcome: Outcome) -> DeliveryCount | None:
    """Say under which name an outcome is counted; None when it is not."""
    if outcome.provisional:
        return None
    if outcome.state != "pending":
        return outcome.state
    return "retried" if outcome.attempts > outcome.delivery.attempts else None


def _ended(delivery: Delivery, state: State, reason: str) -> Outcome:
    return Outcome(
        delivery,
        state,
        attempts=delivery.attempts,
        reason=reason,
        maybe_delivered=delivery.maybe_delivered,
    )


def _doubted(reason: str, *, maybe_delivered: bool) -> str:
    """Tell people in the reason what ``maybe_delivered`` tells programs."""
    return f"may have been taken: {reason}" if maybe_delivered else reason
