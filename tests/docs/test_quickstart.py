"""The bot of docs/quickstart.md, played with as the page says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fixtures.pages import blocks, paste_files
from fixtures.playground import sandbox


def deliveries(state: Any) -> list[Any]:
    return [
        delivery
        for step in state["journey"]
        if step["kind"] == "event"
        for delivery in step["deliveries"]
    ]


def test_the_first_bot_sends_its_first_event(tmp_path: Path) -> None:
    paste_files("quickstart", tmp_path)
    _, command, *arguments = blocks("quickstart", "sh")[2].split()
    assert (command, arguments) == ("sandbox", ["mybot:dp"])
    with sandbox(*arguments, cwd=tmp_path) as running:
        assert running.post("/api/people/1001/go-on").status_code == 200
        state = running.state(
            lambda state: (
                {one["state"] for one in deliveries(state)} == {"delivered"}
                and len(state["chat"]["entries"]) > 1
            )
        )
    assert state["chat"]["entries"][-1]["text"].startswith("Your session: ")
    told = {one["title"]: one["tries"][0]["request"] for one in deliveries(state)}
    assert told["GramPixel"]["event_name"] == "REG"
    assert set(told) == {"GramPixel", "Meta", "TikTok"}
