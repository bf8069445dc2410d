"""``POST /api/v1/pixels/fire``: the document's body, envelopes, leads and test mode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from fixtures.gateway import PIXEL, Client, gateway_of
from gp_aiogram import Attribution, Click, MemoryStore, MetaCAPI, TikTokEvents, Tracker
from gp_aiogram.sandbox import MetaSandbox, TikTokSandbox

NOT_FOUND = {
    "success": False,
    "error": {"code": "NOT_FOUND", "message": "Resource not found"},
}


@dataclass
class Fired:
    """A gateway for leads, with both platforms behind it."""

    client: Client
    tracker: Tracker
    meta: MetaSandbox
    tiktok: TikTokSandbox

    def pixel(self, **changes: Any) -> dict[str, Any]:
        return {**PIXEL, "pixelId": self.meta.pixel_id, **changes}

    def on_tiktok(self, **changes: Any) -> dict[str, Any]:
        return {**PIXEL, "pixelId": self.tiktok.pixel_code, "platform": "tiktok", **changes}

    async def flushed(self) -> None:
        assert await self.tracker.flush(10)


@pytest.fixture
async def fired() -> AsyncIterator[Fired]:
    async with MetaSandbox() as meta, TikTokSandbox() as tiktok:
        tracker = Tracker(
            [
                MetaCAPI(meta.pixel_id, meta.access_token, base_url=meta.url),
                TikTokEvents(
                    tiktok.pixel_code,
                    tiktok.access_token,
                    base_url=tiktok.url,
                    page_url="https://shop.example/",
                ),
            ],
            store=MemoryStore(),
            attribution=Attribution(pattern=r"(gp|lead)_\w+"),
        )
        async with tracker, gateway_of(tracker) as client:
            yield Fired(client, tracker, meta, tiktok)


async def known_lead(tracker: Tracker) -> None:
    click = Click(fbclid="IwAR0x", ttclid="E.C.P.x", ip="203.0.113.7", user_agent="Browser/1")
    await tracker.capture(7, await tracker.register_click(click))
    await tracker.identify(7, lead_id="lead_1", email="ada@example.com", city="Berlin")


async def test_the_lead_is_all_that_a_platform_needs_to_be_told(fired: Fired) -> None:
    await known_lead(fired.tracker)
    body = fired.pixel(eventName="Purchase", eventValue=9.99, currency="EUR", actionSource="chat")
    status, answer, _ = await fired.client.fire(body)
    assert (status, answer) == (
        200,
        {
            "success": True,
            "data": {
                "success": True,
                "platform": "facebook",
                "eventName": "Purchase",
                "pixelId": fired.meta.pixel_id,
                "leadId": "lead_1",
            },
        },
    )
    (event,) = await fired.meta.wait_for(1)
    user = event.body["user_data"]
    assert {"em", "ct", "fbc", "client_ip_address", "client_user_agent"} <= user.keys()
    assert user["fbc"].endswith(".IwAR0x")
    assert event.body["custom_data"] == {"value": 9.99, "currency": "EUR"}
    assert (event.body["action_source"], event.test_event_code) == ("chat", None)
    await fired.flushed()
    assert fired.tiktok.events == []


async def test_the_source_is_system_generated_unless_told(fired: Fired) -> None:
    await known_lead(fired.tracker)
    await fired.client.fire(fired.pixel())
    (event,) = await fired.meta.wait_for(1)
    assert (event.body["event_name"], event.body["action_source"]) == ("Lead", "system_generated")


async def test_names_are_the_platforms_own(fired: Fired) -> None:
    # As an event of ours, Subscribe is a Lead at Meta and SubmitForm at TikTok.
    await known_lead(fired.tracker)
    await fired.client.fire(fired.pixel(eventName="Subscribe"))
    await fired.client.fire(fired.on_tiktok(eventName="Subscribe"))
    (meta,), (tiktok,) = await fired.meta.wait_for(1), await fired.tiktok.wait_for(1)
    assert (meta.body["event_name"], tiktok.body["event"]) == ("Subscribe", "Subscribe")


async def test_a_test_code_puts_its_own_event_into_test_mode(fired: Fired) -> None:
    await known_lead(fired.tracker)
    fired.tracker.destinations[0].only = None
    await fired.client.fire(fired.pixel(eventName="Lead"))
    await fired.client.fire(fired.pixel(eventName="Contact", testEventCode="TEST1"))
    await fired.client.fire(fired.pixel(eventName="Schedule", testEventCode="TEST2"))
    await fired.client.fire(fired.on_tiktok(testEventCode="TEST3"))
    await fired.meta.wait_for(3)
    await fired.tiktok.wait_for(1)
    codes = {event.body["event_name"]: event.test_event_code for event in fired.meta.events}
    assert codes == {"Lead": None, "Contact": "TEST1", "Schedule": "TEST2"}
    assert fired.tiktok.events[0].test_event_code == "TEST3"


async def test_a_lead_that_came_by_its_deep_link_is_known(fired: Fired) -> None:
    await fired.tracker.capture(8, "lead_2")
    assert (await fired.client.fire(fired.pixel(leadId="lead_2"))).status == 200
    await fired.meta.wait_for(1)


@pytest.mark.parametrize(
    "change",
    [
        {"leadId": "lead_other"},
        {"pixelId": "1"},
        {"platform": "tiktok"},
    ],
)
async def test_an_unknown_lead_or_pixel_is_not_found(fired: Fired, change: Any) -> None:
    await known_lead(fired.tracker)
    status, answer, headers = await fired.client.fire(fired.pixel(**change))
    assert (status, answer) == (404, NOT_FOUND)
    assert headers["X-Request-Id"]
    await fired.flushed()
    assert fired.meta.requests == []


async def test_a_forgotten_lead_is_not_found(fired: Fired) -> None:
    await known_lead(fired.tracker)
    await fired.tracker.forget(7)
    assert (await fired.client.fire(fired.pixel())).status == 404


async def test_a_lead_who_opted_out_is_not_told_of(fired: Fired) -> None:
    await known_lead(fired.tracker)
    await fired.tracker.opt_out(7)
    status, answer, _ = await fired.client.fire(fired.pixel())
    assert (status, answer["success"], answer["data"]["success"]) == (200, True, False)


async def test_every_detail_is_named_at_once(fired: Fired) -> None:
    sources = "website, phone_call, chat, system_generated"
    body = {
        "leadId": 5,
        "platform": "meta",
        "eventName": "Purchase",
        "currency": "XTR",
        "actionSource": "telegram",
        "eventId": "e1",
    }
    status, answer, _ = await fired.client.fire(body)
    assert (status, answer) == (
        400,
        {
            "success": False,
            "error": {
                "code": "VALIDATION_ERROR",
                "message": "Invalid input data",
                "details": [
                    "pixelId is required",
                    "leadId must be a valid string, got 5",
                    'platform must be a valid value (facebook, tiktok), got "meta"',
                    'currency must be a valid ISO 4217 code, got "XTR"',
                    f'actionSource must be a valid value ({sources}), got "telegram"',
                    "there is no field eventId",
                    "eventValue is required for Purchase",
                ],
            },
        },
    )


async def test_a_wrong_key_is_unauthorized(fired: Fired) -> None:
    status, answer, _ = await fired.client.fire(x_api_key="wrong")
    assert (status, answer) == (
        401,
        {
            "success": False,
            "error": {"code": "UNAUTHORIZED", "message": "Authentication required"},
        },
    )
