"""A history of sessions is the second step of GramPixel's order, and its failure costs nothing."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gp_aiogram import Attribution, Click, ConfigurationError, MemoryStore, Session, Tracker
from gp_aiogram.model.session import SessionQuery
from gp_aiogram.testing import ManualClock
from gp_aiogram.tracker.session_history import PATIENCE, PAUSE

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
FOUND = Session(42, 7, "gp_events", "history", NOW - timedelta(days=3), "gp_events")


class Scripted:
    """Answers questions as it was told, the last answer for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[SessionQuery] = []
        self.closed = 0

    async def find(self, query: SessionQuery) -> Any:
        self.asked.append(query)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        if answer is asyncio.Event:
            await asyncio.Event().wait()
        return answer

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def tracker_with(history: Any, clock: ManualClock | None = None, **policy: Any) -> Tracker:
    return Tracker(
        [],
        store=MemoryStore(),
        attribution=Attribution(history=history, **policy),
        **({} if clock is None else {"clock": clock}),
    )


async def credited(tracker: Tracker, **fields: Any) -> str | None:
    event = await tracker.track("REG", telegram_id=7, bot_id=42, **fields)
    assert event is not None
    return event.session_id


async def test_the_order_is_invites_then_the_events_then_the_last_touch(clock):
    history = Scripted(FOUND)
    tracker = tracker_with(history, clock)
    assert await credited(tracker) == "gp_events"
    await tracker.capture(7, "gp_start", bot_id=42)
    assert await credited(tracker) == "gp_events"
    await tracker.capture(7, "gp_invited", bot_id=42, source="join_request")
    assert await credited(tracker) == "gp_invited"
    assert len(history.asked) == 2
    await tracker.close()


async def test_an_invite_link_of_the_bots_own_does_not_come_first(clock):
    tracker = tracker_with(Scripted(FOUND), clock, own={"gp_channel"})
    await tracker.capture(7, "gp_channel", bot_id=42, source="invite")
    assert await credited(tracker) == "gp_events"
    await tracker.close()


async def test_events_of_a_link_of_the_bots_own_take_no_ads_credit(clock):
    tracker = tracker_with(Scripted(FOUND), clock, own={"gp_events", "gp_channel"})
    assert await credited(tracker) == "gp_events"
    await tracker.capture(7, "gp_ad", bot_id=42)
    assert await credited(tracker) == "gp_ad"
    await tracker.close()


async def test_without_an_answer_the_last_touch_counts(clock):
    tracker = tracker_with(Scripted(None), clock)
    assert await credited(tracker) is None
    await tracker.capture(7, "gp_start", bot_id=42)
    assert await credited(tracker) == "gp_start"
    assert tracker.counts["history_errors"] == 0
    await tracker.close()


async def test_it_is_asked_by_the_policy(clock):
    history = Scripted(None)
    tracker = tracker_with(history, clock, touch="first", window=timedelta(days=3))
    await credited(tracker, event_time=NOW)
    (query,) = history.asked
    assert (query.telegram_id, query.bot_id, query.first) == (7, 42, True)
    assert (query.since, query.until) == (NOW - timedelta(days=3), NOW)
    await tracker.close()


async def test_a_session_that_is_named_asks_nobody(clock):
    history = Scripted(FOUND)
    tracker = tracker_with(history, clock)
    assert await credited(tracker, session_id="gp_named") == "gp_named"
    assert history.asked == []
    await tracker.close()


async def test_the_click_is_that_of_the_session_that_was_found(clock):
    tracker = tracker_with(Scripted(FOUND), clock)
    await tracker.register_click(Click(gclid="g-1"), session_id="gp_events")
    await tracker.register_click(Click(gclid="g-2"), session_id="gp_start")
    await tracker.capture(7, "gp_start", bot_id=42)
    event = await tracker.track("REG", telegram_id=7, bot_id=42)
    assert event.click.gclid == "g-1"
    await tracker.close()


async def test_a_session_is_told_as_an_event_would_be_credited(clock):
    tracker = tracker_with(Scripted(FOUND), clock)
    assert await tracker.session(7, 42) == FOUND
    await tracker.close()


async def test_a_first_deposit_looks_at_the_age_of_the_session_that_was_found(clock):
    tracker = tracker_with(Scripted(FOUND), clock)
    late = await tracker.deposit(
        telegram_id=7, bot_id=42, value=5, ftd_within=timedelta(days=2), event_time=NOW
    )
    assert late.name == "DEP"
    first = await tracker.deposit(
        telegram_id=8, bot_id=42, value=5, ftd_within=timedelta(days=4), event_time=NOW
    )
    assert first.name == "FTD"
    await tracker.close()


@pytest.mark.parametrize(
    "wrong", [ConnectionError("refused"), "gp_text", asyncio.CancelledError()]
)
async def test_a_history_that_fails_costs_no_event_and_is_left_alone(clock, caplog, wrong):
    history = Scripted(wrong)
    tracker = tracker_with(history, clock)
    await tracker.capture(7, "gp_start", bot_id=42)
    for _ in range(3):
        assert await credited(tracker) == "gp_start"
    assert len(history.asked) == tracker.counts["history_errors"] == 1
    assert "the history of sessions could not be asked" in caplog.text
    clock.advance(PAUSE)
    history.answers = [FOUND]
    assert await credited(tracker) == "gp_events"
    await tracker.close()


async def test_a_slow_history_costs_a_moment_once(clock):
    history = Scripted(asyncio.Event)
    tracker = tracker_with(history, clock)
    await tracker.capture(7, "gp_start", bot_id=42)
    began = time.monotonic()
    assert await credited(tracker) == "gp_start"
    assert PATIENCE <= time.monotonic() - began < PATIENCE * 3
    began = time.monotonic()
    assert await credited(tracker) == "gp_start"
    assert time.monotonic() - began < PATIENCE
    await tracker.close()


async def test_it_is_closed_with_the_tracker(caplog):
    history = Scripted(None)
    async with tracker_with(history):
        pass
    assert history.closed == 1

    class Stubborn(Scripted):
        async def close(self) -> None:
            msg = "no"
            raise OSError(msg)

    async with tracker_with(Stubborn(None)):
        pass
    assert "closing the history of sessions failed" in caplog.text


def test_what_cannot_find_is_refused():
    with pytest.raises(ConfigurationError, match=r"Attribution\(history=...\) must have find"):
        Attribution(history="https://clickhouse.example.com")
