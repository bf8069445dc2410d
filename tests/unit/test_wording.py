"""Messages: what they show of a value, and what they only describe."""

from __future__ import annotations

import pytest

from gp_aiogram.model.wording import describe, shown_name


@pytest.mark.parametrize(
    ("value", "words"),
    [
        *(
            ("ada@example.org", "a text of 15 characters"),
            ("", "a blank text"),
            (" ", "a blank text"),
        ),
        *((None, "None"), (True, "True"), (-5, "-5"), (1.5, "1.5"), (79161234567, "<int>")),
        *((["ada"], "<list>"), (b"ada", "<bytes>"), (object(), "<object>")),
        (float("nan"), "<float>"),
    ],
)
def test_a_value_is_described_not_shown(value: object, words: str) -> None:
    assert describe(value) == words


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        *(("plan", "'plan'"), ("план", "'план'"), ("a\nb", r"'a\nb'")),
        *(("79161234567", "(a name of 11 characters)"), ("a@b.io", "(a name of 6 characters)")),
        ("8 916 123-45-67", "(a name of 15 characters)"),
        ("x" * 100, f"'{'x' * 60}'…"),
    ],
)
def test_a_name_is_shown_unless_it_is_personal(name: str, shown: str) -> None:
    assert shown_name(name) == shown
