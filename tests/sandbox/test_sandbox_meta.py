"""The stand-in for Meta: what it accepts, what it refuses and how, and what it counts."""

import hashlib
import hmac
import json
import time
from pathlib import Path

import aiohttp
import httpx
import pytest

from gp_aiogram.sandbox import Fault, MetaSandbox
from gp_aiogram.sandbox.platforms import meta

NOW = 1_790_000_000
DAY = 24 * 3600
DIGEST = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
EVENT = {
    "event_name": "Lead",
    "event_time": NOW,
    "event_id": "e1",
    "action_source": "chat",
    "user_data": {"external_id": DIGEST},
}
PURCHASE = {
    **EVENT,
    "event_name": "Purchase",
    "custom_data": {"value": 9.99, "currency": "USD"},
}
CASES = json.loads(
    (Path(__file__).parents[1] / "data" / "meta_error_responses.json").read_text("utf-8")
)["cases"]


@pytest.fixture
async def sandbox(clock):
    async with MetaSandbox("77", "token", other_pixel_ids=["88"], clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox):
    headers = {"Authorization": "Bearer token"}
    async with aiohttp.ClientSession(sandbox.url, headers=headers) as session:
        yield session


async def send(client, *events, path="/v26.0/77/events", method="POST", **kwargs):
    if "data" not in kwargs:
        kwargs["json"] = {"data": list(events), **kwargs.get("json", {})}
    async with client.request(method, path, **kwargs) as response:
        return response.status, await response.json()


async def refused(client, *events, **kwargs):
    status, answer = await send(client, *events, **kwargs)
    assert status == 400
    error = answer["error"]
    assert error.pop("fbtrace_id")
    return error


def without(name, event=EVENT):
    return {key: value for key, value in event.items() if key != name}


async def test_an_event_is_accepted_with_metas_answer(sandbox, client):
    status, answer = await send(client, EVENT, PURCHASE, json={"test_event_code": "TEST1"})
    assert status == 200
    assert answer.pop("fbtrace_id")
    assert answer == {"events_received": 2, "messages": []}
    assert [event.body for event in sandbox.events] == [EVENT, PURCHASE]
    first = sandbox.events[0]
    assert (first.pixel_id, first.test_event_code, first.at) == ("77", "TEST1", NOW)
    assert sandbox.received == sandbox.events
    assert await sandbox.wait_for(2) == sandbox.events


async def test_trace_ids_differ(client):
    answers = [(await send(client, EVENT))[1], (await send(client, EVENT))[1]]
    answers += [(await send(client, {}))[1]["error"]]
    assert len({answer["fbtrace_id"] for answer in answers}) == 3


async def test_the_defaults_work_with_httpx_and_the_clock_of_the_machine():
    async with MetaSandbox() as sandbox, httpx.AsyncClient() as client:
        response = await client.post(
            f"{sandbox.url}/v26.0/{sandbox.pixel_id}/events",
            json={"data": [{**EVENT, "event_time": int(time.time())}]},
            headers={"Authorization": f"Bearer {sandbox.access_token}"},
        )
    assert response.json()["events_received"] == 1


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        (EVENT, {"event_name": "any custom name"}),
        (EVENT, {"event_time": NOW - 7 * DAY}),
        (EVENT, {"event_time": NOW + 60}),
        (EVENT, {"event_time": NOW - 62 * DAY, "action_source": "physical_store"}),
        (EVENT, {"user_data": {"fn": DIGEST, "ln": [DIGEST, DIGEST]}}),
        (EVENT, {"user_data": {"external_id": ["1001", "raw"], "lead_id": 5, "ctwa_clid": "x"}}),
        (EVENT, {"user_data": {"client_ip_address": "2001:db8::1"}}),
        (
            EVENT,
            {"user_data": {"fbc": "fb.1.1554763741205.AbC-d_E", "fbp": "fb.2.1554763741205.7"}},
        ),
        (EVENT, {"user_data": {"fbc": "fb.1.1554763741205.AbCdE.AQICAQAB"}}),
        (EVENT, {"custom_data": {"my_own_key": ["anything"]}}),
        (EVENT, {"custom_data": {"contents": [{"id": "a", "quantity": 2, "item_price": 1.5}]}}),
        (PURCHASE, {"custom_data": {"value": 0, "currency": "kzt"}}),
        (
            EVENT,
            {
                "action_source": "website",
                "event_source_url": "https://example.com/?a=1",
                "user_data": {"client_user_agent": "Mozilla/5.0", "em": DIGEST},
            },
        ),
        (EVENT, {"action_source": "app", "app_data": {"extinfo": ["a2"] + [""] * 15}}),
        (PURCHASE, {"action_source": "business_messaging", "messaging_channel": "whatsapp"}),
        (EVENT, {"data_processing_options": []}),
        (
            EVENT,
            {
                "data_processing_options": ["LDU"],
                "data_processing_options_country": 1,
                "data_processing_options_state": 1000,
            },
        ),
        (EVENT, {"opt_out": True, "referrer_url": "https://example.com"}),
        (EVENT, {"original_event_data": {"event_name": "Purchase", "event_time": NOW}}),
    ],
)
async def test_what_meta_documents_is_accepted(sandbox, client, event, changes):
    assert (await send(client, {**event, **changes}))[0] == 200
    assert len(sandbox.events) == 1


