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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from crash_bot import PAYERS, Life
from fixtures.fault_table import RUNS, Table
from fixtures.postgres import DSN, admin, drop_schema, make_schema, require_server
from gp_aiogram import GramPixel
from gp_aiogram.stores import from_url

KILLS = int(os.environ.get("GP_CRASH_KILLS", "200")) * RUNS

#: Of bots whose store is in PostgreSQL.
POSTGRES_KILLS = KILLS // 4
SEED = int(os.environ.get("GP_CRASH_SEED", random.randrange(2**32)))

logger = logging.getLogger(__name__)

#: Seconds: a machine that needs longer for one step is taken for stuck.
PATIENCE = 60

#: In the middle of what a bot is killed, in turn; None: at any moment.
AIMS = (None, "accept", "claim", "send", "settle")

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


@dataclass
class Stage:
    """What the bots live in.

    :param store: URL of the store that they share, one after the other.
    """

    receiver: Receiver
    url: str
    told: Acks
    maternity: Maternity
    store: str
    journal: str
    draw: random.Random
    date: int = field(default_factory=lambda: int(time.time()))

    def life(self, number: int, **more: Any) -> Life:
        return Life(
            number=number,
            url=f"{self.url}/{number}",
            store=self.store,
            journal=self.journal,
            first_update=max(1, self.told.last_update - RETOLD),
            first_order=max(1, self.told.last_order - RETOLD),
            date=self.date,
            **more,
        )

    async def live(self, number: int, aim: str | None) -> None:
        """Bring a bot to life, and have it killed at any moment, or in the middle of something."""
        self.told.expect(number)
        # While nothing is taken, next to nothing is claimed, and a server's clock cannot be turned
        # for the last bot to find every retry due.
        is_patient = self.store.startswith("sqlite") and aim in {None, "accept"}
        refused = 2 if is_patient else 0
        weathers = [set(), self.receiver.slow, self.receiver.refused]
        self.draw.choices(weathers, [6, 2, refused])[0].add(number)
        if aim is not None:
            turn, delay = self.draw.randrange(1, 5), self.draw.uniform(0, 0.003)
            self.maternity.birth(self.life(number, aim=aim, turn=turn, delay=delay))
            assert await self.maternity.death("wait") == -signal.SIGKILL
            return
        self.maternity.birth(self.life(number))
        if self.draw.random() < 0.6:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.told.alive.wait(), PATIENCE)
        await asyncio.sleep(self.draw.uniform(0.02, 0.25))
        assert await self.maternity.death("kill") == -signal.SIGKILL

    async def drain(self, number: int) -> None:
        """Let a last bot deliver what there is."""
        self.maternity.birth(self.life(number, draining=True))
        assert await self.maternity.death("wait") == 0


@pytest.fixture
def stage(
    receiver: tuple[Receiver, str],
    acks: tuple[Acks, int],
    maternity: Maternity,
    tmp_path: Path,
) -> Stage:
    (taken, url), (told, _) = receiver, acks
    store, journal = f"sqlite:///{tmp_path}/gp.sqlite3", f"{tmp_path}/gp.journal"
    logger.warning("GP_CRASH_SEED=%d; the bots wrote to %s/stderr", SEED, tmp_path)
    return Stage(taken, url, told, maternity, store, journal, random.Random(SEED))


async def test_no_recorded_event_is_lost_when_the_bot_is_killed(
    stage: Stage, table: Table
) -> None:
    for number in range(1, KILLS + 1):
        await stage.live(number, AIMS[number % len(AIMS)])
    await stage.drain(KILLS + 1)
    await assert_nothing_is_lost(stage, table, "SIGKILL, SQLite", KILLS)


async def test_a_shared_database_keeps_what_killed_bots_have_recorded(
    stage: Stage, table: Table
) -> None:
    await asyncio.to_thread(require_server)
    schema = await asyncio.to_thread(make_schema)
    try:
        stage.store = f"{DSN}?schema={schema}"
        for number in range(1, POSTGRES_KILLS + 1):
            await stage.live(number, AIMS[number % len(AIMS)])
        async with admin() as connection:
            # As if the leases of all who were killed had ended.
            await connection.execute(f'UPDATE "{schema}".delivery SET lease_ms = 0')
        await stage.drain(POSTGRES_KILLS + 1)
        await assert_nothing_is_lost(stage, table, "SIGKILL, PostgreSQL", POSTGRES_KILLS)
    finally:
        await asyncio.to_thread(drop_schema, schema)


async def assert_nothing_is_lost(stage: Stage, table: Table, fault: str, kills: int) -> None:
    told, taken = stage.told.event_ids, stage.receiver
    lost = told - set(taken.conversions)
    twice = [one for one, times in Counter(taken.conversions.values()).items() if times > 1]
    table.add(
        fault,
        kills=kills,
        acknowledged=len(told),
        lost=len(lost),
        duplicated=len(twice),
    )
    assert len(told) >= kills
    assert not lost
    assert not twice
    assert_sessions_survived(taken)
    assert_few_were_sent_twice(taken)
    assert await delivered(stage.store) == len(taken.conversions)


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


async def delivered(url: str) -> int:
    """How many deliveries the store holds, all of them successful."""
    store = from_url(url)
    await store.open()
    try:
        ((_, states),) = (await store.outbox.counts()).items()
    finally:
        await store.close()
    assert set(states) == {"delivered"}
    return states["delivered"]
