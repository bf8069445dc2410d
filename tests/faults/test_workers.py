"""Several workers on one PostgreSQL database: killed, restarted, and cut off from it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fixtures.postgres import DSN, drop_schema, make_schema, require_server
from fixtures.tcp import Gate
from fixtures.workers import SOON, Worker, destination, environment, worker
from gp_aiogram import Tracker
from gp_aiogram.sandbox import Fault, GramPixelSandbox
from gp_aiogram.stores.postgres import PostgresStore

#: Runs a command line, and writes down at its end what was ever imported.
SHOWS_MODULES = """
import atexit, json, sys
atexit.register(lambda: open("modules.json", "w").write(json.dumps(sorted(sys.modules))))
from gp_aiogram.cli import main
main()
"""


@pytest.fixture
def schema() -> Iterator[str]:
    require_server()
    schema = make_schema()
    yield schema
    drop_schema(schema)


@pytest.fixture
async def sandbox() -> AsyncIterator[GramPixelSandbox]:
    async with GramPixelSandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def bot(schema: str, sandbox: GramPixelSandbox) -> AsyncIterator[Tracker]:
    """Record, and leave the delivery to workers."""
    store = PostgresStore(DSN, schema)
    async with Tracker([destination(sandbox)], store=store, deliver=False, journal=None) as bot:
        yield bot


@pytest.fixture
def env(schema: str, sandbox: GramPixelSandbox) -> dict[str, str]:
    return environment(with_schema(DSN, schema), sandbox)


def with_schema(dsn: str, schema: str, port: int | None = None) -> str:
    parts = urlsplit(dsn)
    where = parts.netloc
    if port is not None:
        user, _, _ = where.rpartition("@")
        where = f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}"
    return urlunsplit(parts._replace(netloc=where, query=f"schema={schema}"))


async def record(bot: Tracker, count: int) -> list[str]:
    events = await asyncio.gather(*(bot.track("REG", telegram_id=7) for _ in range(count)))
    return [event.event_id for event in events if event is not None]


def sent(sandbox: GramPixelSandbox) -> Counter[str]:
    return Counter(request.headers["Idempotency-Key"] for request in sandbox.requests)


async def until_status(one: Worker, path: str, status: int) -> str:
    deadline = time.monotonic() + SOON
    while True:
        answer, text = await one.get(path)
        if answer == status:
            return text
        assert time.monotonic() < deadline, f"{path}: {answer} {text}\n{one.log}"
        await asyncio.sleep(0.1)


async def metric(one: Worker, name: str) -> float:
    _, text = await one.get("/metrics")
    families = text_string_to_metric_families(text)
    return next(s.value for family in families for s in family.samples if s.name == name)


async def test_a_worker_delivers_what_bots_record_meanwhile_and_never_imports_aiogram(
    bot: Tracker, env: dict[str, str], sandbox: GramPixelSandbox, tmp_path: Path
) -> None:
    async with worker(tmp_path, env, command=("-c", SHOWS_MODULES)) as one:
        await one.until_ready()
        recorded = await record(bot, 30)
        assert await bot.flush(SOON)
        one.signal(signal.SIGTERM)
        assert await one.ended() == 0
    assert sent(sandbox) == Counter(recorded)
    stats = await bot.stats()
    assert stats.destinations["grampixel"].deliveries == {"delivered": 30}
    modules = json.loads((tmp_path / "modules.json").read_text("utf-8"))
    assert "asyncpg" in modules
    assert [name for name in modules if name.split(".")[0] == "aiogram"] == []


async def test_two_workers_share_the_work_and_send_nothing_twice(
    bot: Tracker, env: dict[str, str], sandbox: GramPixelSandbox, tmp_path: Path
) -> None:
    sandbox.fail(Fault.delay(0.02), times=None)
    async with worker(tmp_path, env) as one, worker(tmp_path, env) as two:
        await asyncio.gather(one.until_ready(), two.until_ready())
        recorded = [event_id for _ in range(10) for event_id in await record(bot, 40)]
        assert await bot.flush(2 * SOON)
        shares = [
            await metric(each, "gp_aiogram_delivery_age_seconds_count") for each in (one, two)
        ]
    assert sent(sandbox) == Counter(recorded)
    assert sum(shares) == 400
    assert min(shares) > 0


async def test_a_rolling_restart_of_two_workers_loses_nothing_and_sends_nothing_twice(
    bot: Tracker, env: dict[str, str], sandbox: GramPixelSandbox, tmp_path: Path
) -> None:
    sandbox.fail(Fault.delay(0.05), times=None)
    recorded: list[str] = []
    restarted = asyncio.Event()

    async def keep_recording() -> None:
        while not restarted.is_set():
            recorded.extend(await record(bot, 5))
            await asyncio.sleep(0.02)

    async def live(order: int) -> None:
        for life in range(2):
            async with worker(tmp_path, env) as one:
                await one.until_ready()
                count = len(sandbox.requests)
                await sandbox.wait_for(count + 10 * (order + 1), SOON)
                one.signal(signal.SIGTERM)
                assert await one.ended() == 0, (life, one.log)

    recording = asyncio.create_task(keep_recording())
    await asyncio.gather(live(0), live(1))
    restarted.set()
    await recording
    async with worker(tmp_path, env):
        assert await bot.flush(2 * SOON)
    assert len(recorded) > 50
    assert sent(sandbox) == Counter(recorded)


@pytest.mark.slow
async def test_another_worker_takes_over_within_a_minute_what_a_killed_one_had_claimed(
    bot: Tracker, env: dict[str, str], sandbox: GramPixelSandbox, tmp_path: Path
) -> None:
    recorded = await record(bot, 40)
    sandbox.fail(Fault.hang(), times=None)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(worker(tmp_path, env))
        while "started" not in one.log or not sandbox._busy:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        one.signal(signal.SIGKILL)
        killed = time.monotonic()
        assert await one.ended() == -signal.SIGKILL
        sandbox.recover()
        # What it had claimed waits for the end of the lease; the rest is delivered at once.
        two = await stack.enter_async_context(worker(tmp_path, env))
        await sandbox.wait_for(24, SOON)
        assert not await bot.flush(1)
        assert await bot.flush(60 - (time.monotonic() - killed)), two.log
        assert 20 < time.monotonic() - killed < 60
    assert {*sent(sandbox)} == {*recorded}


async def test_a_worker_without_its_store_is_alive_and_not_ready_until_it_is_back(
    bot: Tracker,
    schema: str,
    env: dict[str, str],
    sandbox: GramPixelSandbox,
    tmp_path: Path,
) -> None:
    server = urlsplit(DSN)
    async with Gate(server.hostname or "127.0.0.1", server.port or 5432) as gate:
        env = {**env, "GP_STORE": with_schema(DSN, schema, gate.port)}
        async with worker(tmp_path, env) as one:
            await one.until_ready()
            first = await record(bot, 5)
            assert await bot.flush(SOON)
            await gate.shut()
            assert "the store " in await until_status(one, "/readyz", 503)
            assert (await one.get("/healthz"))[0] == 200
            assert await metric(one, "gp_aiogram_store_up") == 0
            second = await record(bot, 5)
            await gate.open()
            await until_status(one, "/readyz", 200)
            assert await bot.flush(SOON)
            assert await metric(one, "gp_aiogram_store_up") == 1
    assert sent(sandbox) == Counter([*first, *second])


async def test_a_worker_starts_while_its_store_is_away(
    bot: Tracker,
    schema: str,
    env: dict[str, str],
    sandbox: GramPixelSandbox,
    tmp_path: Path,
) -> None:
    recorded = await record(bot, 3)
    server = urlsplit(DSN)
    async with Gate(server.hostname or "127.0.0.1", server.port or 5432) as gate:
        await gate.shut()
        env = {**env, "GP_STORE": with_schema(DSN, schema, gate.port)}
        async with worker(tmp_path, env) as one:
            await until_status(one, "/readyz", 503)
            await gate.open()
            await until_status(one, "/readyz", 200)
            assert await bot.flush(SOON)
    assert sent(sandbox) == Counter(recorded)


async def test_a_database_that_cannot_be_used_is_told_in_a_line(
    env: dict[str, str], tmp_path: Path
) -> None:
    parts = urlsplit(DSN)
    missing = urlunsplit(parts._replace(path="/gp_no_such_database"))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gp_aiogram",
        "worker",
        env={**env, "GP_STORE": missing},
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), SOON)
    assert process.returncode == 1
    last = errors.decode().strip().splitlines()[-1]
    assert last.startswith("gp-aiogram: ")
    assert "gp_no_such_database" in last
    assert "Traceback" not in errors.decode()
