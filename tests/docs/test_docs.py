"""Every Python example of the README and of docs/, run as it is printed."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiogram import Bot, Dispatcher, Router
from aiohttp import web

from fixtures.pages import DOCS, file_name, modules_of, paste_file
from gp_aiogram import MemoryStore, Tracker
from gp_aiogram.sandbox import TelegramSandbox

ROOT = Path(__file__).parents[2]
#: Written as the files of a project, and run by a test of their own in processes of their own:
#: Django is configured once per process.
PROJECTS = {"django"}

#: What the pages leave to the reader.
LEFT_OUT = {
    "Tracker([...]": "Tracker([]",
    "GramPixel(...)": f'GramPixel("key", "{uuid4()}")',
}

#: What the pages tell the reader to export.
VARIABLES = {
    "AGENCY_PIXEL": "1234567890123457",
    "AGENCY_TOKEN": "token",
    "BOT_TOKEN": TelegramSandbox().token,
    "CHANNEL_ID": "-1001234567890",
    "GAMES_TOKEN": "43:SANDBOX",
    "GP_GRAMPIXEL__API_KEY": "key",
    "GP_GRAMPIXEL__WORKSPACE_ID": str(uuid4()),
    "META_PIXEL": "1234567890123456",
    "META_TOKEN": "token",
    "PAYMENT_SECRET": "secret",
    "SHOP_TOKEN": "42:SANDBOX",
    "TIKTOK_PIXEL": "C0PIXELCODE",
    "TIKTOK_TOKEN": "token",
    "WEBHOOK_SECRET": "secret",
    "WEBHOOK_URL": "https://go.example.com/telegram",
}


def examples(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


#: The README, and every page that has examples.
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted(DOCS.rglob("*.md")) if page.stem not in PROJECTS and examples(page)),
]


async def run(example: str, names: dict[str, Any]) -> None:
    for printed, meant in LEFT_OUT.items():
        example = example.replace(printed, meant)
    if file_name(example) is not None:
        paste_file(example, Path.cwd())  # for later examples to import
    code = compile(
        example,
        "example",
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,  # the future of this file's annotations
    )
    result = eval(code, names)
    if inspect.isawaitable(result):
        await result


class Request:
    """A Mini App's request, with init data that the stand-in of Telegram has signed."""

    def __init__(self) -> None:
        sandbox = TelegramSandbox()
        signed = sandbox.init_data(sandbox.user(7), start_param="gp_a1b2c3")
        self.headers = {"X-Init-Data": signed}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
async def test_the_examples_of_a_page_run_one_after_the_other(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []
    bot = Bot(TelegramSandbox().token)
    monkeypatch.chdir(tmp_path)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Dispatcher, "run_polling", lambda _, bot: served.append(bot))
    monkeypatch.setattr(web, "run_app", served.append)
    async with Tracker([], store=MemoryStore()) as tracker:
        names = {
            "bot": bot,
            "consented": lambda _: True,
            "dp": Dispatcher(),
            "request": Request(),
            "router": Router(),
            "telegram_id": 7,
            "tracker": tracker,
        }
        found = examples(page)
        assert found
        with modules_of(tmp_path):
            for example in found:
                await run(example, names)
        for name in [name for name in names if name.startswith("test_")]:
            if not inspect.signature(names[name]).parameters:  # else test_pasted.py runs it
                await names[name]()
        await names["tracker"].close()
    assert bool(served) == (page.stem in {"README", "landing"})
