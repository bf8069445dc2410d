"""A store that is away: handlers are not held up, and nothing is lost, also by kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures import updates

#: Lives that end by kill -9, for each way of being away.
KILLS = int(os.environ.get("GP_JOURNAL_KILLS", "4"))

#: Seconds that an update may be held up by a store.
PATIENCE = 1.0

#: Seconds that a machine under load may take besides.
SLACK = 1.0


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the file's lock, as a backup or a database browser does."""
    connection = sqlite3.connect(folder / "gp.sqlite3", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextlib.contextmanager
def away(folder: Path, how: str) -> Iterator[None]:
    sign = folder / "away"
    sign.write_text(how)
    try:
        yield
    finally:
        sign.unlink()


AWAY = {
    "locked": locked,
    "hangs": lambda folder: away(folder, "hang"),
    "raises": lambda folder: away(folder, "raise"),
}


class Life:
    """One run of the bot."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def told(self) -> str:
        line = await asyncio.wait_for(self._process.stdout.readline(), 60)
        assert line, "the bot has ended"
        return line.decode().strip()

    async def feed(self, update: dict[str, Any]) -> float:
        """Feed an update, and return for how long it was held up."""
        self._process.stdin.write(json.dumps(update).encode() + b"\n")
        return float(await self.told())

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def end(self) -> None:
        """Let everything be delivered, and end."""
        self._process.stdin.close()
        assert await asyncio.wait_for(self._process.wait(), 60) == 0


@contextlib.asynccontextmanager
async def life(folder: Path) -> AsyncIterator[Life]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("journal_bot.py")),
        str(folder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=(folder / "log").open("ab"),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        bot = Life(process)
        assert await bot.told() == "ready"
        yield bot
    finally:
        if process.returncode is None:
            await bot.kill()


def delivered(folder: Path) -> list[list[Any]]:
    """What arrived, each event once: a kill may have an event delivered again."""
    lines = (folder / "delivered").read_text().splitlines()
    return [json.loads(line) for line in dict.fromkeys(lines)]


@pytest.mark.parametrize("how", AWAY)
async def test_nothing_is_lost_or_counted_twice_and_nobody_waits(tmp_path: Path, how: str) -> None:
    users = iter(range(1, 10_000))
    fed: list[int] = []
    longest = 0.0
    async with life(tmp_path) as bot:
        await bot.end()
    for _ in range(KILLS):
        async with life(tmp_path) as bot:
            with AWAY[how](tmp_path):
                for _ in range(random.randint(1, 4)):
                    user = next(users)
                    fed.append(user)
                    update = updates.start(f"gp_{user}", user_id=user)
                    held_up = [await bot.feed(update)]
                    for _ in range(2):
                        held_up.append(await bot.feed(updates.click("deposit", user_id=user)))
                    # Telegram delivers an update again whose handling it knows nothing of.
                    held_up.append(await bot.feed(update))
                    longest = max(longest, *held_up)
                await bot.kill()
            assert (tmp_path / "gp.journal").exists()
    async with life(tmp_path) as bot:
        await bot.end()
    assert longest < PATIENCE + SLACK
    assert not (tmp_path / "gp.journal").exists()
    arrived = Counter((name, user, session) for _, name, user, session in delivered(tmp_path))
    assert arrived == {
        (name, user, f"gp_{user}"): 1 for user in fed for name in ("REG", "FTD", "DEP")
    }


@pytest.mark.parametrize("how", AWAY)
async def test_what_waits_is_recorded_when_the_store_is_back(tmp_path: Path, how: str) -> None:
    async with life(tmp_path) as bot:
        with AWAY[how](tmp_path):
            await bot.feed(updates.start("gp_a", user_id=7))
            await bot.feed(updates.click("deposit", user_id=7))
            journal = (tmp_path / "gp.journal").read_bytes()
        await bot.feed(updates.click("deposit", user_id=7))
        await bot.end()
    assert b"example.org" not in journal, "an e-mail address must not reach the disk"
    assert [name for _, name, *_ in delivered(tmp_path)] == ["REG", "FTD", "DEP"]
    log = (tmp_path / "log").read_text()
    assert log.count("the store does not take what users do") == 1
    assert "user 7 came by gp_a" in log
    assert "the store is back" in log


@pytest.mark.parametrize("how", ["hangs", "raises"])
async def test_a_bot_starts_while_its_store_is_away(tmp_path: Path, how: str) -> None:
    with AWAY[how](tmp_path):
        async with life(tmp_path) as bot:
            assert await bot.feed(updates.start("gp_a", user_id=7)) < PATIENCE + SLACK
            await bot.kill()
        assert "started without the store" in (tmp_path / "log").read_text()
    async with life(tmp_path) as bot:
        await bot.end()
    assert [event[1:] for event in delivered(tmp_path)] == [["REG", 7, "gp_a"]]
