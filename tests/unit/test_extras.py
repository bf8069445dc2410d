"""The extras that messages and pages name exist, and each extra is named on a page."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"].keys()

#: For those who change the project.
OURS = {"dev", "docs"}

PLACES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "gp_aiogram").rglob("*.py")),
]


def named(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"gp[-_]aiogram\[([\w,]+)\]", text)
    return {extra for extras in found for extra in extras.split(",")}


@pytest.mark.parametrize("path", [path for path in PLACES if named(path)], ids=lambda p: p.stem)
def test_extras_that_are_named_exist(path: Path) -> None:
    assert named(path) <= EXTRAS


def test_every_extra_is_named() -> None:
    assert {extra for path in PLACES for extra in named(path)} >= EXTRAS - OURS