STRINGS = """
    subscription_id anon_id madid page_id page_scoped_user_id ctwa_clid ig_account_id ig_sid
    whatsapp_business_account_id instagram_business_account_id client_user_agent external_id
""".split()  # noqa: SIM905 - a table to read
FULL = {
    **EVENT,
    "event_source_url": "https://example.com",
    "custom_data": {
        "value": 1.5,
        "currency": "EUR",
        "content_ids": ["a"],
        "contents": [
            {
                **dict.fromkeys(("id", "title", "description", "brand", "category"), "x"),
                "quantity": 1,
                "item_price": 1,
                "delivery_category": "in_store",
            }
        ],
        "content_type": "product",
        **dict.fromkeys(("content_name", "content_category", "order_id", "search_string"), "x"),
        **dict.fromkeys(("num_items", "predicted_ltv", "net_revenue"), 2),
        **dict.fromkeys(("status", "item_number"), "x"),
        "delivery_category": "curbside",
        "customer_segmentation": "existing_customer_to_medium",
    },
    "user_data": {
        **dict.fromkeys(("em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country"), DIGEST),
        **dict.fromkeys(STRINGS, "x"),
        "client_ip_address": "1.2.3.4",
        "fbc": "fb.1.1554763741205.AbC",
        "fbp": "fb.1.1554763741205.123",
        "fb_login_id": 5,
        "lead_id": 5,
    },
    "opt_out": False,
    "data_processing_options": ["LDU"],
    "data_processing_options_country": 0,
    "data_processing_options_state": 0,
    "referrer_url": "https://t.me",
    "app_data": {"extinfo": ["i2"] + [""] * 15},
    "messaging_channel": "instagram",
    "original_event_data": {
        "event_name": "Purchase",
        "event_time": NOW,
        "order_id": "x",
        "event_id": "x",
    },
    "customer_segmentation": "new_customer_to_business",
    "attribution_data": {"ad_id": "x"},
    "advanced_measurement_table": "x",
}


@pytest.mark.parametrize(
    "source",
    "email website app phone_call chat physical_store system_generated other".split(),  # noqa: SIM905
)
async def test_every_documented_field_is_known(client, source):
    assert (await send(client, {**FULL, "action_source": source}))[0] == 200


async def test_every_documented_field_has_its_type(sandbox, client, nulled):
    for path, event in nulled(FULL):
        if path[:-1] == ("attribution_data",):  # may hold anything
            continue
        error = await refused(client, event)
        assert error["error_subcode"] in {2804016, 2804019}
        name = next(key for key in reversed(path) if isinstance(key, str))
        assert name in error["error_user_msg"]
    assert sandbox.received == []


WEBSITE = {"action_source": "website", "event_source_url": "https://example.com"}
MESSAGING = {"action_source": "business_messaging", "messaging_channel": "messenger"}


