"""A request to join and the arrival after it: two events, and one lead to ad platforms."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import ChatJoinRequest, ChatMemberUpdated

from fixtures import updates
from fixtures.recorder import Recorder
from gp_aiogram import GramPixel, MemoryStore, MetaCAPI, Stars, TikTokEvents, Tracker, track

ASKED, APPROVED, WORKSPACE = "JoinRequest", "Subscribe", "0f8fad5b-d9cb-469f-a165-70867728950e"


class Platforms:
    """What Meta, TikTok and GramPixel were told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def meta(self, **settings: Any) -> MetaCAPI:
        return MetaCAPI("1", "token", transport=httpx.MockTransport(self._meta), **settings)

    def tiktok(self) -> TikTokEvents:
        return TikTokEvents("C4ABC", "token", transport=httpx.MockTransport(self._tiktok))

    def grampixel(self) -> GramPixel:
        return GramPixel("key", WORKSPACE, transport=httpx.MockTransport(self._grampixel))

    def names(self, platform: str) -> list[str]:
        return sorted(name for told, name in self.told if told == platform)

    def _meta(self, request: httpx.Request) -> httpx.Response:
        events = json.loads(request.content)["data"]
        self.told += [("meta", event["event_name"]) for event in events]
        return httpx.Response(200, json={"events_received": len(events)})

    def _tiktok(self, request: httpx.Request) -> httpx.Response:
        self.told += [("tiktok", event["event"]) for event in json.loads(request.content)["data"]]
        return httpx.Response(200, json={"code": 0, "message": "OK"})

    def _grampixel(self, request: httpx.Request) -> httpx.Response:
        self.told.append(("grampixel", json.loads(request.content)["event_name"]))
        return httpx.Response(200, json={"ok": True})


def by_decorators(dp: Dispatcher, **arrival: Any) -> None:
    @dp.chat_join_request()
    @track(ASKED)
    async def asked(request: ChatJoinRequest) -> None: ...

    @dp.chat_member()
    @track(APPROVED, **arrival)
    async def joined(change: ChatMemberUpdated) -> None: ...


def by_auto(dp: Dispatcher) -> None: ...


async def come(bot: Bot, dp: Dispatcher, tracker: Tracker, *kept: dict[str, Any]) -> None:
    async with tracker:
        for update in kept:
            await dp.feed_raw_update(bot, update)
        assert await tracker.flush(5)


def bot_with(
    platforms: Platforms, handlers: Callable[[Dispatcher], None], **settings: Any
) -> tuple[Tracker, Dispatcher]:
    auto = {ASKED, APPROVED} if handlers is by_auto else ()
    destinations = [platforms.meta(**settings), platforms.tiktok(), platforms.grampixel()]
    tracker, dp = Tracker(destinations, store=MemoryStore(), auto=auto), Dispatcher()
    tracker.setup(dp)
    handlers(dp)
    return tracker, dp


#: Meta takes no events of weeks ago.
NOW = int(time.time())
REQUEST = updates.raw("chat_join_request", date=NOW)
ARRIVAL = updates.raw("chat_member_approved", date=NOW)
each_way = pytest.mark.parametrize("handlers", [by_auto, by_decorators])


@each_way
async def test_who_was_approved_is_one_lead(bot: Bot, handlers: Any) -> None:
    platforms = Platforms()
    tracker, dp = bot_with(platforms, handlers)
    await come(bot, dp, tracker, REQUEST, ARRIVAL)
    assert platforms.names("meta") == ["Lead"]
    assert platforms.names("tiktok") == ["SubmitForm"]
    assert platforms.names("grampixel") == [ASKED, APPROVED]


@each_way
async def test_who_did_not_ask_is_a_lead_when_they_come(bot: Bot, handlers: Any) -> None:
    platforms = Platforms()
    tracker, dp = bot_with(platforms, handlers)
    await come(bot, dp, tracker, ARRIVAL)
    assert platforms.names("meta") == ["Lead"]
    assert platforms.names("grampixel") == [APPROVED]


