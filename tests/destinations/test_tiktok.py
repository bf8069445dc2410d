"""The TikTok destination: what it sends, how it reads answers, and what never leaves."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
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
from gp_aiogram.destinations.tiktok import TikTokEvents
from gp_aiogram.destinations.tiktok.schema import EVENTS, PROPERTIES, schema_errors
from gp_aiogram.identity import FIELDS, hashed
from gp_aiogram.model.catalogue import TIKTOK_2025
from gp_aiogram.model.money import TIKTOK_CURRENCIES

#: The same examples each time, however slow the machine is.
steady = settings(deadline=None, derandomize=True)

PIXEL, TOKEN = "BU35TSQHT2A1QT375OMG", "5d41402abc4b2a76b9719d911017c592a7b8c9d0"
URL = "https://business-api.tiktok.com/open_api/v1.3/event/track/"
GOOD = {"code": 0, "message": "OK", "request_id": "2023031413", "data": {}}
BOT_PAGE = {"url": "https://t.me/shop_bot"}
TRAITS = {
    **{field: digest(field) for field in FIELDS},
    "ct": "berlin",
    "st": "be",
    "country": "de",
    "locale": "de",
}


def constants() -> Any:
    text = (Path(__file__).parents[1] / "data" / "tiktok_constants.json").read_text(
        encoding="utf-8"
    )
    return json.loads(text)["facts"]


def to(backend: Backend, **options: Any) -> TikTokEvents:
    return TikTokEvents(PIXEL, TOKEN, transport=httpx.MockTransport(backend), **options)


async def body_of(*events: Event, **options: Any) -> Any:
    """Send events in one request and return its body."""
    backend = Backend(GOOD)
    await deliver(to(backend, **options), *events)
    (body,) = backend.bodies
    return body


async def sent(one: Event, **options: Any) -> Any:
    """Send an event and return what TikTok got of it."""
    (item,) = (await body_of(one, **{"page_url": PAGE} | options))["data"]
    return item


async def refusal(answer: Any, status: int = 200, **headers: str) -> Any:
    return await failure(to(Backend(answer, status, headers), page_url=PAGE))


# Whole requests


async def test_an_event_without_click_and_traits():
    assert await body_of(event(bot_username="shop_bot")) == {
        "event_source": "web",
        "event_source_id": PIXEL,
        "data": [
            {
                "event": "CompleteRegistration",
                "event_time": NOON_SECONDS,
                "event_id": "e1",
                "user": {"external_id": TELEGRAM_ID},
                "page": BOT_PAGE,
            },
        ],
    }


async def test_an_event_with_everything():
    full = purchase(
        name="FTD",
        click=CLICK,
        traits={"tiktok": TRAITS, "meta": {"em": digest("another")}},
        user_data={
            "order_id": 17,
            "contents": [{"content_id": 5, "quantity": 2, "price": 24.95}],
            "plan": "gold",
            "is_recurring": True,
        },
        session_id="gp_a1",
        bot_username="shop_bot",
    )
    assert await body_of(full, limited_data_use=False) == {
        "event_source": "web",
        "event_source_id": PIXEL,
        "data": [
            {
                "event": "CompletePayment",
                "event_time": NOON_SECONDS,
                "event_id": "e1",
                "user": {
                    "external_id": [TELEGRAM_ID, digest("external_id")],
                    "email": digest("em"),
                    "phone": digest("ph"),
                    "first_name": digest("fn"),
                    "last_name": digest("ln"),
                    "zip_code": digest("zp"),
                    "city": "berlin",
                    "state": "be",
                    "country": "de",
                    "locale": "de",
                    "ttclid": "E.C.P.x",
                    "ttp": "2Hsp8kY1LzDk0K",
                    "ip": "93.184.216.34",
                    "user_agent": BROWSER,
                },
                "properties": {
                    "order_id": "17",
                    "contents": [{"content_id": "5", "quantity": 2, "price": 24.95}],
                    "value": 49.9,
                    "currency": "EUR",
                },
                "page": {"url": PAGE, "referrer": "https://m.facebook.example/"},
                "limited_data_use": False,
            },
        ],
    }


async def test_an_app_event_has_an_app_and_no_page():
    full = event(click=CLICK, traits={"tiktok": TRAITS})
    item = await sent(full, event_source="app", app_id="com.example.shop")
    assert item["app"] == {"app_id": "com.example.shop"}
    assert "page" not in item
    assert item["event"] == "Registration"
    assert {"external_id", "ttclid", "ttp"}.isdisjoint(item["user"])
    assert item["user"]["email"] == digest("em")
    bare = await sent(event(), event_source="app")
    assert bare.keys() == {"event", "event_time", "event_id", "app"}


async def test_the_request_goes_to_the_documented_address_with_the_token_in_a_header():
    backend = Backend(GOOD)
    await deliver(to(backend, page_url=PAGE), event())
    (request,) = backend.requests
    assert (request.method, str(request.url)) == ("POST", URL)
    assert request.headers["access-token"] == TOKEN
    assert request.headers["content-type"] == "application/json"
    assert "test_event_code" not in backend.bodies[0]


async def test_a_test_event_code_stands_at_the_root_and_warns(caplog):
    body = await body_of(event(), page_url=PAGE, test_event_code="TEST123")
    assert body["test_event_code"] == "TEST123"
    assert "test_event_code" not in body["data"][0]
    (message,) = caplog.messages
    assert "test_event_code is set" in message


async def test_many_events_share_a_request():
    body = await body_of(*(event(event_id=f"e{n}") for n in range(1000)), page_url=PAGE)
    assert len(body["data"]) == 1000
    assert (TikTokEvents.batch_size, TikTokEvents.max_age) == (1000, None)


# Names and pages


@pytest.mark.parametrize(
    ("ours", "web", "app", "preset"),
    [
        *((name, *["CompletePayment"] * 2, "Purchase") for name in ("FTD", "DEP", "Purchase")),
        ("REG", "CompleteRegistration", "Registration", "CompleteRegistration"),
        *((name, *["SubmitForm"] * 2, "Lead") for name in ("Subscribe", "JoinRequest")),
        ("INSTALL", *["Download"] * 3),
        ("TRIAL", *["Subscribe"] * 3),
        ("Anything", *["Anything"] * 3),
    ],
)
async def test_events_go_out_under_tiktoks_names(ours, web, app, preset):
    one = purchase(name=ours)
    assert (await sent(one))["event"] == web
    assert (await sent(one, event_source="app"))["event"] == app
    assert (await sent(one, event_names=TIKTOK_2025))["event"] == preset


@pytest.mark.parametrize(
    ("fields", "page_url", "page"),
    [
        ({"click": replace(CLICK, referrer=None)}, "https://x.example/", {"url": PAGE}),
        ({"click": replace(CLICK, url=None, referrer=None)}, PAGE, {"url": PAGE}),
        ({"click": replace(CLICK, url="nonsense", referrer="")}, PAGE, {"url": PAGE}),
        ({"bot_username": "shop_bot"}, PAGE, {"url": PAGE}),
        ({"bot_username": "shop_bot"}, None, BOT_PAGE),
        ({"bot_username": "shop_bot", "click": replace(CLICK, url=None)}, None, None),
    ],
)
async def test_every_web_event_has_a_page(fields, page_url, page):
    expected = page or {**BOT_PAGE, "referrer": "https://m.facebook.example/"}
    assert (await sent(event(**fields), page_url=page_url))["page"] == expected


async def test_without_any_page_that_of_telegram_is_named_and_a_warning_says_what_to_set(caplog):
    body = await body_of(event(), event(event_id="e2"))
    assert [item["page"] for item in body["data"]] == [{"url": "https://t.me/"}] * 2
    (message,) = caplog.messages
    assert "TikTokEvents(page_url=...)" in message


async def test_a_page_that_is_known_makes_no_warning(caplog):
    await body_of(event(bot_username="shop_bot"), event(click=CLICK))
    assert caplog.messages == []


async def test_a_long_click_id_is_never_cut():
    click = replace(CLICK, ttclid="E.C.P." + "x" * 994)
    assert (await sent(event(click=click)))["user"]["ttclid"] == click.ttclid


@pytest.mark.parametrize(
    "junk", ["__CLICKID__", "{{ttclid}}", "E.C.P.x)", "a b", "E.C.P.x\n", " "]
)
async def test_what_is_no_click_id_is_left_out(junk):
    user = (await sent(event(click=replace(CLICK, ttclid=junk, ttp=junk))))["user"]
    assert user.keys().isdisjoint({"ttclid", "ttp"})


# Fields


@pytest.mark.parametrize(
    "traits",
    [{"em": "alice@example.com"}, {"fn": "Alice"}, {"ge": digest("f")}, {"ct": digest("x")}],
    ids=str,
)
async def test_a_trait_of_the_wrong_kind_is_left_out(traits):
    item = await sent(event(traits={"tiktok": traits}))
    assert item["user"] == {"external_id": TELEGRAM_ID}


@pytest.mark.parametrize(
    ("user_data", "properties"),
    [
        ({"content_ids": ["a", 5], "content_type": "product"}, {"content_ids": ["a", "5"]}),
        ({"num_items": 2, "search_string": "x", "description": "d", "shop_id": 3}, {}),
        ({"customer_type": "new"}, {}),
        (
            {"contents": [{"id": 1, "item_price": 2, "title": "A", "category": "B"}]},
            {
                "contents": [
                    {"content_id": "1", "price": 2, "content_name": "A", "content_category": "B"},
                ],
            },
        ),
    ],
    ids=str,
)
async def test_documented_properties_are_sent_as_documented(user_data, properties):
    texts = {"shop_id": "3"} if "shop_id" in user_data else {}
    expected = {**user_data, **properties, **texts}
    assert (await sent(event(user_data=user_data)))["properties"] == expected


@pytest.mark.parametrize(
    ("user_data", "words"),
    [
        ({"num_items": "two"}, "user_data.num_items must be a whole number"),
        (
            {"content_type": "thing"},
            "user_data.content_type must be one of product, product_group",
        ),
        ({"contents": {"content_id": "1"}}, "user_data.contents must be a list"),
        ({"contents": ["1"]}, "user_data.contents[] must be an object"),
        ({"contents": [{"contnet_id": "1"}]}, "no field user_data.contents[].contnet_id"),
        ({"order_id": True}, "user_data.order_id must be a text"),
    ],
)
async def test_a_property_that_is_wrong_is_left_out_and_told(user_data, words, caplog):
    assert "properties" not in await sent(event(user_data=user_data))
    (message,) = caplog.messages
    assert words in message


def good_item() -> dict[str, Any]:
    return {
        "event": "Purchase",
        "event_time": NOON_SECONDS,
        "event_id": "e1",
        "user": {"external_id": TELEGRAM_ID, "email": [digest("a"), digest("b")]},
        "properties": {"value": 1.5, "currency": "EUR", "contents": [{"content_id": "1"}]},
        "page": {"url": PAGE},
    }


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("user.ttclidX", "E.C.P.x", "there is no field event.user.ttclidX"),
        ("user.phone_number", digest("p"), "there is no field event.user.phone_number"),
        ("user.lead_id", "1", "there is no field event.user.lead_id"),
        ("user.email", "alice@example.com", "event.user.email must be a SHA-256 digest"),
        ("user.phone", digest("p").upper(), "event.user.phone must be a SHA-256 digest"),
        ("user.email", [], "event.user.email must be a SHA-256 digest"),
        ("properties.contents_ids", ["1"], "there is no field event.properties.contents_ids"),
        ("properties.value", "1.5", "event.properties.value must be a finite number"),
        ("properties.value", True, "event.properties.value must be a finite number"),
        ("properties.value", float("nan"), "event.properties.value must be a finite number"),
        ("properties.contents", [{"content_id": 1}], "contents[].content_id must be a text"),
        ("properties.contents", {}, "event.properties.contents must be a list"),
        ("properties.order_id", 17, "event.properties.order_id must be a text"),
        ("event_id", 273196, "event.event_id must be a text"),
        ("event_time", "now", "event.event_time must be a whole number"),
        ("page.link", PAGE, "there is no field event.page.link"),
        ("test_event_code", "T", "there is no field event.test_event_code"),
        ("app", {"app_id": "x"}, "there is no field event.app"),
    ],
)
def test_misspelt_names_and_wrong_types_are_found(path, value, words):
    item = good_item()
    assert schema_errors(item, "web") == []
    *parents, name = path.split(".")
    (item[parents[0]] if parents else item)[name] = value
    (told,) = schema_errors(item, "web")
    assert words in told
    assert "alice" not in told


async def test_what_does_not_fit_the_tables_is_not_sent(monkeypatch):
    backend = Backend(GOOD)
    tiktok = to(backend, page_url=PAGE)
    monkeypatch.setattr(tiktok, "_user", lambda _: {"ttclidX": "E.C.P.x"})
    error = await failure(tiktok)
    assert isinstance(error, EventRejected)
    assert "there is no field event.user.ttclidX" in error.reason
    assert backend.requests == []


def test_the_tables_know_the_fields_of_tiktoks_own_example():
    examples = {case["name"]: case["expected"] for case in cases("tiktok_payload_examples.json")}
    (item,) = copy.deepcopy(examples["official example web"]["data"])
    # Their example does not hash it, against their own table.
    (told,) = schema_errors(item, "web")
    assert told.startswith("event.user.external_id must be a SHA-256 digest")
    (item,) = examples["official example app"]["data"]
    assert item["properties"].keys() <= PROPERTIES.keys() | {"value", "currency"}
    assert item["app"].keys() <= EVENTS["app"]["app"].keys()


async def test_an_event_id_is_always_a_text():
    assert (await sent(event(event_id="273196")))["event_id"] == "273196"


# Money


def test_the_currencies_are_tiktoks():
    assert len(TIKTOK_CURRENCIES) == 62
    assert set(constants()["currencies"]) == TIKTOK_CURRENCIES


async def test_stars_and_other_currencies_are_converted_by_the_configured_rate():
    rates = {"GEL": ("USD", Decimal("0.37")), "XTR": ("JPY", "2")}
    item = await sent(purchase(value=Decimal("10.01"), currency="GEL"), rates=rates)
    assert item["properties"] == {"value": 3.7, "currency": "USD"}
    item = await sent(purchase(value=Decimal("10.4"), currency="xtr"), rates=rates)
    assert item["properties"] == {"value": 21, "currency": "JPY"}


@pytest.mark.parametrize("code", ["GEL", "XTR", "UZS", "BYN", "USDT"])
async def test_a_currency_without_a_rate_is_never_sent_as_it_is(code):
    backend = Backend(GOOD)
    error = await failure(to(backend, page_url=PAGE), purchase(currency=code))
    assert isinstance(error, EventRejected)
    assert f"TikTokEvents(rates={{'{code}': ('USD', Decimal(...))}})" in error.reason
    assert backend.requests == []


@pytest.mark.parametrize("code", sorted(TIKTOK_CURRENCIES))
async def test_each_currency_of_the_list_is_taken(code):
    item = await sent(purchase(value=Decimal(7), currency=code))
    assert item["properties"] == {"value": 7, "currency": code}


# Answers


async def test_a_success_leaves_a_receipt_for_each_event():
    receipts = await deliver(to(Backend(GOOD), page_url=PAGE), event(), event(event_id="e2"))
    assert receipts == [{"request_id": "2023031413", "message": "OK"}] * 2


async def test_a_partial_success_is_never_sent_again_and_its_message_is_kept():
    backend = Backend({"code": 20001, "message": "1 of 2 events failed"})
    (receipt,) = await deliver(to(backend, page_url=PAGE), event())
    assert receipt == {"message": "1 of 2 events failed"}


#: What the texts of the cases mean.
_CONSEQUENCES = {
    "abort (no retry)": DestinationMisconfigured,
    "retryable (HTTP 502)": DeliveryFailed,
    "retryable": DeliveryFailed,
    "not delivered": EventRejected,
    "no retry: permission denied": DestinationMisconfigured,
    "no retry: invalid payload": EventRejected,
    "retry (rate limited)": RateLimited,
    "no retry: event_id must be a JSON string": EventRejected,
}


@pytest.mark.parametrize(
    "case",
    cases("tiktok_responses.json"),
    ids=lambda case: case["expected"],
)
async def test_each_recorded_answer_has_its_consequence(case):
    answer, status = case["input"]["body"], case["input"]["http_status"] or 400
    backend = Backend(answer, status)
    if case["expected"].startswith("success"):
        assert len(await deliver(to(backend, page_url=PAGE), event())) == 1
        return
    error = await failure(to(backend, page_url=PAGE))
    assert type(error) is _CONSEQUENCES[case["expected"]]


@pytest.mark.parametrize("status", [200, 400, 401, 500])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((code, RateLimited) for code in (40100, 40132, 51021, 61000)),
        *(
            (code, DestinationMisconfigured)
            for code in (
                40001,
                40003,
                40007,
                40009,
                40013,
                40102,
                40104,
                40105,
                40113,
                40118,
                40130,
            )
        ),
        *((code, DestinationMisconfigured) for code in (40006, 40400, 41001)),
        *((code, DeliveryFailed) for code in (40201, 40202, 60001)),
        *((code, DeliveryFailed) for code in (50000, 50002, 51000, 51012, 52000, 53100, 59999)),
        *((code, EventRejected) for code in (40000, 40002, 40050, 40061, 40062, 49999)),
        *((code, DeliveryFailed) for code in (1, -1, 20002, 70000)),
    ],
)
async def test_the_code_outranks_the_status(code, kind, status):
    error = await refusal({"code": code, "message": "why", "request_id": "r1"}, status)
    assert type(error) is kind
    assert error.reason == f"TikTok code {code} (HTTP {status}): why; request_id r1"
    if kind is DeliveryFailed:
        assert error.ambiguous


async def test_a_server_may_say_how_long_to_wait():
    error = await failure(to(Backend({"code": 40100}, 401, {"Retry-After": "7"}), page_url=PAGE))
    assert isinstance(error, RateLimited)
    assert error.retry_after == 7
    assert (await refusal({"code": 40100})).retry_after is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *(
            (400, EventRejected),
            (404, DestinationMisconfigured),
            (302, DestinationMisconfigured),
            (401, DestinationMisconfigured),
            (403, DestinationMisconfigured),
        ),
        *((status, DeliveryFailed) for status in (200, 408, 500, 503)),
        (429, RateLimited),
    ],
)
@pytest.mark.parametrize("answer", ["<html>", "", "[]", "{}", '{"code": "0"}', '{"code": true}'])
async def test_without_a_code_the_status_decides(answer, status, kind):
    assert type(await refusal(answer, status)) is kind


@pytest.mark.parametrize("bad", ["e0000", "e0511", "e0999"])
async def test_one_bad_event_of_a_thousand_costs_twenty_requests_and_no_other_event(bad):
    def judge(body: Mapping[str, Any]) -> Any:
        found = bad in {item["event_id"] for item in body["data"]}
        return {"code": 40002, "message": "Invalid payload"} if found else GOOD

    backend = Backend(judge)
    states = await through_a_lane(to(backend, page_url=PAGE), recent(1000))
    assert await states() == {"delivered": 999, "dead": 1}
    assert len(backend.requests) - 1 <= 20


# Construction


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pixel_code": "x" * 65}, "pixel_code=.*is it the access token"),
        ({"pixel_code": ""}, "pixel_code="),
        ({"access_token": ""}, "access_token="),
        ({"access_token": f"{TOKEN}\n"}, "access_token=.*line break"),
        ({"event_source": "crm"}, "event_source=.*web, app.*lead ads"),
        ({"event_source": "offline"}, "event_source="),
        ({"page_url": "shop.example"}, "page_url="),
        ({"page_url": 5}, "page_url="),
        ({"page_url": ""}, "page_url="),
        ({"test_event_code": "two words"}, "test_event_code="),
        ({"limited_data_use": "yes"}, "limited_data_use="),
        ({"event_names": {"REG": None}}, "event_names="),
        ({"rates": {"GEL": ("GEL", Decimal(1))}}, "rates=.*'GEL'"),
        ({"base_url": "ftp://x"}, "base_url="),
    ],
    ids=str,
)
def test_what_cannot_work_is_said_at_once_without_secrets(options, words):
    arguments = {"pixel_code": PIXEL, "access_token": TOKEN, **options}
    with pytest.raises(ConfigurationError, match=words) as caught:
        TikTokEvents(**arguments)
    assert TOKEN not in str(caught.value)


# What never leaves


async def test_secrets_are_nowhere_to_be_seen(caplog):
    caplog.set_level(logging.DEBUG)
    for status, answer in [(200, {"code": 40105, "message": TOKEN}), (500, f"<p>{TOKEN}")]:
        backend = Backend(answer, status)
        tiktok = to(backend, page_url=PAGE, test_event_code="TEST1")
        error = await failure(tiktok)
        body = backend.requests[0].content.decode()
        seen = f"{error.reason} {error!r} {tiktok!r} {backend.requests[0].url} {body}"
        assert TOKEN not in seen + caplog.text


_LOCAL = st.from_regex(r"[a-z][a-z0-9._]{2,10}[a-z0-9]", fullmatch=True)
EMAILS = st.builds("{}@{}.example".format, _LOCAL, st.from_regex(r"[a-z]{4,9}", fullmatch=True))
PHONES = st.from_regex(r"\+[1-9][0-9]{9,13}", fullmatch=True)


@steady
@given(EMAILS, PHONES)
async def test_no_raw_address_or_number_leaves(email, phone):
    traits = {
        field: hashed(field, value, platform="tiktok") or ""
        for field, value in {"em": email, "ph": phone}.items()
    }
    page = f"https://shop.example/p?email={email}&m={phone}&ttclid=E.C.P.x"
    one = purchase(
        traits={"tiktok": traits},
        click=replace(CLICK, url=page, referrer=f"https://shop.example/{email}"),
        user_data={
            "email": email,
            "phone": phone,
            "description": f"for {email}, {phone}",
            "order_id": email,
            "contents": [{"content_id": "1", "content_name": phone, "brand": email}],
            "content_ids": [email, "7"],
        },
    )
    backend = Backend(GOOD)
    await deliver(to(backend), one)
    body = backend.requests[0].content.decode()
    assert traits["em"] in body
    assert traits["ph"] in body
    assert "ttclid=E.C.P.x" in body
    for raw in (email, phone, phone[1:]):
        assert raw not in body


async def test_the_time_is_in_whole_seconds():
    item = await sent(event(event_time=NOON + timedelta(milliseconds=999)))
    assert item["event_time"] == NOON_SECONDS
