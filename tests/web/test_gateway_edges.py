"""The gateway's edges: sizes, speeds, limits, failures, and what is logged of them."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web

from fixtures.gateway import CUSTOM, EVENT, ITEM, KEY, WORKSPACE, Client, gateway_of
from gp_aiogram import ConfigurationError, MemoryStore, StoreError, Tracker
from gp_aiogram.stores.memory.outbox import MemoryOutbox
from gp_aiogram.testing import ManualClock
from gp_aiogram.web import Gateway, GatewayLimits, Landing, serve

JSON = {"Content_Type": "application/json"}


class FailingOutbox(MemoryOutbox):
    """An outbox that fails, or hangs, when told to."""

    failure: Exception | None = None
    hangs = False

    async def accept(self, entry: Any) -> Any:
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        return await super().accept(entry)


@pytest.fixture
def outbox(store: MemoryStore) -> FailingOutbox:
    store.outbox = FailingOutbox(store.clock)
    return store.outbox


class Everything:
    """Knows every lead and every pixel."""

    async def user_of(self, lead_id: str) -> int:
        return 7

    def destinations_of(self, platform: str, pixel_id: str) -> list[str]:
        return []


@pytest.fixture
async def careful(outbox: FailingOutbox, tracker: Tracker) -> AsyncIterator[Client]:
    """A gateway over an outbox that may fail."""
    limits = GatewayLimits(store_timeout=0.1)
    fresh = Tracker([], store=tracker.store)
    known = Everything()
    async with gateway_of(fresh, limits=limits, leads=known, pixels=known) as client:
        yield client


# Bodies


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b'{"a": 1} x'])
async def test_what_is_no_json_object_is_refused(client: Client, data: bytes) -> None:
    status, answer, _ = await client.custom(data=data, **JSON)
    assert (status, answer["error"]) == (400, "the body must be a JSON object")


async def test_another_content_type_is_refused(client: Client) -> None:
    status, answer, _ = await client.custom(data=b"{}", Content_Type="text/plain")
    assert (status, answer["error"]) == (
        400,
        "the content type must be application/json, not text/plain",
    )


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_has_a_size(tracker: Tracker, chunked: bool) -> None:
    data = json.dumps({**EVENT, "user_data": {"x": "y" * 3000}}).encode()

    async def parts() -> AsyncIterator[bytes]:
        yield data

    async with gateway_of(tracker, limits=GatewayLimits(max_body=2048)) as client:
        status, answer, _ = await client.custom(data=parts() if chunked else data, **JSON)
        assert (status, answer["error"]) == (413, "the body must not be longer than 2048 bytes")
        assert (await client.custom()).status == 200


async def test_a_packed_body_counts_by_its_unpacked_size(tracker: Tracker) -> None:
    bomb = gzip.compress(json.dumps({**EVENT, "user_data": {"x": "y" * 500_000}}).encode())
    async with gateway_of(tracker, limits=GatewayLimits(max_body=4096)) as client:
        packed = {**JSON, "Content_Encoding": "gzip"}
        assert (await client.custom(data=bomb, **packed)).status == 413
        fine = gzip.compress(json.dumps(EVENT).encode())
        assert (await client.custom(data=fine, **packed)).status == 200
        assert (await client.custom(data=b"rubbish", **packed)).status == 400


async def test_a_body_that_does_not_come_is_not_waited_for(tracker: Tracker) -> None:
    async with gateway_of(tracker, limits=GatewayLimits(body_timeout=0.1)) as client:
        host, _, port = client.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {CUSTOM} HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\n"
        writer.write(
            f"{head}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{".encode()
        )
        answer = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
    assert b" 408 " in answer


# Limits of a key


async def test_a_key_may_ask_so_often(tracker: Tracker) -> None:
    clock = ManualClock()
    keys = {KEY: WORKSPACE, "another": WORKSPACE}
    limits = GatewayLimits(per_minute=3)
    async with gateway_of(tracker, keys, limits=limits, clock=clock) as client:
        assert [(await client.custom()).status for _ in range(4)] == [200, 200, 200, 429]
        status, answer, headers = await client.custom()
        assert (status, headers["Retry-After"]) == (429, "20")
        assert answer["error"] == "more than 3 events a minute came with this key"
        assert (await client.custom(x_api_key="another")).status == 200
        fired = await client.fire()
        assert (fired.status, fired.body["error"]["code"]) == (429, "RATE_LIMITED")
        clock.advance(20)
        assert [(await client.custom()).status for _ in range(2)] == [200, 429]


async def test_a_batch_counts_by_its_events(tracker: Tracker) -> None:
    clock = ManualClock()
    limits = GatewayLimits(per_minute=3)
    async with gateway_of(tracker, limits=limits, clock=clock) as client:
        assert (await client.batch(*[ITEM] * 5)).status == 200
        assert (await client.custom()).headers["Retry-After"] == "60"
        clock.advance(59)
        assert (await client.custom()).status == 429
        clock.advance(1)
        assert (await client.custom()).status == 200


async def test_there_need_be_no_limit(tracker: Tracker) -> None:
    async with gateway_of(tracker, limits=GatewayLimits(per_minute=None)) as client:
        assert {(await client.batch(*[ITEM] * 500)).status for _ in range(2)} == {200}


@pytest.mark.parametrize("name", ["max_body", "max_batch", "per_minute", "store_timeout"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "5", True])
def test_limits_that_make_no_sense_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        GatewayLimits(**{name: value})


# Failures


@pytest.mark.parametrize("path", ["custom", "batch", "fire"])
async def test_nothing_is_a_success_that_is_not_durable(
    careful: Client, outbox: FailingOutbox, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.failure = StoreError("disk full")
    arguments = [ITEM] if path == "batch" else []
    status, answer, headers = await getattr(careful, path)(*arguments, X_Request_Id="r-1")
    assert (status, headers["Retry-After"]) == (503, "5")
    reason = "the store is away: repeat the request with the same Idempotency-Key"
    assert reason in (answer["error"], answer["error"]["message"] if path == "fire" else "")
    assert "the store failed: clients are asked to repeat: disk full [request r-1]" in caplog.text
    outbox.failure = None
    assert (await getattr(careful, path)(*arguments)).status == 200


async def test_a_store_that_hangs_is_not_waited_for(
    careful: Client, outbox: FailingOutbox
) -> None:
    outbox.hangs = True
    status, answer, headers = await careful.custom(Idempotency_Key="k")
    assert (status, headers["Retry-After"]) == (503, "5")
    assert "may have recorded it" in answer["error"]
    outbox.hangs = False
    again = await careful.custom(Idempotency_Key="k")
    assert (again.status, "Idempotency-Replayed" in again.headers) == (200, False)


@pytest.mark.parametrize("path", ["custom", "batch", "fire"])
async def test_a_bug_shows_the_client_nothing_but_the_request(
    careful: Client, outbox: FailingOutbox, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.failure = ZeroDivisionError("secret detail")
    arguments = [ITEM] if path == "batch" else []
    status, answer, _ = await getattr(careful, path)(*arguments, X_Request_Id="r-1")
    assert status == 500
    text = json.dumps(answer)
    assert "r-1" in text
    assert "secret detail" not in text
    assert "ZeroDivisionError" not in text
    assert "failed [request r-1]" in caplog.text
    assert "secret detail" in caplog.text


# Requests and their log


@pytest.mark.parametrize("given", ["r-1", "A.b_c~9" * 9])
async def test_a_request_keeps_its_name(client: Client, given: str) -> None:
    answered = await client.custom({}, X_Request_Id=given)
    assert answered.headers["X-Request-Id"] == answered.body["request_id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "<script>", "é"])
async def test_a_request_without_a_good_name_gets_one(client: Client, given: str) -> None:
    first = await client.custom(X_Request_Id=given)
    second = await client.custom(X_Request_Id=given)
    assert first.headers["X-Request-Id"] not in ("", given)
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]


async def test_each_answer_has_a_line_without_secrets(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gp_aiogram.gateway.access")
    body = {**EVENT, "user_data": {"email": "ada@example.com"}}
    await client.post(f"{CUSTOM}?token=hunter2", body, X_Request_Id="r-1", Idempotency_Key="o-1")
    await client.custom({}, x_api_key="a-wrong-key")
    first, second = (r for r in caplog.records if r.name == "gp_aiogram.gateway.access")
    assert (
        vars(first).items()
        >= {
            "request_id": "r-1",
            "method": "POST",
            "path": CUSTOM,
            "status": 200,
            "workspace_id": WORKSPACE,
            "key_id": first.key_id,  # type: ignore[attr-defined]
        }.items()
    )
    assert first.getMessage().startswith(f"POST {CUSTOM} 200 in ")
    assert first.getMessage().endswith("[request r-1]")
    assert (second.status, second.workspace_id) == (401, "none")  # type: ignore[attr-defined]
    for secret in (KEY, "a-wrong-key", "hunter2", "ada@example.com"):
        assert secret not in caplog.text
    assert KEY not in repr(vars(first))


# Routes


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_told_which_one_to_use(client: Client, method: str) -> None:
    for path in ("/v1/events/custom", "/v1/events/batch", "/api/v1/pixels/fire"):
        async with client.http.request(method, path) as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST")
            assert f"use POST, not {method}" in await response.text()
            assert response.headers["X-Request-Id"]


async def test_it_lives_in_one_application_with_the_landing_and_others(tracker: Tracker) -> None:
    app = web.Application()
    Landing(tracker, "my_bot").setup(app)
    Gateway(tracker, {KEY: WORKSPACE}).setup(app, "/gateway")

    async def webhook(_: web.Request) -> web.Response:
        return web.Response(text="the bot's own")

    app.router.add_post("/webhook", webhook)
    headers = {"x-api-key": KEY, "User-Agent": "Browser/1"}
    async with serve(app, port=0) as url, ClientSession(url, headers=headers) as http:
        async with http.get("/go?fbclid=IwAR0x", allow_redirects=False) as response:
            session_id = response.headers["Location"].partition("start=")[2]
        body = {**EVENT, "session_id": session_id}
        async with http.post(f"/gateway{CUSTOM}", json=body) as response:
            assert (await response.json())["data"]["session_id"] == session_id
        async with http.get("/gateway/openapi.json") as response:
            assert (await response.json())["servers"] == [{"url": "/gateway"}]
        async with http.post("/webhook") as response:
            assert await response.text() == "the bot's own"
        async with http.post(CUSTOM, json=body) as response:
            assert response.status == 404