@each_way
async def test_another_chat_is_another_lead(bot: Bot, handlers: Any) -> None:
    platforms = Platforms()
    tracker, dp = bot_with(platforms, handlers)
    elsewhere = updates.raw("chat_member_approved", chat={"id": -1009}, date=NOW)
    await come(bot, dp, tracker, REQUEST, elsewhere)
    assert platforms.names("meta") == ["Lead", "Lead"]


@each_way
async def test_another_ad_is_another_lead(bot: Bot, handlers: Any) -> None:
    platforms = Platforms()
    tracker, dp = bot_with(platforms, handlers)
    again = updates.raw("chat_member_approved", invite_link={"name": "gp_other"}, date=NOW)
    await come(bot, dp, tracker, REQUEST, again)
    assert platforms.names("meta") == ["Lead", "Lead"]


@each_way
async def test_where_a_platform_has_a_name_for_each_it_gets_both(bot: Bot, handlers: Any) -> None:
    platforms = Platforms()
    tracker, dp = bot_with(platforms, handlers, event_names={ASKED: "Asked"})
    await come(bot, dp, tracker, REQUEST, ARRIVAL)
    assert platforms.names("meta") == ["Asked", "Lead"]
    assert platforms.names("tiktok") == ["SubmitForm"]


async def test_to_says_it_all(bot: Bot) -> None:
    platforms = Platforms()
    everywhere = ["meta", "tiktok", "grampixel"]
    tracker, dp = bot_with(platforms, lambda dp: by_decorators(dp, to=everywhere))
    await come(bot, dp, tracker, REQUEST, ARRIVAL)
    assert platforms.names("meta") == ["Lead", "Lead"]


async def test_a_store_that_does_not_answer_costs_no_lead(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*args: object) -> None:
        raise ConnectionError

    platforms = Platforms()
    tracker, dp = bot_with(platforms, by_decorators)
    monkeypatch.setattr(tracker.store.outbox, "add_keys", fail)
    await come(bot, dp, tracker, REQUEST, ARRIVAL)
    assert platforms.names("grampixel") == [ASKED, APPROVED]
    assert platforms.names("meta") == ["Lead", "Lead"]


# Joining by a paid link


def paid_join(**link: Any) -> dict[str, Any]:
    terms = {"subscription_period": 2_592_000, "subscription_price": 200, **link}
    return updates.raw("chat_member_approved", invite_link=terms)


@each_way
@pytest.mark.parametrize("stars", [Stars(rate=Decimal("0.01")), None])
async def test_a_paid_join_is_worth_its_price(
    bot: Bot, recorder: Recorder, handlers: Any, stars: Stars | None
) -> None:
    auto = {APPROVED} if handlers is by_auto else ()
    tracker, dp = Tracker([recorder], store=MemoryStore(), auto=auto, stars=stars), Dispatcher()
    tracker.setup(dp)
    handlers(dp)
    await come(bot, dp, tracker, paid_join())
    (event,) = recorder.events
    if stars is None:
        assert (event.name, event.value) == (APPROVED, None)
        return
    assert (event.name, event.value, event.currency) == (APPROVED, Decimal("2.00"), "USD")
    assert event.user_data["subscription_period"] == 2_592_000
    assert event.user_data["telegram_stars"] == 200


async def test_a_value_of_its_own_goes_before_the_price(bot: Bot, recorder: Recorder) -> None:
    tracker, dp = Tracker([recorder], store=MemoryStore()), Dispatcher()
    tracker.setup(dp)
    by_decorators(dp, value=7, currency="EUR")
    await come(bot, dp, tracker, paid_join())
    (event,) = recorder.events
    assert (event.value, event.currency) == (7, "EUR")
    assert "subscription_period" not in event.user_data


async def test_a_paid_join_may_be_a_deposit(bot: Bot, recorder: Recorder) -> None:
    tracker, dp = Tracker([recorder], store=MemoryStore()), Dispatcher()
    tracker.setup(dp)

    @dp.chat_member()
    @track.deposit()
    async def joined(change: ChatMemberUpdated) -> None: ...

    await come(bot, dp, tracker, paid_join())
    assert [(event.name, event.value) for event in recorder.events] == [("FTD", Decimal("2.60"))]
