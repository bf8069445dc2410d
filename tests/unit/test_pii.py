"""Personal data: what looks like it, what is named like it, and what is left of a value."""

from __future__ import annotations

from typing import Any

import pytest

from gp_aiogram.identity import FIELDS
from gp_aiogram.model.pii import is_personal_key, looks_personal, without_personal


@pytest.mark.parametrize("field", FIELDS)
def test_the_fields_that_identify_a_user_are_personal(field: str) -> None:
    assert is_personal_key(field)
    assert is_personal_key(field.upper())


@pytest.mark.parametrize("key", ["order_id", "plan", "em_dash", "country_code", "stage", "zipper"])
def test_a_key_that_only_resembles_a_field_is_not(key: str) -> None:
    assert not is_personal_key(key)


DATA: dict[str, Any] = {
    "plan": "gold",
    "note": "write to a@b.example",
    "+79161234567": 1,
    "email": True,
    "list": ["a", "+7 916 123 45 67", {"deep": "a@b.example", "n": None}],
    "map": {"a@b.example": 1, "level": 5},
}


def test_what_looks_personal_is_left_out_at_any_depth() -> None:
    assert without_personal(DATA, lambda key, _: looks_personal(key)) == {
        "plan": "gold",
        "email": True,
        "list": ["a", {"n": None}],
        "map": {"level": 5},
    }


def test_keys_may_be_left_out_too_and_the_value_has_a_say() -> None:
    def named(key: str, value: object) -> bool:
        return key in {"plan", "n"} and value is not None

    left = without_personal(DATA, named)
    assert "plan" not in left
    assert left["list"] == ["a", {"n": None}]
