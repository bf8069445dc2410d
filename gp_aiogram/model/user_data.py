"""Turns what a caller wants to send with an event into JSON values."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, time
from decimal import Decimal
from enum import Enum
from operator import methodcaller
from typing import Any, TypeGuard
from uuid import UUID

from gp_aiogram.errors import EventError
from gp_aiogram.model.wording import describe, shown_name

logger = logging.getLogger("gp_aiogram")

MAX_USER_DATA_BYTES = 64 * 1024

#: How deep objects and lists may lie within each other; ``user_data`` itself is the first.
MAX_DEPTH = 32

#: So many values of two bytes at least are too much.
_MAX_PARTS = MAX_USER_DATA_BYTES // 2

#: So many values, their texts and keys of so many characters together, surely fit: JSON makes 12
#: bytes of a character at most.
_FEW, _SHORT = 100, 5000

#: Every JSON library takes integers up to here.
_MAX_INTEGER = 2**63 - 1

#: Up to here each integer is a floating-point number of its own.
_MAX_EXACT = 2**53

#: How many names a warning holds.
_MOST_NAMES = 10

#: Made once: ``json.dumps`` makes an encoder for each call that is not plain.
_strict = json.JSONEncoder(allow_nan=False).encode

#: Names the parts of a list.
_ANY_INDEX = "[]"

#: A part's key, behind those of the parts that it lies in.
_Path = tuple["_Path | None", object]

_Items = Iterable[tuple[object, object]]


class _TooLarge(Exception):  # noqa: N818 - raised and caught here
    """One part alone is more than ``user_data`` may hold."""


def validate_user_data(user_data: object) -> Mapping[str, Any]:
    """Return a copy of what an event is to carry, as JSON values; nothing when None.

    A Decimal becomes a number if it keeps its digits as a float, else a text. Dates and times
    become texts of ISO 8601, UUIDs texts, enum members their values, tuples lists, sets sorted
    lists, dataclasses objects. What cannot be converted is left out, and so are the largest parts
    of what is too much: the event is worth more than they are. A warning names them.

    :raises EventError: when it is no mapping, or nested more than :data:`MAX_DEPTH` levels deep.
    """
    if user_data is None:
        return {}
    if _is_small_and_flat(user_data):
        return user_data.copy()
    if not isinstance(user_data, Mapping):
        msg = f"user_data must be a mapping with text keys, not {describe(user_data)}"
        raise EventError(msg)
    conversion = _Conversion()
    converted = conversion.run(user_data)
    left_out = conversion.left_out
    if not conversion.is_small:
        left_out += _drop_largest(converted)
    if left_out:
        logger.warning("left out of user_data: %s", _listed(left_out))
    return converted


def _listed(names: Iterable[str]) -> str:
    different = list(dict.fromkeys(names))
    more = [f"{len(different) - _MOST_NAMES} more"] if len(different) > _MOST_NAMES else []
    return ", ".join(different[:_MOST_NAMES] + more)


def _is_small_and_flat(user_data: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a copy is all that JSON would make of this, and surely a short one."""
    if type(user_data) is not dict or len(user_data) > _FEW:
        return False
    length = 0
    for key, value in user_data.items():
        if type(key) is not str or not _is_plain(value):
            return False
        length += len(key) + (len(value) if type(value) is str else 0)
    return length <= _SHORT


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is int or kind is float:
        return bool(-_MAX_INTEGER <= value <= _MAX_INTEGER)
    return kind is str or kind is bool or value is None


