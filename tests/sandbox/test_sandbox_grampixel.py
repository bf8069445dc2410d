"""The GramPixel stand-in: what it accepts, what it refuses, and how it fails when told to."""

import asyncio
import errno
import io
import json
import time

import aiohttp
import httpx
import pytest
from aiohttp import web

from gp_aiogram.sandbox import Fault, GramPixelSandbox

WORKSPACE = "0b7f6f0e-6a0f-4d0a-9f43-0d6a3a0c1c11"
BODY = {"event_name": "REG", "telegram_id": 1001, "workspace_id": WORKSPACE}


@pytest.fixture
async def grampixel():
    async with GramPixelSandbox(workspace_id=WORKSPACE) as sandbox:
        yield sandbox


@pytest.fixture
async def client(grampixel):
    headers = {"x-api-key": grampixel.api_key}
    async with aiohttp.ClientSession(grampixel.url, headers=headers) as session:
        yield session


async def fire(client, body=BODY, *, path="/v1/events/custom", **kwargs):
    if body is not None:
        kwargs["json"] = body
    async with client.post(path, **kwargs) as response:
        return response.status, await response.json(content_type=None)


async def eventually(ready):
    deadline = time.monotonic() + 5
    while not ready():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("path", ["/v1/events/custom", "/api/v1/events/custom"])
async def test_the_documented_request_gets_the_documented_answer(grampixel, client, path):
    body = {
        "event_name": "FTD",
        "telegram_id": 123456789,
        "session_id": "gp_a1b2c3",
        "workspace_id": WORKSPACE,
        "value": 150.00,
        "currency": "USD",
        "user_data": {"plan": "premium"},
    }
    status, answer = await fire(client, body, path=path)
    assert status == 200
    assert answer["data"].pop("event_id").startswith("evt_")
    assert answer == {"ok": True, "data": {"session_id": "gp_a1b2c3", "status": "processed"}}
    assert [event.body for event in grampixel.events] == [body]
    assert grampixel.workspace_id == WORKSPACE


async def test_httpx_gets_the_same_answer(grampixel):
    async with httpx.AsyncClient(base_url=grampixel.url) as client:
        response = await client.post(
            "/v1/events/custom", json=BODY, headers={"X-API-Key": grampixel.api_key}
        )
    assert response.json()["ok"] is True


async def test_event_ids_differ(client):
    (_, first), (_, second) = await fire(client), await fire(client)
    assert first["data"]["event_id"] != second["data"]["event_id"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"event_name": ""}, "event_name"),
        ({"event_name": 5}, "event_name"),
        ({"telegram_id": "1001"}, "telegram_id"),
        ({"telegram_id": True}, "telegram_id"),
        ({"telegram_id": 1001.5}, "telegram_id"),
        ({"workspace_id": 5}, "workspace_id"),
        ({"workspace_id": "uuid-of-workspace"}, "workspace_id"),
        ({"session_id": ""}, "session_id"),
        ({"session_id": None}, "session_id"),
        ({"value": "150.00"}, "value"),
        ({"value": True}, "value"),
        ({"value": float("nan")}, "value"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "XTR"}, "currency"),
        ({"currency": ["USD"]}, "currency"),
        ({"user_data": []}, "user_data"),
        ({"event_name": "FTD"}, "value is required"),
        ({"event_name": "DEP"}, "value is required"),
        ({"event_name": "Purchase"}, "value is required"),
        ({"event_time": 1}, "event_time"),
    ],
)
async def test_a_wrong_field_is_refused_by_name(grampixel, client, change, word):
    status, answer = await fire(client, {**BODY, **change})
    assert status == 422
    assert answer["ok"] is False
    assert word in answer["error"]
    assert grampixel.events == []


async def test_another_workspace_is_not_the_keys(grampixel, client):
    other = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    status, answer = await fire(client, {**BODY, "workspace_id": other})
    assert (status, answer["ok"]) == (403, False)
    assert "workspace_id" in answer["error"]
    assert grampixel.events == []


@pytest.mark.parametrize("field", ["event_name", "telegram_id", "workspace_id"])
async def test_a_missing_field_is_refused_by_name(client, field):
    status, answer = await fire(client, {k: v for k, v in BODY.items() if k != field})
    assert (status, answer["error"]) == (422, f"{field} is required")


@pytest.mark.parametrize(
    "fields",
    [
        {"event_name": "Any custom name"},
        {"event_name": "Purchase", "value": 0, "currency": "JPY"},
        {"workspace_id": WORKSPACE.upper()},
        {"user_data": {}},
    ],
)
async def test_what_the_documentation_allows_is_accepted(client, fields):
    assert (await fire(client, {**BODY, **fields}))[0] == 200


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[]", b'"text"', b"null", b""])
async def test_a_body_that_is_no_object_is_refused(client, data):
    headers = {"Content-Type": "application/json"}
    assert (await fire(client, None, data=data, headers=headers))[0] == 400


async def test_a_body_that_is_no_json_is_recorded_as_it_came(grampixel, client):
    await fire(client, None, data=b"{")
    assert grampixel.requests[0].body == "{"


