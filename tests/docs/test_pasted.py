"""What docs/ tells people to paste into an empty project, pasted there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("page", ["howto/testing", "howto/write-a-store"])
def test_the_tests_of_a_page_pass_in_an_empty_project(page: str, tmp_path: Path) -> None:
    (settings,) = blocks("howto/testing", "toml")
    (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")
    # What makes a tracker with an address of its own is no test.
    tests = [block for block in blocks(page, "python") if "GramPixel(...)" not in block]
    (tmp_path / "test_bot.py").write_text("\n\n".join(tests), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^[1-9][0-9]* passed in", ran.stdout, re.MULTILINE), ran.stdout
