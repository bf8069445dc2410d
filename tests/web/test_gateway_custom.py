"""``POST /v1/events/custom``: the document's body, defaults, response and order of sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from fixtures.gateway import (
    EVENT,
    FTD,
    KEY,
    OTHER_KEY,
    OTHER_WORKSPACE,
    WORKSPACE,
    Client,
    gateway_of,
)
from gp_aiogram import Attribution, Click, ConfigurationError, Event, MemoryStore, Tracker
from gp_aiogram.model.session import Session, SessionQuery
from gp_aiogram.web import Gateway

Recorded = Callable[[], Awaitable[list[Event]]]


@pytest.mark.parametrize("path", ["/v1/events/custom", "/api/v1/events/custom"])
async def test_the_documents_own_request(client: Client, recorded: Recorded, path: str) -> None:
    body = {
        "event_name": "FTD",
        "telegram_id": 123456789,
        "session_id": "gp_a1b2c3",
        "workspace_id": WORKSPACE,
        "value": 150.00,
        "currency": "USD",
        "user_data": {"plan": "premium"},
    }
    status, answer, headers = await client.post(path, body)
    assert status == 200
    event_id = answer["data"]["event_id"]
    assert answer == {
        "ok": True,
        "data": {"event_id": event_id, "session_id": "gp_a1b2c3", "status": "processed"},
    }
    assert event_id.startswith("evt_")
    assert "Idempotency-Replayed" not in headers
    (event,) = await recorded()
    assert (event.event_id, event.name, event.telegram_id) == (event_id, "FTD", 123456789)
    assert (event.value, event.currency) == (Decimal("150.00"), "USD")
    assert (event.session_id, event.user_data) == ("gp_a1b2c3", {"plan": "premium"})


async def test_dollars_are_the_default(client: Client, recorded: Recorded) -> None:
    await client.custom({**EVENT, "event_name": "Purchase", "value": 3})
    (event,) = await recorded()
    assert (event.value, event.currency) == (Decimal(3), "USD")


async def test_a_whole_number_is_an_integer_however_it_is_written(
    client: Client, recorded: Recorded
) -> None:
    await client.custom({**EVENT, "telegram_id": 7.0}, Idempotency_Key="k")
    assert (await client.custom(EVENT, Idempotency_Key="k")).status == 200
    (event,) = await recorded()
    assert repr(event.telegram_id) == "7"


async def test_an_event_needs_no_value(client: Client, recorded: Recorded) -> None:
    assert (await client.custom({**EVENT, "event_name": "Any custom name"})).status == 200
    (event,) = await recorded()
    assert (event.name, event.value, event.currency) == ("Any custom name", None, None)


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        ({"event_name": ""}, 'event_name must be a valid string, got ""'),
        ({"event_name": " x"}, 'event_name must be a valid string, got " x"'),
        ({"event_name": "x\n"}, 'event_name must be a valid string, got "x\\n"'),
        ({"event_name": "x\0y"}, 'event_name must be a valid string, got "x\\u0000y"'),
        ({"event_name": "\ud800"}, 'event_name must be a valid string, got "\\ud800"'),
        ({"event_name": "n" * 101}, "event_name must be a valid string, got a text of 101"),
        ({"event_name": "a@b.example"}, None),
        ({"telegram_id": 0}, "telegram_id must be a valid positive integer, got 0"),
        ({"telegram_id": 2**52}, "telegram_id must be a valid positive integer, got 45"),
        ({"telegram_id": 7.5}, "telegram_id must be a valid positive integer, got 7.5"),
        ({"telegram_id": 1e999}, "telegram_id must be a valid positive integer, got Inf"),
        ({"telegram_id": float("nan")}, "telegram_id must be a valid positive integer, got NaN"),
        ({"telegram_id": True}, "telegram_id must be a valid positive integer, got true"),
        ({"telegram_id": None}, "telegram_id must be a valid positive integer, got null"),
        ({"workspace_id": "mine"}, 'workspace_id must be a valid UUID of the workspace, got "m'),
        ({"session_id": {}}, "session_id must be a valid string, got an object"),
        ({"session_id": "x@shop.example " * 9}, "session_id must be a valid string, got a text"),
        ({"value": -1}, "value must be a valid number from 0 to 1000000000000, got -1"),
        ({"value": 1e13}, "value must be a valid number from 0 to 1000000000000, got 1"),
        ({"value": float("inf")}, "value must be a valid number from 0 to 1000000000000, got Inf"),
        ({"value": "5"}, 'value must be a valid number from 0 to 1000000000000, got "5"'),
        ({"currency": "usd"}, 'currency must be a valid ISO 4217 code, got "usd"'),
        ({"currency": "XAU"}, 'currency must be a valid ISO 4217 code, got "XAU"'),
        ({"currency": ["USD"]}, "currency must be a valid ISO 4217 code, got an array"),
        ({"user_data": []}, "user_data must be a valid object of at most 65536 bytes"),
        ({"user_data": {"x": "y" * 65536}}, "user_data must be a valid object of at most 65536"),
        ({"user_data": {"x": float("nan")}}, "user_data must be a valid object of at most 65536"),
        ({"event_name": "DEP"}, "value is required for DEP"),
        ({"event_tme": 1}, "there is no field event_tme"),
        ({"a@b.example": 1}, "there is no field (a name of 11 characters)"),
    ],
)
async def test_a_flaw_is_named(
    client: Client, recorded: Recorded, change: dict[str, Any], flaw: str | None
) -> None:
    status, answer, headers = await client.custom({**EVENT, **change})
    if flaw is None:
        assert status == 200
        return
    assert status == 422
    (told,) = answer["details"]
    assert told.startswith(flaw)
    assert answer == {
        "ok": False,
        "error": told,
        "details": [told],
        "request_id": headers["X-Request-Id"],
    }
    assert await recorded() == []


async def test_every_flaw_is_named_at_once(client: Client) -> None:
    body = {"event_name": "FTD", "telegram_id": "7", "currency": "EURO", "plan": "premium"}
    assert (await client.custom(body)).body["details"] == [
        "workspace_id is required",
        'telegram_id must be a valid positive integer, got "7"',
        'currency must be a valid ISO 4217 code, got "EURO"',
        "there is no field plan",
        "value is required for FTD",
    ]


def nested(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(levels - 1):
        data = {"x": data}
    return data


async def test_objects_may_lie_so_deep_in_each_other(client: Client) -> None:
    assert (await client.custom({**EVENT, "user_data": nested(32)})).status == 200
    assert (await client.custom({**EVENT, "user_data": nested(33)})).status == 422
    assert (await client.custom({**EVENT, "user_data": {"x": [[]] * 9}})).status == 200
    deep = b'{"user_data":' + b"[" * 100_000
    headers = {"Content_Type": "application/json"}
    status, answer, _ = await client.custom(data=deep, **headers)
    assert (status, answer["error"]) == (400, "the body must be a JSON object")


async def test_another_workspace_is_refused(client: Client, recorded: Recorded) -> None:
    status, answer, _ = await client.custom({**EVENT, "workspace_id": OTHER_WORKSPACE})
    assert status == 403
    assert "workspace_id is not the workspace" in answer["error"]
    assert await recorded() == []
    assert (await client.custom({**EVENT, "workspace_id": WORKSPACE.upper()})).status == 200


# Keys


@pytest.mark.parametrize("key", ["", "wrong", KEY.upper(), f"{KEY}x", KEY[:-1]])
async def test_a_wrong_key_is_refused_before_the_body_is_looked_at(
    client: Client, key: str
) -> None:
    status, answer, headers = await client.custom({"nonsense": 1}, x_api_key=key)
    assert (status, answer["error"]) == (401, "x-api-key is missing or wrong")
    assert headers["WWW-Authenticate"] == 'ApiKey header="x-api-key"'


async def test_a_key_is_rotated_without_a_gap(tracker: Tracker) -> None:
    async with gateway_of(tracker, {KEY: WORKSPACE, "new-key": WORKSPACE}) as client:
        assert (await client.custom()).status == 200
        assert (await client.custom(x_api_key="new-key")).status == 200
        client.gateway.replace_keys({"new-key": WORKSPACE})
        assert (await client.custom()).status == 401
        assert (await client.custom(x_api_key="new-key")).status == 200
        with pytest.raises(ConfigurationError):
            client.gateway.replace_keys({})
        assert (await client.custom(x_api_key="new-key")).status == 200


async def test_each_key_stands_for_its_workspace(tracker: Tracker) -> None:
    keys = {KEY: WORKSPACE, OTHER_KEY: OTHER_WORKSPACE}
    async with gateway_of(tracker, keys) as client:
        theirs = {**EVENT, "workspace_id": OTHER_WORKSPACE}
        assert (await client.custom(theirs)).status == 403
        assert (await client.custom(theirs, x_api_key=OTHER_KEY)).status == 200


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "must map API keys"),
        ("secret-key", "must map API keys"),
        ({"secret-key": "mine"}, "must be a UUID"),
        ({"secret key": WORKSPACE}, "holds white space"),
        ({"": WORKSPACE}, "is empty"),
        ({7: WORKSPACE}, "is empty or not a plain ASCII text"),
    ],
)
async def test_keys_that_cannot_work_are_refused(tracker: Tracker, keys: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        Gateway(tracker, keys)
    assert "secret" not in str(caught.value)


# Sessions


class History:
    """Knows the sessions of some users' events."""

    def __init__(self, *users: int) -> None:
        self.users = users
        self.asked: list[int] = []

    async def find(self, query: SessionQuery) -> Session | None:
        user = query.telegram_id
        self.asked.append(user)
        if user not in self.users:
            return None
        at = datetime.now(timezone.utc)
        return Session(None, user, "gp_history", "history", at, "gp_history")

    async def close(self) -> None: ...