@pytest.mark.parametrize(
    ("event", "subcode"),
    [
        ({**EVENT, "event_time": NOW - 7 * DAY - 1}, 2804003),
        ({**EVENT, "event_time": NOW - 62 * DAY - 1, "action_source": "physical_store"}, 2804003),
        (without("custom_data", PURCHASE), 2804009),
        ({**PURCHASE, "custom_data": {"currency": "USD"}}, 2804009),
        ({**PURCHASE, "custom_data": {"value": 1}}, 2804010),
        *(
            ({**EVENT, "user_data": {name: "john@example.com"}}, 2804016)
            for name in ("em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country")
        ),
        ({**EVENT, "user_data": {"em": [DIGEST, "john@example.com"]}}, 2804016),
        ({**EVENT, "user_data": {"em": DIGEST.upper()}}, 2804016),
        ({**EVENT, "user_data": {"em": DIGEST[:32]}}, 2804016),
        ({**EVENT, "user_data": {"em": []}}, 2804016),
        ({**EVENT, "user_data": {}}, 2804050),
        (
            {
                **EVENT,
                "user_data": {
                    "client_user_agent": "x",
                    **dict.fromkeys(("ct", "country", "st", "zp", "ge"), DIGEST),
                },
            },
            2804050,
        ),
        ({**EVENT, "user_data": {"db": DIGEST, "client_user_agent": "x"}}, 2804050),
        ({**EVENT, "user_data": {"fn": DIGEST}}, 2804050),
        ({**EVENT, "user_data": {"fn": DIGEST, "ge": DIGEST}}, 2804050),
        ({**EVENT, "user_data": {"ln": DIGEST, "ge": DIGEST}}, 2804050),
        (without("messaging_channel", {**PURCHASE, **MESSAGING}), 2804063),
        ({**EVENT, **MESSAGING}, 2804066),
    ],
)
async def test_a_rule_of_meta_is_known_by_its_subcode(sandbox, client, event, subcode):
    error = await refused(client, event)
    assert (error["code"], error["error_subcode"]) == (100, subcode)
    assert error["message"] == "Invalid parameter"
    assert error["is_transient"] is False
    assert error["error_user_title"]
    assert error["error_user_msg"]
    assert sandbox.received == []


@pytest.mark.parametrize(
    ("event", "where"),
    [
        *((without(name), f"['{name}'] is required") for name in without("event_id")),
        ({**EVENT, "event_time": str(NOW)}, "['event_time'] must be"),
        ({**EVENT, "event_time": float(NOW)}, "['event_time'] must be"),
        ({**EVENT, "event_time": True}, "['event_time'] must be"),
        ({**EVENT, "event_time": NOW + 61}, "['event_time'] must be"),
        ({**EVENT, "event_time": NOW * 1000}, "['event_time'] must be"),
        ({**EVENT, "event_name": ""}, "['event_name'] must be"),
        ({**EVENT, "event_id": 5}, "['event_id'] must be"),
        ({**EVENT, "action_source": "telegram"}, "['action_source'] must be"),
        ({**EVENT, "action_source": ["chat"]}, "['action_source'] must be"),
        ({**EVENT, "opt_out": 1}, "['opt_out'] must be"),
        ({**EVENT, "user_data": [EVENT]}, "['user_data'] must be"),
        ({**EVENT, "user_data": {"external_id": 1001}}, "['external_id'] must be"),
        ({**EVENT, "user_data": {"external_id": [1001]}}, "['external_id'][0] must be"),
        ({**EVENT, "user_data": {"client_ip_address": "1.2.3.4 "}}, "['client_ip_address']"),
        ({**EVENT, "user_data": {"client_ip_address": 16909060}}, "['client_ip_address']"),
        ({**EVENT, "user_data": {"fbc": "IwAR0clid"}}, "['fbc'] must be"),
        ({**EVENT, "user_data": {"fbp": "fb.1.1554763741.7"}}, "['fbp'] must be"),
        ({**EVENT, "user_data": {"lead_id": "5"}}, "['lead_id'] must be"),
        ({**EVENT, "user_data": {"page_id": 5}}, "['page_id'] must be"),
        ({**PURCHASE, "custom_data": {"value": "1"}}, "['custom_data']['value'] must be"),
        ({**PURCHASE, "custom_data": {"value": True}}, "['custom_data']['value'] must be"),
        ({**PURCHASE, "custom_data": {"value": float("nan")}}, "['value'] must be"),
        ({**PURCHASE, "custom_data": {"value": 1, "currency": "XTR"}}, "['currency'] must be"),
        ({**PURCHASE, "custom_data": {"value": 1, "currency": 5}}, "['currency'] must be"),
        ({**EVENT, "custom_data": {"content_ids": "a"}}, "['content_ids'] must be"),
        ({**EVENT, "custom_data": {"contents": [{"id": 5}]}}, "['contents'][0]['id'] must be"),
        ({**EVENT, "custom_data": {"content_type": "x"}}, "['content_type'] must be"),
        ({**EVENT, **WEBSITE, "event_source_url": "/page"}, "['event_source_url'] must be"),
        ({**EVENT, "action_source": "website"}, "['event_source_url'] is required"),
        ({**EVENT, **WEBSITE}, "['user_data']['client_user_agent'] is required"),
        ({**EVENT, "action_source": "app"}, "['app_data'] is required"),
        ({**EVENT, "app_data": {}}, "['app_data']['extinfo'] is required"),
        ({**EVENT, "app_data": {"extinfo": ["a2"]}}, "['extinfo'] must be"),
        ({**EVENT, **MESSAGING, "messaging_channel": "telegram"}, "['messaging_channel'] must be"),
        ({**EVENT, "data_processing_options": ["ldu"]}, "['data_processing_options'] must be"),
        ({**EVENT, "data_processing_options": ["LDU"]}, "_country'] is required"),
        ({**EVENT, "data_processing_options_country": 1}, "_state'] is required"),
        ({**EVENT, "data_processing_options_country": True}, "_country'] must be"),
        ({**EVENT, "event_nam": "x"}, 'Unexpected key "event_nam" on param "$[\'data\'][0]"'),
        (
            {**EVENT, "user_data": {"email": DIGEST}},
            "Unexpected key \"email\" on param \"$['data'][0]['user_data']\"",
        ),
        ("Lead", "$['data'][0] must be"),
    ],
)
async def test_a_field_is_refused_by_its_path(sandbox, client, event, where):
    error = await refused(client, event)
    assert (error["code"], error["error_subcode"]) == (100, 2804019)
    assert where in error["error_user_msg"]
    assert "$['data'][0]" in error["error_user_msg"]
    assert sandbox.received == []


