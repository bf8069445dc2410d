"""What handlers get by name: ``gp`` and ``tracker``."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import Message, TelegramObject

from fixtures import updates
from fixtures.recorder import Feed
from gp_aiogram import Tracker, UserTracker, track
from gp_aiogram.bot import EmitMiddleware

POST = updates.update(
    "channel_post",
    {
        "message_id": 1,
        "date": updates.DATE,
        "chat": {"id": -1002, "type": "channel", "title": "News"},
        "text": "hi",
    },
)


async def test_handlers_may_ask_for_the_tracker(
    dp: Dispatcher, feed: Feed, tracker: Tracker
) -> None:
    seen: list[object] = []

    @dp.message()
    async def handler(message: Message, tracker: Tracker) -> None:
        seen.append(tracker)

    @dp.channel_post()
    async def post(message: Message, tracker: Tracker, gp: UserTracker | None) -> None:
        seen.extend((tracker, gp))

    await feed(updates.message())
    await feed(POST)
    assert seen == [tracker, tracker, None]


async def test_the_bots_own_tracker_stays_its_own(dp: Dispatcher, feed: Feed) -> None:
    seen: list[object] = []
    dp["tracker"] = "a parcel service"

    @dp.message()
    async def handler(message: Message, tracker: str, gp: UserTracker) -> None:
        seen.append(tracker)

    await feed(updates.message())
    assert seen == ["a parcel service"]


async def test_gp_is_none_where_an_update_has_no_user(dp: Dispatcher, feed: Feed) -> None:
    seen: list[object] = []

    async def unknown(message: Message, gp: UserTracker | None) -> bool:
        return gp is None

    @dp.channel_post(unknown)
    @track("Posted")
    async def handler(message: Message, gp: UserTracker | None) -> None:
        seen.append(gp)

    await feed(POST)
    assert seen == [None]


@pytest.mark.parametrize("update", [POST, updates.message()], ids=["no user", "a user"])
async def test_emission_alone_offers_both(
    tracker: Tracker, bot: Bot, update: dict[str, Any]
) -> None:
    dp = Dispatcher()
    seen: list[object] = []

    async def handler(event: TelegramObject, gp: UserTracker | None, tracker: Tracker) -> None:
        seen.extend((type(gp), tracker))

    _, kind = update
    dp.observers[kind].middleware(EmitMiddleware(tracker))
    dp.observers[kind].register(handler)
    await dp.feed_raw_update(bot, update)
    assert seen == [type(None) if kind == "channel_post" else UserTracker, tracker]
