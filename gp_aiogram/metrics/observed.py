"""Counts and measures what happens to events in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from prometheus_client import Counter, Histogram, Metric

from gp_aiogram.delivery.outcomes import counted_as
from gp_aiogram.model.event import Event
from gp_aiogram.stores.records import AcceptResult, Outcome, State
from gp_aiogram.telemetry import Observer

#: Seconds. A store takes milliseconds; a delivery between a moment and days.
_ACCEPT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_AGE_BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 86_400, 3 * 86_400, 7 * 86_400)

_ENDS: tuple[State, ...] = ("delivered", "skipped", "dead")


class Observed(Observer):
    """Measures from the moment that a tracker is observed.

    :param destinations: names; each has its series from the start, so that the first failure is
        an increase, too.
    """

    def __init__(self, destinations: Iterable[str]) -> None:
        self._accept = Histogram(
            "gp_aiogram_accept_duration_seconds",
            "How long the store took to accept an event.",
            registry=None,
            buckets=_ACCEPT_BUCKETS,
        )
        self._age = Histogram(
            "gp_aiogram_delivery_age_seconds",
            "Time from the acceptance of an event, or its last replay, to its delivery.",
            ["destination"],
            registry=None,
            buckets=_AGE_BUCKETS,
        )
        self._ended = Counter(
            "gp_aiogram_deliveries_total",
            "Deliveries that this process has brought to an end, by how they ended.",
            ["destination", "state"],
            registry=None,
        )
        self._retried = Counter(
            "gp_aiogram_delivery_retries_total",
            "Failed tries after which this process will try again.",
            ["destination"],
            registry=None,
        )
        for name in destinations:
            self._age.labels(name)
            self._retried.labels(name)
            for state in _ENDS:
                self._ended.labels(name, state)

    def collect(self) -> Iterator[Metric]:
        """Yield what was counted and measured so far."""
        for part in (self._accept, self._age, self._ended, self._retried):
            yield from part.collect()

    def accepted(self, event: Event, result: AcceptResult, seconds: float) -> None:  # noqa: ARG002
        """Measure how long the store took."""
        self._accept.observe(seconds)

    def settled(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        """Count how deliveries have ended, and measure their age."""
        for outcome in outcomes:
            kind = counted_as(outcome)
            if kind is None:
                continue
            destination = outcome.delivery.destination
            if kind == "retried":
                self._retried.labels(destination).inc()
                continue
            self._ended.labels(destination, kind).inc()
            if kind == "delivered":
                age = (now - outcome.delivery.since).total_seconds()
                self._age.labels(destination).observe(max(0.0, age))
