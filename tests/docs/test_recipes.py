"""The recipes of docs/howto/postbacks.md: their code served, and their addresses called."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from aiogram import Dispatcher, Router
from aiohttp import ClientSession, web

from fixtures.recorder import Recorder
from gp_aiogram import Tracker

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "postbacks.md").read_text("utf-8")

#: What a network puts in the place of its macros.
MACROS = {
    "{subid}": "{click}",
    "{tid}": "{number}",
    "{payout}": "50",
    "{amount}": "50",
    "{currency}": "EUR",
}

CASINO, KEITARO = "My casino network sends postbacks", "I use Keitaro"


def recipe(title: str, kind: str) -> list[str]:
    (text,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


async def paste(names: dict[str, Any], examples: list[str]) -> None:
    for example in examples:
        meant = example.replace("Tracker([...]", "Tracker([recorder]")
        code = compile(meant, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if inspect.isawaitable(result):
            await result


@pytest.mark.parametrize(
    ("title", "payload", "click_id"),
    [(CASINO, "gp_a1b2c3", "gp_a1b2c3"), (KEITARO, "kt-7f3a", "7f3a")],
)
async def test_a_recipe_records_what_its_network_sends(
    title: str, payload: str, click_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recorder = Recorder()
    names: dict[str, Any] = {"router": Router(), "dp": Dispatcher(), "recorder": recorder}
    # The page is read from its top.
    await paste(names, recipe(CASINO, "python")[:2])
    if title == KEITARO:
        await paste(names, recipe(KEITARO, "python"))
    tracker: Tracker = names["tracker"]
    runner = web.AppRunner(names["app"], access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    answers = []
    async with tracker, ClientSession() as http:
        await tracker.capture(7, payload, bot_id=42)
        # Registration and first deposit; a second one; the second one is rejected.
        for number, printed in zip((1, 1, 2, 2), addresses(title), strict=True):
            url = printed.replace("https://go.example.com", f"http://{host}:{port}")
            for macro, value in MACROS.items():
                url = url.replace(macro, value.format(click=click_id, number=number))
            async with http.get(url.replace("/KEY?", f"/{names['KEY']}?")) as answer:
                answers.append((answer.status, (await answer.text()).strip()))
        assert await tracker.flush(5)
    await runner.cleanup()
    assert answers == [
        (200, "OK: REG recorded"),
        (200, "OK: FTD 50.00 EUR recorded"),
        (200, "OK: DEP 50.00 EUR recorded"),
        (200, "OK: Refund 50.00 EUR recorded"),
    ]
    assert {event.session_id for event in recorder.events} == {payload}


def addresses(title: str) -> list[str]:
    return [line for block in recipe(title, "text") for line in block.split()]
