"""Shows a tracker to Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import NamedTuple, get_args

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from gp_aiogram.delivery.pacing import PacerState
from gp_aiogram.delivery.stats import DestinationStats, Stats, TrackerCount
from gp_aiogram.metrics.observed import Observed
from gp_aiogram.tracker import Tracker

#: Seconds for the store, since Prometheus waits ten.
_PATIENCE = 3.0

#: What is counted since the tracker was made: name, help and label of a counter, and by the value
#: of the label what it counts.
_PLAIN: tuple[tuple[TrackerCount, str, str], ...] = (
    ("captured", "gp_aiogram_sessions_captured", "Touches that were stored."),
    (
        "malformed_payloads",
        "gp_aiogram_payloads_malformed",
        "Payloads that begin like a session and hold none.",
    ),
    ("tracked", "gp_aiogram_events_recorded", "Events that were stored."),
    (
        "in_transactions",
        "gp_aiogram_events_in_transactions",
        "Events stored in transactions of callers, and recorded if these commit.",
    ),
    ("journaled", "gp_aiogram_journal_requests", "Requests that went into the journal."),
    ("lost", "gp_aiogram_requests_lost", "Requests that neither store nor journal took."),
)
_IGNORED: dict[TrackerCount, str] = {
    "duplicates": "duplicate",
    "dropped": "before_send",
    "opted_out": "opted_out",
}
_ERRORS = [name for name in get_args(TrackerCount) if name.endswith("_errors")]


class Page(NamedTuple):
    """What Prometheus is answered."""

    body: bytes
    content_type: str


class Metrics(Collector):
    """A collector of ``prometheus_client`` for one tracker.

    Counters and histograms are live. The number and age of pending deliveries are as of the last
    :meth:`refresh`, because a collector cannot wait for a store; :meth:`page` refreshes first.
    Labels never contain user ids.

    :param tracker: the tracker to observe.
    :param registry: where to register; None creates one, :attr:`registry`.
    """

    def __init__(self, tracker: Tracker, registry: CollectorRegistry | None = None) -> None:
        self._tracker = tracker
        self._observed = Observed(each.name for each in tracker.destinations)
        self._stored: Mapping[str, DestinationStats] | None = None
        tracker.observe(self._observed)
        #: What :meth:`page` shows.
        self.registry = CollectorRegistry() if registry is None else registry
        self.registry.register(self)

    async def refresh(self) -> None:
        """Read pending deliveries from the store; whether it answered is a metric itself."""
        if not self._tracker.running:
            self._stored = None
            return
        asking = asyncio.ensure_future(self._tracker.stats())
        await asyncio.wait([asking], timeout=_PATIENCE)
        if not asking.done():
            asking.cancel()
            self._stored = None
            asking.add_done_callback(_failure)
        elif _failure(asking) is not None:
            self._stored = None
        else:
            self._stored = asking.result().destinations

    async def page(self, accept: str = "") -> Page:
        """Refresh, and return everything in the registry as text.

        :param accept: the request's ``Accept`` header: Prometheus text or OpenMetrics.
        """
        await self.refresh()
        encode, content_type = choose_encoder(accept)
        return Page(encode(self.registry), content_type)

    def collect(self) -> Iterator[Metric]:
        """Yield everything."""
        yield from self._observed.collect()
        yield from self._tracker_counts()
        yield from self._pacers()
        yield from self._store()

    def describe(self) -> list[Metric]:
        """Yield nothing: the metrics depend on the tracker."""
        return []

    def _tracker_counts(self) -> Iterator[Metric]:
        counts = self._tracker.counts
        for count, name, what in _PLAIN:
            yield CounterMetricFamily(name, what, value=counts[count])
        ignored = CounterMetricFamily(
            "gp_aiogram_events_ignored",
            "Events that were not recorded, and why.",
            labels=["reason"],
        )
        for count, reason in _IGNORED.items():
            ignored.add_metric([reason], counts[count])
        yield ignored
        errors = CounterMetricFamily(
            "gp_aiogram_errors",
            "What went wrong and was logged, by the names of Stats.counts.",
            labels=["kind"],
        )
        for count in _ERRORS:
            errors.add_metric([count.removesuffix("_errors")], counts[count])
        yield errors
        yield GaugeMetricFamily(
            "gp_aiogram_journal_waiting_requests",
            "Requests in the journal, which the store has not taken yet.",
            value=self._tracker.intake.waiting,
        )

    def _pacers(self) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "gp_aiogram_destination_state",
            "1 for the state that a destination is in, as this process sees it.",
            labels=["destination", "state"],
        )
        paused = GaugeMetricFamily(
            "gp_aiogram_destination_paused",
            "1 while a destination refuses the call: somebody must fix its settings.",
            labels=["destination"],
        )
        for name, current in self._tracker.states.items():
            for each in get_args(PacerState):
                state.add_metric([name, each], float(each == current))
            paused.add_metric([name], float(current == "refused"))
        yield state
        yield paused

    def _store(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "gp_aiogram_store_up",
            "1 when the store answered the last time it was asked.",
            value=float(self._stored is not None),
        )
        if self._stored is None:
            return
        pending = GaugeMetricFamily(
            "gp_aiogram_pending_deliveries",
            "Deliveries in the store that wait or are under way.",
            labels=["destination"],
        )
        dead = GaugeMetricFamily(
            "gp_aiogram_dead_letters",
            "Deliveries in the store that were given up.",
            labels=["destination"],
        )
        oldest = GaugeMetricFamily(
            "gp_aiogram_oldest_pending_age_seconds",
            "How long the pending delivery waits whose turn is next; 0 when nothing is pending.",
            labels=["destination"],
        )
        for name, destination in self._stored.items():
            pending.add_metric([name], destination.deliveries.get("pending", 0))
            dead.add_metric([name], destination.deliveries.get("dead", 0))
            oldest.add_metric([name], destination.oldest_pending or 0.0)
        yield from (pending, dead, oldest)


def _failure(asking: asyncio.Future[Stats]) -> BaseException | None:
    """Return what the store has raised; asyncio then knows that somebody has seen it."""
    return asyncio.CancelledError() if asking.cancelled() else asking.exception()