async def test_another_content_type_is_refused(client):
    headers = {"Content-Type": "text/plain"}
    assert (await fire(client, None, data=b"{}", headers=headers))[0] == 400


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}])
async def test_a_wrong_key_is_refused(grampixel, headers):
    async with aiohttp.ClientSession(grampixel.url, headers=headers) as client:
        status, answer = await fire(client)
    assert status == 401
    assert answer["ok"] is False
    assert grampixel.events == []


async def test_other_routes_and_methods_are_refused_and_recorded(grampixel, client):
    assert (await fire(client, path="/v2/events"))[0] == 404
    async with client.get("/v1/events/custom") as response:
        assert response.status == 405
    assert [(r.method, r.path) for r in grampixel.requests] == [
        ("POST", "/v2/events"),
        ("GET", "/v1/events/custom"),
    ]


async def test_every_request_is_recorded(client, grampixel):
    await fire(client)
    await fire(client, {**BODY, "telegram_id": "x"})
    good, bad = grampixel.requests
    assert (good.method, good.path, good.status) == ("POST", "/v1/events/custom", 200)
    assert good.body == BODY
    assert good.headers["X-Api-Key"] == grampixel.api_key
    assert good.at == pytest.approx(time.time(), abs=5)
    assert (bad.status, bad.body["telegram_id"]) == (422, "x")
    assert grampixel.api_key not in repr(good)
    with pytest.raises(AttributeError):
        good.status = 500


async def test_the_clock_can_be_set():
    async with GramPixelSandbox("key", WORKSPACE, clock=lambda: 7.0) as grampixel:
        headers = {"x-api-key": "key"}
        async with aiohttp.ClientSession(grampixel.url, headers=headers) as client:
            await fire(client)
    assert (grampixel.requests[0].at, grampixel.events[0].at) == (7.0, 7.0)


async def test_a_session_is_resolved_from_the_last_one_of_the_user(client):
    async def session_of(**fields):
        return (await fire(client, {**BODY, **fields}))[1]["data"]["session_id"]

    assert await session_of() is None
    assert await session_of(session_id="gp_1") == "gp_1"
    assert await session_of(session_id="gp_2") == "gp_2"
    assert await session_of() == "gp_2"
    assert await session_of(telegram_id=5) is None


async def test_repeated_requests_are_accepted_and_can_be_told_apart(grampixel, client):
    for key in ("a", "b", "a"):
        await fire(client, headers={"Idempotency-Key": key})
    await fire(client)
    await fire(client)
    assert [event.idempotency_key for event in grampixel.events] == ["a", "b", "a", None, None]
    assert grampixel.unique_events == [grampixel.events[i] for i in (0, 1, 3, 4)]


async def test_wait_for_returns_when_the_events_are_there(grampixel, client):
    waiting = asyncio.create_task(grampixel.wait_for(2))
    await fire(client)
    assert not waiting.done()
    await fire(client)
    assert await asyncio.wait_for(waiting, 4) == grampixel.events


async def test_wait_for_tells_what_came_instead(grampixel, client):
    await fire(client)
    await fire(client, {**BODY, "event_name": "FTD"})
    with pytest.raises(TimeoutError, match=r"(?s)1 of 2 events.*422.*value is required for FTD"):
        await grampixel.wait_for(2, timeout=0.01)


async def test_a_status_fault_refuses_so_many_times(grampixel, client):
    grampixel.fail(Fault.status(503), times=2)
    assert [(await fire(client))[0] for _ in range(3)] == [503, 503, 200]
    assert [request.status for request in grampixel.requests] == [503, 503, 200]
    assert len(grampixel.events) == 1


@pytest.mark.parametrize(
    ("body", "text"), [(None, ""), ("down", "down"), ({"error": "x"}, '{"error": "x"}')]
)
async def test_a_status_fault_has_a_body_and_retry_after(grampixel, client, body, text):
    grampixel.fail(Fault.status(429, body=body, retry_after=30))
    async with client.post("/v1/events/custom", json=BODY) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "30")
        assert await response.text() == text


async def test_a_fault_meets_only_the_requests_it_is_meant_for(grampixel, client):
    grampixel.fail(Fault.status(500), when=lambda body: body["telegram_id"] == 3)
    assert (await fire(client))[0] == 200
    assert (await fire(client, {}))[0] == 422
    assert (await fire(client, None, data=b"{"))[0] == 400
    assert (await fire(client, {**BODY, "telegram_id": 3}))[0] == 500
    assert (await fire(client, {**BODY, "telegram_id": 3}))[0] == 200


async def test_faults_queue_up(grampixel, client):
    grampixel.fail(Fault.status(500))
    grampixel.fail(Fault.status(502))
    assert [(await fire(client))[0] for _ in range(3)] == [500, 502, 200]


async def test_a_fault_without_end_lasts_until_recovery(grampixel, client):
    grampixel.fail(Fault.status(500), times=None)
    assert [(await fire(client))[0] for _ in range(4)] == [500] * 4
    grampixel.recover()
    assert (await fire(client))[0] == 200