async def test_one_bad_event_has_its_batch_refused(sandbox, client):
    events = [{**EVENT, "event_id": str(n)} for n in range(5)]
    events[3] = without("event_time")
    error = await refused(client, *events)
    assert error["error_user_msg"] == "The parameter $['data'][3]['event_time'] is required."
    assert sandbox.received == []


@pytest.mark.parametrize(
    ("subcode", "event"),
    [
        (2804009, without("custom_data", PURCHASE)),
        (2804010, {**PURCHASE, "custom_data": {"value": 1}}),
        (2804019, without("event_time")),
        (2804063, {**PURCHASE, "action_source": "business_messaging"}),
    ],
)
async def test_recorded_refusals_are_given_word_for_word(client, subcode, event):
    recorded = next(
        case["input"]["body"]["error"]
        for case in CASES
        if case["input"]["body"]["error"].get("error_subcode") == subcode
    )
    assert await refused(client, event) == without("fbtrace_id", recorded)


@pytest.mark.parametrize(
    "body",
    [
        meta.THROTTLED,
        meta.AD_ACCOUNT_THROTTLED,
        meta.TOKEN_UNREADABLE,
        meta.NOT_PERMITTED,
        meta.NOT_READY,
    ],
    ids=lambda body: str(body["error"]["code"]),
)
async def test_ready_bodies_are_as_recorded(sandbox, client, body):
    sandbox.fail(Fault.status(400, body=body))
    status, answer = await send(client, EVENT)
    assert (status, answer) == (400, body)
    assert (await send(client, EVENT))[0] == 200
    recorded = [
        {**without("fbtrace_id", case["input"]["body"]["error"]), "error_user_msg": None}
        for case in CASES
    ]
    assert {**without("fbtrace_id", body["error"]), "error_user_msg": None} in recorded


def test_ready_bodies_have_their_codes():
    expired, temporary = meta.TOKEN_EXPIRED["error"], meta.TEMPORARY["error"]
    assert (expired["code"], expired["error_subcode"]) == (190, 463)
    assert (temporary["code"], temporary["is_transient"]) == (2, True)


@pytest.mark.parametrize(("n", "status"), [(0, 400), (1, 200), (1000, 200), (1001, 400)])
async def test_a_batch_has_one_to_a_thousand_events(client, n, status):
    got, answer = await send(client, *({**EVENT, "event_id": str(i)} for i in range(n)))
    assert got == status
    if status == 400:
        assert answer["error"]["code"] == 100
        assert "error_subcode" not in answer["error"]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"json": {"data": EVENT}},
        {"json": {"data": json.dumps([EVENT])}},
        {"data": b"{", "headers": {"Content-Type": "application/json"}},
        {"data": b"[]", "headers": {"Content-Type": "application/json"}},
        {"data": json.dumps({"data": [EVENT]}), "headers": {"Content-Type": "text/plain"}},
    ],
)
async def test_a_body_without_an_array_of_events_is_refused(sandbox, client, kwargs):
    error = await refused(client, **kwargs)
    assert error["message"] == "(#100) Param data must be an array of 1 to 1000 events"
    assert sandbox.received == []


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({"test_event": "T"}, 'Unexpected key "test_event" on param "$".'),
        ({"test_event_code": 5}, "$['test_event_code'] must be"),
    ],
)
async def test_the_request_has_no_unknown_or_wrong_fields(client, extra, text):
    assert text in (await refused(client, EVENT, json=extra))["error_user_msg"]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"headers": {"Authorization": "Bearer token"}},
        {"json": {"access_token": "token"}},
        {"params": {"access_token": "token"}},
    ],
)
async def test_the_token_may_come_three_ways(sandbox, kwargs):
    async with aiohttp.ClientSession(sandbox.url) as client:
        assert (await send(client, EVENT, **kwargs))[0] == 200


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"headers": {"Authorization": "Bearer wrong"}},
        {"headers": {"Authorization": "Basic token"}},
        {"json": {"access_token": "wrong"}},
        {"params": {"access_token": "wrong"}},
    ],
)
async def test_a_wrong_token_is_refused(sandbox, kwargs):
    async with aiohttp.ClientSession(sandbox.url) as client:
        error = await refused(client, EVENT, **kwargs)
    assert (error["code"], error["type"]) == (190, "OAuthException")
    assert sandbox.received == []


