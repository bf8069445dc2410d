"""README, pages and public docstrings use plain words: what readers stumbled over stays out."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.public_api import MODULES

from fixtures.pages import DOCS

ROOT = DOCS.parent

#: A user is "they"; and words that are no native's, or that leave the reader to guess.
UNWELCOME = re.compile(
    r"\b(he|him|his|himself|makes no sense|of one's own|in vain|surely|at most so many"
    r"|what nobody|whosoever|is told of|was told of|shall)\b",
    re.IGNORECASE,
)

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *DOCS.rglob("*.md")]


def text_of(page: Path) -> str:
    """Return a page without its code blocks and inline code."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: page.stem)
def test_a_page_is_in_plain_words(page: Path) -> None:
    assert UNWELCOME.findall(text_of(page)) == []


def public_docstrings() -> Iterator[tuple[str, str]]:
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            value = getattr(module, name)
            yield name, inspect.getdoc(value) or ""
            if inspect.isclass(value):
                for key, member in vars(value).items():
                    if not key.startswith("_") and inspect.isfunction(member):
                        yield f"{name}.{key}", inspect.getdoc(member) or ""


def test_public_docstrings_are_in_plain_words() -> None:
    found = {name: UNWELCOME.findall(text) for name, text in public_docstrings()}
    assert {name: words for name, words in found.items() if words} == {}
