"""What is shown to admins: today's funnel, the days before, and how destinations are doing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo

from gp_aiogram.delivery.pacing import PacerState
from gp_aiogram.delivery.stats import Stats
from gp_aiogram.reports import FunnelRow, read_report
from gp_aiogram.reports.funnel import STEPS
from gp_aiogram.tracker import Tracker

#: Days that are shown, today included.
DAYS = 7

#: Events, and touches, that are read at most: more than a phone's screen can tell.
_MOST = 50_000

_NOTHING = FunnelRow(dict.fromkeys(STEPS, 0), {})


@dataclass(frozen=True)
class DestinationView:
    """How one destination is doing.

    :param state: None when this process does not know: others deliver.
    :param oldest: seconds that the pending event has waited whose turn is next.
    """

    name: str
    state: PacerState | None
    pending: int
    dead: int
    oldest: float | None


@dataclass(frozen=True)
class Overview:
    """Everything that is shown.

    :param days: by date, the earliest first, without gaps; today is the last.
    :param lists_touches: False where the session store cannot tell how many sessions there were.
    :param complete: False where there was more than was read.
    :param delivers: whether this process delivers.
    :param waiting: requests in the journal.
    """

    now: datetime
    days: Mapping[date, FunnelRow]
    destinations: Sequence[DestinationView]
    lists_touches: bool = True
    complete: bool = True
    delivers: bool = True
    waiting: int = 0

    @property
    def today(self) -> FunnelRow:
        """The last of the days."""
        return self.days[self.now.date()]


async def read_overview(tracker: Tracker, zone: tzinfo, now: datetime | None = None) -> Overview:
    """Ask a tracker and its store.

    :param zone: where a day begins and ends.
    :param now: the present time, with time zone; this machine's when None.
    :raises StoreError: when the store failed.
    """
    now = (now or datetime.now(timezone.utc)).astimezone(zone)
    first = now.date() - timedelta(days=DAYS - 1)
    since = datetime(first.year, first.month, first.day, tzinfo=zone)
    report, stats = await asyncio.gather(
        read_report(tracker.store, since, now, zone=zone, most=_MOST), tracker.stats()
    )
    by_day = report.funnel.by_day
    dates = [first + timedelta(days=number) for number in range(DAYS)]
    return Overview(
        now=now,
        days={day: by_day.get(day.isoformat(), _NOTHING) for day in dates},
        destinations=destinations_of(stats),
        lists_touches=report.lists_touches,
        complete=report.complete,
        delivers=tracker.delivers,
        waiting=stats.waiting,
    )


def destinations_of(stats: Stats) -> list[DestinationView]:
    """Return how each destination is doing."""
    return [
        DestinationView(
            name=name,
            state=each.state,
            pending=each.deliveries.get("pending", 0),
            dead=each.deliveries.get("dead", 0),
            oldest=each.oldest_pending,
        )
        for name, each in stats.destinations.items()
    ]
