"""Counts for the page what is stored, rarely enough that the bot does not notice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from http import HTTPStatus
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gp_aiogram.destinations.meta import MetaCAPI
from gp_aiogram.errors import DeliveryError, DestinationMisconfigured
from gp_aiogram.model.clock import Clock, to_ms
from gp_aiogram.model.event import utc_from_timestamp
from gp_aiogram.reports import Coverage, Flow, FunnelRow, Report, read_report
from gp_aiogram.tracker import Tracker
from gp_aiogram.web.inspector.refusal import Refused

#: How far back the page may look, in days; up to so many, deliveries are told by the hour.
DAYS, HOURLY_DAYS = (1, 7, 14, 30, 90), 2

#: A report is counted again after so many seconds, and after so many times as long as it took.
_FRESH, _REST = 15.0, 20.0

#: Seconds for which Meta's own judgement, which it makes once a day, is kept; and a refusal.
_QUALITY_FRESH = 600.0

#: Reports, one for each number of days and time zone.
_MOST_KEPT = 20


class _Kept(NamedTuple):
    body: dict[str, Any]
    until: float


class Reporting:
    """Answers with reports, each of which is counted by one at a time.

    :param tracker: its store is read.
    :param clock: tells when a report is too old.
    """

    def __init__(self, tracker: Tracker, clock: Clock) -> None:
        self._tracker = tracker
        self._clock = clock
        self._kept: dict[tuple[int, str], _Kept] = {}
        self._qualities: _Kept | None = None
        self._counting = asyncio.Lock()

    async def report(self, days: int, zone_name: str) -> dict[str, Any]:
        """Return a report of the last days.

        :param zone_name: such as ``Europe/Kyiv``; UTC where nobody knows it.
        :raises Refused: when the page may not look back so far.
        """
        if days not in DAYS:
            raise Refused(
                HTTPStatus.BAD_REQUEST, f"days must be one of {', '.join(map(str, DAYS))}"
            )
        zone = _zone(zone_name)
        key = (days, str(zone))
        async with self._counting:
            kept = self._kept.get(key)
            if kept is None or kept.until < self._clock.monotonic():
                kept = self._kept[key] = await self._count(days, zone)
                for old in [*self._kept][:-_MOST_KEPT]:
                    del self._kept[old]
        return kept.body

    async def quality(self) -> dict[str, Any]:
        """Return Meta's own judgement of each of its destinations, or why there is none."""
        async with self._counting:
            if self._qualities is None or self._qualities.until < self._clock.monotonic():
                pixels = [
                    each for each in self._tracker.destinations if isinstance(each, MetaCAPI)
                ]
                body = {each.name: await _quality(each) for each in pixels}
                until = self._clock.monotonic() + _QUALITY_FRESH
                self._qualities = _Kept(body, until)
        return self._qualities.body

    async def _count(self, days: int, zone: tzinfo) -> _Kept:
        began = self._clock.monotonic()
        until = utc_from_timestamp(self._clock.time())
        hourly = days <= HOURLY_DAYS
        since = _first_moment(until, days, zone, hourly=hourly)
        report = await read_report(self._tracker.store, since, until, zone=zone, hourly=hourly)
        now = self._clock.monotonic()
        return _Kept(report_json(report), now + max(_FRESH, _REST * (now - began)))


def report_json(report: Report) -> dict[str, Any]:
    """Return a report as the page shows it."""
    return {
        "since": to_ms(report.since),
        "until": to_ms(report.until),
        "complete": report.complete,
        "lists_touches": report.lists_touches,
        "funnel": {
            "total": _row(report.funnel.total),
            "by_day": _rows(report.funnel.by_day),
            "by_source": _rows(report.funnel.by_source),
        },
        "coverage": {
            "total": _coverage(report.coverage),
            "by_name": {name: _coverage(each) for name, each in report.coverage_by_name.items()},
        },
        "flows": {name: [*map(_flow, flows)] for name, flows in report.flows.items()},
    }


async def _quality(pixel: MetaCAPI) -> dict[str, Any]:
    try:
        judged = await pixel.dataset_quality()
    except DestinationMisconfigured as error:
        return {"events": [], "refused": True, "error": error.reason}
    except DeliveryError as error:
        return {"events": [], "refused": False, "error": error.reason}
    events = [
        {
            "name": each.event_name,
            "score": each.score,
            "coverage": dict(each.coverage),
            "diagnostics": list(each.diagnostics),
        }
        for each in judged
    ]
    return {"events": events, "refused": False, "error": None}


def _first_moment(until: datetime, days: int, zone: tzinfo, *, hourly: bool) -> datetime:
    """Return when the first of so many days begins; by the hour, it is as many hours ago."""
    if hourly:
        return until - timedelta(days=days) + timedelta(hours=1)
    today = until.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today - timedelta(days=days - 1)).astimezone(timezone.utc)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name) if name else timezone.utc
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return timezone.utc


def _rows(rows: Mapping[str, FunnelRow]) -> list[dict[str, Any]]:
    return [{"label": label, **_row(row)} for label, row in rows.items()]


def _row(row: FunnelRow) -> dict[str, Any]:
    return {
        "counts": dict(row.counts),
        "value": {key: _amount(row.value[key]) for key in row.value},
    }


def _amount(amount: Decimal) -> str:
    return f"{amount:f}"


def _coverage(coverage: Coverage) -> dict[str, Any]:
    return {"events": coverage.events, "counts": dict(coverage.counts)}


def _flow(flow: Flow) -> dict[str, Any]:
    return {
        "start": to_ms(flow.start),
        "counts": dict(flow.counts),
        "median": flow.median_age,
        "high": flow.high_age,
    }