class _Conversion:
    """Makes JSON values of all parts of one ``user_data``."""

    def __init__(self) -> None:
        #: Names of parts, each with the reason.
        self.left_out: list[str] = []
        self._length = 0
        self._parts = 0
        self._most_parts = _MAX_PARTS

    @property
    def is_small(self) -> bool:
        """Whether all that was converted surely fits."""
        return self._parts <= _FEW and self._length <= _SHORT

    def run(self, user_data: Mapping[Any, Any]) -> dict[str, Any]:
        """Convert one part after the other, so that one that is too large costs no other."""
        converted: dict[str, Any] = {}
        for key, value in user_data.items():
            self._most_parts = self._parts + _MAX_PARTS
            try:
                converted.update(self._pairs([(key, value)], None, depth=1))
            except _TooLarge:
                self.left_out.append(f"{_name((None, key))} (too large)")
        return converted

    def _pairs(self, items: _Items, path: _Path | None, depth: int) -> Iterator[tuple[str, Any]]:
        if depth > MAX_DEPTH:
            msg = f"user_data must not be nested more than {MAX_DEPTH} levels deep"
            raise EventError(msg)
        pairs = (self._pair(key, value, path, depth) for key, value in items)
        return filter(None, pairs)

    def _pair(
        self,
        key: object,
        value: object,
        path: _Path | None,
        depth: int,
    ) -> tuple[str, Any] | None:
        try:
            name = self._text(key if type(key) is str else _key(key))
            return name, self._value(value, (path, key), depth + 1)
        except (EventError, _TooLarge):
            raise
        except Exception:  # noqa: BLE001 - an object of the caller's may raise anything
            self.left_out.append(f"{_name((path, key))} ({type(value).__name__})")
            return None

    def _value(self, value: object, path: _Path, depth: int) -> Any:
        self._parts += 1
        if self._parts > self._most_parts:
            raise _TooLarge
        if type(value) is str:
            return self._text(value)
        if _is_plain(value):
            return value
        if isinstance(value, Enum):
            return self._value(value.value, path, depth)
        if (members := _members(value)) is not None:
            return dict(self._pairs(members, path, depth))
        if isinstance(value, (list, tuple, set, frozenset)):
            items = [(_ANY_INDEX, part) for part in value]
            parts = [part for _, part in self._pairs(items, path, depth)]
            return sorted(parts, key=_rank) if isinstance(value, (set, frozenset)) else parts
        scalar = _scalar(value)
        return self._text(scalar) if isinstance(scalar, str) else scalar

    def _text(self, text: str) -> str:
        self._length += len(text)
        if len(text) > MAX_USER_DATA_BYTES:
            raise _TooLarge
        return text


def _members(value: object) -> _Items | None:
    """Return what an object is to have; None when the value does not become one."""
    if isinstance(value, Mapping):
        return value.items()
    if is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in fields(value)]
    return None


def _key(key: object) -> str:
    """Return a key as JSON has it: numbers, truth values and None are written as texts."""
    if isinstance(key, Enum):
        return _key(key.value)
    scalar = _scalar(key)
    return scalar if isinstance(scalar, str) else _strict(scalar)


def _scalar(value: object) -> str | int | float | None:
    """Return a value without parts as JSON has it.

    :raises ValueError: when JSON has none like it.
    """
    if value is None:
        return None
    for kind, convert in _SCALARS.items():
        if isinstance(value, kind):
            return convert(value)
    raise ValueError


def _integer(value: int) -> int:
    # Raises ValueError when it has more digits than Python writes.
    return int(int.__repr__(value))


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError
    return float(value)


def _number(value: Decimal) -> int | float | str:
    if not value.is_finite():
        raise ValueError
    number = float(value)
    if Decimal(repr(number)) != value:
        return str(value)
    return int(number) if number.is_integer() and abs(number) <= _MAX_EXACT else number


#: By the built-in types' own methods, which a subclass cannot override. The first that fits is
#: taken.
_SCALARS: Mapping[type, Callable[[Any], str | int | float]] = {
    str: str.__str__,
    bool: bool,
    int: _integer,
    float: _finite,
    Decimal: _number,
    date: methodcaller("isoformat"),
    time: methodcaller("isoformat"),
    UUID: str,
}


def _rank(part: object) -> tuple[bool, float, str]:
    """Order numbers by their size and before all else, which is in the order of its JSON text."""
    return (False, part, "") if isinstance(part, (int, float)) else (True, 0, _strict(part))


def _drop_largest(converted: dict[str, Any]) -> list[str]:
    """Take the largest parts out until the rest fits; return their names."""
    dropped: list[str] = []
    if len(_strict(converted)) <= MAX_USER_DATA_BYTES:
        return dropped
    # Their sum is the size of the whole: the braces of each stand for a comma and a space.
    sizes = {key: len(_strict({key: part})) for key, part in converted.items()}
    total = sum(sizes.values())
    for key in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if total <= MAX_USER_DATA_BYTES:
            break
        total -= sizes[key]
        del converted[key]
        dropped.append(f"{_name((None, key))} (too large)")
    return dropped


def _name(path: _Path | None) -> str:
    """Return the name of a part such as ``contents.[].price``."""
    keys: list[str] = []
    while path is not None:
        path, key = path
        keys.append(key if isinstance(key, str) else describe(key))
    return shown_name(".".join(reversed(keys)))
