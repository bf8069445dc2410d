"""What a bot finds waiting when it starts: updates of one user, handled all at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import Message

from fixtures import updates
from fixtures.recorder import Recorder
from gp_aiogram import (
    Event,
    MemoryStore,
    SQLiteStore,
    Store,
    StoreError,
    Tracker,
    UserTracker,
    track,
)

JOINED = "chat_member_joined_by_link"
LEFT = "chat_member_left"


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "gp.sqlite3")


@pytest.fixture
async def tracker(recorder: Recorder, store: Store) -> AsyncIterator[Tracker]:
    tracker = Tracker([recorder], store=store, auto={"Subscribe", "Leave"})
    yield tracker
    await tracker.close(grace=0)


async def at_once(dp: Dispatcher, bot: Bot, *waiting: dict[str, Any]) -> None:
    await asyncio.gather(*(dp.feed_raw_update(bot, update) for update in waiting))


async def events(tracker: Tracker, recorder: Recorder) -> list[Event]:
    await tracker.start()
    assert await tracker.flush(5)
    return recorder.events


async def test_a_click_is_credited_with_what_follows_at_once(
    dp: Dispatcher, bot: Bot, tracker: Tracker, recorder: Recorder
) -> None:
    @dp.message()
    @track("Wrote")
    async def handler(message: Message) -> None: ...

    now = int(time.time())
    await at_once(dp, bot, updates.start("gp_a", date=now), updates.message(date=now))
    assert [event.session_id for event in await events(tracker, recorder)] == ["gp_a"] * 2


async def test_a_handler_is_told_of_a_click_that_comes_at_once(
    dp: Dispatcher, bot: Bot, tracker: Tracker
) -> None:
    told: list[str | None] = []

    @dp.message()
    async def handler(message: Message, gp: UserTracker) -> None:
        told.append(gp.session and gp.session.session_id)

    now = int(time.time())
    await at_once(dp, bot, updates.start("gp_a", date=now), updates.message(date=now))
    assert told == ["gp_a"] * 2


async def test_a_link_is_credited_with_what_follows_at_once(
    dp: Dispatcher, bot: Bot, tracker: Tracker, recorder: Recorder
) -> None:
    now = int(time.time())
    joined = updates.raw(JOINED, date=now, invite_link={"name": "gp_a"})
    member = joined["chat_member"]["new_chat_member"]["user"]
    left = updates.raw(
        LEFT,
        date=now,
        **{
            "from": member,
            "old_chat_member": {"user": member},
            "new_chat_member": {"user": member},
        },
    )
    await at_once(dp, bot, joined, left)
    credited = {event.name: event.session_id for event in await events(tracker, recorder)}
    assert credited == {"Subscribe": "gp_a", "Leave": "gp_a"}


async def test_a_touch_that_cannot_be_kept_holds_nobody_up(
    dp: Dispatcher,
    bot: Bot,
    store: Store,
    tracker: Tracker,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @dp.message()
    @track("Wrote")
    async def handler(message: Message) -> None: ...

    async def fail(*_: object) -> None:
        await asyncio.sleep(0)
        msg = "no room"
        raise StoreError(msg)

    monkeypatch.setattr(store.sessions, "add", fail)
    now = int(time.time())
    await at_once(dp, bot, updates.start("gp_a", date=now), updates.message(date=now))
    # The handler of the first message was marked before its touch was lost to the store.
    credited = [event.session_id for event in await events(tracker, recorder)]
    assert len(credited) == 2
    assert set(credited) <= {None, "gp_a"}
    assert tracker.counts["journaled"] == 1
