"""The codec: the same values as the standard library, whatever they are."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gp_aiogram.model.codec import decode, encode

#: The same examples each time, however slow the machine is.
steady = settings(deadline=None, derandomize=True)

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters()),  # lone surrogates included
        st.text(),
    ),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(st.characters()), parts),
    max_leaves=10,
)


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal, types and NaN included."""
    return repr(one) == repr(other)


@steady
@given(values)
def test_what_is_encoded_is_decoded(value: Any) -> None:
    encoded = encode(value)
    assert same(decode(encoded), value)
    assert same(decode(encoded.decode()), value)
    assert same(json.loads(encoded), value)


@steady
@given(values)
def test_what_the_standard_library_wrote_is_decoded(value: Any) -> None:
    assert same(decode(json.dumps(value)), value)
    assert same(decode(json.dumps(value, indent=1).encode()), value)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ({"a": [1, 2.5, None, True]}, '{"a":[1,2.5,null,true]}'),
        ("Покупка 🎉", '"Покупка 🎉"'),
        ("\ud83c", '"\\ud83c"'),
        (2**64, "18446744073709551616"),
        (-(2**63) - 1, "-9223372036854775809"),
        ([math.nan, math.inf, -math.inf, None], "[NaN,Infinity,-Infinity,null]"),
        (math.nan, "NaN"),
        ({"a": (1, {"b": math.nan})}, '{"a":[1,{"b":NaN}]}'),
        ({1: "a", None: "b"}, '{"1":"a","null":"b"}'),
        ((), "[]"),
        ("", '""'),
    ],
)
def test_how_values_are_written(value: Any, encoded: str) -> None:
    assert encode(value) == encoded.encode()


class Text(str):
    __slots__ = ()


class Pair(NamedTuple):
    first: int
    second: str


class Number(IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Text("a"), "a"),
        ({Text("a"): Text("b")}, {"a": "b"}),
        (Pair(1, "b"), [1, "b"]),
        (Number.ONE, 1),
        (OrderedDict(a=OrderedDict(b=math.inf)), {"a": {"b": math.inf}}),
    ],
    ids=str,
)
def test_kinds_of_json_values_are_written_as_such(value: Any, plain: Any) -> None:
    assert decode(encode(value)) == plain


@dataclass
class Record:
    number: int = 1


@pytest.mark.parametrize(
    "value",
    [
        *(object(), {1}, b"bytes", Decimal(1), 1j, Record()),
        *(datetime(2026, 1, 1, tzinfo=timezone.utc), date(2026, 1, 1)),
    ],
    ids=str,
)
def test_what_is_no_json_value_is_refused_as_ever(value: Any) -> None:
    with pytest.raises(TypeError):
        json.dumps({"a": value})
    with pytest.raises(TypeError):
        encode({"a": value})


def test_deep_nesting_is_no_trouble() -> None:
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]
    assert decode(encode(deep)) == deep


def test_a_value_that_holds_itself_is_an_error_and_no_endless_loop() -> None:
    circle: dict[str, Any] = {}
    circle["self"] = circle
    with pytest.raises(RecursionError):
        encode(circle)


@pytest.mark.parametrize("text", ["", "{", "[1,]", "nil", "{'a': 1}", b"\xff", "1 2", '"\n"'])
def test_what_is_no_json_is_refused(text: Any) -> None:
    with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
        decode(text)
