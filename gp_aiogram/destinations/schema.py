"""Applies tables that say what an ad platform's fields are called and made of."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Union


@dataclass(frozen=True)
class Rule:
    """What one value must be.

    :param words: for messages, as in "must be a text".
    :param read: returns the value as the platform wants it, or None when it is not usable.
    """

    words: str
    read: Callable[[object], Any]


#: A rule, a list of one table (for a list of such values), or names with a table each.
Table = Union[Rule, "list[Table]", "Mapping[str, Table]"]

#: Returns what fits a table of a value, None when nothing does; a message for each part that does
#: not is appended to the list.
Reader = Callable[[object, "list[str]"], Any]

_DIGEST_LENGTH = 64

#: A number as a text: no thousands, no currency, no exponent.
_NUMERIC = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?")
_LONGEST_NUMBER = 30


def reader(table: Table, where: str, *, exact: bool = False) -> Reader:
    """Return the reader of a table, to be made once. Its messages never show a value.

    :param where: names the value in messages.
    :param exact: refuse what a rule would have to convert.
    """
    if isinstance(table, Rule):
        return partial(_by_rule, table, where, exact)
    if isinstance(table, list):
        return partial(_list, reader(table[0], f"{where}[]", exact=exact), where)
    readers = {name: reader(part, f"{where}.{name}", exact=exact) for name, part in table.items()}
    return partial(_object, readers, where)


def _by_rule(rule: Rule, where: str, exact: bool, value: object, errors: list[str]) -> Any:
    read = rule.read(value)
    fits = read is value if exact else read is not None
    return read if fits else _report(where, rule.words, errors)


def _list(read: Reader, where: str, value: object, errors: list[str]) -> Any:
    if not isinstance(value, list):
        return _report(where, "a list", errors)
    parts = [read(part, errors) for part in value]
    return [part for part in parts if part is not None] or None


def _object(
    readers: Mapping[str, Reader],
    where: str,
    value: object,
    errors: list[str],
) -> Any:
    if not isinstance(value, dict):
        return _report(where, "an object", errors)
    fitting = {}
    for name, part in value.items():
        read = readers.get(name)
        if read is None:
            errors.append(f"there is no field {where}.{name}")
        elif (fit := read(part, errors)) is not None:
            fitting[name] = fit
    return fitting or None


def _report(where: str, words: str, errors: list[str]) -> None:
    errors.append(f"{where} must be {words}")


def is_digest(value: Any) -> bool:
    """Return whether a value is a SHA-256 digest as platforms want it: 64 lower-case digits."""
    try:
        # What bytes are written as is in lower case and without white space.
        return len(value) == _DIGEST_LENGTH and bytes.fromhex(value).hex() == value
    except (TypeError, ValueError):  # no text, or not hexadecimal
        return False


def one_of(*choices: str) -> Rule:
    """Make a rule that takes these texts only."""
    return Rule(f"one of {', '.join(choices)}", lambda value: _as(value in choices, value))


def _as(fits: bool, value: object) -> object:
    return value if fits else None


def _text(value: object) -> str | None:
    """Turn whole numbers into texts: platforms refuse an order id that is a number."""
    if isinstance(value, str):
        return value if value.strip() else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> int | float | None:
    """Read prices and counts that a bot keeps as texts, too."""
    if isinstance(value, str):
        return _number_in(value.strip())
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) else None


def _number_in(text: str) -> int | float | None:
    if len(text) > _LONGEST_NUMBER or not _NUMERIC.fullmatch(text):
        return None
    return float(text) if "." in text else int(text)


def _whole(value: object) -> int | None:
    number = _number(value)
    if isinstance(number, float):
        return int(number) if number.is_integer() else None
    return number


def _digests(value: object) -> object:
    if isinstance(value, list):
        return _as(bool(value) and all(map(is_digest, value)), value)
    return _as(is_digest(value), value)


TEXT = Rule("a text", _text)
NUMBER = Rule("a finite number", _number)
WHOLE = Rule("a whole number", _whole)
FLAG = Rule("true or false", lambda value: _as(isinstance(value, bool), value))
DIGESTS = Rule("a SHA-256 digest in lower-case hex, or a list of them", _digests)
