"""Tells the day, or the hour, that a moment belongs to in a time zone; fast for many moments."""

from __future__ import annotations

from datetime import datetime, tzinfo

#: Seconds. No time zone changes the hour or the day within a quarter of an hour.
_QUARTER = 15 * 60


class Starts:
    """When the day, or the hour, of a moment begins.

    :param zone: where a day begins and ends.
    :param hourly: tell of hours, else of days.
    """

    def __init__(self, zone: tzinfo, *, hourly: bool = False) -> None:
        self._zone = zone
        self._hourly = hourly
        self._known: dict[int, datetime] = {}

    def of(self, moment: datetime) -> datetime:
        """Return the beginning, in the time zone."""
        quarter = int(moment.timestamp() // _QUARTER)
        start = self._known.get(quarter)
        if start is None:
            start = self._known[quarter] = self._find(moment)
        return start

    def _find(self, moment: datetime) -> datetime:
        local = moment.astimezone(self._zone).replace(minute=0, second=0, microsecond=0)
        return local if self._hourly else local.replace(hour=0)
