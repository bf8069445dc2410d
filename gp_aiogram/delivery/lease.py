"""Tells whether what a lane has claimed is surely still its own."""

from __future__ import annotations

from collections.abc import Callable

#: The part of a lease that must be left when a request begins: it gives the request time to end
#: before somebody else may claim the same deliveries.
_RESERVE = 1 / 3


class Lease:
    """The lease of a round, by this machine's own clock.

    A store ends a claim by its own clock and tells nobody. A process that stood still meanwhile (a
    blocked event loop, a paused machine) must not send what somebody else has claimed since; so it
    counts the seconds itself, from before it asked. That is never later than the store does.

    :param monotonic: seconds on a clock that never goes back.
    :param seconds: as asked of the store; the claim must be asked for after this is made.
    """

    def __init__(self, monotonic: Callable[[], float], seconds: float) -> None:
        self._monotonic = monotonic
        self._seconds = seconds
        self._end = monotonic() + seconds

    @property
    def is_safe(self) -> bool:
        """Whether a request may begin."""
        return self._monotonic() < self._end - self._seconds * _RESERVE

    def renewed(self, asked: float) -> None:
        """Note that the store has extended the claims.

        An answer that comes after the end proves nothing: the claims may have ended before the
        store was asked, and it says nothing of that.

        :param asked: when the store was asked, by the same clock.
        """
        if self._monotonic() < self._end:
            self._end = asked + self._seconds
