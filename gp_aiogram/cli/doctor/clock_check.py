"""Checks this machine's clock by those of servers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from statistics import median

from gp_aiogram.cli.doctor.finding import Finding

#: Seconds: a header has whole seconds and travels for a while.
_HARMLESS = 30.0
#: From here on platforms take events for ones of the future, or of another day.
_WRONG = 120.0


def check_clock(dates: Iterable[str | None], now: datetime | None = None) -> list[Finding]:
    """Compare the clock with ``Date`` headers that have just come in.

    :param now: for tests; this machine's time.
    """
    now = now or datetime.now(timezone.utc)
    told = [moment for date in dates if date and (moment := _moment(date))]
    if not told:
        return [Finding("note", "clock", "no server told the time")]
    off = median((now - moment).total_seconds() for moment in told)
    if abs(off) < _HARMLESS:
        return [Finding("ok", "clock", "it agrees with that of the servers")]
    text = f"it is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}"
    remedy = "have it set by NTP (timedatectl set-ntp true): platforms refuse events of the future"
    return [Finding("problem" if abs(off) > _WRONG else "warning", "clock", text, remedy)]


def _moment(date: str) -> datetime | None:
    try:
        return parsedate_to_datetime(date)
    except ValueError:
        return None