PROOF = hmac.new(b"secret", b"token", hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"json": {"appsecret_proof": PROOF}}, None),
        ({"params": {"appsecret_proof": PROOF}}, None),
        ({}, "API calls from the server require an appsecret_proof argument"),
        ({"json": {"appsecret_proof": "0" * 64}}, "Invalid appsecret_proof provided"),
    ],
)
async def test_the_proof_is_verified_when_there_is_a_secret(clock, kwargs, message):
    async with MetaSandbox("77", "token", app_secret="secret", clock=clock) as sandbox:
        headers = {"Authorization": "Bearer token"}
        async with aiohttp.ClientSession(sandbox.url, headers=headers) as client:
            status, answer = await send(client, EVENT, **kwargs)
    assert status == (400 if message else 200)
    if message:
        assert answer["error"]["type"] == "GraphMethodException"
        assert message in answer["error"]["message"]


async def test_an_unknown_pixel_is_refused_as_recorded(sandbox, client):
    recorded = next(
        case["input"]["body"]["error"]
        for case in CASES
        if case["input"]["body"]["error"].get("error_subcode") == 33
    )
    error = await refused(client, EVENT, path="/v26.0/1234567891234569/events")
    assert error == without("fbtrace_id", recorded)
    assert sandbox.received == []


async def test_other_methods_and_paths_are_refused(client):
    error = await refused(client, EVENT, method="PUT")
    assert (error["code"], error["error_subcode"]) == (100, 33)
    for path in ("/77/events", "/v26.0/77", "/v26/77/events", "/v26.0/77/events/"):
        assert (await refused(client, EVENT, path=path))["code"] == 2500


async def test_an_event_counts_once_within_48_hours(sandbox, client, clock):
    async def counted(event=EVENT, **kwargs):
        event = {**event, "event_time": int(clock.now)}
        assert (await send(client, event, **kwargs))[1]["events_received"] == 1
        return len(sandbox.events)

    assert await counted() == 1
    clock.now += 2 * DAY
    assert await counted() == 1
    assert await counted({**EVENT, "event_name": "Contact"}) == 2
    assert await counted({**EVENT, "event_id": "e2"}) == 3
    assert await counted(path="/v25.0/88/events") == 4
    assert await counted(without("event_id")) == 5
    assert await counted(without("event_id")) == 6
    clock.now += 1
    assert await counted() == 7, "counted from the first receipt, not from the last"
    assert await counted() == 7
    assert len(sandbox.received) == 9


async def test_an_event_counts_once_in_one_batch(sandbox, client):
    assert (await send(client, EVENT, EVENT))[1]["events_received"] == 2
    assert (len(sandbox.events), len(sandbox.received)) == (1, 2)


async def test_it_fails_as_told_and_recovers(sandbox, client):
    sandbox.fail(
        Fault.status(503), times=None, when=lambda body: body["data"][0]["event_id"] == "bad"
    )
    bad = {**EVENT, "event_id": "bad"}
    async with client.post("/v26.0/77/events", json={"data": [bad]}) as response:
        assert response.status == 503
    assert (await send(client, EVENT))[0] == 200
    sandbox.recover()
    assert (await send(client, bad))[0] == 200


async def test_a_lost_answer_leaves_the_event_counted_once(sandbox, client):
    sandbox.fail(Fault.drop_answer())
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await send(client, EVENT)
    await send(client, EVENT)
    assert (len(sandbox.events), len(sandbox.received)) == (1, 2)
