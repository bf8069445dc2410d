"""What docs/reference/cli.md shows of commands is what they print, in a terminal of 100 columns.

``GP_WRITE_DOCS=1 pytest tests/docs/test_cli_page.py`` writes it into the page.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import ClientSession, web

from fixtures import sample_store
from fixtures.live_bot import live_bot
from fixtures.sample_store import ENV
from fixtures.terminal import in_terminal
from gp_aiogram import MemoryStore, SQLiteStore, Tracker
from gp_aiogram.cli.app import app
from gp_aiogram.sandbox import GramPixelSandbox, MetaSandbox, TelegramSandbox
from gp_aiogram.web import Landing, serve

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"

BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)

TOKEN = "42:SANDBOX"  # as the stand-in has it

ANSWERS = {
    "gp-aiogram init": [
        ("BOT_TOKEN", TOKEN),
        ("Which ones", "grampixel, meta"),
        ("GP_GRAMPIXEL__API_KEY", ENV["GP_GRAMPIXEL__API_KEY"]),
        ("GP_GRAMPIXEL__WORKSPACE_ID", ENV["GP_GRAMPIXEL__WORKSPACE_ID"]),
        ("GP_META__PIXEL_ID", ENV["GP_META__PIXEL_ID"]),
        ("GP_META__ACCESS_TOKEN", ENV["GP_META__ACCESS_TOKEN"]),
        ("[sqlite:///gp.sqlite3]", ""),
    ]
}


class Shell:
    """A folder with a bot's store and settings, where commands are run one after the other.

    :param stand_ins: addresses by those that the page shows in their place.
    """

    def __init__(self, folder: Path, stand_ins: Mapping[str, str]) -> None:
        self._folder = folder
        self._stand_ins = stand_ins
        self._env = {
            **ENV,
            "GP_GRAMPIXEL__BASE_URL": stand_ins["https://api.grampixel.com"],
            "GP_META__BASE_URL": stand_ins["https://graph.facebook.com"],
            "BOT_TOKEN": TOKEN,
            "PATH": f"{folder}/bin{os.pathsep}{os.environ['PATH']}",
        }

    def run(self, line: str) -> str:
        """Run a line of the page, and return what it prints."""
        command, _, remark = line.partition("  # ")
        folder, env = self._folder, self._env
        if command.startswith(("gp-aiogram init", "gp-aiogram send")):
            # Before there is anything; a courier would bury what is older than a week.
            folder = folder / command.split()[1]
            folder.mkdir()
        if command == "gp-aiogram init":
            env = {"PATH": self._env["PATH"]}
        answers = ANSWERS.get(command, [("[y/N]", "y")] if self._asks(command) else [])
        for shown, real in self._stand_ins.items():
            command = command.replace(shown, real)
        if command.startswith("gp-aiogram doctor"):
            command += f" --telegram-url {self._stand_ins['https://api.telegram.org']}"
        if remark == "while the bot runs":
            with live_bot(folder):
                return self._print(folder, env, command, [])
        return self._print(folder, env, command, answers)

    def _asks(self, command: str) -> bool:
        return any(f" {name} " in command for name in ("forget", "replay", "purge"))

    def _print(
        self, folder: Path, env: Mapping[str, str], command: str, answers: list[tuple[str, str]]
    ) -> str:
        ran = in_terminal(command, folder=folder, env=env, answers=answers, shell=True)
        text = ran.plain
        for shown, real in self._stand_ins.items():
            text = text.replace(real, shown)
        return text.replace(f"{self._folder}/", "")


class Shown(NamedTuple):
    """A command of the page, and what is printed below it."""

    command: str
    output: str


def commands(block: str) -> list[Shown]:
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [Shown(*part.split("\n", 1)) for part in parts]


def same(text: str) -> str:
    """Return what does not depend on the day, or on where lines break."""
    text = re.sub(r"\b\d+ (d|h|min|s)\b", "N d", text)
    return "\n".join(line.rstrip() for line in text.splitlines())


async def prepare(folder: Path) -> None:
    clock = sample_store.noon()
    store = SQLiteStore(folder / "gp.sqlite3", clock=clock)
    await store.open()
    await sample_store.fill(store, clock)
    await store.close()
    (folder / "bin").mkdir()
    program = folder / "bin" / "gp-aiogram"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gp_aiogram "$@"\n')
    program.chmod(0o755)
    python = folder / "bin" / "python"
    python.symlink_to(sys.executable)
    (csv,) = re.findall(r"```csv\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (folder / "users.csv").write_text(csv)


async def test_commands_print_what_the_page_shows(tmp_path: Path) -> None:
    await prepare(tmp_path)
    page = PAGE.read_text("utf-8")
    blocks = BLOCK.findall(page)
    async with (
        GramPixelSandbox(
            ENV["GP_GRAMPIXEL__API_KEY"], ENV["GP_GRAMPIXEL__WORKSPACE_ID"]
        ) as grampixel,
        MetaSandbox(ENV["GP_META__PIXEL_ID"], ENV["GP_META__ACCESS_TOKEN"]) as meta,
        TelegramSandbox(TOKEN) as telegram,
        serve(await landing_of(telegram)) as landing,
    ):
        stand_ins = {
            "https://api.grampixel.com": grampixel.url,
            "https://graph.facebook.com": meta.url,
            "https://api.telegram.org": telegram.url,
            "https://go.example.com": landing,
            "my_bot": await username_of(telegram),
        }
        shell = Shell(tmp_path, stand_ins)
        new = []
        for block in blocks:
            printed = [
                Shown(shown.command, await asyncio.to_thread(shell.run, shown.command))
                for shown in commands(block)
            ]
            new.append("".join(f"$ {command}\n{output}" for command, output in printed))
    if os.environ.get("GP_WRITE_DOCS"):
        left = iter(new)
        PAGE.write_text(BLOCK.sub(lambda _: f"```console\n{next(left)}```", page), "utf-8")
    assert [same(block) for block in blocks] == [same(block) for block in new]


async def landing_of(telegram: TelegramSandbox) -> web.Application:
    """Return a landing page that leads to the bot."""
    application = web.Application()
    Landing(Tracker([], store=MemoryStore()), await username_of(telegram)).setup(application)
    return application


async def username_of(telegram: TelegramSandbox) -> str:
    address = f"{telegram.url}/bot{telegram.token}/getMe"
    async with ClientSession() as http, http.get(address) as answer:
        return str((await answer.json())["result"]["username"])


def test_every_command_is_on_the_page() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    names |= {str(group.name) for group in app.registered_groups}
    rows = re.findall(r"^\| \[(.*?)\]", PAGE.read_text("utf-8"), re.MULTILINE)
    told = {name.split()[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert told == names


@pytest.mark.parametrize("code", [0, 1, 2])
def test_exit_codes_are_told(code: int) -> None:
    assert f"| {code} | " in PAGE.read_text("utf-8")
