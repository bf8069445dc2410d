"""What was answered as a success is there after a kill; the store decides, not the process."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from fixtures.gateway import CUSTOM, FTD, KEY, WORKSPACE, gateway_of
from gp_aiogram import MemoryStore, SQLiteStore, Tracker


@asynccontextmanager
async def gateway_in_a_process(folder: Path) -> AsyncIterator[str]:
    """A gateway as people run it; it is killed at the end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GP_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gp_aiogram", "serve"),
        cwd=folder,
        env={
            **kept,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "GP_GATEWAY__KEYS": f"{KEY}={WORKSPACE}",
            "GP_GATEWAY__PORT": "0",
            "GP_META__PIXEL_ID": "1",
            "GP_META__ACCESS_TOKEN": "token",
            "GP_META__BASE_URL": "http://127.0.0.1:9",
        },
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    found = None
    while found is None:
        line = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
        assert line
        found = re.search(r"the gateway listens at (http://\S+)", line)
    try:
        yield found[1]
    finally:
        process.kill()
        await process.communicate()


async def fire(url: str, user: int) -> Any:
    headers = {"x-api-key": KEY, "Idempotency-Key": f"order-{user}"}
    async with (
        ClientSession() as http,
        http.post(f"{url}{CUSTOM}", json={**FTD, "telegram_id": user}, headers=headers) as answer,
    ):
        return answer.status, answer.headers.get("Idempotency-Replayed"), await answer.json()


async def test_a_success_survives_a_kill(tmp_path: Path) -> None:
    async with gateway_in_a_process(tmp_path) as url:
        first = await asyncio.gather(*(fire(url, user) for user in range(1, 31)))
    async with gateway_in_a_process(tmp_path) as url:
        again = await asyncio.gather(*(fire(url, user) for user in range(1, 31)))
    assert {(status, replayed) for status, replayed, _ in first} == {(200, None)}
    assert {(status, replayed) for status, replayed, _ in again} == {(200, "true")}
    assert [answer for *_, answer in first] == [answer for *_, answer in again]
    async with Tracker([], store=SQLiteStore(tmp_path / "gp.sqlite3")) as tracker:
        stored = (await tracker.stats()).destinations["meta"].deliveries
    assert sum(stored.values()) == 30


async def test_of_two_gateways_on_one_store_one_records(recorder: Any) -> None:
    store = MemoryStore()
    first, second = Tracker([recorder], store=store), Tracker([recorder], store=store)
    async with gateway_of(first) as one, gateway_of(second) as other:
        answered = await asyncio.gather(
            *(client.custom(FTD, Idempotency_Key="k") for client in (one, other) * 10)
        )
        assert {answer.status for answer in answered} == {200}
        assert sum("Idempotency-Replayed" not in answer.headers for answer in answered) == 1
        refused = await other.custom({**FTD, "value": 1}, Idempotency_Key="k")
        assert refused.status == 409
    assert (await store.outbox.counts()) == {recorder.name: {"pending": 1}}
