"""What an event carries: converted to JSON where it can be, and never at the event's cost."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timezone
from datetime import time as day_time
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gp_aiogram import EventError
from gp_aiogram.model.event import new_event
from gp_aiogram.model.user_data import MAX_DEPTH, MAX_USER_DATA_BYTES, validate_user_data

#: The same examples each time, however slow the machine is.
steady = settings(deadline=None, derandomize=True)

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def only(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    return record.getMessage()


@pytest.mark.parametrize("user_data", [None, {}, MappingProxyType({})])
def test_no_user_data_is_an_empty_mapping(user_data):
    assert validate_user_data(user_data) == {}


@pytest.mark.parametrize("user_data", [[], (), "plan", 5, {"a"}, b"{}", object()])
def test_user_data_is_a_mapping(user_data):
    with pytest.raises(EventError, match="user_data must be a mapping with text keys, not"):
        validate_user_data(user_data)


def test_what_is_no_mapping_is_not_shown():
    with pytest.raises(EventError, match="not a text of 15 characters"):
        validate_user_data("ada@example.org")


def test_what_the_caller_changes_later_does_not_change_the_event():
    mine: dict[str, Any] = {"plan": "gold", "tags": ["a"], "more": {"x": 1}}
    event = new_event("REG", telegram_id=7, event_time=NOON, user_data=mine)
    before = event.to_json()
    mine["plan"] = "none"
    mine["new"] = 1
    mine["tags"].append("b")
    mine["more"].clear()
    assert event.to_json() == before
    assert event.user_data == {"plan": "gold", "tags": ["a"], "more": {"x": 1}}


class Frozen(Mapping[str, Any]):
    def __getitem__(self, key: str) -> int:
        return {"a": 1}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


def test_any_kind_of_mapping_will_do():
    assert validate_user_data(Frozen()) == {"a": 1}
    assert validate_user_data({"x": Frozen()}) == {"x": {"a": 1}}


# What is converted


class Tier(Enum):
    GOLD = "gold"
    PRICE = Decimal("9.99")


class Level(IntEnum):
    TOP = 9


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Item:
    sku: str
    price: Decimal
    tags: frozenset[str] = frozenset()


class Shout(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "!"


@pytest.mark.parametrize(
    ("value", "converted"),
    [
        (Decimal("9.99"), 9.99),
        (Decimal("0.1"), 0.1),
        (Decimal(3), 3),
        (Decimal("3.00"), 3),
        (Decimal("1E+3"), 1000),
        (Decimal("-0.5"), -0.5),
        # What no floating-point number is written like stays exact as a text.
        (Decimal("0.12345678901234567890"), "0.12345678901234567890"),
        (Decimal("1E+999999"), "1E+999999"),
        (NOON, "2026-01-01T12:00:00+00:00"),
        (NOON.replace(tzinfo=None), "2026-01-01T12:00:00"),
        (NOON.date(), "2026-01-01"),
        (day_time(12, 30), "12:30:00"),
        (UUID(int=42), "00000000-0000-0000-0000-00000000002a"),
        (Tier.GOLD, "gold"),
        (Tier.PRICE, 9.99),
        (Level.TOP, 9),
        (Shout("Ada"), "Ada"),
        ((1, "a"), [1, "a"]),
        (Point(1, 2), [1, 2]),
        ({"b", "a", "c"}, ["a", "b", "c"]),
        (frozenset({10, 9, 1.5, "x", None, (2, 1)}), [1.5, 9, 10, "x", [2, 1], None]),
        (Item("a", Decimal("9.5"), frozenset("z")), {"sku": "a", "price": 9.5, "tags": ["z"]}),
        ([{"on": date(2026, 1, 2)}], [{"on": "2026-01-02"}]),
        ({1: "a", False: "b", None: "c", 2.5: 4}, {"1": "a", "false": "b", "null": "c", "2.5": 4}),
        ({Tier.GOLD: 1, UUID(int=1): 2}, {"gold": 1, str(UUID(int=1)): 2}),
        (2**70, 2**70),
        ("\ud800", "\ud800"),
        ({}, {}),
        ([], []),
    ],
)
def test_what_json_can_say_is_converted(value, converted, caplog):
    result = validate_user_data({"x": value, "plan": "gold"})
    assert result == {"x": converted, "plan": "gold"}
    assert type(result["x"]) is type(converted)
    assert json.dumps(result)
    assert not caplog.records


def test_keys_are_converted_at_the_top_too():
    assert validate_user_data({1: "x", Tier.GOLD: "y"}) == {"1": "x", "gold": "y"}


# What is left out


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError


class Untold(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise OSError

    def __iter__(self) -> Iterator[str]:
        return iter(["secret"])

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "value",
    [
        b"x",
        bytearray(b"x"),
        object(),
        Broken(),
        Untold(),
        Path("x"),
        iter([1]),
        lambda: 1,
        Item,
        1j,
        float("nan"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        pytest.param(10**5000, id="10**5000"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_say_is_left_out_with_a_warning(value, caplog):
    result = validate_user_data({"x": value, "list": [1, value, {"y": value}], "plan": "gold"})
    assert result == {"list": [1, {}], "plan": "gold"}
    kind = type(value).__name__
    assert only(caplog) == (
        f"left out of user_data: 'x' ({kind}), 'list.[]' ({kind}), 'list.[].y' ({kind})"
    )


def test_a_key_that_json_has_not_is_left_out(caplog):
    assert validate_user_data({"x": {(1, 2): 3, "a": 4}}) == {"x": {"a": 4}}
    assert only(caplog) == "left out of user_data: 'x.<tuple>' (int)"


@pytest.mark.parametrize(
    "key",
    ["ada@example.org", "+7 916 123-45-67", "79161234567", "ada%40example.org"],
)
def test_a_warning_shows_no_value_and_no_personal_key(key, caplog):
    validate_user_data({key: b"secret", "note": [b"secret"]})
    assert only(caplog) == (
        f"left out of user_data: (a name of {len(key)} characters) (bytes), 'note.[]' (bytes)"
    )


def test_a_key_does_not_forge_a_line_of_the_log(caplog):
    validate_user_data({"x\n2026 ERROR forged\x1b[0m": b""})
    assert "\n" not in only(caplog)
    assert "\x1b" not in only(caplog)


def test_a_warning_holds_a_few_names_only(caplog):
    validate_user_data({f"key_{number:02}": b"" for number in range(30)})
    assert only(caplog).endswith("'key_09' (bytes), 20 more")


@steady
@given(st.dictionaries(st.text(max_size=3), st.integers() | st.binary() | st.decimals()))
def test_whatever_it_holds_the_event_is_built(user_data):
    event = new_event("REG", telegram_id=7, event_time=NOON, user_data=user_data)
    json.loads(event.to_json())


# How deep, how much


def nested(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(levels - 1):
        data = {"x": data}
    return data


def nested_lists(levels: int) -> dict[str, Any]:
    data: list[Any] = []
    for _ in range(levels - 2):
        data = [data]
    return {"x": data}


def circle() -> dict[str, Any]:
    data: dict[str, Any] = {}
    data["self"] = data
    return data


@pytest.mark.parametrize("make", [nested, nested_lists])
def test_objects_and_lists_may_be_nested_32_levels_deep(make):
    assert MAX_DEPTH == 32
    assert validate_user_data(make(32)) == make(32)
    with pytest.raises(EventError, match="must not be nested more than 32 levels deep"):
        validate_user_data(make(33))


@pytest.mark.parametrize(
    "user_data",
    [
        pytest.param(nested(490), id="490"),
        pytest.param(nested(100_000), id="100000"),
        pytest.param(circle(), id="circle"),
    ],
)
def test_what_is_nested_too_deeply_is_an_event_error(user_data):
    with pytest.raises(EventError, match="nested more than 32 levels"):
        new_event("REG", telegram_id=7, event_time=NOON, user_data=user_data)


OVERHEAD = len('{"x": ""}')


def test_user_data_fits_into_64_kib(caplog):
    fitting = {"x": "y" * (MAX_USER_DATA_BYTES - OVERHEAD)}
    assert validate_user_data(fitting) == fitting
    assert not caplog.records
    assert validate_user_data({"x": fitting["x"] + "y"}) == {}
    assert only(caplog) == "left out of user_data: 'x' (too large)"


def test_the_largest_parts_of_what_is_too_much_are_left_out(caplog):
    data = {"note": "a" * 30_000, "plan": "gold", "log": ["b" * 40_000], "tail": "é" * 1000}
    assert validate_user_data(data) == {key: data[key] for key in ("note", "plan", "tail")}
    assert only(caplog) == "left out of user_data: 'log' (too large)"


def test_each_value_fits_and_all_together_do_not(caplog):
    many = {f"key_{number}": "x" * 100 for number in range(1000)}
    kept = validate_user_data(many)
    assert MAX_USER_DATA_BYTES - 200 < len(json.dumps(kept)) <= MAX_USER_DATA_BYTES
    assert only(caplog).endswith(" more")


def test_a_part_that_grows_when_it_is_written_out_costs_no_time_and_no_other_part(caplog):
    bomb: list[Any] = []
    for _ in range(25):
        bomb = [bomb, bomb]
    started = time.monotonic()
    assert validate_user_data({"bomb": bomb, "plan": "gold"}) == {"plan": "gold"}
    assert time.monotonic() - started < 2
    assert only(caplog) == "left out of user_data: 'bomb' (too large)"


def test_a_huge_text_costs_no_time():
    started = time.monotonic()
    assert validate_user_data({"x": "y" * 50_000_000, "plan": ["gold"]}) == {"plan": ["gold"]}
    assert time.monotonic() - started < 1
