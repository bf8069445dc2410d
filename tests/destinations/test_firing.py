"""Events whose caller says how they are fired: under which name, from where, as a test."""

from __future__ import annotations

from gp_aiogram import MemoryStore, MetaCAPI, TikTokEvents, Tracker
from gp_aiogram.model.firing import Firing, firing_of
from gp_aiogram.sandbox import Fault, MetaSandbox, TikTokSandbox
from gp_aiogram.tracker.request import EventRequest


def request(name: str, **firing: str) -> EventRequest:
    return EventRequest(
        name=name, telegram_id=7, firing=Firing(**firing), event_id=f"id of {name}"
    )


async def test_what_the_caller_says_outlives_the_store_and_before_send() -> None:
    async with MetaSandbox() as meta:
        destination = MetaCAPI(meta.pixel_id, meta.access_token, base_url=meta.url)
        tracker = Tracker([destination], store=MemoryStore(), before_send=lambda event: event)
        told = {"event_name": "Subscribe", "action_source": "website", "test_event_code": "T1"}
        await tracker.record(request("A", **told))
        await tracker.record(request("B"))
        async with tracker:
            await meta.wait_for(2)
        (delivery,) = await tracker.deliveries("id of A")
    assert firing_of(delivery.event) == Firing(**told)
    fired = {event.body["event_id"]: event for event in meta.events}
    one, other = fired["id of A"], fired["id of B"]
    # Without a page of a click, Meta takes no event of a website.
    assert (one.body["event_name"], one.body["action_source"]) == ("Subscribe", "chat")
    assert (one.test_event_code, other.test_event_code) == ("T1", None)
    assert (other.body["event_name"], other.body["action_source"]) == ("B", "chat")
    assert len(meta.requests) == 2


async def test_each_code_has_a_request_of_its_own() -> None:
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
        )
        for name, code in (("A", "T1"), ("B", "T2"), ("C", "T1")):
            await tracker.record(request(name, test_event_code=code))
        await tracker.record(request("D"))
        await tracker.record(request("E"))
        async with tracker:
            await meta.wait_for(5)
            await tiktok.wait_for(5)
    codes = {"A": "T1", "B": "T2", "C": "T1", "D": None, "E": None}
    assert {event.body["event_name"]: event.test_event_code for event in meta.events} == codes
    assert {event.body["event"]: event.test_event_code for event in tiktok.events} == codes
    assert (len(meta.requests), len(tiktok.requests)) == (3, 3)


async def test_a_bad_test_event_is_found_and_costs_no_other() -> None:
    async with MetaSandbox() as meta:
        destination = MetaCAPI(meta.pixel_id, meta.access_token, base_url=meta.url)
        tracker = Tracker([destination], store=MemoryStore())
        for name, code in (("A", "T1"), ("x" * 60, "T1"), ("B", "T1")):
            await tracker.record(request(name, test_event_code=code))
        meta.fail(
            Fault.status(400, body={"error": {"message": "no", "code": 100}}),
            times=None,
            when=lambda body: any(len(item["event_name"]) > 50 for item in body["data"]),
        )
        async with tracker:
            await meta.wait_for(2)
            assert await tracker.flush(10)
            (dead,) = await tracker.dead_letters()
    assert dead.event.name == "x" * 60
    assert {event.test_event_code for event in meta.events} == {"T1"}
