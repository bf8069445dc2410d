"""``POST /v1/events/batch``: many events, refused as a whole or answered one by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fixtures.gateway import ITEM, OTHER_WORKSPACE, WORKSPACE, Client, gateway_of
from gp_aiogram import Event, EventError, MemoryStore, Tracker
from gp_aiogram.web import GatewayLimits

Recorded = Callable[[], Awaitable[list[Event]]]


async def test_events_are_answered_in_their_order(
    tracker: Tracker, client: Client, recorded: Recorded
) -> None:
    await tracker.opt_out(8)
    status, answer, _ = await client.batch(
        {"event_name": "FTD", "telegram_id": 7, "value": 5, "session_id": "gp_a"},
        {**ITEM, "telegram_id": 8},
        {**ITEM, "telegram_id": 9, "event_id": "mine", "event_time": 1_769_860_800.5},
    )
    first, second, third = answer["data"]["events"]
    assert (status, answer["ok"]) == (200, True)
    assert (first["session_id"], first["status"]) == ("gp_a", "processed")
    assert second["status"] == "ignored"
    assert third == {"event_id": "mine", "session_id": None, "status": "processed"}
    events = {event.telegram_id: event for event in await recorded()}
    assert events.keys() == {7, 9}
    assert events[9].event_time.timestamp() == 1_769_860_800.5


async def test_one_flaw_refuses_the_whole_and_all_are_named(
    client: Client, recorded: Recorded
) -> None:
    status, answer, _ = await client.batch(
        ITEM,
        {"event_name": "FTD", "telegram_id": "9"},
        5,
        {**ITEM, "event_time": 1_769_860_800_000, "workspace_id": WORKSPACE},
    )
    assert status == 422
    wanted = "moment in unix seconds, not milliseconds"
    assert answer["details"] == [
        'events[1].telegram_id must be a valid positive integer, got "9"',
        "events[1].value is required for FTD",
        "events[2] must be a JSON object",
        f"events[3].event_time must be a valid {wanted}, got 1769860800000",
        "there is no field events[3].workspace_id",
    ]
    assert await recorded() == []


async def test_a_hundred_flaws_are_enough(client: Client) -> None:
    details = (await client.batch(*[{}] * 101)).body["details"]
    assert (len(details), details[-1]) == (101, "and 102 more")


@pytest.mark.parametrize(
    ("body", "flaw"),
    [
        ({"workspace_id": WORKSPACE, "events": []}, "events must be a valid array of 1 to 3"),
        ({"workspace_id": WORKSPACE, "events": [ITEM] * 4}, "events must be a valid array"),
        ({"workspace_id": WORKSPACE, "events": {}}, "events must be a valid array"),
        ({"workspace_id": WORKSPACE}, "events is required"),
        ({"events": [ITEM]}, "workspace_id is required"),
    ],
)
async def test_what_is_no_batch_is_refused(tracker: Tracker, body: Any, flaw: str) -> None:
    async with gateway_of(tracker, limits=GatewayLimits(max_batch=3)) as client:
        status, answer, _ = await client.post("/v1/events/batch", body)
    assert status == 422
    assert answer["error"].startswith(flaw)


async def test_the_workspace_must_be_the_keys(client: Client) -> None:
    body = {"workspace_id": OTHER_WORKSPACE, "events": [ITEM]}
    assert (await client.post("/v1/events/batch", body)).status == 403


async def test_what_cannot_be_recorded_costs_no_other_event(recorder: Any) -> None:
    def review(event: Event) -> Event:
        if event.telegram_id == 8:
            msg = "not this one"
            raise EventError(msg)
        return event

    tracker = Tracker([recorder], store=MemoryStore(), before_send=review)
    async with gateway_of(tracker) as client:
        status, answer, _ = await client.batch(ITEM, {**ITEM, "telegram_id": 8})
    assert status == 200
    assert [one["status"] for one in answer["data"]["events"]] == ["processed", "refused"]
    assert "error" in answer["data"]["events"][1]
