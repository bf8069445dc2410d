"""docs/images/rooms.svg shows the imports as they are; GP_WRITE_DOCS=1 draws it anew."""

from __future__ import annotations

import os
import re

import grimp
from docs.rooms_drawing import drawing, imports, reduced

from fixtures.pages import DOCS

FILE = DOCS / "images" / "rooms.svg"
PAGE = (DOCS / "architecture.md").read_text(encoding="utf-8")


def test_the_drawing_shows_the_imports() -> None:
    rooms = re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE)
    graph = grimp.build_graph("gp_aiogram", exclude_type_checking_imports=True, cache_dir=None)
    drawn = drawing(rooms, imports(graph))
    if os.environ.get("GP_WRITE_DOCS"):
        FILE.write_text(drawn, encoding="utf-8")
    assert FILE.read_text(encoding="utf-8") == drawn, (
        "run GP_WRITE_DOCS=1 pytest tests/docs/test_rooms_drawing.py"
    )
    assert "images/rooms.svg" in PAGE


def test_what_follows_is_left_out() -> None:
    edges = {("c", "b"), ("b", "a"), ("c", "a")}
    assert reduced(edges) == {("c", "b"), ("b", "a")}
