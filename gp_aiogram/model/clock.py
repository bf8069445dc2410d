"""The two clocks that delivery needs, behind one seam so that tests can turn them."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Clock(Protocol):
    """What tells the time."""

    def time(self) -> float:
        """Wall clock, seconds since the Unix epoch; it may be set back or forth at any moment."""

    def monotonic(self) -> float:
        """Seconds since some moment; it never goes back. For waiting within one process."""


class SystemClock:
    """The clocks of this machine."""

    def time(self) -> float:
        """Wall clock, seconds since the Unix epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment; it never goes back."""
        return time.monotonic()


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since the Unix epoch."""
    return round(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """Turn :func:`to_ms` round, in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)
