"""Three bots and two workers on one database, one of each killed at random, again and again.

At times the database is killed before, so that what the bots record is in their journals: those of
the bot that is killed then are taken over by the others.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import asyncpg
import pytest

from fixtures.fault_table import RUNS, Table
from fixtures.postgres import require_server
from fixtures.postgres_server import OwnServer
from fixtures.workers import Worker, environment, worker
from gp_aiogram import GramPixel
from gp_aiogram.sandbox import GramPixelSandbox

BOTS, WORKERS = 3, 2

#: How often a bot and a worker are killed, each.
ROUNDS = 3 * RUNS

#: Seconds for anything, on a slow machine too.
PATIENCE = 90.0

#: Orders of one life of a bot.
ROOM = 1_000_000


@pytest.fixture
def server() -> Iterator[OwnServer]:
    require_server()
    server = OwnServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


class Fleet:
    """Bots that record and workers that deliver.

    :param env: of all of them.
    """

    def __init__(self, folder: Path, env: dict[str, str], told: Counter[int]) -> None:
        self._folder = folder
        self._env = env
        self._told = told
        self._lives = 0
        self._stack = AsyncExitStack()
        self.bots: list[asyncio.subprocess.Process] = []
        self.workers: list[Worker] = []

    async def add_bot(self) -> None:
        self.bots.append(await self._stack.enter_async_context(self._bot()))

    async def add_worker(self) -> None:
        self.workers.append(await self._stack.enter_async_context(worker(self._folder, self._env)))

    async def close(self) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def _bot(self) -> AsyncIterator[asyncio.subprocess.Process]:
        reading, writing = os.pipe()
        first, self._lives = self._lives * ROOM, self._lives + 1
        with (self._folder / f"bot-{self._lives}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__).with_name("fleet_bot.py")),
                str(first),
                str(writing),
                stdin=asyncio.subprocess.PIPE,
                stderr=log,
                pass_fds=[writing],
                env=self._env,
                cwd=self._folder,
            )
        os.close(writing)
        listening = asyncio.create_task(self._listen(reading))
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()
            await listening

    async def _listen(self, pipe: int) -> None:
        """Note what a bot says that it has recorded, until it ends."""
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(pipe, "rb"))
        try:
            while line := await reader.readline():
                if line.endswith(b"\n"):
                    self._told[int(line)] += 1
        finally:
            transport.close()


@pytest.fixture
async def sandbox() -> AsyncIterator[GramPixelSandbox]:
    async with GramPixelSandbox() as sandbox:
        yield sandbox


async def test_nothing_is_lost_or_doubled_when_any_of_the_fleet_is_killed(
    server: OwnServer, tmp_path: Path, sandbox: GramPixelSandbox, table: Table
) -> None:
    draw, told = Random(11), Counter[int]()
    env = environment(server.dsn(), sandbox)
    fleet = Fleet(tmp_path, env, told)
    try:
        for _ in range(BOTS):
            await fleet.add_bot()
        for _ in range(WORKERS):
            await fleet.add_worker()
        for number in range(ROUNDS):
            await sell_more(told)
            is_away = number % 2 == 1
            if is_away:
                server.kill()
                await sell_more(told)
            await asyncio.sleep(draw.uniform(0, 0.5))
            for members in (fleet.bots, fleet.workers):
                victim = members.pop(draw.randrange(len(members)))
                getattr(victim, "process", victim).kill()
            if is_away:
                assert [*tmp_path.glob("gp.journal.[2-9]")], "nobody has kept anything"
                await asyncio.to_thread(server.start)
            await fleet.add_bot()
            await fleet.add_worker()
        for bot in fleet.bots:
            assert bot.stdin is not None
            bot.stdin.close()
        for bot in fleet.bots:
            assert await asyncio.wait_for(bot.wait(), PATIENCE) == 0
        await until_delivered(server)
    finally:
        await fleet.close()

    events = Counter(event.body["telegram_id"] for event in sandbox.unique_events)
    keys = Counter(request.headers["Idempotency-Key"] for request in sandbox.requests)
    lost = told.keys() - events.keys()
    twice = [order for order, times in events.items() if times > 1]
    table.add(
        "three bots and two workers, one of each killed",
        kills=2 * ROUNDS + ROUNDS // 2,
        acknowledged=told.total(),
        lost=len(lost),
        duplicated=len(twice),
    )
    assert not lost
    assert not twice
    # Only what was under way when a worker was killed went out again.
    assert keys.total() - len(keys) <= ROUNDS * GramPixel.concurrency
    assert not [path for path in tmp_path.glob("gp.journal*") if path.suffix != ".lock"]


async def sell_more(told: Counter[int]) -> None:
    """Wait until the bots have recorded some more."""
    start, deadline = told.total(), asyncio.get_running_loop().time() + PATIENCE
    while told.total() < start + 50:
        assert asyncio.get_running_loop().time() < deadline, "this takes too long"
        await asyncio.sleep(0.01)


async def until_delivered(server: OwnServer) -> None:
    """Wait until the workers that live have delivered everything, leases of dead ones included."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    undelivered = "SELECT count(*) FROM gp.delivery WHERE state <> 'delivered'"
    connection = await asyncpg.connect(server.dsn())
    try:
        while left := await connection.fetchval(undelivered):
            assert asyncio.get_running_loop().time() < deadline, f"{left} are not delivered"
            await asyncio.sleep(0.1)
    finally:
        await connection.close()
