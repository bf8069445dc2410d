"""The public API is what tests/data/public_api.txt says: a change of it is meant."""

from __future__ import annotations

import os
from pathlib import Path

from unit.public_api import public_api

FILE = Path(__file__).parents[1] / "data" / "public_api.txt"


def test_the_public_api_is_as_it_was() -> None:
    now = public_api()
    if os.environ.get("GP_WRITE_API"):
        FILE.write_text(now, encoding="utf-8")
    assert FILE.read_text(encoding="utf-8") == now, (
        "the public API has changed: if that is meant, say so in CHANGELOG.md and run "
        "GP_WRITE_API=1 pytest tests/unit/test_public_api.py"
    )
