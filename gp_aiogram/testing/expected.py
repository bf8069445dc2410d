"""What a test expects of a recorded event, and how a recorded one differs from it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from gp_aiogram.testing.recorded_event import RecordedEvent

#: What an expectation may name, besides the name of the event and its destinations (``to``).
FIELDS = (
    "value",
    "currency",
    "telegram_id",
    "bot_id",
    "session_id",
    "user_data",
    "event_id",
    "event_time",
    "click",
    "traits",
    "bot_username",
)


class Difference(NamedTuple):
    """A field that is not as it was expected."""

    field: str
    recorded: object
    expected: object

    def __str__(self) -> str:
        return f"{self.field}: {_shown(self.recorded)}, not {_shown(self.expected)}"


class Expected:
    """An event as a test expects it. Fields that you do not name may have any value.

    It equals every :class:`~gp_aiogram.testing.RecordedEvent` that matches.

    :param name: of the event.
    :param fields: of :class:`gp_aiogram.Event`. A mapping, such as ``user_data``, must contain the
        items that you name. ``to`` is the name of one destination that gets it, or all their
        names.
    :raises TypeError: when an event has no such field.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str, fields: Mapping[str, object]) -> None:
        if unknown := sorted(fields.keys() - {*FIELDS, "to"}):
            msg = f"an event has no {unknown[0]!r}: there are {', '.join((*FIELDS, 'to'))}"
            raise TypeError(msg)
        self.name = name
        self.fields = fields

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Expected):
            return (self.name, self.fields) == (other.name, other.fields)
        if isinstance(other, RecordedEvent):
            return not self.differences(other)
        return NotImplemented

    def __repr__(self) -> str:
        conditions = [f"{field}={value!r}" for field, value in self.fields.items()]
        return f"tracked({', '.join([repr(self.name), *conditions])})"

    def __str__(self) -> str:
        conditions = [f"{field}={_shown(value)}" for field, value in self.fields.items()]
        return f"{self.name} with {', '.join(conditions)}" if conditions else self.name

    def differences(self, recorded: RecordedEvent) -> list[Difference]:
        """Return how a recorded event differs from the expected one."""
        found = []
        if recorded.event.name != self.name:
            found.append(Difference("name", recorded.event.name, self.name))
        for field, expected in self.fields.items():
            actual = recorded.to if field == "to" else getattr(recorded.event, field)
            if not _fits(field, actual, expected):
                found.append(Difference(field, actual, expected))
        return found


def tracked(name: str, **fields: object) -> Expected:
    """Describe an event, to compare it with recorded ones.

    ::

        assert gp_events == [tracked("REG"), tracked("FTD", value=50, currency="EUR")]

    :param name: of the event.
    :param fields: as of :class:`Expected`.
    """
    return Expected(name, fields)


def _fits(field: str, actual: Any, expected: Any) -> bool:
    if field == "to":
        return expected in actual if isinstance(expected, str) else set(expected) == set(actual)
    if field == "value" and expected is not None:
        return actual is not None and actual == _decimal(expected)
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return all(actual.get(key) == value for key, value in expected.items())
    return bool(actual == expected)


def _decimal(value: Any) -> Decimal | None:
    """Return an amount as events hold it; a float by its shortest digits, as it is written."""
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(map(str, value)) or "none"
    return str(value) if isinstance(value, (Decimal, int, float)) else repr(value)
