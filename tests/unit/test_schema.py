"""Fields of a platform: numbers may be texts where a bot keeps them so."""

from __future__ import annotations

import pytest

from gp_aiogram.destinations.schema import NUMBER, TEXT, WHOLE, reader


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *(("9.99", 9.99), (" 9.99 ", 9.99), ("10", 10), ("-1.5", -1.5), ("+2", 2), ("0", 0)),
        *((9.99, 9.99), (3, 3), (0, 0)),
        *(("9,99", None), ("1 000", None), ("$5", None), ("1e3", None), ("", None), (".", None)),
        *(("nan", None), ("inf", None), ("1_0", None), ("\u0661", None), ("1" * 5000, None)),
        *((True, None), (None, None), (float("nan"), None), ([1], None), (b"1", None)),
    ],
)
def test_a_number_may_be_a_numeric_text(value, number):
    read = NUMBER.read(value)
    assert read == number
    assert type(read) is type(number)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *(("1", 1), ("2.0", 2), (3.0, 3), (4, 4), (" 5", 5)),
        *(("1.5", None), (1.5, None), ("one", None), (True, None), (float("inf"), None)),
    ],
)
def test_a_count_may_be_one_too(value, number):
    read = WHOLE.read(value)
    assert read == number
    assert type(read) is type(number)


def test_what_would_have_to_be_converted_does_not_fit_exactly():
    errors: list[str] = []
    read = reader({"price": NUMBER, "quantity": WHOLE, "id": TEXT}, "item", exact=True)
    assert read({"price": "9.99", "quantity": "1", "id": "1"}, errors) == {"id": "1"}
    assert errors == ["item.price must be a finite number", "item.quantity must be a whole number"]
