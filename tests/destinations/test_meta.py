"""The Meta destination: what it sends, how it reads answers, and what never leaves."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.ad_platforms import (
    BROWSER,
    CLICK,
    NOON,
    NOON_SECONDS,
    PAGE,
    TELEGRAM_ID,
    Backend,
    cases,
    deliver,
    digest,
    event,
    failure,
    purchase,
    queue,
    recent,
    through_a_lane,
)
from gp_aiogram import (
    ConfigurationError,
    DeliveryFailed,
    DestinationMisconfigured,
    Event,
    EventRejected,
    RateLimited,
)
from gp_aiogram.destinations.meta import MetaCAPI
from gp_aiogram.identity import FIELDS, hashed

#: The same examples each time, however slow the machine is.
steady = settings(deadline=None, derandomize=True)

PIXEL, TOKEN, SECRET = "1234567890123456", "EAAGm0PX4ZCps/BA+x==", "5d41402abc4b2a76"
URL = f"https://graph.facebook.com/v26.0/{PIXEL}/events"
TRAITS = {field: digest(field) for field in FIELDS}


def taken(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"events_received": len(body["data"]), "messages": [], "fbtrace_id": "A1b2"}


def to(backend: Backend, **options: Any) -> MetaCAPI:
    return MetaCAPI(PIXEL, TOKEN, transport=httpx.MockTransport(backend), **options)


async def body_of(*events: Event, **options: Any) -> Any:
    """Send events in one request and return its body."""
    backend = Backend(taken)
    await deliver(to(backend, **options), *events)
    (body,) = backend.bodies
    return body


async def sent(one: Event, **options: Any) -> Any:
    """Send an event and return what Meta got of it."""
    (item,) = (await body_of(one, **options))["data"]
    return item


async def refusal(answer: Any, status: int = 400, **headers: str) -> Any:
    return await failure(to(Backend(answer, status, headers)), purchase())


# Whole requests


async def test_an_event_without_click_and_traits():
    assert await body_of(event()) == {
        "data": [
            {
                "event_name": "CompleteRegistration",
                "event_time": NOON_SECONDS,
                "event_id": "e1",
                "action_source": "chat",
                "user_data": {"external_id": TELEGRAM_ID},
            },
        ],
    }


async def test_an_event_with_everything():
    full = purchase(
        name="FTD",
        click=CLICK,
        traits={"meta": TRAITS, "tiktok": {"em": digest("another")}},
        user_data={"order_id": 17, "num_items": 2, "plan": "gold", "bonus": True},
        session_id="gp_a1",
        bot_id=7,
        bot_username="shop_bot",
    )
    assert await body_of(full) == {
        "data": [
            {
                "event_name": "Purchase",
                "event_time": NOON_SECONDS,
                "event_id": "e1",
                "action_source": "chat",
                "event_source_url": PAGE,
                "referrer_url": "https://m.facebook.example/",
                "user_data": {
                    "external_id": [TELEGRAM_ID, digest("external_id")],
                    **{name: digest(name) for name in FIELDS if name != "external_id"},
                    "fbc": "fb.1.1767265200000.IwAR_AbC",
                    "fbp": "fb.1.1767260000000.1098115397",
                    "client_ip_address": "93.184.216.34",
                    "client_user_agent": BROWSER,
                },
                "custom_data": {
                    "order_id": "17",
                    "num_items": 2,
                    "plan": "gold",
                    "bonus": True,
                    "value": 49.9,
                    "currency": "EUR",
                },
            },
        ],
    }


async def test_the_request_goes_to_the_documented_address_with_the_token_in_a_header():
    backend = Backend(taken)
    await deliver(to(backend), event())
    (request,) = backend.requests
    assert (request.method, str(request.url)) == ("POST", URL)
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["content-type"] == "application/json"
    assert "appsecret_proof" not in backend.bodies[0]


async def test_address_and_version_can_be_others():
    backend = Backend(taken)
    await deliver(to(backend, base_url="http://127.0.0.1:8080/x/", api_version="v25.0"), event())
    assert str(backend.requests[0].url) == f"http://127.0.0.1:8080/x/v25.0/{PIXEL}/events"


async def test_an_app_secret_proves_the_token():
    proof = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
    body = await body_of(event(), app_secret=SECRET)
    assert body["appsecret_proof"] == proof
    assert SECRET not in json.dumps(body)


async def test_a_test_event_code_stands_beside_the_events_and_warns(caplog):
    body = await body_of(event(), test_event_code="TEST123")
    assert body["test_event_code"] == "TEST123"
    (message,) = caplog.messages
    assert "test_event_code is set" in message
    assert "measurement like all others" in message


async def test_many_events_share_a_request():
    events = [event(event_id=f"e{n}") for n in range(1000)]
    body = await body_of(*events)
    assert [item["event_id"] for item in body["data"]] == [f"e{n}" for n in range(1000)]
    assert (MetaCAPI.batch_size, MetaCAPI.max_age) == (1000, timedelta(days=7))


# Names, sources, privacy


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        *(("FTD", "Purchase"), ("DEP", "Purchase"), ("Purchase", "Purchase")),
        *(("REG", "CompleteRegistration"), ("Subscribe", "Lead"), ("JoinRequest", "Lead")),
        *(("INSTALL", "AppInstall"), ("TRIAL", "StartTrial"), ("Anything", "Anything")),
    ],
)
async def test_events_go_out_under_metas_names(ours, theirs):
    assert (await sent(purchase(name=ours)))["event_name"] == theirs


async def test_names_can_be_called_differently_there():
    names = {"REG": "Contact", "Mine": "Schedule"}
    assert (await sent(event(), event_names=names))["event_name"] == "Contact"
    assert (await sent(event(name="Mine"), event_names=names))["event_name"] == "Schedule"
    assert (await sent(event(name="TRIAL"), event_names=names))["event_name"] == "StartTrial"


@pytest.mark.parametrize(
    ("user_data", "source"),
    [
        ({"is_recurring": True}, "system_generated"),
        ({"is_recurring": True, "is_first_recurring": False}, "system_generated"),
        ({"is_recurring": True, "is_first_recurring": True}, "chat"),
        ({"is_recurring": False}, "chat"),
        ({}, "chat"),
    ],
)
async def test_a_renewal_is_made_by_nobody(user_data, source):
    assert (await sent(purchase(user_data=user_data)))["action_source"] == source


@pytest.mark.parametrize(
    ("click", "source"),
    [
        (CLICK, "website"),
        (replace(CLICK, url=None), "chat"),
        (replace(CLICK, url="tg://resolve"), "chat"),
        (replace(CLICK, user_agent=None), "chat"),
        (None, "chat"),
    ],
)
async def test_website_is_said_only_with_page_and_browser(click, source):
    item = await sent(event(click=click), action_source="website")
    assert item["action_source"] == source


async def test_limited_data_use_is_said_in_each_event():
    body = await body_of(
        event(),
        event(event_id="e2"),
        data_processing_options=["LDU"],
        data_processing_options_country=1,
        data_processing_options_state=1000,
    )
    for item in body["data"]:
        assert item["data_processing_options"] == ["LDU"]
        assert item["data_processing_options_country"] == 1
        assert item["data_processing_options_state"] == 1000
    assert (await sent(event(), data_processing_options=[]))["data_processing_options"] == []


# Users


#: Combinations that Meta refuses when nothing else is known (error 2804050).
_TOO_LITTLE = [
    {"ct", "country", "st", "zp", "ge", "client_user_agent"},
    {"db", "client_user_agent"},
    {"fn", "ge"},
    {"ln", "ge"},
]


@pytest.mark.parametrize("fields", _TOO_LITTLE, ids=sorted)
async def test_what_is_too_little_for_meta_is_completed(fields):
    click = replace(CLICK, fbclid=None, fbp=None, ip=None)
    traits = {"meta": {name: digest(name) for name in fields if name != "client_user_agent"}}
    item = await sent(event(traits=traits, click=click))
    assert item["user_data"].keys() >= fields - {"client_user_agent"}
    assert not any(item["user_data"].keys() <= little for little in _TOO_LITTLE)


@pytest.mark.parametrize(
    "traits",
    [
        {"em": "alice@example.com"},
        {"ph": "79161234567"},
        {"x": "y"},
        {"em": digest("x").upper()},
        {"em": digest("x")[:-1]},
        {"em": f"{digest('x')}\n"},
        {"em": f"{digest('x')[:-2]}\n0"},
        {"em": f"{digest('x')[:-3]} 00"},
        {"em": f"{digest('x')[:-1]}g"},
        {"em": f"0x{digest('x')[:-2]}"},
        {"em": "\u0660" * 64},
        {"em": ["a"] * 64},
        {"em": 10**63},
    ],
    ids=ascii,
)
async def test_a_trait_that_is_no_digest_is_left_out(traits):
    assert (await sent(event(traits={"meta": traits})))["user_data"] == {
        "external_id": TELEGRAM_ID,
    }


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        ("93.184.216.34", "93.184.216.34"),
        ("203.0.113.7", "203.0.113.7"),
        (" 2001:DB8::1 ", "2001:db8::1"),
        *((ip, None) for ip in ("10.0.0.1", "127.0.0.1", "::1", "192.168.1.5", "x", "", None)),
    ],
)
async def test_an_address_is_that_of_a_visitor(ip, expected):
    item = await sent(event(click=replace(CLICK, ip=ip)))
    assert item["user_data"].get("client_ip_address") == expected


async def test_a_cookie_of_the_same_click_is_kept_and_a_malformed_one_is_not_sent():
    cookie = "fb.2.1767000000000.IwAR_AbC"
    click = replace(CLICK, fbc=cookie, fbp="nonsense")
    user = (await sent(event(click=click)))["user_data"]
    assert (user["fbc"], "fbp" in user) == (cookie, False)


JUNK = [
    "IwAR0abc)",
    "{{fbclid}}",
    "IwAR0abc#top",
    "IwAR abc",
    "IwAR.abc.def",
    "%23",
    "é",
    "x\n",
    " ",
]


@pytest.mark.parametrize("junk", JUNK)
async def test_what_is_no_click_id_is_left_out_and_the_event_is_sent(junk):
    for click in (
        replace(CLICK, fbclid=junk),
        replace(CLICK, fbclid=None, fbc=f"fb.1.1767000000000.{junk}"),
        replace(CLICK, fbclid=junk, fbc=f"fb.1.1767000000000.{junk}"),
    ):
        user = (await sent(event(click=click)))["user_data"]
        assert "fbc" not in user
        assert user["fbp"] == CLICK.fbp


@pytest.mark.parametrize("junk", JUNK)
async def test_a_cookie_outlives_a_click_id_that_is_none(junk):
    cookie = "fb.1.1767000000000.IwAR_AbC-d.AQECAQMB"
    user = (await sent(event(click=replace(CLICK, fbclid=junk, fbc=cookie))))["user_data"]
    assert user["fbc"] == cookie


@pytest.mark.parametrize("junk", JUNK)
async def test_a_click_id_outlives_a_cookie_that_is_none(junk):
    user = (await sent(event(click=replace(CLICK, fbc=junk))))["user_data"]
    assert user["fbc"].endswith(".IwAR_AbC")


def refuse_click_ids(body: Mapping[str, Any]) -> Any:
    """Take nothing when there is a click id."""
    if any("fbc" in item["user_data"] for item in body["data"]):
        error = {"code": 100, "error_subcode": 2804001, "message": "Invalid parameter"}
        return httpx.Response(400, json={"error": error})
    return taken(body)


async def test_an_event_whose_click_id_meta_refuses_is_sent_without_it(caplog):
    backend = Backend(refuse_click_ids)
    meta = to(backend, test_event_code="TEST1")
    caplog.clear()
    for event_id in ("e1", "e2"):
        (receipt,) = await deliver(meta, event(event_id=event_id, click=CLICK))
        assert receipt == {"fbtrace_id": "A1b2"}
    first, second, *_ = backend.bodies
    assert first["data"][0]["user_data"].pop("fbc")
    assert first == second
    assert len(backend.requests) == 4
    (message,) = caplog.messages
    assert "2804001" in message


async def test_a_click_id_that_is_refused_costs_no_other_event():
    backend = Backend(refuse_click_ids)
    events = recent(9)
    events[3] = replace(events[3], click=CLICK)
    states = await through_a_lane(to(backend), events)
    assert await states() == {"delivered": 9}


async def test_without_a_click_id_the_refusal_stands():
    answer = {"error": {"code": 100, "error_subcode": 2804001, "message": "Invalid parameter"}}
    backend = Backend(answer, 400)
    error = await failure(to(backend), event(click=replace(CLICK, fbclid=None)))
    assert type(error) is EventRejected
    assert error.reason.startswith("Meta error 100/2804001 (HTTP 400): the click id (fbc) is mal")
    assert len(backend.requests) == 1


async def test_what_meta_says_without_the_click_id_counts():
    answers = iter(
        [
            httpx.Response(400, json={"error": {"code": 100, "error_subcode": 2804001}}),
            httpx.Response(400, json={"error": {"code": 190, "message": "expired"}}),
        ]
    )
    error = await failure(to(Backend(lambda _: next(answers))), event(click=CLICK))
    assert type(error) is DestinationMisconfigured


# Custom data and money


@pytest.mark.parametrize(
    ("user_data", "custom"),
    [
        ({"content_ids": ["a", 5]}, {"content_ids": ["a", "5"]}),
        (
            {"contents": [{"id": 5, "quantity": 1, "item_price": 2.5, "colour": "red"}]},
            {"contents": [{"id": "5", "quantity": 1, "item_price": 2.5}]},
        ),
        (
            {"contents": [{"content_id": "1", "price": 2, "content_name": "A", "title": "B"}]},
            {"contents": [{"id": "1", "item_price": 2, "title": "B"}]},
        ),
        ({"content_type": "product", "search_string": "shoes"}, None),
        ({"predicted_ltv": 10.5, "net_revenue": 3, "status": "registered"}, None),
        ({"predicted_ltv": "bad", "num_items": 1.5, "content_type": "thing"}, {}),
        ({"tags": ["a"], "deep": {"a": 1}, "nothing": None}, {}),
        ({"value": 5, "currency": "XYZ"}, {}),
        ({"level": 5, "ratio": 0.5, "new": False, "note": "hi"}, None),
    ],
    ids=str,
)
async def test_user_data_becomes_custom_data(user_data, custom):
    expected = user_data if custom is None else custom
    assert (await sent(event(user_data=user_data))).get("custom_data", {}) == expected


async def test_what_is_left_out_is_logged_once_without_its_value(caplog):
    meta = to(Backend(taken))
    for number in range(3):
        data = {"num_items": "sevenish", "contents": [{"qty": 1}]}
        await deliver(meta, event(event_id=f"e{number}", user_data=data))
    assert sorted(caplog.messages) == [
        "meta: left out of events: there is no field user_data.contents[].qty",
        "meta: left out of events: user_data.num_items must be a whole number",
    ]


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [
        ("49.90", "EUR", '"value":49.9,"currency":"EUR"'),
        ("0", "USD", '"value":0.0,"currency":"USD"'),
        ("1500", "JPY", '"value":1500,"currency":"JPY"'),
        ("1499.5", "JPY", '"value":1500,"currency":"JPY"'),
        ("1.2345", "KWD", '"value":1.235,"currency":"KWD"'),
        ("0.1", "KZT", '"value":0.1,"currency":"KZT"'),
        ("7", "GEL", '"value":7.0,"currency":"GEL"'),
        ("7", None, '"value":7.0,"currency":"USD"'),
    ],
)
async def test_an_amount_is_a_json_number_with_the_places_of_its_currency(value, currency, text):
    backend = Backend(taken)
    await deliver(to(backend), purchase(value=Decimal(value), currency=currency))
    assert text in backend.requests[0].content.decode()


async def test_the_same_price_is_another_amount_in_another_currency_and_at_another_rate():
    price = Decimal("2.5")
    for rate, expected in (("0.4", 1.0), ("0.8", 2.0)):
        backend = Backend(taken)
        meta = to(backend, rates={"GEL": ("USD", Decimal(rate))})
        await deliver(
            meta, *(purchase(value=price, currency=code) for code in ("GEL", "JPY", "EUR"))
        )
        data = json.loads(backend.requests[0].content)["data"]
        assert [item["custom_data"]["value"] for item in data] == [expected, 3, 2.5]


async def test_stars_are_converted_by_the_configured_rate():
    rates = {"XTR": ("USD", Decimal("0.013"))}
    item = await sent(purchase(value=Decimal(150), currency="XTR"), rates=rates)
    assert item["custom_data"] == {"value": 1.95, "currency": "USD"}


@pytest.mark.parametrize("code", ["XTR", "USDT", "TON", "XAU"])
async def test_what_is_no_money_is_not_sent_and_the_reason_says_what_to_configure(code):
    backend = Backend(taken)
    error = await failure(to(backend), purchase(currency=code))
    assert isinstance(error, EventRejected)
    assert f"MetaCAPI(rates={{'{code}': ('USD', Decimal(...))}})" in error.reason
    assert backend.requests == []


async def test_a_purchase_without_a_value_is_not_sent():
    backend = Backend(taken)
    error = await failure(to(backend, event_names={"REG": "Purchase"}), event())
    assert isinstance(error, EventRejected)
    assert "2804009" in error.reason
    assert backend.requests == []


# Answers


async def test_a_success_leaves_a_receipt_for_each_event():
    backend = Backend({"events_received": 2, "messages": ["hm", "ha"], "fbtrace_id": "A1"})
    receipts = await deliver(to(backend), event(), event(event_id="e2"))
    assert receipts == [{"fbtrace_id": "A1", "messages": "hm; ha"}] * 2


async def test_when_fewer_were_received_all_are_sent_again():
    error = await failure(to(Backend({"events_received": 1})), event(), event(event_id="e2"))
    assert isinstance(error, DeliveryFailed)
    assert error.ambiguous
    assert error.reason == "Meta received 1 of 2 events and does not say which"
    assert error.status == 200


_CLASSES = {
    "auth": DestinationMisconfigured,
    "config_permission": DestinationMisconfigured,
    "invalid_event": EventRejected,
    "rate_limited": RateLimited,
    "server_transient": DeliveryFailed,
}


@pytest.mark.parametrize(
    "case",
    cases("meta_error_responses.json"),
    ids=lambda case: "{code}-{error_subcode}".format(
        **{"error_subcode": None} | case["input"]["body"]["error"],
    ),
)
async def test_each_recorded_error_has_its_consequence(case):
    body = case["input"]["body"]
    error = await refusal(body, case["input"]["http_status"])
    assert type(error) is _CLASSES[case["our_reading"]["class"]]
    assert f"Meta error {body['error']['code']}" in error.reason


@pytest.mark.parametrize("status", [200, 400, 401, 500])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        *(({"code": code}, DestinationMisconfigured) for code in (190, 102, 3, 10, 200, 250, 299)),
        ({"code": 190, "error_subcode": 463}, DestinationMisconfigured),
        *(({"code": code}, DestinationMisconfigured) for code in (12, 101, 104, 803, 2500, 2635)),
        ({"code": 100, "type": "GraphMethodException"}, DestinationMisconfigured),
        ({"code": 100, "error_subcode": 33}, DestinationMisconfigured),
        *(({"code": code}, RateLimited) for code in (4, 17, 32, 341, 368, 613, 80000, 80014)),
        ({"code": 17, "error_subcode": 2446079}, RateLimited),
        *(({"code": code}, DeliveryFailed) for code in (1, 2, 5000, 21009)),
        ({"code": 100, "is_transient": True}, DeliveryFailed),
        ({"code": 12345, "is_transient": True}, DeliveryFailed),
        *(
            ({"code": 100, "error_subcode": 2804000 + n}, EventRejected)
            for n in (1, 3, 16, 50, 66)
        ),
        ({"code": 100}, EventRejected),
    ],
    ids=str,
)
async def test_code_and_subcode_outrank_the_status(error, kind, status):
    caught = await refusal({"error": {"message": "m", **error}}, status)
    assert type(caught) is kind
    if kind is DeliveryFailed:
        assert caught.ambiguous


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *(
            (400, EventRejected),
            (200, EventRejected),
            (302, DestinationMisconfigured),
            (404, DestinationMisconfigured),
            (401, DestinationMisconfigured),
            (403, DestinationMisconfigured),
            (429, RateLimited),
        ),
        *((408, DeliveryFailed), (500, DeliveryFailed), (503, DeliveryFailed)),
    ],
)
@pytest.mark.parametrize(
    "error", [{"code": 999_999}, {"code": "190"}, {}, {"code": None}], ids=str
)
async def test_a_code_that_nobody_knows_is_read_by_the_status(error, status, kind):
    assert type(await refusal({"error": error}, status)) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, DeliveryFailed) for status in (200, 400, 408, 422, 502, 503)),
        *((status, DestinationMisconfigured) for status in (401, 402, 403, 404, 405, 407, 410)),
        *((413, EventRejected), (429, RateLimited), (302, DestinationMisconfigured)),
    ],
)
@pytest.mark.parametrize("answer", ["<html>", "", "[]", "{}", '{"error": "x"}', '{"error": null}'])
async def test_a_page_from_something_between_is_no_verdict(answer, status, kind):
    assert type(await refusal(answer, status)) is kind


@pytest.mark.parametrize("count", [None, "1", True, [1]])
async def test_a_success_counts_its_events(count):
    error = await refusal({"events_received": count}, 200)
    assert isinstance(error, DeliveryFailed)
    assert error.ambiguous


@pytest.mark.parametrize(
    ("usage", "seconds"),
    [
        ('{"1": [{"estimated_time_to_regain_access": 3}, {}]}', 180),
        (
            (
                '{"1": [{"estimated_time_to_regain_access": 1}],'
                ' "2": [{"estimated_time_to_regain_access": 5}]}'
            ),
            300,
        ),
        ('{"1": [{"estimated_time_to_regain_access": 0}]}', 7),
        ('{"1": [{"estimated_time_to_regain_access": "3"}]}', 7),
        ('{"1": [{"estimated_time_to_regain_access": 1e400}]}', 86_400),
        *((rubbish, 7) for rubbish in ("", "{", "[]", "17", '{"1": 5}', '{"1": [5]}', "null")),
    ],
)
async def test_meta_says_how_long_to_wait_in_minutes(usage, seconds):
    headers = {"X-Business-Use-Case-Usage": usage, "Retry-After": "7"}
    error = await failure(to(Backend({"error": {"code": 80004}}, 400, headers)), purchase())
    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds


async def test_a_reason_says_what_a_subcode_means_in_any_language():
    told = {"message": "Invalid parameter", "error_user_msg": "Événement trop ancien"}
    error = await refusal({"error": {"code": 100, "error_subcode": 2804003, **told}})
    assert error.reason == (
        "Meta error 100/2804003 (HTTP 400): event_time is more than 7 days ago; "
        "Invalid parameter; Événement trop ancien"
    )


@pytest.mark.parametrize("bad", ["e0000", "e0511", "e0999"])
async def test_one_bad_event_of_a_thousand_costs_twenty_requests_and_no_other_event(bad):
    def judge(body: Mapping[str, Any]) -> Any:
        if bad in {item["event_id"] for item in body["data"]}:
            return httpx.Response(400, json={"error": {"code": 100, "error_subcode": 2804019}})
        return taken(body)

    backend = Backend(judge)
    states = await through_a_lane(to(backend), recent(1000))
    assert await states() == {"delivered": 999, "dead": 1}
    assert len(backend.requests) - 1 <= 20


async def test_what_meta_would_refuse_costs_no_request_at_all():
    backend = Backend(taken)
    events = recent(999)
    bad = replace(events[0], event_id="bad", value=Decimal(5), currency="XTR")
    states = await through_a_lane(to(backend), [*events[:500], bad, *events[500:]])
    assert await states() == {"delivered": 999, "dead": 1}
    assert all("bad" not in request.content.decode() for request in backend.requests)


# Construction


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pixel_id": TOKEN}, "pixel_id=.*is it the access token"),
        ({"pixel_id": ""}, "pixel_id="),
        ({"pixel_id": None}, "pixel_id="),
        ({"pixel_id": "a/b"}, "pixel_id="),
        ({"access_token": ""}, "access_token="),
        ({"access_token": f"{TOKEN}\n"}, "access_token=.*line break"),
        ({"app_secret": ""}, "app_secret="),
        ({"api_version": "26"}, r"api_version=.*'v26\.0'"),
        ({"api_version": "v26.0/x"}, "api_version="),
        ({"action_source": "business_messaging"}, "action_source=.*own messengers"),
        ({"action_source": "app"}, "action_source="),
        ({"test_event_code": "two words"}, "test_event_code="),
        ({"base_url": "graph.facebook.com"}, "base_url="),
        ({"name": ""}, "name="),
        ({"event_names": {"REG": ""}}, "event_names="),
        ({"event_names": {"REG": 5}}, "event_names="),
        ({"event_names": ["REG"]}, "event_names="),
        ({"data_processing_options": ["CCPA"]}, "data_processing_options="),
        ({"data_processing_options": "LDU"}, "data_processing_options="),
        ({"data_processing_options": ["LDU"]}, "needs data_processing_options_country"),
        ({"data_processing_options_country": 1}, "data_processing_options="),
        ({"rates": [("XTR", "USD")]}, "rates=.*mapping"),
        *(
            ({"rates": {"XTR": pair}}, "rates=")
            for pair in ("USD", ("USD",), ("XTR", 1), ("USD", 0), ("USD", "x"), ("USD", -1), None)
        ),
        ({"rates": {"": ("USD", 1)}}, "rates="),
        ({"rates": {"XTR": ("USD", Decimal("NaN"))}}, "rates="),
    ],
    ids=str,
)
def test_what_cannot_work_is_said_at_once_without_secrets(options, words):
    arguments = {"pixel_id": PIXEL, "access_token": TOKEN, **options}
    with pytest.raises(ConfigurationError, match=words) as caught:
        MetaCAPI(**arguments)
    assert TOKEN not in str(caught.value)


def test_a_pixel_may_be_a_number_and_a_rate_a_text():
    meta = MetaCAPI(int(PIXEL), TOKEN, rates={"xtr": ("usd", "0.013")})
    assert (meta.pixel_id, meta.name) == (PIXEL, "meta")


# What never leaves


async def test_secrets_are_nowhere_to_be_seen(caplog):
    caplog.set_level(logging.DEBUG)
    proof = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
    secrets = (TOKEN, SECRET, proof)
    told = json.dumps(secrets)
    for status, answer in [(400, {"error": {"code": 190, "message": told}}), (500, told)]:
        backend = Backend(answer, status)
        meta = to(backend, app_secret=SECRET, test_event_code="TEST1")
        error = await failure(meta)
        seen = f"{error.reason} {error!r} {meta!r} {backend.requests[0].url} {caplog.text}"
        assert not [secret for secret in secrets if secret in seen]


@pytest.mark.parametrize(
    "key",
    [
        *("email", "E-Mail", "customer_email", "userEmail", "phoneNumber", "PHONE", "em", "ip"),
        *("first_name", "lastName", "full name", "birth_date", "DOB", "contact", "external_id"),
    ],
)
async def test_what_has_a_persons_name_on_it_stays_here(key):
    data = {key: "something", "level": 5, "deep": [{key: 1}]}
    assert (await sent(event(user_data=data)))["custom_data"] == {"level": 5}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("email_confirmed", True), ("plan", "a+b"), ("handle", "@shop"), ("sum", "+100")),
        *(("order_id", "79161234567"), ("recipe", "1 + 1 = 2"), ("phonetic", "x"), ("emoji", "x")),
    ],
)
async def test_what_only_resembles_personal_data_is_sent(key, value):
    assert (await sent(event(user_data={key: value})))["custom_data"] == {key: value}


_LOCAL = st.from_regex(r"[a-z][a-z0-9._]{2,10}[a-z0-9]", fullmatch=True)
EMAILS = st.builds("{}@{}.example".format, _LOCAL, st.from_regex(r"[a-z]{4,9}", fullmatch=True))
PHONES = st.from_regex(r"\+[1-9][0-9]{9,13}", fullmatch=True)


@steady
@given(EMAILS, PHONES, st.sampled_from(["email", "customerEmail", "e-mail", "note", "plan", "em"]))
async def test_no_raw_address_or_number_leaves(email, phone, key):
    traits = {
        field: hashed(field, value, platform="meta") or ""
        for field, value in {"em": email, "ph": phone}.items()
    }
    page = f"https://shop.example/p?email={email}&m={phone}&n=%2B{phone[1:]}&fbclid=IwAR_AbC"
    one = purchase(
        traits={"meta": traits},
        click=replace(CLICK, url=page, referrer=f"https://shop.example/{email}"),
        user_data={
            key: email,
            "phone": phone[1:],
            "tel": int(phone[1:]),
            "comment": f"call {phone}",
            "content_name": email,
            email: "yes",
            "contents": [{"id": "1", "title": phone, "brand": email, phone: 1}],
            "content_ids": [email, "7"],
        },
    )
    backend = Backend(taken)
    await deliver(to(backend), one)
    body = backend.requests[0].content.decode()
    assert traits["em"] in body
    assert traits["ph"] in body
    assert "fbclid=IwAR_AbC" in body
    for raw in (email, phone, phone[1:], email.replace("@", "%40")):
        assert raw not in body


@pytest.mark.parametrize("text", ["x" * 60_000, "@" * 60_000, "+1 " * 20_000, "a@b" * 20_000])
async def test_a_long_text_is_looked_through_at_once(text):
    started = time.monotonic()
    await body_of(event(user_data={"note": text}))
    assert time.monotonic() - started < 1


async def test_while_a_large_batch_is_built_the_bot_gets_its_turn():
    turns = 0

    async def bot() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    lane, states = await queue(to(Backend(taken)), recent(1000))
    working = asyncio.create_task(bot())
    await lane.run_once()
    working.cancel()
    assert await states() == {"delivered": 1000}
    assert turns >= 20


async def test_the_same_event_makes_the_same_request_each_time():
    backend = Backend(taken)
    meta = to(backend)
    for _ in range(3):
        await deliver(meta, purchase(click=CLICK, traits={"meta": TRAITS}))
    assert len({request.content for request in backend.requests}) == 1


async def test_text_of_every_kind_arrives_as_it_was():
    data = {"emoji": "🎉", "half": "\ud83c", "nul": "a\0b"}
    item = await sent(event(name="Покупка", event_id="заказ-17", user_data=data))
    assert (item["event_name"], item["event_id"]) == ("Покупка", "заказ-17")
    assert item["custom_data"] == data


async def test_the_time_is_in_whole_seconds():
    item = await sent(event(event_time=NOON + timedelta(milliseconds=999)))
    assert item["event_time"] == NOON_SECONDS
