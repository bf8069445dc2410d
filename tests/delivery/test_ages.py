"""What is too old is not sent."""

from __future__ import annotations

from datetime import timedelta

from fixtures.delivery import (
    DAY,
    Batching,
    Scripted,
    accept,
    dead_letters,
    lane_to,
    numbered,
    replay,
    rounds,
    states,
    the,
)
from gp_aiogram import DeliveryFailed


async def test_an_event_over_the_platforms_age_limit_is_never_sent_and_the_rest_is(outbox):
    shop = Batching()
    shop.max_age = timedelta(days=7)
    await accept(outbox, "old", age=7 * DAY + 1)
    await accept(outbox, "young", age=7 * DAY)
    await accept(outbox, "older", age=8 * DAY)
    await lane_to(shop, outbox).run_once()
    assert shop.requests == [["young"]]
    assert [letter.event.event_id for letter in await dead_letters(outbox)] == ["old", "older"]
    assert (await the(outbox, "old")).reason == "over age: the event is older than 7 days"


async def test_without_an_age_limit_an_old_event_is_sent(outbox):
    shop = Scripted()
    await accept(outbox, "old", age=10_000 * DAY)
    await lane_to(shop, outbox).run_once()
    assert shop.taken == ["old"]


async def test_no_age_is_too_long_to_be_a_limit(outbox):
    shop = Scripted()
    shop.max_age = shop.retry_for = timedelta.max
    await accept(outbox, "e1", age=10_000 * DAY)
    await lane_to(shop, outbox).run_once()
    assert shop.taken == ["e1"]


async def test_a_batch_of_nothing_but_old_events_is_not_sent(outbox):
    shop = Batching()
    shop.max_age = timedelta(days=1)
    await accept(outbox, *numbered(5), age=2 * DAY)
    lane = lane_to(shop, outbox)
    await lane.run_once()
    assert shop.requests == []
    assert await states(outbox) == {"dead": 5}
    assert lane.counts == {"dead": 5}


async def test_an_event_that_never_gets_through_is_given_up_after_30_days_of_trying(outbox):
    shop = Scripted(*[DeliveryFailed("HTTP 500")] * 10_000)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, outbox, 29.9 * DAY)
    assert await states(outbox) == {"pending": 1}
    await rounds(lane, outbox, 0.2 * DAY)
    (letter,) = await dead_letters(outbox)
    assert letter.reason == "over age: tried for 30 days, last: HTTP 500"
    assert letter.attempts < 30 * 24 * 2


async def test_a_replayed_event_gets_its_days_and_attempts_again_and_keeps_its_id(outbox):
    shop = Scripted(*[DeliveryFailed("HTTP 500")] * 10_000)
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await rounds(lane, outbox, 31 * DAY)
    assert await states(outbox) == {"dead": 1}
    assert await replay(outbox) == 1
    await lane.run_once()
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    shop.script.clear()
    await rounds(lane, outbox, 1 * DAY)
    assert shop.taken == ["e1"]
    assert await states(outbox) == {"delivered": 1}
