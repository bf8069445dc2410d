"""docs/reference/settings.md is what the models say; GP_WRITE_DOCS=1 writes it anew."""

from __future__ import annotations

import os

from docs.settings_page import page

from fixtures.pages import DOCS

PAGE = DOCS / "reference" / "settings.md"


def test_the_page_is_that_of_the_models() -> None:
    if os.environ.get("GP_WRITE_DOCS"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run GP_WRITE_DOCS=1 pytest tests/docs/test_settings_page.py"
    )