async def test_sessions_are_found_in_the_documents_order(recorder: Any) -> None:
    history = History(1, 2, 3)
    policy = Attribution(history=history)
    tracker = Tracker([recorder], store=MemoryStore(), attribution=policy)
    for user in (1, 2, 4):
        await tracker.capture(user, "gp_last", source="start")
    await tracker.capture(1, "gp_invite", source="invite")
    await tracker.capture(1, "gp_last", source="start")
    async with gateway_of(tracker) as client:

        async def session_of(user: int, **fields: str) -> Any:
            answered = await client.custom({**EVENT, "telegram_id": user, **fields})
            return answered.body["data"]["session_id"]

        assert await session_of(2, session_id="gp_named") == "gp_named"
        assert await session_of(1) == "gp_invite"
        assert await session_of(2) == "gp_history"
        assert await session_of(3) == "gp_history"
        assert await session_of(4) == "gp_last"
        assert await session_of(5) is None
    assert history.asked == [2, 3, 4, 5]


async def test_a_named_session_is_the_last_known_one_of_later_events(client: Client) -> None:
    await client.custom({**EVENT, "session_id": "gp_a"})
    assert (await client.custom()).body["data"]["session_id"] == "gp_a"


async def test_the_owners_attribution_decides_which_touch_counts(recorder: Any) -> None:
    attribution = Attribution(touch="first", invites_first=False)
    tracker = Tracker([recorder], store=MemoryStore(), attribution=attribution)
    for session_id, source in (("gp_1", "start"), ("gp_2", "invite"), ("gp_3", "start")):
        await tracker.capture(7, session_id, source=source)  # type: ignore[arg-type]
    async with gateway_of(tracker) as client:
        assert (await client.custom()).body["data"]["session_id"] == "gp_1"


