"""The stand-in for LeadSail: what it accepts, what it refuses, and in which words."""

import time

import aiohttp
import httpx
import pytest

from gp_aiogram.sandbox import Fault, LeadSailSandbox

PATH = "/api/v1/pixels/fire"
BODY = {
    "leadId": "lead_abc123",
    "pixelId": "123456789",
    "platform": "facebook",
    "eventName": "Lead",
}
SOURCES = ["website", "phone_call", "chat", "system_generated"]


@pytest.fixture
async def leadsail():
    async with LeadSailSandbox(
        "key", leads={"lead_abc123"}, pixels={"123456789"}, clock=lambda: 7.0
    ) as sandbox:
        yield sandbox


@pytest.fixture
async def client(leadsail):
    async with aiohttp.ClientSession(leadsail.url, headers={"X-API-Key": "key"}) as session:
        yield session


async def fire(client, body=BODY, *, path=PATH, method="POST", **kwargs):
    if body is not None:
        kwargs["json"] = body
    async with client.request(method, path, **kwargs) as response:
        return response.status, await response.json()


NOT_FOUND = {
    "success": False,
    "error": {"code": "NOT_FOUND", "message": "Resource not found"},
}
UNAUTHORIZED = {
    "success": False,
    "error": {"code": "UNAUTHORIZED", "message": "Authentication required"},
}


async def test_the_documented_request_gets_the_documented_answer(leadsail, client):
    status, answer = await fire(client)
    assert status == 200
    assert answer == {"success": True, "data": {"success": True, **BODY}}
    (event,) = await leadsail.wait_for(1)
    assert (event.body, event.idempotency_key, event.at) == (BODY, None, 7.0)


async def test_every_documented_field_is_accepted(leadsail, client):
    body = {
        **BODY,
        "platform": "tiktok",
        "eventValue": 9.99,
        "currency": "EUR",
        "actionSource": "chat",
        "testEventCode": "TEST1",
    }
    assert (await fire(client, body))[0] == 200
    assert leadsail.events[0].body == body


@pytest.mark.parametrize("source", SOURCES)
async def test_every_documented_action_source_is_accepted(client, source):
    assert (await fire(client, {**BODY, "actionSource": source}))[0] == 200


async def test_without_a_list_any_lead_and_pixel_exist():
    async with LeadSailSandbox() as leadsail, httpx.AsyncClient() as client:
        response = await client.post(
            leadsail.url + PATH,
            json={**BODY, "leadId": "other", "pixelId": "other"},
            headers={"X-API-Key": leadsail.api_key},
        )
        assert response.json()["success"] is True
        assert leadsail.events[0].at == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize(
    ("body", "details"),
    [
        *(
            ({k: v for k, v in BODY.items() if k != name}, [f"{name} is required"])
            for name in BODY
        ),
        ({**BODY, "leadId": 5}, ["leadId must be a valid string, got 5"]),
        ({**BODY, "pixelId": 123456789}, ["pixelId must be a valid string, got 123456789"]),
        ({**BODY, "eventName": ""}, ['eventName must be a valid string, got ""']),
        (
            {**BODY, "platform": "meta"},
            ['platform must be a valid value (facebook, tiktok), got "meta"'],
        ),
        (
            {**BODY, "eventValue": "9.99"},
            ['eventValue must be a valid number from 0 to 1000000000000, got "9.99"'],
        ),
        (
            {**BODY, "eventValue": True},
            ["eventValue must be a valid number from 0 to 1000000000000, got true"],
        ),
        ({**BODY, "currency": "XTR"}, ['currency must be a valid ISO 4217 code, got "XTR"']),
        ({**BODY, "currency": 5}, ["currency must be a valid ISO 4217 code, got 5"]),
        ({**BODY, "testEventCode": 5}, ["testEventCode must be a valid string, got 5"]),
        ({**BODY, "eventId": "e1"}, ["there is no field eventId"]),
        (
            {**BODY, "actionSource": "telegram"},
            [
                f'actionSource must be a valid value ({", ".join(SOURCES)}), got "telegram"',
            ],
        ),
        (
            {"leadId": 5, "platform": "facebook", "lead": 1},
            [
                "pixelId is required",
                "eventName is required",
                "leadId must be a valid string, got 5",
                "there is no field lead",
            ],
        ),
        ([BODY], ["the body must be a JSON object"]),
    ],
)
async def test_the_details_name_every_field_at_fault(leadsail, client, body, details):
    status, answer = await fire(client, body)
    assert status == 400
    assert answer == {
        "success": False,
        "error": {
            "code": "VALIDATION_ERROR",
            "message": "Invalid input data",
            "details": details,
        },
    }
    assert leadsail.events == []


@pytest.mark.parametrize(
    ("data", "content_type"), [(b"{", "application/json"), (b"{}", "text/plain")]
)
async def test_a_body_that_is_not_json_is_refused(client, data, content_type):
    status, answer = await fire(client, None, data=data, headers={"Content-Type": content_type})
    assert (status, answer["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert "application/json" in answer["error"]["details"][0] or "object" in str(answer)


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}])
async def test_a_wrong_key_is_refused(leadsail, headers):
    async with aiohttp.ClientSession(leadsail.url, headers=headers) as client:
        assert await fire(client, {}) == (401, UNAUTHORIZED)
    assert leadsail.events == []


@pytest.mark.parametrize("change", [{"leadId": "lead_other"}, {"pixelId": "1"}])
async def test_an_unknown_lead_or_pixel_is_not_found(leadsail, client, change):
    assert await fire(client, {**BODY, **change}) == (404, NOT_FOUND)
    assert leadsail.events == []


@pytest.mark.parametrize(("method", "path"), [("PUT", PATH), ("POST", "/api/v1/pixels")])
async def test_other_methods_and_paths_are_not_found(client, method, path):
    assert await fire(client, method=method, path=path) == (404, NOT_FOUND)


async def test_repeated_requests_are_accepted_and_can_be_told_apart(leadsail, client):
    for key in ("a", "b", "a"):
        await fire(client, headers={"Idempotency-Key": key})
    await fire(client)
    await fire(client)
    assert [event.idempotency_key for event in leadsail.events] == ["a", "b", "a", None, None]
    assert leadsail.unique_events == [leadsail.events[i] for i in (0, 1, 3, 4)]


async def test_it_fails_as_told_and_recovers(leadsail, client):
    leadsail.fail(Fault.status(500, body=NOT_FOUND), times=None)
    assert (await fire(client))[0] == 500
    leadsail.recover()
    assert (await fire(client))[0] == 200
    assert [request.status for request in leadsail.requests] == [500, 200]
