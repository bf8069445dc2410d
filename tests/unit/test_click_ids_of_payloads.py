"""Ids that a deep link carries itself are kept as a landing page keeps them."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from gp_aiogram import Attribution, Click, MemoryStore, StoreError, Tracker
from gp_aiogram.testing import ManualClock
from gp_aiogram.tracker.request import EventRequest

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
BY_SUBID = Attribution(pattern=r"kt-.+", parse=lambda text: (text, {"subid": text[3:]}))
BOT, USER, OTHER = 42, 7, 8


def tracker_of(**settings: Any) -> Tracker:
    clock = ManualClock(start=NOON.timestamp())
    defaults = {"store": MemoryStore(), "attribution": BY_SUBID, "clock": clock}
    return Tracker([], **{**defaults, **settings})


async def click_of(tracker: Tracker, session_id: str) -> Click | None:
    return (await tracker.store.profiles.profile(USER, session_id)).click


async def test_a_start_needs_no_landing() -> None:
    tracker = tracker_of()
    assert await tracker.capture(USER, "kt-7f3a", bot_id=BOT, at=NOON)
    assert await click_of(tracker, "kt-7f3a") == Click(at=NOON, ids={"subid": "7f3a"})
    event = await tracker.track("REG", telegram_id=USER, bot_id=BOT)
    assert event is not None
    assert event.click is not None
    assert event.click.ids == {"subid": "7f3a"}
    assert await tracker.store.profiles.sessions_of("7f3a") == ["kt-7f3a"]
    # The second time, and of another user, changes nothing.
    await tracker.capture(OTHER, "kt-7f3a", bot_id=BOT, at=NOON + timedelta(days=1))
    assert await click_of(tracker, "kt-7f3a") == Click(at=NOON, ids={"subid": "7f3a"})


async def test_an_id_with_a_field_of_its_own_goes_there() -> None:
    attribution = Attribution(pattern="g-.+", parse=lambda text: (text, {"gclid": text[2:]}))
    tracker = tracker_of(attribution=attribution)
    await tracker.capture(USER, "g-Cj0K", bot_id=BOT, at=NOON)
    assert await click_of(tracker, "g-Cj0K") == Click(at=NOON, gclid="Cj0K")


async def test_an_invite_link_carries_ids_in_its_name() -> None:
    tracker = tracker_of()
    link = "https://t.me/+abc"
    assert await tracker.capture_invite(USER, link, name="kt-7f3a", bot_id=BOT, at=NOON)
    assert await click_of(tracker, "kt-7f3a") == Click(at=NOON, ids={"subid": "7f3a"})


async def test_a_click_that_is_known_stays(caplog: pytest.LogCaptureFixture) -> None:
    tracker = tracker_of()
    landed = Click(at=NOON, fbclid="IwAR0abc", ids={"subid": "of the landing"})
    await tracker.store.profiles.add_click("kt-7f3a", landed)
    await tracker.capture(USER, "kt-7f3a", bot_id=BOT)
    assert await click_of(tracker, "kt-7f3a") == landed
    assert "session kt-7f3a keeps the click that it has" in caplog.text
    caplog.clear()
    await tracker.store.profiles.add_click("kt-7f3b", Click(at=NOON, ids={"subid": "7f3b"}))
    with caplog.at_level(logging.WARNING):
        await tracker.capture(USER, "kt-7f3b", bot_id=BOT)
    assert not caplog.records


async def test_what_waits_in_the_journal_keeps_its_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        msg = "away"
        raise StoreError(msg)

    path = tmp_path / "gp.journal"
    store = MemoryStore()
    tracker = tracker_of(store=store, journal=path)
    with monkeypatch.context() as patch:
        patch.setattr(store.sessions, "add", fail)
        patch.setattr(store.profiles, "add_click", fail)
        await tracker.intake.capture(USER, "kt-7f3a", bot_id=BOT, source="start", at=NOON)
        assert tracker.intake.waiting == 1
        # An event has them already.
        request = EventRequest(name="REG", telegram_id=USER, bot_id=BOT)
        event = await tracker.intake.track(request)
        assert event is not None
        assert event.click == Click(at=NOON, ids={"subid": "7f3a"})
        await tracker.close()
    # Another process, whose grammar has changed meanwhile.
    async with tracker_of(store=store, journal=path, attribution=Attribution()) as later:
        assert await later.flush(5)
        for _ in range(100):
            if not later.intake.waiting:
                break
            await asyncio.sleep(0.02)
        assert await click_of(later, "kt-7f3a") == Click(at=NOON, ids={"subid": "7f3a"})
        assert [touch.session_id for touch in await later.find_users("kt-7f3a")] == ["kt-7f3a"]


# Who came by a session


async def test_the_users_of_a_session_are_found_the_latest_first() -> None:
    tracker = tracker_of()
    for number, (user, bot) in enumerate([(USER, BOT), (OTHER, BOT), (USER, 43), (USER, BOT)]):
        await tracker.capture(user, "kt-7f3a", bot_id=bot, at=NOON + timedelta(hours=number))
    await tracker.capture(9, "kt-other", bot_id=BOT, at=NOON)
    found = await tracker.find_users("kt-7f3a")
    assert [(touch.telegram_id, touch.bot_id, touch.at.hour) for touch in found] == [
        (USER, BOT, 15),
        (USER, 43, 14),
        (OTHER, BOT, 13),
    ]
    assert len(await tracker.find_users("kt-7f3a", limit=1)) == 1
    assert await tracker.find_users("kt-none") == []
    await tracker.forget(USER)
    assert [touch.telegram_id for touch in await tracker.find_users("kt-7f3a")] == [OTHER]
