"""tests/floors.txt has the lowest versions that pyproject.toml allows, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from unit.test_extras import PROJECT, ROOT

#: Extras for those who change the project, and for tests, which run on the newest pytest.
LEFT_OUT = {"dev", "docs", "testing"}

FILE = ROOT / "tests" / "floors.txt"


def requirements() -> dict[str, str]:
    """Return the lowest version of each runtime dependency, those of extras included."""
    extras = PROJECT["optional-dependencies"].items()
    lines = [*PROJECT["dependencies"]]
    lines += [line for extra, found in extras if extra not in LEFT_OUT for line in found]
    found = (re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)[^;]*", line) for line in lines)
    return {match[1]: match[2] for match in found if match is not None}


def pinned(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def padded(version: str) -> str:
    """Write a version in full: what starts with ``1.12`` begins at ``1.12.0``."""
    return ".".join([*version.split("."), "0", "0"][:3])


def test_every_floor_is_pinned() -> None:
    floors, pins = requirements(), pinned(FILE)
    assert len(floors) == len(
        PROJECT["dependencies"]
        + [
            line
            for extra, lines in PROJECT["optional-dependencies"].items()
            if extra not in LEFT_OUT
            for line in lines
        ]
    ), "each dependency needs a lowest version"
    assert pins.keys() == floors.keys()
    for name, version in floors.items():
        # iso4217 has dates in its versions.
        assert padded(pins[name]) == padded(version) or pins[name].startswith(f"{version}."), name
