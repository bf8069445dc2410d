"""Events that were accepted moments ago: who claims them need not decode them."""

from __future__ import annotations

from gp_aiogram.model.event import Event

#: How many events are kept at least, and how many characters of JSON; at most twice as many.
ENOUGH_EVENTS, ENOUGH_TEXT = 2048, 2 * 1024 * 1024


class RecentEvents:
    """The youngest events by their numbers, which are never given twice.

    One thread adds and drops; others may look meanwhile.
    """

    def __init__(self) -> None:
        self._young: dict[int, Event] = {}
        self._old: dict[int, Event] = {}
        self._text = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def add(self, seq: int, event: Event, length: int) -> None:
        """Keep an event; when there are enough younger ones, it goes.

        :param length: of its JSON.
        """
        if self._text + length > ENOUGH_TEXT or len(self._young) >= ENOUGH_EVENTS:
            self._young, self._old, self._text = {}, self._young, 0
        if length <= ENOUGH_TEXT:
            self._young[seq] = event
            self._text += length

    def get(self, seq: int) -> Event | None:
        """Return an event if it is here."""
        return self._young.get(seq) or self._old.get(seq)

    def drop(self, seq: int) -> None:
        """Let go of an event."""
        self._young.pop(seq, None)
        self._old.pop(seq, None)

    def clear(self) -> None:
        """Let go of all."""
        self._young, self._old, self._text = {}, {}, 0
