"""How many deliveries ended when, in which state, and how old their events were by then."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo

from gp_aiogram.reports.days import Starts
from gp_aiogram.stores.records import STATES, Delivery, EventRecord, State

#: Shares of the deliveries below the two ages that are told.
_MEDIAN, _HIGH = 0.5, 0.95


@dataclass(frozen=True)
class Flow:
    """The deliveries of one stretch of time.

    :param start: when it begins.
    :param counts: by how they ended, at that time; pending ones by when they were accepted.
    :param median_age: seconds from the event to its delivery, in the middle; None without any.
    :param high_age: the same, of 95 of 100.
    """

    start: datetime
    counts: Mapping[State, int]
    median_age: float | None
    high_age: float | None


@dataclass
class _Stretch:
    counts: Counter[State] = field(default_factory=Counter)
    ages: list[float] = field(default_factory=list)


class DeliveryTally:
    """Counts deliveries one by one.

    :param since: earlier ones are left out.
    :param until: the last moment that is shown.
    :param hourly: by hours, else by days.
    :param zone: where a day begins and ends.
    """

    def __init__(
        self,
        since: datetime,
        until: datetime,
        *,
        hourly: bool = False,
        zone: tzinfo = timezone.utc,
    ) -> None:
        self._since = since
        self._until = until
        self._hourly = hourly
        self._start = Starts(zone, hourly=hourly)
        self._by_destination: defaultdict[str, defaultdict[datetime, _Stretch]] = defaultdict(
            lambda: defaultdict(_Stretch)
        )

    def add(self, record: EventRecord) -> None:
        """Count the deliveries of an event."""
        for delivery in record.deliveries:
            self._add(delivery, record.accepted)

    def result(self) -> dict[str, list[Flow]]:
        """Return the flows of each destination, the earliest first, without gaps."""
        starts = self._starts()
        return {
            destination: [_flow(start, stretches.get(start, _Stretch())) for start in starts]
            for destination, stretches in sorted(self._by_destination.items())
        }

    def _add(self, delivery: Delivery, accepted: datetime) -> None:
        ended = accepted if delivery.state == "pending" else max(delivery.due, accepted)
        if not self._since <= ended <= self._until:
            return
        stretch = self._by_destination[delivery.destination][self._start.of(ended)]
        stretch.counts[delivery.state] += 1
        if delivery.state == "delivered":
            age = (ended - delivery.event.event_time).total_seconds()
            stretch.ages.append(max(0.0, age))

    def _starts(self) -> list[datetime]:
        starts = [self._start.of(self._since)]
        # By the clock on the wall, so that a day is one day also when clocks are changed.
        step = timedelta(hours=1) if self._hourly else timedelta(days=1)
        while (following := self._start.of(starts[-1] + step)) <= self._until:
            starts.append(following)
        return starts


def _flow(start: datetime, stretch: _Stretch) -> Flow:
    ages = sorted(stretch.ages)
    counts = {state: stretch.counts[state] for state in STATES}
    return Flow(start, counts, _at(ages, _MEDIAN), _at(ages, _HIGH))


def _at(ages: Sequence[float], share: float) -> float | None:
    """Return the age below which so great a share lies; None without any."""
    return ages[min(len(ages) - 1, int(len(ages) * share))] if ages else None