async def test_a_delayed_request_is_handled_normally(grampixel, client):
    grampixel.fail(Fault.delay(0.1))
    began = time.monotonic()
    assert (await fire(client))[0] == 200
    assert time.monotonic() - began >= 0.1


async def leave(request):
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_a_delayed_request_is_accepted_though_the_client_has_left(grampixel, client):
    grampixel.fail(Fault.delay(0.2))
    request = asyncio.create_task(fire(client))
    await eventually(lambda: grampixel._busy)
    await leave(request)
    assert grampixel.events == []
    await grampixel.wait_for(1)


async def test_a_hanging_request_is_never_answered(grampixel, client):
    grampixel.fail(Fault.hang())
    request = asyncio.create_task(fire(client))
    await eventually(lambda: grampixel.requests)
    await asyncio.sleep(0.05)
    assert not request.done()
    assert grampixel.events == []
    assert [request.status for request in grampixel.requests] == [None]
    await leave(request)
    assert (await fire(client))[0] == 200


async def test_a_hanging_request_ends_when_the_client_leaves(grampixel, client):
    grampixel.fail(Fault.hang())
    request = asyncio.create_task(fire(client))
    await eventually(lambda: grampixel.requests)
    assert grampixel._busy
    await leave(request)
    await eventually(lambda: not grampixel._busy)


async def test_stopping_is_quick_while_requests_hang():
    before = asyncio.all_tasks()
    async with GramPixelSandbox(workspace_id=WORKSPACE) as grampixel:
        grampixel.fail(Fault.hang(), times=None)
        headers = {"x-api-key": grampixel.api_key}
        client = aiohttp.ClientSession(grampixel.url, headers=headers)
        stays = asyncio.create_task(fire(client))
        leaves = asyncio.create_task(fire(client))
        assert await grampixel.notifier.wait_until(lambda: len(grampixel.requests) == 2, 5)
        leaves.cancel()
        began = time.monotonic()
    assert time.monotonic() - began < 1
    with pytest.raises(aiohttp.ClientError):
        await stays
    await client.close()
    await asyncio.sleep(0)
    assert {task for task in asyncio.all_tasks() - before if task is not leaves} == set()


async def test_stopping_does_not_wait_for_a_delay():
    async with GramPixelSandbox(workspace_id=WORKSPACE) as grampixel:
        grampixel.fail(Fault.delay(60))
        async with aiohttp.ClientSession(grampixel.url) as client:
            sending = asyncio.create_task(fire(client))
            await eventually(lambda: grampixel._busy)
            began = time.monotonic()
            await grampixel.__aexit__()
            assert time.monotonic() - began < 1
            with pytest.raises(aiohttp.ClientError):
                await sending


async def test_a_reset_is_a_reset_and_nothing_is_accepted(grampixel, client):
    grampixel.fail(Fault.reset())
    with pytest.raises(aiohttp.ClientOSError) as caught:
        await fire(client)
    assert caught.value.errno == errno.ECONNRESET
    assert grampixel.events == []
    assert [request.status for request in grampixel.requests] == [None]
    assert (await fire(client))[0] == 200


async def test_a_dropped_answer_leaves_the_event_accepted(grampixel, client):
    grampixel.fail(Fault.drop_answer())
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await fire(client)
    assert [event.body for event in grampixel.events] == [BODY]
    assert [request.status for request in grampixel.requests] == [None]
    assert (await fire(client))[0] == 200
    assert len(grampixel.events) == 2


async def test_a_body_of_more_than_a_megabyte_is_refused_in_words(grampixel, client):
    data = io.BytesIO(json.dumps({**BODY, "user_data": {"x": "y" * 3_000_000}}).encode())
    headers = {"Content-Type": "application/json"}
    status, answer = await fire(client, None, data=data, headers=headers)
    assert status == 413
    assert "1048576 bytes" in answer["error"]
    assert [request.status for request in grampixel.requests] == [413]


async def test_stopping_closes_idle_connections(grampixel):
    host, port = grampixel.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 404")
    await grampixel.__aexit__()
    await asyncio.wait_for(reader.read(), 1)
    writer.close()


async def test_it_must_be_running_to_have_an_address():
    grampixel = GramPixelSandbox(workspace_id=WORKSPACE)
    with pytest.raises(RuntimeError, match="async with"):
        _ = grampixel.url
    async with grampixel:
        url = grampixel.url
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get(url)
    with pytest.raises(RuntimeError):
        _ = grampixel.url
    await grampixel.__aexit__()


async def test_a_server_that_cannot_start_leaves_nothing_behind(monkeypatch):
    async def no_port(_):
        raise OSError

    monkeypatch.setattr(web.TCPSite, "start", no_port)
    before = asyncio.all_tasks()
    with pytest.raises(OSError):  # noqa: PT011 - our own
        await GramPixelSandbox(workspace_id=WORKSPACE).__aenter__()
    assert asyncio.all_tasks() == before


def test_the_workspace_must_be_a_uuid():
    with pytest.raises(ValueError, match="UUID"):
        GramPixelSandbox(workspace_id="mine")
