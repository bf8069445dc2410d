"""The stand-in for TikTok: what it accepts, what it refuses and how, and what it counts."""

import copy
import json
import re
import time
from pathlib import Path

import aiohttp
import httpx
import pytest

from gp_aiogram.sandbox import Fault, TikTokSandbox
from gp_aiogram.sandbox.platforms import tiktok, tiktok_rules

NOW = 1_790_000_000
HOUR = 3600
DIGEST = "848a771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4f"
PATH = "/open_api/v1.3/event/track/"
EVENT = {
    "event": "CompletePayment",
    "event_time": NOW,
    "event_id": "e1",
    "user": {"external_id": DIGEST},
    "properties": {"value": 9.99, "currency": "USD"},
    "page": {"url": "https://example.com/?ttclid=E.C.P.1"},
}
DATA = Path(__file__).parents[1] / "data"
EXAMPLES = {
    case["name"].removeprefix("official example "): case["expected"]
    for case in json.loads((DATA / "tiktok_payload_examples.json").read_text("utf-8"))
}
RESPONSES = [
    case["input"] for case in json.loads((DATA / "tiktok_responses.json").read_text("utf-8"))
]
FACTS = json.loads((DATA / "tiktok_constants.json").read_text("utf-8"))["facts"]


@pytest.fixture
async def sandbox(clock):
    async with TikTokSandbox("PX", "token", other_source_ids=["SET"], clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
async def lenient(clock):
    async with TikTokSandbox("PX", "token", strict=False, clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox):
    async with aiohttp.ClientSession(sandbox.url, headers={"Access-Token": "token"}) as session:
        yield session


@pytest.fixture
async def lenient_client(lenient):
    async with aiohttp.ClientSession(lenient.url, headers={"Access-Token": "token"}) as session:
        yield session


def request(*events, **root):
    return {"event_source": "web", "event_source_id": "PX", "data": list(events), **root}


async def send(client, body=None, *, path=PATH, method="POST", **kwargs):
    if "data" not in kwargs:
        kwargs["json"] = body
    async with client.request(method, path, **kwargs) as response:
        return response.status, await response.json()


async def refused(client, body=None, **kwargs):
    status, answer = await send(client, body, **kwargs)
    assert set(answer) == {"code", "message", "request_id", "data"}
    return status, answer["code"], answer["message"]


def without(name, fields=EVENT):
    return {key: value for key, value in fields.items() if key != name}


async def test_an_event_is_accepted_with_tiktoks_answer(sandbox, client):
    status, answer = await send(client, request(EVENT, test_event_code="TEST1"))
    assert status == 200
    assert re.fullmatch(r"20260921\d{6}[0-9A-F]{20}", answer.pop("request_id"))
    assert answer == {"code": 0, "message": "OK", "data": {}}
    (event,) = await sandbox.wait_for(1)
    assert (event.body, event.event_source, event.event_source_id) == (EVENT, "web", "PX")
    assert (event.test_event_code, event.at) == ("TEST1", NOW)
    assert sandbox.received == [event]


async def test_request_ids_differ(client):
    answers = [await send(client, request(EVENT)), await send(client, request())]
    assert len({answer["request_id"] for _, answer in answers}) == 2


async def test_the_defaults_work_with_httpx():
    async with TikTokSandbox() as sandbox, httpx.AsyncClient() as client:
        response = await client.post(
            f"{sandbox.url}{PATH}",
            json=request(EVENT, event_source_id=sandbox.pixel_code),
            headers={"Access-Token": sandbox.access_token},
        )
        assert response.json()["code"] == 0
        assert sandbox.events[0].at == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize(
    "changes",
    [
        {"event": "My own event"},
        {"event_time": NOW - 30 * 24 * HOUR},
        {"event_id": "x" * 300},
        {"user": {"email": [DIGEST, DIGEST], "phone": DIGEST, "external_id": [DIGEST]}},
        {"user": {"ttclid": "E.C.P." + "x" * 994, "ttp": "t", "ip": "1.2.3.4", "locale": "en_US"}},
        {"user": {"first_name": DIGEST, "zip_code": DIGEST, "city": "berlin", "country": "de"}},
        {"properties": {"value": 5, "currency": "KZT", "order_id": "1", "content_ids": ["a"]}},
        {"properties": {"content_type": "product_group", "customer_type": "returning"}},
        {"page": {"url": "https://example.com", "referrer": "https://t.me"}},
        {"limited_data_use": True},
        {"ad": {"attribution_share": 0.5}},
    ],
)
async def test_what_tiktok_documents_is_accepted(sandbox, client, changes):
    assert (await send(client, request({**EVENT, **changes})))[1]["code"] == 0
    assert len(sandbox.events) == 1


@pytest.mark.parametrize("field", ["user", "properties", "event_id"])
async def test_an_optional_field_may_be_left_out(client, field):
    assert (await send(client, request(without(field))))[1]["code"] == 0


@pytest.mark.parametrize("name", ["web", "offline", "crm minimal", "app"])
async def test_the_official_examples_are_accepted(sandbox, client, name):
    body = {**copy.deepcopy(EXAMPLES[name]), "event_source_id": "SET"}
    event = body["data"][0]
    if name == "web":  # which its own tables do not allow
        event["page"] = {"url": "https://example.com"}
        event["user"]["external_id"] = DIGEST
    if name == "app":
        event["user"] |= {"phone": DIGEST, "email": DIGEST}
    assert (await send(client, body))[1]["code"] == 0
    assert len(sandbox.events) == 1


async def test_the_official_web_example_breaks_its_own_tables(client):
    body = {**copy.deepcopy(EXAMPLES["web"]), "event_source_id": "SET"}
    status, code, message = await refused(client, body)
    assert (status, code) == (400, 40062)
    assert "user.external_id" in message
    body["data"][0]["user"]["external_id"] = DIGEST
    message = "Invalid value for page: missing data for required field."
    assert await refused(client, body) == (400, 40002, message)


FULL = {
    **EVENT,
    "user": {
        **dict.fromkeys(
            ("email", "phone", "external_id", "first_name", "last_name", "zip_code"), DIGEST
        ),
        **dict.fromkeys(("city", "state", "country", "ttclid", "ttp", "ip", "user_agent"), "x"),
        **dict.fromkeys(("locale", "idfa", "idfv", "gaid"), "x"),
        "att_status": "AUTHORIZED",
    },
    "properties": {
        "content_ids": ["a"],
        "contents": [
            {
                "price": 1,
                "quantity": 1,
                **dict.fromkeys(("content_id", "content_category", "content_name"), "x"),
                "brand": "x",
            }
        ],
        "content_type": "product",
        "currency": "EUR",
        "value": 1.5,
        "num_items": 1,
        **dict.fromkeys(("search_string", "description", "order_id", "shop_id"), "x"),
        "customer_type": "new",
    },
    "page": {"url": "https://example.com", "referrer": "https://t.me"},
    "app": dict.fromkeys(("app_id", "app_name", "app_version"), "x"),
    "ad": {
        **dict.fromkeys(("callback", "campaign_id", "ad_id", "creative_id"), "x"),
        **dict.fromkeys(("attribution_type", "attribution_provider"), "x"),
        "is_retargeting": False,
        "attributed": True,
        "attribution_share": 0.5,
    },
    "limited_data_use": False,
    "lead": {"lead_id": "1", "lead_event_source": "crm"},
}


@pytest.mark.parametrize("source", ["web", "app", "crm"])
async def test_every_documented_field_is_known(client, source):
    assert (await send(client, request(FULL, event_source=source)))[1]["code"] == 0


async def test_every_documented_field_has_its_type(sandbox, client, nulled):
    for path, event in nulled(FULL):
        code, message = (await refused(client, request(event)))[1:]
        assert code in {40002, 40062}
        assert f"{'.'.join(map(str, path))}: not a valid" in message
    assert sandbox.received == []


def test_the_lists_are_those_of_the_documentation():
    assert sorted(tiktok_rules.CURRENCIES) == FACTS["currencies"]
    assert set(FACTS["web_offline_crm_standard_events"]) < tiktok_rules.STANDARD_EVENTS
    assert list(tiktok_rules.REQUIRED) == FACTS["event_source"]
    assert FACTS["max_events_per_request"] == tiktok_rules.MAX_EVENTS
    assert FACTS["ttclid_max_len"] == tiktok_rules.MAX_TTCLID
    assert FACTS["dedupe"]["window_hours"] * HOUR == tiktok.DEDUPLICATION
    assert FACTS["dedupe"]["merge_window_minutes"] * 60 == tiktok.MERGE


async def test_the_recorded_refusal_is_given_word_for_word(client):
    recorded = next(
        response["body"] for response in RESPONSES if "event_id" in str(response["body"])
    )
    status, code, message = await refused(client, request({**EVENT, "event_id": 273196}))
    assert (status, code, message) == (400, recorded["code"], recorded["message"])


@pytest.mark.parametrize(
    ("event", "where"),
    [
        *((without(name), f"{name}: missing") for name in ("event", "event_time", "page")),
        ({**EVENT, "page": {}}, "page.url: missing"),
        ({**EVENT, "page": {"url": ""}}, "page.url: not a valid string"),
        ({**EVENT, "page": "https://example.com"}, "page: not a valid object"),
        ({**EVENT, "event": 5}, "event: not a valid string"),
        ({**EVENT, "event": ""}, "event: not a valid string"),
        ({**EVENT, "event_time": str(NOW)}, "event_time: not a valid integer"),
        ({**EVENT, "event_time": float(NOW)}, "event_time: not a valid integer"),
        ({**EVENT, "event_time": NOW * 1000}, "event_time: not a valid integer"),
        ({**EVENT, "event_time": True}, "event_time: not a valid integer"),
        ({**EVENT, "user": []}, "user: not a valid object"),
        ({**EVENT, "user": {"ttclid": "x" * 1001}}, "user.ttclid: not a valid string of at most"),
        ({**EVENT, "user": {"ip": ""}}, "user.ip: not a valid string"),
        ({**EVENT, "user": {"att_status": "YES"}}, "user.att_status: not a valid value"),
        ({**EVENT, "properties": {"value": "9.99"}}, "properties.value: not a valid number"),
        ({**EVENT, "properties": {"order_id": 5}}, "properties.order_id: not a valid string"),
        ({**EVENT, "properties": {"shop_id": 5}}, "properties.shop_id: not a valid string"),
        (
            {**EVENT, "properties": {"contents": [{}, {"content_id": 5}]}},
            "properties.contents.1.content_id: not a valid string",
        ),
        ({**EVENT, "properties": {"contents": {}}}, "properties.contents: not a valid array"),
        ({**EVENT, "properties": {"contents": [{"price": "1"}]}}, "contents.0.price: not a valid"),
        ({**EVENT, "properties": {"content_ids": [5]}}, "content_ids.0: not a valid string"),
        ({**EVENT, "properties": {"content_type": "x"}}, "content_type: not a valid value"),
        ({**EVENT, "properties": {"customer_type": "x"}}, "customer_type: not a valid value"),
        ({**EVENT, "properties": {"num_items": 1.5}}, "num_items: not a valid integer"),
        ({**EVENT, "limited_data_use": "yes"}, "limited_data_use: not a valid boolean"),
        ({**EVENT, "ad": {"attributed": 1}}, "ad.attributed: not a valid boolean"),
        ("Purchase", "object: not a valid object"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
async def test_a_wrong_field_is_refused_by_name(
    sandbox, client, lenient, lenient_client, strict, event, where
):
    status, code, message = await refused(client if strict else lenient_client, request(event))
    assert (status, code) == (400, 40002)
    assert message.startswith("Invalid value for ")
    assert where in message
    assert sandbox.received == lenient.received == []


OWN = [
    (request({**EVENT, "user": {"ttclidX": "x"}}), "user.ttclidX: unknown"),
    (request({**EVENT, "user": {"lead_id": "x"}}), "user.lead_id: unknown"),
    (request({**EVENT, "properties": {"contents_ids": []}}), "properties.contents_ids: unknown"),
    (request({**EVENT, "test_event_code": "T"}), "test_event_code: unknown"),
    (request({**EVENT, "page": {"url": "u", "title": "t"}}), "page.title: unknown"),
    (request(EVENT, partner_name="x"), "partner_name: unknown"),
    (request({**EVENT, "properties": {"currency": "XTR"}}), "currency: not a valid"),
    (request({**EVENT, "properties": {"currency": "usd"}}), "currency: not a valid"),
]


@pytest.mark.parametrize(("body", "where"), OWN)
async def test_a_strict_stand_in_refuses_what_tiktok_may_take_in_silence(
    sandbox, client, body, where
):
    status, code, message = await refused(client, body)
    assert (status, code) == (400, 40002)
    assert where in message
    assert sandbox.received == []


@pytest.mark.parametrize("body", [body for body, _ in OWN])
async def test_a_lenient_stand_in_takes_it_in_silence(lenient, lenient_client, body):
    assert (await send(lenient_client, body))[1]["code"] == 0
    assert [event.body for event in lenient.events] == body["data"]


@pytest.mark.parametrize(
    "name", ["email", "phone", "external_id", "first_name", "last_name", "zip_code"]
)
@pytest.mark.parametrize("value", ["john@example.com", DIGEST.upper(), "", 5])
async def test_raw_personal_data_is_refused(sandbox, client, name, value):
    status, code, message = await refused(client, request({**EVENT, "user": {name: value}}))
    assert (status, code) == (400, 40062)
    assert f"user.{name}" in message
    assert sandbox.received == []


@pytest.mark.parametrize("value", [[], [DIGEST, "raw"]])
async def test_raw_personal_data_is_refused_in_lists(client, value):
    assert (await refused(client, request({**EVENT, "user": {"email": value}})))[1] == 40062


@pytest.mark.parametrize(
    ("source", "event", "where"),
    [
        ("app", EVENT, "app: missing"),
        ("app", {**EVENT, "app": {"app_name": "x"}}, "app.app_id: missing"),
        ("crm", EVENT, "lead: missing"),
        ("crm", {**EVENT, "lead": {"lead_event_source": "x"}}, "lead.lead_id: missing"),
        ("offline", {**EVENT, "event": "Custom"}, "event: not a valid standard event"),
    ],
)
async def test_each_source_has_its_demands(client, source, event, where):
    status, code, message = await refused(client, request(event, event_source=source))
    assert (status, code) == (400, 40002)
    assert where in message


@pytest.mark.parametrize(
    ("root", "where"),
    [
        (without("event_source", request(EVENT)), "event_source: missing"),
        (without("event_source_id", request(EVENT)), "event_source_id: missing"),
        (without("data", request(EVENT)), "data: missing"),
        (request(EVENT, event_source="telegram"), "event_source: not a valid value"),
        (request(EVENT, event_source_id=5), "event_source_id: not a valid string"),
        (request(EVENT, data=EVENT), "data: not a valid array of 1 to 1000"),
        (request(EVENT, test_event_code=5), "test_event_code: not a valid string"),
        ([EVENT], "object: not a valid object"),
    ],
)
async def test_the_root_has_its_demands(sandbox, client, root, where):
    status, code, message = await refused(client, root)
    assert (status, code) == (400, 40002)
    assert where in message
    assert sandbox.received == []


@pytest.mark.parametrize(("n", "code"), [(0, 40002), (1, 0), (1000, 0), (1001, 40002)])
async def test_a_batch_has_one_to_a_thousand_events(sandbox, client, n, code):
    body = request(*({**EVENT, "event_id": str(i)} for i in range(n)))
    assert (await send(client, body))[1]["code"] == code
    assert len(sandbox.events) == (0 if code else n)


async def test_one_bad_event_has_its_batch_refused(sandbox, client):
    events = [{**EVENT, "event_id": str(n)} for n in range(5)]
    events[3] = without("event_time")
    assert (await refused(client, request(*events)))[1] == 40002
    assert sandbox.received == []


@pytest.mark.parametrize(
    "kwargs",
    [
        {"data": b"{", "headers": {"Content-Type": "application/json"}},
        {"data": json.dumps(request(EVENT)), "headers": {"Content-Type": "text/plain"}},
    ],
)
async def test_a_body_that_is_not_json_is_refused(sandbox, client, kwargs):
    assert (await refused(client, **kwargs))[:2] == (400, 40002)
    assert sandbox.received == []


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, tiktok.TOKEN_MISSING), ({"Access-Token": "wrong"}, tiktok.TOKEN_REVOKED)],
)
async def test_a_wrong_token_is_refused(sandbox, headers, body):
    async with aiohttp.ClientSession(sandbox.url, headers=headers) as client:
        assert await refused(client, request(EVENT)) == (401, body["code"], body["message"])
    assert sandbox.received == []


async def test_an_unknown_source_is_refused(sandbox, client):
    status, code, message = await refused(client, request(EVENT, event_source_id="OTHER"))
    assert (status, code) == (400, 40001)
    assert message.startswith("No permission to operate pixel code: OTHER. You must be an admin")
    assert sandbox.received == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", PATH), ("POST", PATH.rstrip("/")), ("POST", "/open_api/v1.2/event/track/")],
)
async def test_other_methods_and_paths_are_refused(client, method, path):
    assert (await refused(client, request(EVENT), method=method, path=path))[:2] == (404, 40400)


