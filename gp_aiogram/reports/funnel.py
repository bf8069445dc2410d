"""How many sessions become registrations, first deposits and deposits, and what they are worth."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone, tzinfo
from decimal import Decimal

from gp_aiogram.model.event import FIRST_DEPOSIT, LATER_DEPOSIT, Event
from gp_aiogram.model.session import Session
from gp_aiogram.reports.days import Starts

SESSIONS, REGISTRATION, PURCHASE = "sessions", "REG", "Purchase"

#: The steps of the funnel, and a purchase beside them, for bots that sell and take no deposits.
STEPS = (SESSIONS, REGISTRATION, FIRST_DEPOSIT, LATER_DEPOSIT, PURCHASE)

#: Events whose value counts. What was refunded is not taken off: an ad platform keeps it, too.
_VALUED = frozenset({FIRST_DEPOSIT, LATER_DEPOSIT, PURCHASE})

#: The source of events that no session is credited with.
ORGANIC = "organic"

#: The source of events whose session is not stored any more.
UNKNOWN = "unknown"


@dataclass(frozen=True)
class FunnelRow:
    """One day or one source.

    :param counts: by the steps of ``STEPS``; each is there.
    :param value: of deposits and purchases, by currency.
    """

    counts: Mapping[str, int]
    value: Mapping[str, Decimal]


@dataclass(frozen=True)
class Funnel:
    """The counts of a period.

    :param by_day: by the date in ISO 8601, the earliest first.
    :param by_source: by the source of the touch, such as ``start`` or ``invite``; the one with the
        most sessions first.
    :param by_destination: the events that each destination has received, by its name. Sessions
        have no destination.
    """

    total: FunnelRow
    by_day: Mapping[str, FunnelRow]
    by_source: Mapping[str, FunnelRow]
    by_destination: Mapping[str, FunnelRow]


@dataclass
class _Count:
    counts: Counter[str] = field(default_factory=Counter)
    value: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def row(self) -> FunnelRow:
        """Return what was counted."""
        value = {currency: self.value[currency] for currency in sorted(self.value)}
        return FunnelRow({step: self.counts[step] for step in STEPS}, value)


class FunnelTally:
    """Counts touches and events. Add touches first: they give the sources of events.

    :param zone: where a day begins and ends.
    """

    def __init__(self, zone: tzinfo = timezone.utc) -> None:
        self._day = Starts(zone)
        self._total = _Count()
        self._days: defaultdict[datetime, _Count] = defaultdict(_Count)
        self._sources: defaultdict[str, _Count] = defaultdict(_Count)
        self._destinations: defaultdict[str, _Count] = defaultdict(_Count)
        self._source_of: dict[tuple[int, str], str] = {}

    def add_touch(self, touch: Session) -> None:
        """Count a touch."""
        self.learn(touch)
        day = self._day.of(touch.at)
        for count in (self._total, self._days[day], self._sources[touch.source]):
            count.counts[SESSIONS] += 1

    def learn(self, touch: Session) -> None:
        """Remember a user's source from a touch that is too old to be counted."""
        self._source_of.setdefault((touch.telegram_id, touch.session_id), touch.source)

    def add_event(self, event: Event, delivered_to: Collection[str] = ()) -> None:
        """Count an event, if it is a step.

        :param delivered_to: names of the destinations that have received it.
        """
        if event.name not in STEPS:
            return
        day = self._day.of(event.event_time)
        counts = [self._total, self._days[day], self._sources[self._source(event)]]
        for count in counts + [self._destinations[name] for name in delivered_to]:
            count.counts[event.name] += 1
            if event.name in _VALUED and event.value is not None:
                count.value[event.currency or ""] += event.value

    def result(self) -> Funnel:
        """Return what was counted so far."""
        sources = sorted(
            self._sources.items(), key=lambda item: (-item[1].counts[SESSIONS], item[0])
        )
        return Funnel(
            self._total.row(),
            {day.date().isoformat(): self._days[day].row() for day in sorted(self._days)},
            {source: count.row() for source, count in sources},
            {name: self._destinations[name].row() for name in sorted(self._destinations)},
        )

    def _source(self, event: Event) -> str:
        if event.session_id is None:
            return ORGANIC
        return self._source_of.get((event.telegram_id, event.session_id), UNKNOWN)
