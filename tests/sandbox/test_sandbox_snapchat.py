"""The stand-in for Snapchat: what it accepts, what it refuses, and what counts."""

import copy

import aiohttp
import pytest

from gp_aiogram.sandbox import Fault, SnapchatSandbox

DIGEST = "542d240129883c019e106e3b1b2d3f3cb3537c43c425364de8e951d5a3083345"[:63] + "0"
DAY = 24 * 3600


@pytest.fixture
async def snapchat(clock):
    async with SnapchatSandbox("pixel", "token", clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
async def client(snapchat):
    async with aiohttp.ClientSession(snapchat.url) as session:
        yield session


def event(clock, **changes):
    return {
        "event_name": "SIGN_UP",
        "event_time": int(clock.now),
        "event_id": "e1",
        "action_source": "WEB",
        "event_source_url": "https://shop.example/",
        "user_data": {"em": [DIGEST.ljust(64, "0")[:64]]},
        **changes,
    }


async def post(client, *events, path="/v3/pixel/events", token="token", method="POST", **kwargs):
    kwargs = kwargs or {"json": {"data": list(events)}}
    params = {} if token is None else {"access_token": token}
    async with client.request(method, path, params=params, **kwargs) as response:
        return response.status, await response.json()


async def test_a_valid_event_is_accepted_in_snapchats_words(snapchat, client, clock):
    one = event(clock)
    assert await post(client, one) == (
        200,
        {"status": "VALID", "reason": "Events have been processed successfully."},
    )
    (accepted,) = await snapchat.wait_for(1)
    assert (accepted.body, accepted.at) == (one, clock.now)


async def test_the_documents_example_is_accepted(client, clock):
    example = event(
        clock,
        event_name="PURCHASE",
        custom_data={
            "currency": "USD",
            "value": 10,
            "contents": [{"id": "003", "quantity": 1, "item_price": 5, "brand": "fidos_fare"}],
        },
    )
    assert (await post(client, example))[0] == 200


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"event_name": "Purchase"}, "Invalid event_name"),
        ({"event_name": None}, "Invalid event_name"),
        ({"event_name": ["SIGN_UP"]}, "Invalid event_name"),
        ({"event_time": "now"}, "Invalid event_time"),
        ({"event_time": 1_790_000_000_000}, "Invalid event_time"),
        ({"event_source_url": "shop.example"}, "Invalid event_source_url"),
        ({"action_source": ""}, "Invalid action_source"),
        ({"event_type": "PURCHASE"}, "Unknown field: event_type"),
        ({"user_data": {"em": ["ada@example.com"]}}, "Invalid user_data.em.0"),
        ({"user_data": {"email": DIGEST}}, "Unknown field: user_data.email"),
        ({"user_data": {}}, "Insufficient PII"),
        ({"user_data": {"client_ip_address": "93.184.216.34"}}, "Insufficient PII"),
        ({"user_data": {"client_user_agent": "Mozilla"}}, "Insufficient PII"),
        ({"user_data": {"sc_click_id": "s"}}, "Insufficient PII"),
        ({"event_name": "PURCHASE"}, "Missing price and/or currency in Purchase events"),
        (
            {"event_name": "PURCHASE", "custom_data": {"value": 5}},
            "Missing price and/or currency in Purchase events",
        ),
        ({"custom_data": {"currency": "XTR"}}, "Invalid custom_data.currency"),
    ],
)
async def test_an_invalid_event_has_its_batch_refused(snapchat, client, clock, changes, reason):
    answer = await post(client, event(clock), event(clock, **changes))
    assert answer == (400, {"status": "INVALID", "reason": reason})
    assert snapchat.events == []


@pytest.mark.parametrize(
    "name", ["event_name", "event_time", "action_source", "event_source_url", "user_data"]
)
async def test_a_required_field_must_be_there(client, clock, name):
    one = copy.deepcopy(event(clock))
    del one[name]
    assert (await post(client, one))[1]["reason"] == f"Missing required field: {name}"


@pytest.mark.parametrize(
    ("age", "status"), [(37 * DAY, 200), (37 * DAY + 60, 400), (-30, 200), (-3600, 400)]
)
async def test_an_event_is_at_most_37_days_old(client, clock, age, status):
    old = event(clock, event_time=int(clock.now - age))
    assert (await post(client, old))[0] == status


async def test_address_and_browser_together_are_enough(client, clock):
    seen = {"client_ip_address": "93.184.216.34", "client_user_agent": "Mozilla"}
    assert (await post(client, event(clock, user_data=seen)))[0] == 200


async def test_an_event_id_counts_once_in_48_hours(snapchat, client, clock):
    await post(client, event(clock), event(clock), event(clock, event_name="SUBSCRIBE"))
    clock.now += 2 * DAY + 1
    await post(client, event(clock))
    assert (len(snapchat.received), len(snapchat.events)) == (4, 3)


async def test_validate_checks_and_counts_nothing(snapchat, client, clock):
    path = "/v3/pixel/events/validate"
    assert (await post(client, event(clock), path=path))[0] == 200
    assert (await post(client, event(clock, user_data={}), path=path))[0] == 400
    assert (len(snapchat.validated), len(snapchat.received)) == (1, 0)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"token": "other"}, 401),
        ({"token": None}, 401),
        ({"path": "/v3/other/events"}, 403),
        ({"path": "/v2/conversion"}, 404),
        ({"method": "GET"}, 404),
    ],
)
async def test_who_may_not_gets_in_nowhere(client, clock, options, status):
    assert (await post(client, event(clock), **options))[0] == status


@pytest.mark.parametrize("body", [{"data": []}, {"data": {}}, {}, [], "x"])
async def test_a_body_without_events_is_refused(client, body):
    status, answer = await post(client, json=body)
    assert (status, answer["reason"]) == (400, "data must be an array of 1 to 2000 events")


async def test_more_events_than_it_takes_are_refused(clock):
    async with (
        SnapchatSandbox("pixel", "token", max_events=1, clock=clock) as snapchat,
        aiohttp.ClientSession(snapchat.url) as client,
    ):
        assert (await post(client, event(clock), event(clock)))[0] == 400


async def test_it_may_refuse_with_200(clock):
    async with (
        SnapchatSandbox("pixel", "token", always_200=True, clock=clock) as snapchat,
        aiohttp.ClientSession(snapchat.url) as client,
    ):
        status, answer = await post(client, event(clock, user_data={}))
    assert (status, answer["status"]) == (200, "INVALID")


async def test_it_fails_on_demand(snapchat, client, clock):
    snapchat.fail(Fault.status(429, body={}, retry_after=3))
    assert (await post(client, event(clock)))[0] == 429
    assert (await post(client, event(clock)))[0] == 200
