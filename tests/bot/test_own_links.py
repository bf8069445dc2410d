"""A bot's own links, such as one to its channel, take no ad's credit."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import ChatMemberUpdated, Message

from fixtures import updates
from fixtures.recorder import Recorder
from gp_aiogram import Attribution, MemoryStore, StoreError, Tracker, UserTracker, track

LINK, JOINED_AT = "https://t.me/+own", 1_790_000_000

by_auto = pytest.mark.parametrize("auto", [True, False])


def clicked(ago: int = 60) -> dict[str, Any]:
    """A person comes by an ad, seconds before they join."""
    return updates.raw("start", update_id=1, text="/start gp_ad", date=JOINED_AT - ago)


def joined(link: str = LINK, name: str = "gp_channel") -> dict[str, Any]:
    return updates.raw(
        "chat_member_joined_by_link", invite_link={"invite_link": link, "name": name}
    )


async def credited(bot: Bot, *sent: dict[str, Any], auto: bool, **policy: Any) -> list[Any]:
    """What the arrival in the channel is credited to."""
    recorder = Recorder()
    tracker = Tracker(
        [recorder],
        store=MemoryStore(),
        attribution=Attribution(**policy),
        auto={"Subscribe"} if auto else (),
    )
    dp = Dispatcher()

    @dp.message()
    async def ignore(message: Message) -> None: ...

    if not auto:

        @dp.chat_member()
        @track("Subscribe")
        async def came(change: ChatMemberUpdated) -> None: ...

    tracker.setup(dp)
    async with tracker:
        for update in sent:
            await dp.feed_raw_update(bot, update)
        assert await tracker.flush(5)
    return [event.session_id for event in recorder.events]


@by_auto
async def test_without_a_policy_the_last_link_counts(bot: Bot, *, auto: bool) -> None:
    assert await credited(bot, clicked(), joined(), auto=auto) == ["gp_channel"]


@by_auto
@pytest.mark.parametrize("own", [{LINK}, {"invite"}])
async def test_an_arrival_by_an_own_link_is_the_ads(bot: Bot, own: Any, *, auto: bool) -> None:
    assert await credited(bot, clicked(), joined(), auto=auto, own=own) == ["gp_ad"]


@by_auto
@pytest.mark.parametrize("own", [{"gp_channel"}, "gp_chan.*"])
async def test_its_name_alone_makes_a_link_an_own_one(bot: Bot, own: Any, *, auto: bool) -> None:
    sent = [clicked(), joined("https://t.me/+other")]
    assert await credited(bot, *sent, auto=auto, own=own) == ["gp_ad"]


@by_auto
async def test_an_own_link_counts_where_there_is_no_ad(bot: Bot, *, auto: bool) -> None:
    assert await credited(bot, joined(), auto=auto, own={LINK}) == ["gp_channel"]
    long_ago = clicked(ago=31 * 24 * 3600)
    assert await credited(bot, long_ago, joined(), auto=auto, own={LINK}) == ["gp_channel"]


@by_auto
async def test_another_link_counts_as_ever(bot: Bot, *, auto: bool) -> None:
    other = joined("https://t.me/+ad", "gp_ad_of_channel")
    assert await credited(bot, clicked(), other, auto=auto, own={LINK}) == ["gp_ad_of_channel"]


async def test_an_own_link_that_waits_in_the_journal_takes_no_credit(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    tracker = Tracker(
        [], store=store, journal=None, attribution=Attribution(own="gp_friend", touch="last")
    )
    add, is_away = store.sessions.add, [False]

    async def add_unless_away(session: Any) -> None:
        if is_away[0]:
            msg = "away"
            raise StoreError(msg)
        await add(session)

    monkeypatch.setattr(store.sessions, "add", add_unless_away)
    async with tracker:
        await tracker.capture(7, "gp_ad", bot_id=bot.id)
        is_away[0] = True
        await tracker.intake.capture(7, "gp_friend", bot_id=bot.id, source="start", at=None)
        await tracker.intake.capture(8, "gp_friend", bot_id=bot.id, source="start", at=None)
        assert tracker.intake.waiting == 2
        found = [await UserTracker(tracker, user, bot.id, 1).load() for user in (7, 8)]
        assert [session and session.session_id for session in found] == ["gp_ad", "gp_friend"]
        is_away[0] = False
