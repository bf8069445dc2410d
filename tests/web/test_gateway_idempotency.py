"""``Idempotency-Key``: one event for one key, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from fixtures.gateway import (
    EVENT,
    FTD,
    ITEM,
    KEY,
    OTHER_KEY,
    OTHER_WORKSPACE,
    PIXEL,
    WORKSPACE,
    Client,
    gateway_of,
)
from gp_aiogram import Event, SQLiteStore, Tracker

Recorded = Callable[[], Awaitable[list[Event]]]


async def test_a_repeated_request_is_answered_as_before(
    client: Client, recorded: Recorded
) -> None:
    first = await client.custom(FTD, Idempotency_Key="order-1001")
    again = await client.custom(FTD, Idempotency_Key="order-1001")
    assert (first.status, first.body["data"]["event_id"]) == (200, "order-1001")
    assert "Idempotency-Replayed" not in first.headers
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert [event.event_id for event in await recorded()] == ["order-1001"]


async def test_the_answer_names_the_session_of_then(client: Client, tracker: Tracker) -> None:
    await tracker.capture(7, "gp_then")
    await client.custom(FTD, Idempotency_Key="k")
    await tracker.capture(7, "gp_now")
    again = await client.custom(FTD, Idempotency_Key="k")
    assert again.body["data"]["session_id"] == "gp_then"


async def test_the_order_of_fields_makes_no_difference(client: Client) -> None:
    await client.custom(FTD, Idempotency_Key="k")
    turned = {name: FTD[name] for name in reversed(FTD)}
    assert (await client.custom(turned, Idempotency_Key="k")).status == 200
    upper = {**FTD, "workspace_id": WORKSPACE.upper()}
    assert (await client.custom(upper, Idempotency_Key="k")).status == 200


@pytest.mark.parametrize(
    "change", [{"value": 151}, {"event_name": "DEP"}, {"telegram_id": 8}, {"user_data": {"a": 1}}]
)
async def test_another_body_under_the_same_key_is_refused(
    client: Client, recorded: Recorded, change: dict[str, Any]
) -> None:
    await client.custom(FTD, Idempotency_Key="k")
    status, answer, _ = await client.custom({**FTD, **change}, Idempotency_Key="k")
    assert status == 409
    assert "was used for another request" in answer["error"]
    assert len(await recorded()) == 1


async def test_a_key_stands_for_one_endpoint(tracker: Tracker, client: Client) -> None:
    await tracker.identify(7, lead_id="lead_1")
    await client.custom(EVENT, Idempotency_Key="k")
    refused = await client.batch(ITEM, Idempotency_Key="k")
    assert refused.status == 200  # the events of a batch have keys of their own: k-0, k-1 …
    assert (await client.batch({**ITEM, "event_id": "k"})).body["data"]["events"][0][
        "status"
    ] == "duplicate"


async def test_a_pixel_has_its_key_too(tracker: Tracker) -> None:
    await tracker.identify(7, lead_id="lead_1")

    class Every:
        def destinations_of(self, platform: str, pixel_id: str) -> list[str]:
            return []

    async with gateway_of(tracker, pixels=Every()) as client:
        first = await client.fire(PIXEL, Idempotency_Key="k")
        again = await client.fire(PIXEL, Idempotency_Key="k")
        assert (again.status, again.body) == (200, first.body)
        assert again.headers["Idempotency-Replayed"] == "true"
        status, answer, _ = await client.fire(
            {**PIXEL, "eventName": "Contact"}, Idempotency_Key="k"
        )
        assert (status, answer["error"]["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")


async def test_of_requests_at_once_one_is_recorded(client: Client, recorded: Recorded) -> None:
    answered = await asyncio.gather(
        *(client.custom(FTD, Idempotency_Key="k") for _ in range(20)),
        *(client.custom({**FTD, "value": 9}, Idempotency_Key="k") for _ in range(20)),
    )
    (event,) = await recorded()
    won = answered[:20] if event.value == 150 else answered[20:]
    assert {one.status for one in won} == {200}
    assert sum("Idempotency-Replayed" not in one.headers for one in won) == 1
    assert sorted(one.status for one in answered) == [200] * 20 + [409] * 20


async def test_keys_of_workspaces_are_apart(tracker: Tracker, recorded: Recorded) -> None:
    keys = {KEY: WORKSPACE, OTHER_KEY: OTHER_WORKSPACE}
    theirs = {**FTD, "workspace_id": OTHER_WORKSPACE, "value": 9}
    async with gateway_of(tracker, keys) as client:
        ours = await client.custom(FTD, Idempotency_Key="1001")
        other = await client.custom(theirs, x_api_key=OTHER_KEY, Idempotency_Key="1001")
        assert (ours.status, other.status) == (200, 200)
        again = await client.custom(theirs, x_api_key=OTHER_KEY, Idempotency_Key="1001")
        assert (again.body, again.status) == (other.body, 200)
    assert ours.body["data"]["event_id"] != other.body["data"]["event_id"]
    assert len(await recorded()) == 2


async def test_a_retry_is_known_though_another_workspace_came_meanwhile(
    tracker: Tracker, recorded: Recorded
) -> None:
    async with gateway_of(tracker) as client:
        await client.custom(FTD, Idempotency_Key="1001")
    async with gateway_of(tracker, {KEY: WORKSPACE, OTHER_KEY: OTHER_WORKSPACE}) as client:
        again = await client.custom(FTD, Idempotency_Key="1001")
        assert again.headers["Idempotency-Replayed"] == "true"
    assert len(await recorded()) == 1


@pytest.mark.parametrize("event_id", ["an id with spaces", "заказ №7", "%", "x" * 128, "😀" * 128])
async def test_an_event_keeps_the_id_that_was_encoded_for_the_header(
    client: Client, event_id: str
) -> None:
    answered = await client.custom(FTD, Idempotency_Key=quote(event_id))
    assert answered.body["data"]["event_id"] == event_id


@pytest.mark.parametrize("key", ["x" * 129, "%00", "%20x", "%" * 0 + "%0A"])
async def test_what_is_no_event_id_is_a_key_all_the_same(client: Client, key: str) -> None:
    first = await client.custom(FTD, Idempotency_Key=key)
    assert first.body["data"]["event_id"].startswith("evt_")
    again = await client.custom(FTD, Idempotency_Key=key)
    assert again.body == first.body


@pytest.mark.parametrize("key", ["", "a b", "x" * 1537, "é"])
async def test_what_is_no_key_is_refused(client: Client, recorded: Recorded, key: str) -> None:
    status, answer, _ = await client.custom(FTD, Idempotency_Key=key)
    assert (status, answer["error"]) == (
        400,
        "Idempotency-Key must be 1 to 1536 visible ASCII characters",
    )
    assert await recorded() == []


async def test_an_event_that_the_bot_has_recorded_is_not_recorded_again(
    tracker: Tracker, client: Client, recorded: Recorded
) -> None:
    await tracker.track("FTD", telegram_id=7, value=150, event_id="order-1001")
    again = await client.custom(FTD, Idempotency_Key="order-1001")
    assert (again.status, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert len(await recorded()) == 1


async def test_a_key_outlives_a_restart(tmp_path: Path) -> None:
    async def fire(body: Any) -> Any:
        async with (
            Tracker([], store=SQLiteStore(tmp_path / "gp.sqlite3")) as tracker,
            gateway_of(tracker) as client,
        ):
            return await client.custom(body, Idempotency_Key="order-1001")

    assert "Idempotency-Replayed" not in (await fire(FTD)).headers
    assert (await fire(FTD)).headers["Idempotency-Replayed"] == "true"
    assert (await fire({**FTD, "value": 1})).status == 409


# Batches


async def test_a_repeated_batch_is_answered_as_before(client: Client, recorded: Recorded) -> None:
    items = [{**ITEM, "telegram_id": user} for user in (7, 8, 9)]
    first = await client.batch(*items, Idempotency_Key="import-1")
    again = await client.batch(*items, Idempotency_Key="import-1")
    assert [one["event_id"] for one in first.body["data"]["events"]] == [
        "import-1-0",
        "import-1-1",
        "import-1-2",
    ]
    assert {one["status"] for one in again.body["data"]["events"]} == {"duplicate"}
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(await recorded()) == 3


async def test_another_batch_under_the_same_key_records_nothing(
    client: Client, recorded: Recorded
) -> None:
    await client.batch(ITEM, Idempotency_Key="import-1")
    longer = await client.batch(ITEM, {**ITEM, "telegram_id": 8}, Idempotency_Key="import-1")
    assert longer.status == 409
    assert len(await recorded()) == 1


async def test_events_of_a_batch_have_ids_of_their_own(client: Client, recorded: Recorded) -> None:
    item = {**ITEM, "event_id": "order 1"}
    first = await client.batch(item, ITEM)
    assert [one["status"] for one in first.body["data"]["events"]] == ["processed"] * 2
    again = await client.batch(item, {**item, "telegram_id": 8})
    duplicate, refused = again.body["data"]["events"]
    assert (duplicate["event_id"], duplicate["status"]) == ("order 1", "duplicate")
    assert refused["status"] == "refused"
    assert "was used for another request" in refused["error"]
    single = await client.custom(EVENT, Idempotency_Key=quote("order 1"))
    assert single.headers["Idempotency-Replayed"] == "true"
    assert len(await recorded()) == 2
