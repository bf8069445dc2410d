"""A clock that stands still until a test turns it."""

from __future__ import annotations

#: 1 January 2026, 00:00 UTC.
START = 1_767_225_600.0


class ManualClock:
    """A :class:`gp_aiogram.model.clock.Clock` that tests turn by hand.

    :param start: the first time of the wall clock, in seconds since the Unix epoch.
    """

    def __init__(self, start: float = START) -> None:
        self._wall = start
        self._monotonic = 0.0

    def time(self) -> float:
        """Wall clock, seconds since the Unix epoch."""
        return self._wall

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass.

        :raises ValueError: when the time is negative; see :meth:`jump`.
        """
        if seconds < 0:
            msg = f"time does not pass backwards ({seconds} s): jump() sets the wall clock"
            raise ValueError(msg)
        self._wall += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back when negative, while no time passes."""
        self._wall += seconds
