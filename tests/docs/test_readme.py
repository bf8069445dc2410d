"""README.md: its first bot logs what it shows, its links lead somewhere, README.ru.md agrees."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from aiogram import Dispatcher

from gp_aiogram.testing.sandboxes import Sandboxes

ROOT = Path(__file__).parents[2]
ENGLISH, RUSSIAN = "README.md", "README.ru.md"

PAGES = "https://gp-aiogram.readthedocs.io/en/latest/"
FILES = (
    "https://github.com/gp-aiogram/gp-aiogram/blob/main/",
    "https://github.com/gp-aiogram/gp-aiogram/tree/main/",
    "https://raw.githubusercontent.com/gp-aiogram/gp-aiogram/main/",
)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text_of(page), re.DOTALL)


def links(page: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", text_of(page))


def tables(page: str) -> list[list[str]]:
    """Return what each row of each table has in backticks."""
    rows = re.findall(r"^\|.*\|$", text_of(page), re.MULTILINE)
    return [re.findall(r"`[^`]+`", row) for row in rows]


async def test_the_first_bot_logs_what_the_page_shows(
    gp_sandbox: Sandboxes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Dispatcher, "run_polling", lambda *_: None)
    sandbox = gp_sandbox.grampixel
    (code, *_) = blocks(ENGLISH, "python")
    for printed, meant in {
        'api_key="API_KEY"': f"api_key={sandbox.api_key!r}, base_url={sandbox.url!r}",
        "0f8fad5b-d9cb-469f-a165-70867728950e": sandbox.workspace_id,
        "42:BOT_TOKEN": gp_sandbox.telegram.token,
    }.items():
        assert printed in code
        code = code.replace(printed, meant)
    caplog.set_level("INFO")
    names: dict[str, Any] = {}
    exec(code, names)
    async with gp_sandbox.polling(names["dp"]):
        ada = gp_sandbox.telegram.user(7)
        reply = await ada.start("gp_a1b2c3")
        assert reply.text == "Your session: gp_a1b2c3"
        await sandbox.wait_for(1)
        assert await names["tracker"].flush(5)
    lines = [f"{one.levelname}:{one.name}:{one.getMessage()}" for one in caplog.records]
    (shown,) = blocks(ENGLISH, "text")
    assert [line for line in lines if line in shown.splitlines()] == shown.splitlines()


@pytest.mark.parametrize("page", [ENGLISH, RUSSIAN])
def test_every_link_is_absolute_and_leads_to_something_that_is_here(page: str) -> None:
    for link in links(page):
        if link.startswith("#"):
            assert link in anchors(page)
            continue
        assert link.startswith("https://"), link
        if link.startswith(PAGES):
            name, _, anchor = link.removeprefix(PAGES).partition("#")
            target = ROOT / "docs" / f"{name.removesuffix('.html')}.md"
            assert target.exists(), link
            assert not anchor, "name the page alone, so that no heading can break the link"
        for base in FILES:
            if link.startswith(base):
                assert (ROOT / link.removeprefix(base)).exists(), link


def test_the_russian_page_has_the_same_code_links_and_tables() -> None:
    for language in ("python", "sh", "text"):
        assert [code_of(block) for block in blocks(RUSSIAN, language)] == [
            code_of(block) for block in blocks(ENGLISH, language)
        ]
    # The first link of each leads to the other.
    assert links(ENGLISH)[0].endswith(RUSSIAN)
    assert links(RUSSIAN)[0].endswith(ENGLISH)
    for mine, theirs in zip(links(ENGLISH)[1:], links(RUSSIAN)[1:], strict=True):
        if mine.startswith("#"):
            assert anchors(ENGLISH).index(mine) == anchors(RUSSIAN).index(theirs)
        else:
            assert mine == theirs
    assert tables(RUSSIAN) == tables(ENGLISH)
    assert [level for level, _ in headings(RUSSIAN)] == [level for level, _ in headings(ENGLISH)]


def code_of(block: str) -> str:
    """Return a block without its comments, which are translated."""
    return re.sub(r"\s*# .*", "", block)


def headings(page: str) -> list[tuple[str, str]]:
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    return re.findall(r"^(#+) (.*)$", text, re.MULTILINE)


def anchors(page: str) -> list[str]:
    """Return the headings as they are linked to."""
    return [f"#{title.lower().replace(' ', '-')}" for _, title in headings(page)]
