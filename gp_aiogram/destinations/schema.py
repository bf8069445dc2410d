"""Tables of what an ad platform's fields are called and made of, and the one way to apply them.

A table is a rule, a list of one table (a list of such), or a mapping of names to tables.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union


@dataclass(frozen=True)
class Rule:
    """What one value must be.

    :param words: for messages, as in "must be a text".
    :param read: returns the value as the platform wants it, or None when it is not usable.
    """

    words: str
    read: Callable[[object], Any]


Table = Union[Rule, "list[Table]", "Mapping[str, Table]"]

_DIGEST = re.compile("[0-9a-f]{64}")


def fitted(
    value: object,
    table: Table,
    where: str,
    misfits: list[str],
    *,
    exact: bool = False,
) -> Any:
    """Return as much of a value as fits the table; None when nothing does.

    :param where: names the value in messages.
    :param misfits: gets a message for each part that does not fit; none shows a value.
    :param exact: what a rule could turn into what it should be does not fit.
    """
    if isinstance(table, Rule):
        read = table.read(value)
        fits = read is value if exact else read is not None
        return read if fits else _misfit(where, table.words, misfits)
    if isinstance(table, list):
        if not isinstance(value, list):
            return _misfit(where, "a list", misfits)
        parts = [fitted(part, table[0], f"{where}[]", misfits, exact=exact) for part in value]
        return [part for part in parts if part is not None] or None
    if not isinstance(value, Mapping):
        return _misfit(where, "an object", misfits)
    misfits += [f"there is no field {where}.{name}" for name in value if name not in table]
    fields = {
        name: fitted(value[name], rule, f"{where}.{name}", misfits, exact=exact)
        for name, rule in table.items()
        if name in value
    }
    return {name: part for name, part in fields.items() if part is not None} or None


def _misfit(where: str, words: str, misfits: list[str]) -> None:
    misfits.append(f"{where} must be {words}")


def is_digest(value: object) -> bool:
    """Tell whether this is a SHA-256 digest as the platforms want it: 64 lower-case hex digits."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def one_of(*choices: str) -> Rule:
    """Make a rule that takes these texts only."""
    return Rule(f"one of {', '.join(choices)}", lambda value: _as(value in choices, value))


def _as(fits: bool, value: object) -> object:
    return value if fits else None


def _text(value: object) -> str | None:
    """Numbers become texts: platforms refuse an order id that is a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None


def _number(value: object) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _digests(value: object) -> object:
    digests: Sequence[object] = value if isinstance(value, list) else [value]
    return _as(bool(digests) and all(map(is_digest, digests)), value)


TEXT = Rule("a text", _text)
NUMBER = Rule("a finite number", _number)
WHOLE = Rule("a whole number", _whole)
FLAG = Rule("true or false", lambda value: _as(isinstance(value, bool), value))
DIGESTS = Rule("a SHA-256 digest in lower-case hex, or a list of them", _digests)
