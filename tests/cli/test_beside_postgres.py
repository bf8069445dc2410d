"""Everything works beside a running bot whose store is in PostgreSQL."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fixtures import sample_store
from fixtures.postgres import DSN, drop_schema, make_schema, require_server
from fixtures.sample_store import ANN, OFFLINE
from fixtures.terminal import Ran, in_terminal, piped
from gp_aiogram import GramPixel, PostgresStore, Tracker
from gp_aiogram.sandbox import Fault, GramPixelSandbox


@pytest.fixture(scope="module", autouse=True)
def _server() -> None:
    require_server()


@pytest.fixture
def schema() -> Iterator[str]:
    schema = make_schema()
    yield schema
    drop_schema(schema)


@pytest.fixture
async def sandbox() -> AsyncIterator[GramPixelSandbox]:
    async with GramPixelSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def env(schema: str, sandbox: GramPixelSandbox) -> dict[str, str]:
    return {
        "GP_STORE": f"{DSN}?schema={schema}",
        "GP_ATTRIBUTION__WINDOW_DAYS": "36500",
        "GP_GRAMPIXEL__API_KEY": sandbox.api_key,
        "GP_GRAMPIXEL__WORKSPACE_ID": sandbox.workspace_id,
        "GP_GRAMPIXEL__BASE_URL": sandbox.url,
    }


@pytest.fixture
async def bot(schema: str, sandbox: GramPixelSandbox) -> AsyncIterator[Tracker]:
    """A bot that runs on the sample."""
    store = PostgresStore(DSN, schema)
    await store.open()
    await sample_store.fill(store, sample_store.noon())
    destination = GramPixel(sandbox.api_key, sandbox.workspace_id, base_url=sandbox.url)
    async with Tracker([destination], store=store, journal=None) as tracker:
        yield tracker


async def run(tmp_path: Path, env: dict[str, str], *arguments: str) -> Ran:
    """Run a command while the bot in this process goes on."""
    ran = await asyncio.to_thread(piped, *arguments, folder=tmp_path, env=env)
    assert (ran.code, ran.err) == (0, ""), ran
    return ran


def rows(ran: Ran) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(ran.out), delimiter="\t")]


async def test_looking(tmp_path: Path, env: dict[str, str], bot: Tracker) -> None:
    assert [row["event_id"] for row in rows(await run(tmp_path, env, "events"))] == [
        "reg-1002",
        "ftd-1001",
        "reg-1001",
    ]
    overview = rows(await run(tmp_path, env, "outbox"))
    assert [row["destination"] for row in overview] == ["grampixel", "meta"]
    told = json.loads((await run(tmp_path, env, "sessions", "show", str(ANN), "--json")).out)
    assert [touch["session_id"] for touch in told["touches"]] == ["gp_a1b2c3"]
    shown = await asyncio.to_thread(
        in_terminal, "outbox", "show", "ftd-1001", folder=tmp_path, env=env
    )
    assert shown.code == 0
    assert "HTTP 400: Invalid parameter" in shown.plain
    assert bot.running


async def test_sending_is_seen_by_the_bot(
    tmp_path: Path, env: dict[str, str], bot: Tracker, sandbox: GramPixelSandbox
) -> None:
    ran = await asyncio.to_thread(
        piped, "send", "REG", "-u", "7", "--event-id", "e1", folder=tmp_path, env=env
    )
    assert ran.code == 0
    assert [row["state"] for row in rows(ran)] == ["delivered"]
    assert len(sandbox.events) == 1
    assert await bot.track("REG", telegram_id=7, event_id="e1") is None


async def test_where_workers_deliver_sending_leaves_it_to_them(
    tmp_path: Path, env: dict[str, str], bot: Tracker, sandbox: GramPixelSandbox
) -> None:
    ran = await asyncio.to_thread(
        piped, "send", "REG", "-u", "7", folder=tmp_path, env={**env, "GP_DELIVER": "false"}
    )
    assert [row["state"] for row in rows(ran)] == ["delivered"]
    assert len(sandbox.events) == 1
    assert bot.running


async def test_what_is_replayed_is_delivered_by_the_bot(
    tmp_path: Path, env: dict[str, str], bot: Tracker, sandbox: GramPixelSandbox
) -> None:
    sandbox.fail(Fault.status(422))
    event = await bot.track("REG", telegram_id=7)
    assert event is not None
    assert await bot.flush(10)
    assert [letter.destination for letter in await bot.dead_letters("grampixel")] == ["grampixel"]
    ran = await run(tmp_path, env, "outbox", "replay", "--destination", "grampixel", "--yes")
    assert ran.out == "tried again: 1 dead letter\n"
    await sandbox.wait_for(1, 20)
    assert await bot.flush(10)
    (delivery,) = await bot.deliveries(event.event_id)
    assert delivery.state == "delivered"


async def test_purging_forgetting_and_importing(
    tmp_path: Path, env: dict[str, str], bot: Tracker
) -> None:
    assert (await run(tmp_path, env, "outbox", "purge", "--yes")).out == "given up: 1\n"
    assert await bot.dead_letters() == []
    await run(tmp_path, env, "forget", str(ANN), "--yes")
    assert await bot.session(ANN, 42) is None
    (tmp_path / "users.csv").write_text("telegram_id,first_deposit\n7,1\n")
    await run(tmp_path, env, "import", "users.csv")
    deposit = await bot.deposit(telegram_id=7, value=5)
    assert deposit is not None
    assert deposit.name == "DEP"


async def test_a_server_that_is_away_is_told_in_a_line(tmp_path: Path) -> None:
    secret = "postgresql://bot:s3cr3t-password@127.0.0.1:1/test"
    env = {**OFFLINE, "GP_STORE": secret}
    for arguments in (("events",), ("outbox", "replay", "--yes"), ("doctor",)):
        ran = await asyncio.to_thread(piped, *arguments, folder=tmp_path, env=env)
        assert ran.code == 1
        assert "s3cr3t" not in ran.out + ran.err
        assert "Traceback" not in ran.err
