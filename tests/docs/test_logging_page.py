"""The lines on docs/reference/logging.md are lines of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import gp_aiogram
from fixtures.pages import DOCS

PAGE = (DOCS / "reference" / "logging.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\| `([^|]+)` \| ", PAGE.partition("## INFO")[2], re.MULTILINE)
LOGGERS = set(re.findall(r"`(gp_aiogram(?:\.\w+)*)`", PAGE.partition("## INFO")[0]))

METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def sources() -> list[ast.AST]:
    package = Path(gp_aiogram.__file__).parent
    return [ast.parse(path.read_text(encoding="utf-8")) for path in package.rglob("*.py")]


def calls(name_of: str) -> list[str]:
    """Return the texts that calls of a method or function are given."""
    names = METHODS if name_of == "log" else {name_of}
    return [
        argument.value
        for tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in names
        for argument in node.args[:2]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]


def pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"%[^a-z]*[a-z]", template)
    return re.compile(".*".join(map(re.escape, parts)), re.DOTALL)


PATTERNS = [pattern(template) for template in calls("log") if re.sub(r"%\S|\W", "", template)]


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_one_of_the_code(line: str) -> None:
    assert any(each.fullmatch(line) for each in PATTERNS)


def test_every_logger_is_listed() -> None:
    assert {name for name in calls("getLogger") if name.startswith("gp_aiogram")} <= LOGGERS
