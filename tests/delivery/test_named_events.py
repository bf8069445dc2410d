"""Bad events that a destination names are tried alone, and no other event is held up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest

from fixtures.ad_platforms import cases, queue, recent
from fixtures.delivery import (
    Batching,
    WatchedOutbox,
    accept,
    dead_letters,
    drain,
    lane_to,
    numbered,
    states,
    the,
)
from gp_aiogram import Event, EventRejected, MetaCAPI, TikTokEvents
from gp_aiogram.destinations.meta.errors import meta_error
from gp_aiogram.sandbox import MetaSandbox, TikTokSandbox
from gp_aiogram.testing import ManualClock


class Naming(Batching):
    """Refuses every batch that has a bad event in it, and names the first one."""

    def __init__(self, bad: Sequence[str], *, off_by: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.bad = frozenset(bad)
        self.off_by = off_by

    async def send(self, batch: Sequence[Event]) -> Any:
        ids = [each.event_id for each in batch]
        found = [position for position, each in enumerate(ids) if each in self.bad]
        if found:
            self.requests.append(ids)
            msg = "HTTP 400"
            raise EventRejected(msg, positions={found[0] + self.off_by})
        return await super().send(batch)


async def test_the_named_event_goes_alone_and_the_others_together(outbox):
    shop = Naming(["e0003"])
    await accept(outbox, *numbered(7))
    lane = lane_to(shop, outbox)
    assert await lane.run_once() == 0
    caps = {each: (await the(outbox, each)).batch_cap for each in numbered(7)}
    assert caps == {**dict.fromkeys(numbered(7), 6), "e0003": 1}
    assert {(await the(outbox, each)).attempts for each in numbered(7)} == {0}
    await drain(lane)
    assert await states(outbox) == {"delivered": 6, "dead": 1}
    assert [len(each) for each in shop.requests] == [7, 6, 1]
    (letter,) = await dead_letters(outbox)
    assert (letter.event.event_id, letter.reason) == ("e0003", "HTTP 400")
    assert lane.counts == {"delivered": 6, "dead": 1}
    assert lane.state == "healthy"


@pytest.mark.parametrize(
    "bad", [[0], [999], [0, 1, 2], [3, 500, 999], range(0, 1000, 200)], ids=str
)
async def test_each_bad_event_of_a_thousand_costs_two_requests(outbox, bad):
    ids = numbered(1000)
    shop = Naming([ids[position] for position in bad])
    await accept(outbox, *ids)
    await drain(lane_to(shop, outbox))
    assert await states(outbox) == {"delivered": 1000 - len(bad), "dead": len(bad)}
    assert len(shop.requests) <= 2 * len(bad) + 1


@pytest.mark.parametrize("off_by", [1, -1, 5000, -5000])
async def test_a_destination_that_names_the_wrong_one_buries_no_good_event(outbox, off_by):
    shop = Naming(["e0003"], off_by=off_by)
    await accept(outbox, *numbered(12))
    await drain(lane_to(shop, outbox))
    assert [each.event.event_id for each in await dead_letters(outbox)] == ["e0003"]
    assert await states(outbox) == {"delivered": 11, "dead": 1}


async def test_all_may_be_named(outbox):
    shop = Batching(EventRejected("HTTP 400", positions=range(3)))
    await accept(outbox, *numbered(3))
    await drain(lane_to(shop, outbox))
    assert await states(outbox) == {"delivered": 3}
    assert [len(each) for each in shop.requests] == [3, 1, 1, 1]


async def test_fresh_events_do_not_wait_for_the_search(outbox):
    shop = Naming(numbered(5))
    await accept(outbox, *numbered(5), *(f"good{number}" for number in range(5)))
    lane = lane_to(shop, outbox)
    await lane.run_once()
    await accept(outbox, "fresh")
    await lane.run_once()
    assert (await the(outbox, "fresh")).state == "delivered"


async def test_what_is_named_is_logged(outbox, caplog):
    caplog.set_level("INFO")
    await accept(outbox, *numbered(3))
    await lane_to(Naming(["e0001"]), outbox).run_once()
    assert "rejected a batch of 3 events and named 1, trying the others together" in caplog.text


@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
async def test_nothing_is_in_doubt_after_a_refusal(clock, ambiguous):
    outbox = WatchedOutbox(clock)
    await accept(outbox, *numbered(4))
    await drain(lane_to(Naming(["e0002"], ambiguous=ambiguous), outbox))
    assert await states(outbox) == {"delivered": 3, "dead": 1}
    assert not (await the(outbox, "e0002")).maybe_delivered


# The platforms whose refusals name events


class Spoiling:
    """Sends events of which some are spoilt on the way, as by a platform's change of mind."""

    def spoil(self, one: Event, item: dict[str, Any]) -> dict[str, Any]:
        return {**item, "event_time": "now"} if one.name == "Spoilt" else item


class SpoilingMeta(Spoiling, MetaCAPI):
    def prepare(self, one: Event) -> Any:
        return self.spoil(one, super().prepare(one))


class SpoilingTikTok(Spoiling, TikTokEvents):
    def prepare(self, one: Event) -> Any:
        return self.spoil(one, super().prepare(one))


async def delivered(destination: Any, platform: Any, *bad: int) -> dict[str, int]:
    events = [
        replace(one, name="Spoilt") if number in bad else one
        for number, one in enumerate(recent(100))
    ]
    lane, counts = await queue(destination, events)
    async with platform:
        destination.base_url = platform.url
        while "pending" in await counts():
            assert await lane.run_once() == 0
        await destination.close()
    return await counts()


async def test_meta_names_the_event_in_its_message():
    meta = MetaSandbox(clock=ManualClock().time)
    destination = SpoilingMeta(meta.pixel_id, meta.access_token)
    assert await delivered(destination, meta, 17, 63) == {"delivered": 98, "dead": 2}
    sizes = [len(request.body["data"]) for request in meta.requests]
    assert sorted(sizes) == [1, 1, 98, 99, 100]
    assert len(meta.events) == 98


async def test_tiktok_may_name_the_event_in_its_message():
    tiktok = TikTokSandbox(names_position=True)
    destination = SpoilingTikTok(
        tiktok.pixel_code, tiktok.access_token, page_url="https://shop.example/"
    )
    assert await delivered(destination, tiktok, 17) == {"delivered": 99, "dead": 1}
    assert sorted(len(request.body["data"]) for request in tiktok.requests) == [1, 99, 100]


async def test_tiktok_as_it_was_seen_names_none_and_is_searched():
    tiktok = TikTokSandbox()
    destination = SpoilingTikTok(
        tiktok.pixel_code, tiktok.access_token, page_url="https://shop.example/"
    )
    assert await delivered(destination, tiktok, 17) == {"delivered": 99, "dead": 1}
    assert len(tiktok.requests) > 3


def test_a_recorded_refusal_of_meta_names_its_event():
    named = {}
    for case in cases("meta_error_responses.json"):
        answer = case["input"]["body"]
        error = meta_error(httpx.Response(case["input"]["http_status"], json=answer))
        if isinstance(error, EventRejected):
            named[answer["error"]["error_subcode"]] = set(error.positions)
    assert named == {2804009: set(), 2804010: set(), 2804019: {0}, 2804063: set()}
