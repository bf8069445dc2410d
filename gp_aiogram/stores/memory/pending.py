"""The order in which the pending deliveries of a destination are due."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from gp_aiogram.stores.records import MAX_DELAY

_LONGEST = timedelta(seconds=MAX_DELAY)

#: Times are kept to the millisecond.
_TICK = timedelta(milliseconds=1)


class PendingQueue:
    """Numbers of events, the longest due first; of the same moment, the older first."""

    def __init__(self) -> None:
        self._places: list[tuple[datetime, int]] = []

    def __iter__(self) -> Iterator[int]:
        return (seq for _, seq in self._places)

    def __len__(self) -> int:
        return len(self._places)

    def add(self, due: datetime, seq: int) -> None:
        """Put an event in its place."""
        insort(self._places, (due, seq))

    def remove(self, due: datetime, seq: int) -> None:
        """Take an event out."""
        del self._places[bisect_left(self._places, (due, seq))]

    def due(self, now: datetime) -> Iterator[int]:
        """Yield what may be tried now, the longest due first.

        What a clock that was set back has left in the far future comes at the end.
        """
        not_yet = bisect_left(self._places, (now + _TICK, 0))
        beyond = bisect_left(self._places, (now + _LONGEST + _TICK, 0))
        for places in (islice(self._places, not_yet), islice(self._places, beyond, None)):
            for _, seq in places:
                yield seq
