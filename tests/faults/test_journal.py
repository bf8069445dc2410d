"""A store that is away: handlers are not held up, and nothing is lost, also by kill -9."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures import updates

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

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


class Nursery:
    """The process that forks a bot for each life, one at a time."""

    def __init__(self) -> None:
        path = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("journal_bot.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        )

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def say(self, line: str) -> None:
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def told(self) -> str:
        stuck = threading.Timer(60, self._process.kill)
        stuck.start()
        line = self._process.stdout.readline()
        stuck.cancel()
        assert line, "the bot is stuck, or has ended"
        return line.strip()


class Life:
    """One run of the bot."""

    def __init__(self, nursery: Nursery, folder: Path) -> None:
        self._nursery = nursery
        nursery.say(str(folder))
        self._pid = int(nursery.told())
        assert nursery.told() == "ready"

    def feed(self, update: dict[str, Any]) -> float:
        """Feed an update, and return for how long it was held up."""
        self._nursery.say(json.dumps(update))
        return float(self._nursery.told())

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        assert self._nursery.told() == f"ended {signal.SIGKILL.value}"

    def end(self) -> None:
        """Let everything be delivered, and end."""
        self._nursery.say("")
        assert self._nursery.told() == "ended 0"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


def start(user: int) -> dict[str, Any]:
    return updates.start(f"gp_{user}", user_id=user, date=int(time.time()))


def deposit(user: int) -> dict[str, Any]:
    return updates.click("deposit", user_id=user)


def delivered(folder: Path) -> list[list[Any]]:
    """What arrived, each event once: a kill may have an event delivered again."""
    lines = (folder / "delivered").read_text().splitlines()
    return [json.loads(line) for line in dict.fromkeys(lines)]


@pytest.mark.parametrize("how", AWAY)
def test_nothing_is_lost_or_counted_twice_and_nobody_waits(
    nursery: Nursery, tmp_path: Path, how: str
) -> None:
    users = itertools.count(1)
    fed: list[int] = []
    held_up: list[float] = []
    Life(nursery, tmp_path).end()
    for _ in range(KILLS):
        bot = Life(nursery, tmp_path)
        with AWAY[how](tmp_path):
            for user in itertools.islice(users, random.randint(1, 4)):
                fed.append(user)
                first = start(user)
                # Telegram delivers an update again if it does not know that it was handled.
                story = (first, deposit(user), deposit(user), first)
                held_up += map(bot.feed, story)
            bot.kill()
            assert (tmp_path / "gp.journal").exists()
    Life(nursery, tmp_path).end()
    assert max(held_up) < PATIENCE + SLACK
    assert not (tmp_path / "gp.journal").exists()
    arrived = Counter((name, user, session) for _, name, user, session in delivered(tmp_path))
    assert arrived == {
        (name, user, f"gp_{user}"): 1 for user in fed for name in ("REG", "FTD", "DEP")
    }


@pytest.mark.parametrize("how", AWAY)
def test_what_waits_is_recorded_when_the_store_is_back(
    nursery: Nursery, tmp_path: Path, how: str
) -> None:
    bot = Life(nursery, tmp_path)
    with AWAY[how](tmp_path):
        bot.feed(start(7))
        bot.feed(deposit(7))
        waiting = b"".join(path.read_bytes() for path in tmp_path.glob("gp.journal*"))
    bot.feed(deposit(7))
    bot.end()
    assert b"gp_7" in waiting
    assert b"example.org" not in waiting, "an e-mail address must not reach the disk"
    assert [name for _, name, *_ in delivered(tmp_path)] == ["REG", "FTD", "DEP"]
    log = (tmp_path / "log").read_text()
    assert "the store does not take what users do" in log
    assert log.count("user 7 came by gp_7") == 1
    assert "the store is back" in log


@pytest.mark.parametrize("how", ["hangs", "raises"])
def test_a_bot_starts_while_its_store_is_away(nursery: Nursery, tmp_path: Path, how: str) -> None:
    with AWAY[how](tmp_path):
        bot = Life(nursery, tmp_path)
        assert bot.feed(start(7)) < PATIENCE + SLACK
        bot.kill()
        assert "started without the store" in (tmp_path / "log").read_text()
    Life(nursery, tmp_path).end()
    assert [event[1:] for event in delivered(tmp_path)] == [["REG", 7, "gp_7"]]
