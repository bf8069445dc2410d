"""Events that a test has recorded, with assertions that show what was recorded instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import overload

from gp_aiogram.testing.expected import Difference, Expected
from gp_aiogram.testing.recorded_event import RecordedEvent

#: Of many events, a message shows those that are nearest to what was expected.
_SHOWN = 10


class RecordedEvents(Sequence[RecordedEvent]):
    """What was recorded, oldest first."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self._events: list[RecordedEvent] = []

    def __len__(self) -> int:
        return len(self._events)

    @overload
    def __getitem__(self, index: int) -> RecordedEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordedEvent]: ...
    def __getitem__(self, index: int | slice) -> RecordedEvent | list[RecordedEvent]:
        return self._events[index]

    def __iter__(self) -> Iterator[RecordedEvent]:
        return iter(self._events)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RecordedEvents):
            return self._events == other._events
        return self._events == list(other) if isinstance(other, (list, tuple)) else NotImplemented

    def __repr__(self) -> str:
        return f"[{'; '.join(map(str, self._events))}]"

    @property
    def names(self) -> list[str]:
        """The names of the events."""
        return [recorded.name for recorded in self._events]

    def add(self, recorded: RecordedEvent) -> None:
        """Add an event."""
        self._events.append(recorded)

    def clear(self) -> None:
        """Remove what was recorded so far, such as events of a test's preparation."""
        self._events.clear()

    def named(self, name: str) -> list[RecordedEvent]:
        """Return the events with this name."""
        return [recorded for recorded in self._events if recorded.name == name]

    def assert_tracked(
        self, name: str, *, times: int | None = None, **fields: object
    ) -> RecordedEvent:
        """Check that an event was recorded, and return the first match.

        :param name: of the event.
        :param times: the exact number of matches; None means at least one.
        :param fields: ``value``, ``currency``, ``telegram_id``, ``session_id``, ``user_data``,
            ``to`` …; see :class:`~gp_aiogram.testing.expected.Expected`.
        :raises AssertionError: the text shows what was recorded instead, closest first.
        """
        __tracebackhide__ = True
        expected = Expected(name, fields)
        found = [recorded for recorded in self._events if expected == recorded]
        if not found:
            raise AssertionError(self._nothing_like(expected))
        if times is not None and len(found) != times:
            msg = f"{expected} was tracked {len(found)} times, not {times}:"
            raise AssertionError("\n".join([msg, *(f"  {one}" for one in found)]))
        return found[0]

    def assert_not_tracked(self, name: str, **fields: object) -> None:
        """Check that no such event was recorded; arguments as of :meth:`assert_tracked`.

        :raises AssertionError: the text shows those that were.
        """
        __tracebackhide__ = True
        expected = Expected(name, fields)
        if found := [recorded for recorded in self._events if expected == recorded]:
            msg = f"{expected} was tracked, and should not have been:"
            raise AssertionError("\n".join([msg, *(f"  {one}" for one in found)]))

    def table(self) -> list[str]:
        """Return a line for each event."""
        return [str(recorded) for recorded in self._events]

    def _nothing_like(self, expected: Expected) -> str:
        if not self._events:
            return f"{expected} was not tracked: nothing was"
        lines = [f"{expected} was not tracked. Instead, nearest first:"]
        judged = [(recorded, expected.differences(recorded)) for recorded in self._events]
        judged.sort(key=lambda each: _distance(each[1]))
        for recorded, differences in judged[:_SHOWN]:
            lines.append(f"  {recorded}")
            lines += [f"      {difference}" for difference in differences]
        if len(judged) > _SHOWN:
            lines.append(f"  … and {len(judged) - _SHOWN} more")
        return "\n".join(lines)


def explain(recorded: RecordedEvents, expected: Sequence[object]) -> list[str]:
    """Explain in lines why what was recorded is not what was expected, event by event."""
    lines = ["what was recorded is not what was expected:"]
    shown = [str(each) for each in expected]
    matcher = SequenceMatcher(a=_same(recorded, expected), b=shown, autojunk=False)
    for tag, start, end, begin, stop in matcher.get_opcodes():
        if tag == "equal":
            lines += [f"    {one}" for one in recorded[start:end]]
            continue
        for offset in range(max(end - start, stop - begin)):
            one = recorded[start + offset] if start + offset < end else None
            other = expected[begin + offset] if begin + offset < stop else None
            lines += _pair(one, other)
    return lines


def _pair(one: RecordedEvent | None, other: object) -> list[str]:
    lines = []
    if other is not None:
        lines.append(f"  - {other}")
    if one is not None:
        lines.append(f"  + {one}")
    if one is not None and isinstance(other, Expected):
        lines += [f"      {difference}" for difference in other.differences(one)]
    return lines


def _same(recorded: RecordedEvents, expected: Sequence[object]) -> list[str]:
    """Return a text for each recorded event: that of what it was expected to be, if anything."""
    left = list(expected)
    texts = []
    for one in recorded:
        fitting = next((each for each in left if each == one), None)
        if fitting is not None:
            left.remove(fitting)
        texts.append(str(one) if fitting is None else str(fitting))
    return texts


def _distance(differences: Sequence[Difference]) -> tuple[int, int, float]:
    """Order by how many fields differ, and an event of another name after one of the same."""
    renamed = [each for each in differences if each.field == "name"]
    unlike = 1.0
    for each in renamed:
        unlike = 1 - SequenceMatcher(None, str(each.recorded), str(each.expected)).ratio()
    return (len(differences) + len(renamed), len(renamed), unlike)
