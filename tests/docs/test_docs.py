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

from gp_aiogram import MemoryStore, Tracker
from gp_aiogram.sandbox import TelegramSandbox

ROOT = Path(__file__).parents[2]
#: For those who change the project: a page without examples.
INTERNAL = {"architecture"}

PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.stem not in INTERNAL),
]

#: What the pages leave to the reader.
LEFT_OUT = {
    "Tracker([...]": "Tracker([]",
    "GramPixel(...)": f'GramPixel("key", "{uuid4()}")',
}

#: Frameworks that only one page speaks of; our tests do without them.
FOREIGN = ("fastapi",)


def examples(page: Path) -> list[str]:
    found = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [example for example in found if not any(name in example for name in FOREIGN)]


async def run(example: str, names: dict[str, Any]) -> None:
    for printed, meant in LEFT_OUT.items():
        example = example.replace(printed, meant)
    code = compile(example, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
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
        for example in found:
            await run(example, names)
        for name in [name for name in names if name.startswith("test_")]:
            await names[name]()
        await names["tracker"].close()
    assert bool(served) == (page.stem in {"README", "landing"})
