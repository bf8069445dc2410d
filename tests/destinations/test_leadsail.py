"""The LeadSail destination: whose lead an event is, what is sent, and how answers are read."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import httpx
import pytest

from fixtures.ad_platforms import (
    Backend,
    deliver,
    digest,
    event,
    failure,
    purchase,
    recent,
    through_a_lane,
)
from gp_aiogram import (
    ConfigurationError,
    DeliveryFailed,
    DestinationMisconfigured,
    Event,
    EventRejected,
    EventSkipped,
    RateLimited,
)
from gp_aiogram.destinations.leadsail import LeadSail

KEY, PIXEL, LEAD = "vf_live_5d41402abc4b", "123456789", "lead_abc123"
URL = "https://api.leadsail.app/api/v1/pixels/fire"
FIRED = {
    "success": True,
    "platform": "facebook",
    "eventName": "Lead",
    "pixelId": PIXEL,
    "leadId": LEAD,
}
GOOD = {"success": True, "data": FIRED}


def to(backend: Backend, platform: str = "facebook", **options: Any) -> LeadSail:
    options = {"lead_id": LEAD, "transport": httpx.MockTransport(backend)} | options
    return LeadSail(KEY, PIXEL, platform, **options)


async def sent(one: Event, platform: str = "facebook", **options: Any) -> Any:
    """Send an event and return the body that came."""
    backend = Backend(GOOD)
    await deliver(to(backend, platform, **options), one)
    (body,) = backend.bodies
    return body


async def refusal(answer: Any, status: int = 200) -> Any:
    return await failure(to(Backend(answer, status)))


# Requests


async def test_an_event_without_an_amount():
    assert await sent(event(name="Subscribe")) == {
        "leadId": LEAD,
        "pixelId": PIXEL,
        "platform": "facebook",
        "eventName": "Lead",
        "actionSource": "system_generated",
    }


async def test_an_event_with_everything():
    full = purchase(
        name="FTD",
        user_data={"email": "alice@example.com", "plan": "gold"},
        traits={"meta": {"em": digest("alice@example.com")}},
    )
    assert await sent(full, "tiktok", action_source="chat", test_event_code="TEST1") == {
        "leadId": LEAD,
        "pixelId": PIXEL,
        "platform": "tiktok",
        "eventName": "CompletePayment",
        "eventValue": 49.9,
        "currency": "EUR",
        "actionSource": "chat",
        "testEventCode": "TEST1",
    }


async def test_the_request_goes_to_the_documented_address_with_the_key():
    backend = Backend(GOOD)
    await deliver(to(backend), event(event_id="заказ 17"))
    (request,) = backend.requests
    assert (request.method, str(request.url)) == ("POST", URL)
    assert request.headers["x-api-key"] == KEY
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == "%D0%B7%D0%B0%D0%BA%D0%B0%D0%B7%2017"


@pytest.mark.parametrize(
    ("platform", "ours", "theirs"),
    [
        *(("facebook", name, "Purchase") for name in ("FTD", "DEP", "Purchase")),
        *(("tiktok", name, "CompletePayment") for name in ("FTD", "DEP", "Purchase")),
        ("facebook", "REG", "CompleteRegistration"),
        ("tiktok", "REG", "CompleteRegistration"),
        ("tiktok", "JoinRequest", "SubmitForm"),
        ("facebook", "Anything", "Anything"),
    ],
)
async def test_events_go_out_under_the_platforms_names(platform, ours, theirs):
    assert (await sent(purchase(name=ours), platform))["eventName"] == theirs


async def test_names_can_be_called_differently_there():
    assert (await sent(event(), event_names={"REG": "Lead"}))["eventName"] == "Lead"


async def test_the_platform_decides_on_currencies():
    gel = purchase(value=Decimal(10), currency="GEL")
    assert (await sent(gel))["currency"] == "GEL"
    rates = {"GEL": ("USD", Decimal("0.37"))}
    body = await sent(gel, "tiktok", rates=rates)
    assert (body["eventValue"], body["currency"]) == (3.7, "USD")
    error = await failure(to(Backend(GOOD), "tiktok"), gel)
    assert isinstance(error, EventRejected)
    assert "LeadSail(rates={'GEL'" in error.reason


async def test_a_test_event_code_warns(caplog):
    to(Backend(GOOD), test_event_code="TEST1")
    (message,) = caplog.messages
    assert "test mode" in message


# Leads


async def later(_: Event) -> str | None:
    return "lead_later"


@pytest.mark.parametrize(
    ("lead_id", "fields", "expected"),
    [
        ("lead_constant", {}, "lead_constant"),
        (lambda one: f"lead_{one.telegram_id}", {}, "lead_42"),
        (lambda _: 17, {}, "17"),
        (later, {}, "lead_later"),
        (lambda _: "lead_asked", {"traits": {"leadsail": {"lead_id": "told"}}}, "lead_asked"),
        (lambda _: None, {"traits": {"leadsail": {"lead_id": "told"}}}, "told"),
        (None, {"traits": {"leadsail": {"lead_id": "told"}}, "session_id": "lead_x"}, "told"),
        (None, {"session_id": "lead_x"}, "lead_x"),
        (lambda _: "", {"session_id": "lead_x"}, "lead_x"),
    ],
)
async def test_the_lead_is_asked_for_then_told_then_in_the_session(lead_id, fields, expected):
    assert (await sent(event(**fields), lead_id=lead_id))["leadId"] == expected


@pytest.mark.parametrize("fields", [{}, {"session_id": "gp_a1"}, {"traits": {"leadsail": {}}}])
async def test_without_a_lead_an_event_is_skipped_with_the_reason(fields):
    backend = Backend(GOOD)
    error = await failure(to(backend, lead_id=None), event(**fields))
    assert isinstance(error, EventSkipped)
    assert "identify(lead_id=...)" in error.reason
    assert backend.requests == []
    states = await through_a_lane(to(backend, lead_id=None), recent(2, **fields))
    assert await states() == {"skipped": 2}


async def test_a_search_for_the_lead_that_fails_is_tried_again_and_nothing_was_sent(caplog):
    def broken(_: Event) -> str:
        raise LookupError

    error = await failure(to(Backend(GOOD), lead_id=broken, ambiguous="hold"))
    assert isinstance(error, DeliveryFailed)
    assert not error.ambiguous
    assert error.reason == "LookupError in lead_id=..., see the log"
    assert "lead_id=... failed" in caplog.text


async def test_a_lead_that_is_no_text_is_not_sent():
    error = await failure(to(Backend(GOOD), lead_id=lambda _: ["lead_1"]))
    assert isinstance(error, EventRejected)
    assert error.reason == "lead_id=... must return a text or None, not list"


# Answers


async def test_a_success_leaves_a_receipt():
    (receipt,) = await deliver(to(Backend(GOOD)), event())
    assert receipt == {
        name: FIRED[name] for name in ("leadId", "pixelId", "platform", "eventName")
    }


@pytest.mark.parametrize(
    "answer",
    [
        {"success": True, "data": {**FIRED, "success": False}},
        {"success": False, "data": FIRED},
        {"success": False},
        {"success": False, "error": {"code": "SOMETHING", "message": "m"}},
        {"success": False, "error": "text"},
    ],
    ids=str,
)
async def test_a_success_says_so_twice(answer):
    error = await refusal(answer)
    assert isinstance(error, EventRejected)
    assert error.reason.startswith("HTTP 200: {")


@pytest.mark.parametrize(
    "answer",
    [
        "<html>",
        "",
        "[]",
        "{}",
        {"success": True},
        {"success": True, "data": []},
        {"success": 1, "data": FIRED},
        {"success": [], "data": {"success": {}}},
        {"data": FIRED},
    ],
    ids=str,
)
async def test_what_is_not_their_answer_may_hide_a_success(answer):
    error = await refusal(answer)
    assert isinstance(error, DeliveryFailed)
    assert error.ambiguous


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            {
                "code": "VALIDATION_ERROR",
                "message": "Invalid input data",
                "details": ["eventName: required", "currency: unknown"],
            },
            EventRejected,
            ": Invalid input data: eventName: required; currency: unknown",
        ),
        (
            {"code": "UNAUTHORIZED", "message": "Authentication required"},
            DestinationMisconfigured,
            ": Authentication required",
        ),
        (
            {"code": "NOT_FOUND", "message": "Resource not found"},
            EventRejected,
            ": Resource not found",
        ),
        ({"code": "NOT_FOUND", "details": "x"}, EventRejected, ""),
    ],
    ids=str,
)
async def test_the_documents_errors_outrank_the_status(error, kind, words, status):
    caught = await refusal({"success": False, "error": error}, status)
    assert type(caught) is kind
    assert caught.reason == f"{error['code']} (HTTP {status}){words}"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, EventRejected),
        (401, DestinationMisconfigured),
        (404, DestinationMisconfigured),
        (429, RateLimited),
        (500, DeliveryFailed),
    ],
)
@pytest.mark.parametrize("answer", ["<html>", {"error": {"code": "X"}}, {"error": {"code": []}}])
async def test_any_other_error_is_read_by_its_status(answer, status, kind):
    assert type(await refusal(answer, status)) is kind


# Construction


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"api_key": ""}, "api_key="),
        ({"pixel_id": "a b"}, "pixel_id="),
        ({"platform": "meta"}, "platform=.*facebook, tiktok"),
        ({"action_source": "app"}, "action_source=.*website, phone_call"),
        ({"lead_id": ""}, "lead_id="),
        ({"lead_id": 5}, "lead_id="),
        ({"ambiguous": "drop"}, "ambiguous=.*retry, hold"),
        ({"test_event_code": ""}, "test_event_code="),
        ({"event_names": "REG"}, "event_names="),
        ({"base_url": ""}, "base_url="),
    ],
    ids=str,
)
def test_what_cannot_work_is_said_at_once_without_secrets(options, words):
    arguments = {"api_key": KEY, "pixel_id": PIXEL, "platform": "facebook", **options}
    with pytest.raises(ConfigurationError, match=words) as caught:
        LeadSail(**arguments)
    assert KEY not in str(caught.value)


def test_one_event_goes_out_at_a_time_and_doubt_is_the_users_to_decide():
    leadsail = LeadSail(KEY, 123456789, "facebook", ambiguous="hold")
    assert (leadsail.batch_size, leadsail.ambiguous) == (1, "hold")
    assert repr(leadsail) == "LeadSail(pixel_id='123456789', platform='facebook', name='leadsail')"


async def test_secrets_are_nowhere_to_be_seen(caplog):
    caplog.set_level(logging.DEBUG)
    answers = [(400, {"success": False, "error": {"code": "NOT_FOUND", "message": KEY}})]
    for status, answer in [*answers, (500, KEY), (200, KEY)]:
        backend = Backend(answer, status)
        leadsail = to(backend)
        error = await failure(leadsail)
        body = backend.requests[0].content.decode()
        seen = f"{error.reason} {error!r} {leadsail!r} {backend.requests[0].url} {body}"
        assert KEY not in seen + caplog.text
