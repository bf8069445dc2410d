"""Events that were accepted moments ago: who claims them need not decode them."""

from __future__ import annotations

from collections import OrderedDict

from gp_aiogram.event import Event

#: How many events are kept, and how many characters their JSON may have together.
MOST_EVENTS, MOST_TEXT = 4096, 4 * 1024 * 1024


class RecentEvents:
    """The youngest events by their numbers, which are never given twice.

    One thread adds and drops; others may look meanwhile.
    """

    def __init__(self) -> None:
        self._events: OrderedDict[int, tuple[Event, int]] = OrderedDict()
        self._text = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, seq: int, event: Event, length: int) -> None:
        """Keep an event, and let go of the oldest when there are too many.

        :param length: of its JSON.
        """
        self._events[seq] = event, length
        self._text += length
        while len(self._events) > MOST_EVENTS or self._text > MOST_TEXT:
            self._text -= self._events.popitem(last=False)[1][1]

    def get(self, seq: int) -> Event | None:
        """Return an event if it is here."""
        kept = self._events.get(seq)
        return None if kept is None else kept[0]

    def drop(self, seq: int) -> None:
        """Let go of an event."""
        kept = self._events.pop(seq, None)
        if kept is not None:
            self._text -= kept[1]

    def clear(self) -> None:
        """Let go of all."""
        self._events.clear()
        self._text = 0