async def test_refusals_may_all_have_status_200(clock):
    async with (
        TikTokSandbox("PX", "token", always_200=True, clock=clock) as sandbox,
        aiohttp.ClientSession(sandbox.url) as client,
    ):
        assert (await refused(client, request(EVENT)))[:2] == (200, 40104)
        headers = {"Access-Token": "token"}
        assert (await refused(client, request(), headers=headers))[:2] == (200, 40002)


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (tiktok.THROTTLED, 40100),
        (tiktok.TOKEN_EXPIRED, 40102),
        (tiktok.TOKEN_MISSING, 40104),
        (tiktok.TOKEN_REVOKED, 40105),
        (tiktok.SYSTEM_ERROR, 50000),
        (tiktok.PARTIALLY_OK, 20001),
    ],
)
async def test_ready_bodies_come_with_any_status(sandbox, client, status, body, code):
    sandbox.fail(Fault.status(status, body=body))
    assert (await refused(client, request(EVENT)))[:2] == (status, code)
    assert (await send(client, request(EVENT)))[1]["code"] == 0


def test_the_throttling_body_is_as_recorded():
    recorded = [response["body"] for response in RESPONSES]
    assert {name: tiktok.THROTTLED[name] for name in ("code", "message")} in recorded


async def test_a_gateway_answers_without_a_code(sandbox, client):
    sandbox.fail(Fault.status(502, body=tiktok.BAD_GATEWAY))
    async with client.post(PATH, json=request(EVENT)) as response:
        assert response.status == 502
        assert (await response.text()).startswith("<html>")


