"""Kills a bot at work, again and again: no event whose ``track()`` returned may be lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import web

from crash_bot import PAYERS, Life
from gp_aiogram import GramPixel, SQLiteStore

KILLS = int(os.environ.get("GP_CRASH_KILLS", "100"))
SEED = int(os.environ.get("GP_CRASH_SEED", random.randrange(2**32)))

logger = logging.getLogger(__name__)

#: Seconds: a machine that needs longer for one step is taken for stuck.
PATIENCE = 60

#: How many of the last updates and orders each new life is told once more.
RETOLD = 10

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


class Conversion(NamedTuple):
    """What must not be counted twice, whatever its event id."""

    telegram_id: int
    name: str
    session_id: str | None


class Receiver:
    """Stands in for GramPixel; each life posts to a path of its own.

    :param refused: lives that get a 503.
    :param slow: lives whose answers take a while.
    """

    def __init__(self) -> None:
        self.refused: set[int] = set()
        self.slow: set[int] = set()
        self.keys: dict[int, Counter[str]] = defaultdict(Counter)
        self.conversions: dict[str, Conversion] = {}

    async def take(self, request: web.Request) -> web.Response:
        life = int(request.match_info["life"])
        body = await request.json()
        if life in self.refused:
            return web.Response(status=503)
        key = request.headers["Idempotency-Key"]
        self.keys[life][key] += 1
        conversion = Conversion(body["telegram_id"], body["event_name"], body.get("session_id"))
        assert self.conversions.setdefault(key, conversion) == conversion
        if life in self.slow:
            await asyncio.sleep(random.uniform(0.05, 0.2))
        return web.json_response({"ok": True, "data": {"status": "processed"}})


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{life}/v1/events/custom", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield receiver, f"http://{host}:{port}"
    finally:
        await runner.cleanup()


class Acks:
    """What the bots have said that ``track()`` returned."""

    def __init__(self, pipe: int) -> None:
        self.event_ids: set[str] = set()
        self.last_update = self.last_order = 0
        self.alive = asyncio.Event()
        self._life = 0
        self._pipe = pipe
        self._rest = b""

    def expect(self, life: int) -> None:
        """Set ``alive`` when this life has recorded its first event."""
        self._life = life
        self.alive.clear()

    def read(self) -> None:
        *lines, self._rest = (self._rest + os.read(self._pipe, 2**16)).split(b"\n")
        for line in lines:
            life, event_id, telegram_id = line.decode().split()
            self.event_ids.add(event_id)
            if int(telegram_id) < PAYERS:
                self.last_update = max(self.last_update, int(telegram_id))
            else:
                self.last_order = max(self.last_order, int(telegram_id) - PAYERS)
            if int(life) == self._life:
                self.alive.set()


class Maternity:
    """Brings bots to life, one after the other, and ends them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def birth(self, life: Life) -> None:
        self._say(json.dumps(asdict(life)))

    async def death(self, order: str) -> int:
        """Let the bot end: ``"kill"`` it, or ``"wait"``.

        :return: how it ended: minus the signal, or its exit code.
        """
        self._say(order)
        assert self._process.stdout is not None
        return int(await asyncio.wait_for(self._process.stdout.readline(), PATIENCE))

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())


@pytest.fixture
async def acks() -> AsyncIterator[tuple[Acks, int]]:
    """What the bots say, and the pipe that they say it through."""
    reading, writing = os.pipe()
    acks = Acks(reading)
    asyncio.get_running_loop().add_reader(reading, acks.read)
    try:
        yield acks, writing
    finally:
        asyncio.get_running_loop().remove_reader(reading)
        os.close(reading)
        os.close(writing)


@pytest.fixture
async def maternity(acks: tuple[Acks, int], tmp_path: Path) -> AsyncIterator[Maternity]:
    _, pipe = acks
    with (tmp_path / "stderr").open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("crash_bot.py")),
            str(pipe),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            pass_fds=[pipe],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,
        )
        try:
            yield Maternity(process)
        finally:
            # A group of its own: the bot goes with the process that forked it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


async def test_no_recorded_event_is_lost_when_the_bot_is_killed(
    receiver: tuple[Receiver, str],
    acks: tuple[Acks, int],
    maternity: Maternity,
    tmp_path: Path,
) -> None:
    draw = random.Random(SEED)
    logger.warning("GP_CRASH_SEED=%d; the bots wrote to %s/stderr", SEED, tmp_path)
    (taken, url), (told, _) = receiver, acks
    path, date = tmp_path / "gp.sqlite3", int(time.time())

    def life(number: int) -> Life:
        return Life(
            number=number,
            url=f"{url}/{number}",
            path=str(path),
            first_update=max(1, told.last_update - RETOLD),
            first_order=max(1, told.last_order - RETOLD),
            date=date,
            draining=number > KILLS,
        )

    for number in range(1, KILLS + 1):
        told.expect(number)
        weather = draw.choices([set(), taken.slow, taken.refused], [6, 2, 2])[0]
        weather.add(number)
        maternity.birth(life(number))
        if draw.random() < 0.6:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(told.alive.wait(), PATIENCE)
        await asyncio.sleep(draw.uniform(0.02, 0.25))
        assert await maternity.death("kill") == -signal.SIGKILL
    maternity.birth(life(KILLS + 1))
    assert await maternity.death("wait") == 0

    assert len(told.event_ids) >= 3 * KILLS
    lost = told.event_ids - set(taken.conversions)
    assert not lost
    twice = [one for one, times in Counter(taken.conversions.values()).items() if times > 1]
    assert not twice
    assert_sessions_survived(taken)
    assert_few_were_sent_twice(taken)
    assert await delivered(path) == len(taken.conversions)


def assert_sessions_survived(taken: Receiver) -> None:
    """Whoever came by a link is credited to it."""
    for telegram_id, name, session_id in taken.conversions.values():
        if name in {"REG", "Lead"}:
            assert session_id == f"gp_{telegram_id}"


def assert_few_were_sent_twice(taken: Receiver) -> None:
    """Only what was under way when a bot was killed goes out again."""
    for number, keys in taken.keys.items():
        assert set(keys.values()) <= {1}
        later = {key for other, keys in taken.keys.items() if other > number for key in keys}
        assert len(keys.keys() & later) <= GramPixel.concurrency


async def delivered(path: Path) -> int:
    """How many deliveries the file holds, all of them successful."""
    store = SQLiteStore(path)
    await store.open()
    try:
        ((_, states),) = (await store.outbox.counts()).items()
    finally:
        await store.close()
    assert set(states) == {"delivered"}
    return states["delivered"]
