"""The descriptions of bodies: every flaw is found, and where."""

import pytest

from gp_aiogram.sandbox.platforms.schema import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    Flaw,
    array,
    choice,
    one_or_many,
    record,
    text,
)


def wrong(wanted, *path):
    return Flaw("wrong", path, wanted)


@pytest.mark.parametrize(
    ("check", "value", "flaws"),
    [
        (STRING, "x", []),
        (STRING, " ", [wrong("string")]),
        (INTEGER, True, [wrong("integer")]),
        (NUMBER, float("inf"), [wrong("number")]),
        (BOOLEAN, 0, [wrong("boolean")]),
        (choice("a", "b"), "b", []),
        (choice("a", "b"), ["b"], [wrong("value (a, b)")]),
        (text("digit", r"\d"), "12", [wrong("digit")]),
        (array(STRING), [], []),
        (array(STRING), [1, "x", 2], [wrong("string", 0), wrong("string", 2)]),
        (array(STRING), "xy", [wrong("array")]),
        (array(STRING), 5, [wrong("array")]),
        (one_or_many(STRING), "x", []),
        (one_or_many(STRING), ["x", 5], [wrong("string", 1)]),
        (one_or_many(STRING), [], [wrong("string")]),
        (record({}), 5, [wrong("object")]),
        (record({}, others=True), {"x": 1}, []),
        (
            record({"a": array(STRING), "b": STRING}, required=("b", "c")),
            {"x": 1, "a": [5]},
            [
                Flaw("missing", ("b",)),
                Flaw("missing", ("c",)),
                Flaw("unknown", ("x",)),
                wrong("string", "a", 0),
            ],
        ),
    ],
)
def test_every_flaw_is_found(check, value, flaws):
    assert list(check(value)) == flaws


def test_a_flaw_is_seen_from_further_out():
    assert wrong("string", "a").within("data", 0).path == ("data", 0, "a")
