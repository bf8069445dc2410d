"""Every relative link of docs/ leads somewhere, and every page can be reached."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fixtures.pages import DOCS

PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)


def text_of(page: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors of headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    plain = (re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_to_pages_and_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        assert target.is_relative_to(DOCS), f"{link}: use an https link for files outside of docs/"
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_a_toctree() -> None:
    reached: set[Path] = {DOCS / "index.md"}
    for page in PAGES:
        for tree in re.findall(
            r"^```\{toctree\}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
        ):
            lines = (line.strip() for line in tree.splitlines())
            names = [
                line for line in lines if line and not line.startswith(":") and "<" not in line
            ]
            reached |= {(page.parent / f"{name}.md").resolve() for name in names}
    assert reached == set(PAGES)


def test_an_index_names_every_page_of_its_tree() -> None:
    for page in PAGES:
        text = page.read_text("utf-8")
        shown = set(re.findall(r"\]\(([\w/.-]+)\.md", text))
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            lines = (line.strip() for line in tree.splitlines())
            names = {
                line for line in lines if line and not line.startswith(":") and "<" not in line
            }
            assert names <= shown, page
