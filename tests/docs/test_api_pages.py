"""The API pages have every public name, and the arguments of decorators."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

import gp_aiogram
from fixtures.pages import DOCS
from gp_aiogram import track

API = DOCS / "reference" / "api"
PAGES = "\n".join(page.read_text("utf-8") for page in API.glob("*.md"))
DECORATORS = (API / "decorators.md").read_text("utf-8")

MODULES = (
    "gp_aiogram",
    "gp_aiogram.bot",
    "gp_aiogram.metrics",
    "gp_aiogram.reports",
    "gp_aiogram.sandbox",
    "gp_aiogram.testing",
    "gp_aiogram.web",
)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_there(module: str) -> None:
    names = set(importlib.import_module(module).__all__) - {"__version__"}
    documented = set(re.findall(rf"^\.\. auto\w+:: {module}\.(\w+)$", PAGES, re.MULTILINE))
    described = {name for name in names - documented if f"`{name}`" in PAGES}
    assert names == documented | described


@pytest.mark.parametrize(
    ("decorator", "heading"), [(track, "@track("), (track.deposit, "@track.d")]
)
def test_every_argument_of_a_decorator_is_described(decorator: object, heading: str) -> None:
    section = DECORATORS.partition(f"## `{heading}")[2].partition("\n## ")[0]
    described = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    names = set(inspect.signature(decorator).parameters)  # type: ignore[arg-type]
    assert described == (names if decorator is track else names - parameters_of_track())


def parameters_of_track() -> set[str]:
    return set(inspect.signature(track).parameters)


def test_old_names_stand_for_new_ones() -> None:
    assert gp_aiogram.SplitStore is gp_aiogram.Store
