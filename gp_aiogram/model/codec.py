"""JSON as bytes and back, fast for what is common and exact for what is not."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import orjson
from pydantic_core import from_json

#: Makes orjson refuse what the standard library refuses, too.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME

#: Without the search for circles, a seventh of the work: a value that holds itself is a
#: RecursionError.
_compact = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode

#: What most values are.
_USUAL = frozenset({str, int, bool, type(None)})


def encode(value: Any) -> bytes:
    """Write JSON without white space: UTF-8, or ASCII where UTF-8 cannot carry a text.

    :raises TypeError: when a part is no JSON value.
    :raises RecursionError: when the value holds itself.
    """
    try:
        encoded = orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        # Lone surrogates, integers beyond 64 bits, keys that are no texts, deep nesting.
        return _compact(value).encode()
    # orjson writes null for NaN and the infinities.
    if b"null" in encoded and _any_infinite([value]):
        return _compact(value).encode()
    return encoded


def decode(text: str | bytes) -> Any:
    """Read JSON. Integers of any size, NaN, the infinities and lone surrogates are kept.

    :raises ValueError: when it is no JSON.
    """
    try:
        # Not by orjson, which rounds integers beyond 64 bits.
        return from_json(text, cache_strings="keys")
    except ValueError:
        return json.loads(text)


def _any_infinite(parts: Iterable[Any]) -> bool:
    for part in parts:
        if type(part) in _USUAL:
            continue
        if isinstance(part, float):
            if not math.isfinite(part):
                return True
        elif isinstance(part, dict):
            if _any_infinite(part.values()):
                return True
        elif isinstance(part, (list, tuple)) and _any_infinite(part):
            return True
    return False
