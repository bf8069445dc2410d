"""A payment that is given back: what waits is not sent, and what was sent is taken back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.types import Message

from fixtures import updates
from fixtures.platforms import Platforms, platforms
from fixtures.recorder import Feed, Recorder
from gp_aiogram import (
    DeliveryFailed,
    Destination,
    Event,
    EventError,
    EventRejected,
    EventSkipped,
    GramPixel,
    MemoryStore,
    Tracker,
    track,
)
from gp_aiogram.sandbox import Fault, GramPixelSandbox

CHARGE = updates.raw("successful_payment_stars")["message"]["successful_payment"][
    "telegram_payment_charge_id"
]


def shop(dp: Dispatcher, *marks: Any) -> None:
    """Handle payments and refunds, with marks."""

    async def paid(message: Message) -> None: ...

    for mark in marks or [track("Purchase")]:
        paid = mark(paid)
    dp.message.register(paid, F.successful_payment)

    @dp.message(F.refunded_payment)
    @track("Refund")
    async def refunded(message: Message) -> None: ...


async def states(tracker: Tracker) -> dict[str, dict[str, int]]:
    stats = await tracker.stats()
    return {name: dict(one.deliveries) for name, one in stats.destinations.items()}


async def test_what_still_waits_is_not_sent(
    dp: Dispatcher, feed: Feed, tracker: Tracker, recorder: Recorder
) -> None:
    shop(dp)
    await feed(updates.raw("successful_payment_stars"))
    await feed(updates.raw("refunded_payment_stars"))
    assert await states(tracker) == {"recorder": {"skipped": 1}}
    await tracker.start()
    assert await tracker.flush()
    assert recorder.events == []


async def test_a_delivery_that_was_cancelled_says_why(tracker: Tracker) -> None:
    event = await tracker.track("Purchase", telegram_id=7, value=5, once="o1")
    assert event is not None
    refund = await tracker.refund("o1", telegram_id=7)
    assert refund is not None
    (delivery,) = await tracker.deliveries(event.event_id)
    assert (delivery.state, delivery.reason) == ("skipped", "refunded before it was sent")
    assert await tracker.deliveries(refund.event_id) == []


async def test_what_was_sent_is_taken_back_where_refunds_are_known(
    bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    async with platforms() as there:
        await pay_and_refund(there, bot)
        assert there.names == {
            "grampixel": ["Purchase", "Refund"],
            "meta": ["Purchase"],
            "tiktok": ["CompletePayment"],
        }
        refund = there.grampixel.events[-1].body
        assert (refund["value"], refund["currency"]) == (3.25, "USD")
        assert refund["user_data"]["order_id"] == CHARGE
        assert refund["user_data"]["telegram_stars"] == 250
        assert there.tracker.counts["unrefunded"] == 2
    told = [record.getMessage() for record in caplog.records if "no refund" in record.message]
    assert told == [
        f"meta gets no refund: order {CHARGE} stays counted there",
        f"tiktok gets no refund: order {CHARGE} stays counted there",
    ]


async def test_who_names_an_event_for_refunds_gets_them(bot: Bot) -> None:
    names = {"event_names": {"Refund": "MoneyBack"}}
    async with platforms(meta=names, tiktok=names) as there:
        await pay_and_refund(there, bot)
        assert there.names == {
            "grampixel": ["Purchase", "Refund"],
            "meta": ["Purchase", "MoneyBack"],
            "tiktok": ["CompletePayment", "MoneyBack"],
        }
        assert there.tracker.counts["unrefunded"] == 0
        assert there.meta.events[-1].body["custom_data"]["order_id"] == CHARGE


async def pay_and_refund(there: Platforms, bot: Bot) -> None:
    dispatcher, now = Dispatcher(), int(time.time())
    there.tracker.setup(dispatcher)
    shop(dispatcher)
    await there.tracker.start()
    for kept in ("successful_payment_stars", "refunded_payment_stars"):
        await dispatcher.feed_raw_update(bot, updates.raw(kept, date=now))
        assert await there.tracker.flush()


async def test_each_destination_is_told_by_what_became_of_its_delivery(store: MemoryStore) -> None:
    took, waits = Recorder("took"), Recorder("waits")
    refuses, skips = Failing("refuses", EventRejected("no")), Failing("skips", EventSkipped("no"))
    destinations: list[Destination] = [took, refuses, skips]
    first = Tracker([*destinations, Recorder("waits")], store=store)
    await first.track("Purchase", telegram_id=7, value=5, once="o1", to=["took", "refuses"])
    await first.track("DEP", telegram_id=7, value=5, once="o1", to="skips")
    first = Tracker(destinations, store=store)
    async with first:
        assert await first.flush()
    tracker = Tracker([took, refuses, skips, waits], store=store)
    await tracker.track("Premium", telegram_id=7, once="o1", to="waits")
    await tracker.refund("o1", telegram_id=7)
    assert await states(tracker) == {
        "refuses": {"skipped": 1},
        "skips": {"skipped": 1},
        "took": {"delivered": 1, "pending": 1},
        "waits": {"skipped": 1},
    }


class Failing(Destination):
    """Fails in one way."""

    def __init__(self, name: str, error: Exception) -> None:
        self.name = name
        self.error = error

    async def send(self, events: Sequence[Event]) -> None:
        raise self.error


async def test_an_order_that_may_have_been_taken_is_taken_back(store: MemoryStore) -> None:
    """With ``hold``, a lost answer leaves a dead letter that nobody may call unsent."""
    holds = Failing("holds", DeliveryFailed("connection lost", ambiguous=True))
    holds.ambiguous = "hold"
    tracker = Tracker([holds], store=store)
    async with tracker:
        await tracker.track("Purchase", telegram_id=7, value=5, once="o1")
        assert await tracker.flush()
        assert await states(tracker) == {"holds": {"dead": 1}}
        refund = await tracker.refund("o1", telegram_id=7)
        assert refund is not None
        assert len(await tracker.deliveries(refund.event_id)) == 1


async def test_an_order_whose_answer_was_lost_is_taken_back(store: MemoryStore) -> None:
    """With ``retry``, the next try may find the payment counted already."""
    retries = Failing("retries", DeliveryFailed("connection lost", ambiguous=True))
    async with Tracker([retries], store=store) as tracker:
        payment = await tracker.track("Purchase", telegram_id=7, value=5, once="o1")
        while not (await tracker.stats()).destinations["retries"].retried:
            await asyncio.sleep(0.001)
        retries.error = DeliveryFailed("connection refused")
        refund = await tracker.refund("o1", telegram_id=7)
        assert payment is not None
        assert refund is not None
        (waiting,) = await tracker.deliveries(payment.event_id)
        assert (waiting.state, waiting.reason) == (
            "pending",
            "may have been taken: connection lost",
        )
        assert len(await tracker.deliveries(refund.event_id)) == 1


async def test_a_dead_letter_of_what_was_refunded_cannot_be_replayed(store: MemoryStore) -> None:
    refuses = Failing("refuses", EventRejected("no"))
    async with Tracker([refuses], store=store) as tracker:
        await tracker.track("Purchase", telegram_id=7, value=5, once="o1")
        assert await tracker.flush()
        assert len(await tracker.dead_letters()) == 1
        await tracker.refund("o1", telegram_id=7)
        assert await tracker.replay() == 0
        assert await tracker.dead_letters() == []


async def test_an_order_that_is_under_way_is_taken_back() -> None:
    async with GramPixelSandbox() as pixel:
        pixel.fail(Fault.delay(0.3))
        holding = GramPixel(
            pixel.api_key, pixel.workspace_id, base_url=pixel.url, ambiguous="hold"
        )
        tracker = Tracker([holding], store=MemoryStore())
        async with tracker:
            await tracker.track("Purchase", telegram_id=7, value=5, once="o1")
            while await states(tracker) != {"grampixel": {"dead": 1}}:  # held while under way
                await asyncio.sleep(0.01)
            await tracker.refund("o1", telegram_id=7)
            events = await pixel.wait_for(2)
    assert sorted(event.body["event_name"] for event in events) == ["Purchase", "Refund"]


async def test_who_was_never_told_of_an_order_is_not_told_of_its_refund(
    store: MemoryStore,
) -> None:
    one, other = Recorder("one"), Recorder("other")
    async with Tracker([one, other], store=store) as tracker:
        await tracker.track("Purchase", telegram_id=7, value=5, once="o1", to="one")
        assert await tracker.flush()
        await tracker.refund("o1", telegram_id=7)
        assert await tracker.flush()
    assert [event.name for event in one.events] == ["Purchase", "Refund"]
    assert other.events == []


async def test_a_refund_of_what_nobody_has_recorded_is_told_to_all_that_know_refunds(
    dp: Dispatcher, feed: Feed, recorded: Any
) -> None:
    shop(dp)
    await feed(updates.raw("refunded_payment_stars"))
    (refund,) = await recorded()
    assert (refund.name, refund.value, refund.currency) == ("Refund", Decimal("3.25"), "USD")


async def test_a_refund_that_comes_twice_counts_once(
    dp: Dispatcher, feed: Feed, recorded: Any, tracker: Tracker
) -> None:
    shop(dp)
    await tracker.start()
    await feed(updates.raw("successful_payment_stars"))
    await recorded()
    same = updates.raw("refunded_payment_stars")
    await asyncio.gather(*(feed(same) for _ in range(10)))
    await feed(updates.raw("refunded_payment_stars", update_id=99))
    assert await tracker.refund(CHARGE, telegram_id=7) is None
    assert [event.name for event in await recorded()] == ["Purchase", "Refund"]


async def test_a_payment_reported_again_after_its_refund_stays_refunded(
    dp: Dispatcher, feed: Feed, recorded: Any
) -> None:
    shop(dp)
    await feed(updates.raw("successful_payment_stars"))
    await feed(updates.raw("refunded_payment_stars"))
    await feed(updates.raw("successful_payment_stars", update_id=98))
    assert await recorded() == []


async def test_every_event_of_a_payment_is_taken_back(
    dp: Dispatcher, feed: Feed, tracker: Tracker
) -> None:
    shop(dp, track("Purchase"), track.deposit(), track("FTD", once="user"))
    await feed(updates.raw("successful_payment_stars"))
    await feed(updates.raw("refunded_payment_stars"))
    assert await states(tracker) == {"recorder": {"skipped": 2}}


async def test_a_first_deposit_that_was_refunded_was_the_first_all_the_same(
    dp: Dispatcher, feed: Feed, recorded: Any
) -> None:
    shop(dp, track.deposit())
    await feed(updates.raw("successful_payment_stars"))
    await recorded()
    await feed(updates.raw("refunded_payment_stars"))
    await feed(updates.raw("successful_payment_eur"))
    assert [event.name for event in await recorded()] == ["FTD", "Refund", "DEP"]


async def test_a_mark_may_name_what_the_refund_does_not(
    dp: Dispatcher, feed: Feed, recorded: Any
) -> None:
    @dp.message(F.refunded_payment)
    @track("Refund", value=2, currency="GBP", session_id="gp_a", user_data={"why": "late"})
    async def refunded(message: Message) -> None: ...

    await feed(updates.raw("refunded_payment_stars"))
    (refund,) = await recorded()
    assert (refund.value, refund.currency, refund.session_id) == (Decimal("2.00"), "GBP", "gp_a")
    assert refund.user_data["why"] == "late"
    assert refund.user_data["order_id"] == CHARGE


@pytest.mark.parametrize(("named", "credited"), [(None, "gp_paid"), ("gp_named", "gp_named")])
async def test_a_refund_is_credited_to_the_session_of_its_payment_or_to_a_named_one(
    tracker: Tracker, named: str | None, credited: str
) -> None:
    await tracker.track(
        "Purchase", telegram_id=7, value="4.50", currency="GBP", once="o1", session_id="gp_paid"
    )
    await tracker.capture(7, "gp_later")
    refund = await tracker.refund("o1", telegram_id=7, session_id=named)
    assert refund is not None
    assert (refund.session_id, refund.value, refund.currency) == (
        credited,
        Decimal("4.50"),
        "GBP",
    )


async def test_other_orders_and_users_keep_theirs(tracker: Tracker) -> None:
    for order, user in (("o1", 7), ("o2", 7), ("o3", 8)):
        await tracker.track("Purchase", telegram_id=user, value=5, once=order)
    await tracker.refund("o1", telegram_id=7)
    assert await states(tracker) == {"recorder": {"skipped": 1, "pending": 2}}


async def test_an_event_that_counts_once_per_user_is_taken_back_by_its_payment(
    dp: Dispatcher, feed: Feed, tracker: Tracker
) -> None:
    shop(dp, track("FTD", once="user"))
    await feed(updates.raw("successful_payment_stars"))
    await feed(updates.raw("refunded_payment_stars"))
    assert await states(tracker) == {"recorder": {"skipped": 1}}


async def test_an_event_may_name_its_order_apart_from_its_key(tracker: Tracker) -> None:
    await tracker.track("FTD", telegram_id=7, value=5, once="user", order="o1")
    await tracker.refund("o1", telegram_id=7)
    assert await states(tracker) == {"recorder": {"skipped": 1}}


@pytest.mark.parametrize("once", ["user", "", None, True, "\ud83c"])
async def test_a_refund_names_an_order(tracker: Tracker, once: Any) -> None:
    with pytest.raises(EventError, match=r"once|order"):
        await tracker.refund(once, telegram_id=7)


async def test_a_refund_for_some_destinations_tells_where_the_order_stays_counted(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = Recorder("one"), Recorder("other")
    async with Tracker([one, other], store=store) as tracker:
        await tracker.track("Purchase", telegram_id=7, value=5, once="o1")
        assert await tracker.flush()
        await tracker.refund("o1", telegram_id=7, to="one")
        assert await tracker.flush()
    assert [len(one.events), len(other.events)] == [2, 1]
    assert tracker.counts["unrefunded"] == 1
    assert "other gets no refund: order o1 stays counted there" in caplog.messages
