"""Events that were accepted moments ago, so that who claims them need not decode them."""

from __future__ import annotations

from collections.abc import Iterable

from gp_aiogram.model.event import Event

#: How much is kept at least, in characters of JSON; at most twice as much.
ENOUGH = 4 * 1024 * 1024

#: What an event takes besides its texts, in characters.
OVERHEAD = 1024


class RecentEvents:
    """The youngest events by their numbers; a number is never given to another event.

    They form two generations: when the young are enough, they become the old, and the old go.
    """

    def __init__(self) -> None:
        self._young: dict[int, Event] = {}
        self._old: dict[int, Event] = {}
        self._size = 0

    def add(self, seq: int, event: Event, length: int) -> None:
        """Keep an event.

        :param length: characters of its JSON.
        """
        if self._size >= ENOUGH:
            self._young, self._old, self._size = {}, self._young, 0
        self._young[seq] = event
        self._size += length + OVERHEAD

    def find(self, seqs: Iterable[int]) -> dict[int, Event]:
        """Return those of the events that are here."""
        found = ((seq, self._young.get(seq) or self._old.get(seq)) for seq in seqs)
        return {seq: event for seq, event in found if event is not None}

    def drop(self, seqs: Iterable[int]) -> None:
        """Let go of events."""
        for seq in seqs:
            self._young.pop(seq, None)
            self._old.pop(seq, None)

    def clear(self) -> None:
        """Let go of all."""
        self._young, self._old, self._size = {}, {}, 0
