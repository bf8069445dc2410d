"""The OpenAPI document says what the server does: Schemathesis asks the running server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fixtures.gateway import KEY, PIXEL, Client, gateway_of
from gp_aiogram import MetaCAPI, SQLiteStore, TikTokEvents, Tracker
from gp_aiogram.web import GatewayLimits

TESTS = Path(__file__).parents[1]

#: Seconds; it takes about 20 on a quiet machine.
PATIENCE = 150


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Client]:
    """A gateway on a file, whose destinations are never asked: the tracker is not started."""
    nobody = "http://127.0.0.1:9"
    destinations = [
        MetaCAPI(PIXEL["pixelId"], "token", base_url=nobody),
        TikTokEvents(PIXEL["pixelId"], "token", base_url=nobody),
    ]
    tracker = Tracker(destinations, store=SQLiteStore(tmp_path / "gp.sqlite3"))
    await tracker.store.open()
    await tracker.identify(7, lead_id="lead_1")
    limits = GatewayLimits(per_minute=None, store_timeout=30)
    async with gateway_of(tracker, limits=limits) as client:
        yield client
    await tracker.close(grace=0)


async def test_schemathesis_finds_nothing(served: Client, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), "run"),
        *(f"{served.url}/openapi.json", "--header", f"x-api-key: {KEY}"),
        *("--checks", "all", "--max-examples", "100", "--seed", "1", "--no-color"),
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "fixtures.schemathesis_hooks",
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    text = told.decode()
    assert process.returncode == 0, text
    assert "Tested: 4" in text


async def test_every_operation_was_really_reached(served: Client) -> None:
    async with served.http.get("/openapi.json") as response:
        document = await response.json()
    assert document["openapi"] == "3.1.0"
    assert list(document["paths"]) == [
        "/v1/events/custom",
        "/api/v1/events/custom",
        "/v1/events/batch",
        "/api/v1/pixels/fire",
    ]
    fire = document["paths"]["/api/v1/pixels/fire"]["post"]
    assert set(fire["responses"]) == {
        *("200", "400", "401", "404", "408", "409", "413", "422", "429", "500", "503"),
    }
    assert (await served.fire()).status == 200


async def test_limits_are_those_of_this_gateway(tracker: Tracker) -> None:
    limits = GatewayLimits(max_batch=3, max_body=2048, per_minute=60)
    async with (
        gateway_of(tracker, limits=limits) as client,
        client.http.get("/openapi.json", headers={"x-api-key": ""}) as response,
    ):
        document = await response.json()
    described = document["info"]["description"]
    assert "2048 bytes, a batch 3 events; a key has 60 events a minute" in described
    batch = document["components"]["schemas"]["Batch"]
    assert batch["properties"]["events"]["maxItems"] == 3