async def test_the_click_of_the_session_goes_with_the_event(
    tracker: Tracker, client: Client, recorded: Recorded
) -> None:
    session_id = await tracker.register_click(Click(fbclid="IwAR0x", ip="203.0.113.7"))
    await tracker.identify(7, email="ada@example.com")
    await client.custom({**FTD, "session_id": session_id})
    (event,) = await recorded()
    assert event.click is not None
    assert event.click.fbclid == "IwAR0x"
    assert set(event.traits["meta"]) == {"em"}


async def test_contacts_in_user_data_are_not_stored_as_they_are(
    client: Client, recorded: Recorded
) -> None:
    await client.custom({**EVENT, "user_data": {"email": "ada@example.com", "plan": "premium"}})
    (event,) = await recorded()
    assert event.user_data == {"plan": "premium"}
    assert "em" in event.traits["meta"]


# Events that are not recorded


async def test_whoever_opted_out_is_left_alone(
    tracker: Tracker, client: Client, recorded: Recorded
) -> None:
    await tracker.opt_out(7)
    status, answer, _ = await client.custom()
    assert (status, answer["data"]["status"]) == (200, "ignored")
    assert await recorded() == []


async def test_what_the_owner_drops_is_ignored(recorder: Any) -> None:
    tracker = Tracker([recorder], store=MemoryStore(), before_send=lambda _: None)
    async with gateway_of(tracker) as client:
        assert (await client.custom()).body["data"]["status"] == "ignored"


async def test_the_bot_need_not_be_looked_up(tracker: Tracker, recorded: Recorded) -> None:
    async with gateway_of(tracker, bot_id=42) as client:
        await client.custom()
    (event,) = await recorded()
    assert event.bot_id == 42


async def test_integers_of_any_size_are_taken(client: Client) -> None:
    body = {**EVENT, "user_data": {"big": 10**30}}
    assert (await client.custom(body, Idempotency_Key="k")).status == 200
    assert (await client.custom(body, Idempotency_Key="k")).status == 200


async def test_events_at_once_are_all_recorded(client: Client, recorded: Recorded) -> None:
    bodies = [{**EVENT, "telegram_id": user} for user in range(1, 201)]
    answered = await asyncio.gather(*(client.custom(body) for body in bodies))
    assert {one.status for one in answered} == {200}
    assert {event.telegram_id for event in await recorded()} == set(range(1, 201))