async def test_an_event_counts_once_within_48_hours(sandbox, client, clock):
    async def counted(event=EVENT, **root):
        assert (await send(client, request(event, **root)))[1]["code"] == 0
        return len(sandbox.events)

    assert await counted() == 1
    clock.now += 48 * HOUR
    assert await counted() == 1
    assert await counted({**EVENT, "event": "Lead"}) == 2
    assert await counted({**EVENT, "event_id": "e2"}) == 3
    assert await counted(event_source_id="SET") == 4
    assert await counted(without("event_id")) == 5
    assert await counted(without("event_id")) == 6
    clock.now += 1
    assert await counted() == 7, "counted from the first receipt, not from the last"
    assert await counted() == 7
    assert len(sandbox.received) == 9


async def test_an_event_counts_once_in_one_batch(sandbox, client):
    await send(client, request(EVENT, EVENT))
    assert (len(sandbox.events), len(sandbox.received)) == (1, 2)


async def test_a_duplicate_of_the_first_minutes_completes_the_user(sandbox, client, clock):
    email, other = {"email": DIGEST}, {"external_id": "0" * 64}
    await send(client, request(EVENT))
    clock.now += 300
    await send(client, request({**EVENT, "user": {**email, **other}}))
    assert [event.body["user"] for event in sandbox.events] == [{**EVENT["user"], **email}]
    clock.now += 1
    await send(client, request({**EVENT, "user": {"phone": DIGEST}}))
    assert [event.body["user"] for event in sandbox.events] == [{**EVENT["user"], **email}]
    assert sandbox.received[0].body == EVENT


async def test_duplicates_without_a_user_complete_nothing(sandbox, client):
    await send(client, request(without("user"), without("user")))
    assert [event.body for event in sandbox.events] == [without("user")]


async def test_without_an_id_the_cookie_tells_for_five_minutes(sandbox, client, clock):
    event = {**without("event_id"), "user": {"ttp": "cookie"}}
    await send(client, request(event))
    clock.now += 300
    await send(client, request(event))
    assert len(sandbox.events) == 1
    clock.now += 1
    await send(client, request(event, {**event, "user": {"ttp": "another"}}))
    assert len(sandbox.events) == 3


async def test_it_fails_as_told_and_recovers(sandbox, client):
    sandbox.fail(
        Fault.status(503), times=None, when=lambda body: body["data"][0]["event_id"] == "bad"
    )
    bad = request({**EVENT, "event_id": "bad"})
    async with client.post(PATH, json=bad) as response:
        assert response.status == 503
    assert (await send(client, request(EVENT)))[0] == 200
    sandbox.recover()
    assert (await send(client, bad))[0] == 200
