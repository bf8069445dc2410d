"""Health checks and metrics over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from prometheus_client.parser import text_string_to_metric_families

from fixtures.recorder import Recorder
from gp_aiogram import MemoryStore, StoreUnavailable, Tracker
from gp_aiogram.metrics import Metrics
from gp_aiogram.web import Health, serve


class Client:
    """Asks one server."""

    def __init__(self, http: ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def get(self, path: str) -> tuple[int, str]:
        async with self._http.get(f"{self._url}{path}") as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def client(tracker: Tracker) -> AsyncIterator[Client]:
    app = web.Application()
    Health(tracker, metrics=Metrics(tracker)).setup(app)
    async with serve(app, port=0) as url, ClientSession() as http:
        yield Client(http, url)


async def test_a_process_is_alive_before_it_is_ready(client: Client, tracker: Tracker) -> None:
    assert await client.get("/healthz") == (200, "alive\n")
    status, text = await client.get("/readyz")
    assert (status, text) == (503, "the tracker is not started, or it is stopping\n")
    await tracker.start()
    assert await client.get("/readyz") == (200, "ready\n")
    await tracker.close()
    assert (await client.get("/readyz"))[0] == 503
    assert (await client.get("/healthz"))[0] == 200


async def test_a_store_that_is_away_makes_a_process_not_ready_but_alive(
    client: Client, tracker: Tracker, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        msg = "no answer from the server"
        raise StoreUnavailable(msg)

    await tracker.start()
    monkeypatch.setattr(store.outbox, "counts", fail)
    reason = "the store fails: StoreUnavailable: no answer from the server\n"
    assert await client.get("/readyz") == (503, reason)
    assert (await client.get("/healthz"))[0] == 200
    monkeypatch.undo()
    assert (await client.get("/readyz"))[0] == 200


async def test_a_store_that_hangs_is_asked_once_and_told(
    client: Client, tracker: Tracker, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gp_aiogram.web.health._PATIENCE", 0.05)
    back, asked = asyncio.Event(), []

    async def hang() -> None:
        asked.append(1)
        await back.wait()

    await tracker.start()
    monkeypatch.setattr(store.outbox, "counts", hang)
    answers = await asyncio.gather(*(client.get("/readyz") for _ in range(5)))
    answers.append(await client.get("/readyz"))
    assert set(answers) == {(503, "the store does not answer within 0.05 s\n")}
    assert len(asked) == 1
    back.set()
    assert (await client.get("/readyz"))[0] == 200


async def test_a_courier_that_does_not_run_makes_a_process_not_ready(
    client: Client, tracker: Tracker
) -> None:
    await tracker.start()
    await tracker._courier.stop(grace=0)
    assert (await client.get("/readyz"))[0] == 503


async def test_a_process_that_only_records_is_ready(store: MemoryStore) -> None:
    app = web.Application()
    async with Tracker([Recorder()], store=store, deliver=False) as tracker:
        Health(tracker).setup(app)
        async with serve(app, port=0) as url, ClientSession() as http:
            assert await Client(http, url).get("/readyz") == (200, "ready\n")


async def test_metrics_are_served_for_prometheus(client: Client, tracker: Tracker) -> None:
    await tracker.start()
    await tracker.track("REG", telegram_id=7)
    assert await tracker.flush(5)
    status, text = await client.get("/metrics")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(text)}
    (delivered,) = (
        sample.value
        for sample in families["gp_aiogram_deliveries"].samples
        if sample.labels == {"destination": "recorder", "state": "delivered"}
    )
    assert delivered == 1
    assert families["gp_aiogram_store_up"].samples[0].value == 1


async def test_without_metrics_it_says_what_they_need(store: MemoryStore) -> None:
    app = web.Application()
    Health(Tracker([], store=store)).setup(app)
    async with serve(app, port=0) as url, ClientSession() as http:
        status, text = await Client(http, url).get("/metrics")
    assert status == 501
    assert "gp-aiogram[metrics]" in text
