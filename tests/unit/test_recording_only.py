"""``Tracker(deliver=False)``: this process records, others deliver."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fixtures.recorder import Recorder
from gp_aiogram import MemoryStore, Settings, SQLiteStore, Tracker

COMPLETE = {
    "grampixel": {"api_key": "key", "workspace_id": "0f8fad5b-d9cb-469f-a165-70867728950e"},
    "store": "memory://",
}


class Watched(Recorder):
    """Tells whether it was closed, which only makes sense for what was opened."""

    closed = 0

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def shared(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """A store that several trackers of this test share, as processes share a server."""
    monkeypatch.setattr(type(store.outbox), "one_process", False)
    return store


@pytest.fixture
def bot_side() -> Watched:
    return Watched()


@pytest.fixture
async def recording(shared: MemoryStore, bot_side: Watched) -> AsyncIterator[Tracker]:
    async with Tracker([bot_side], store=shared, deliver=False) as tracker:
        yield tracker


async def test_an_event_is_stored_for_the_same_destinations_and_not_sent(
    recording: Tracker, bot_side: Watched
) -> None:
    event = await recording.track("REG", telegram_id=7)
    await asyncio.sleep(0.05)
    (delivery,) = await recording.deliveries(event.event_id)
    assert (delivery.destination, delivery.state) == ("recorder", "pending")
    await recording.close()
    assert (bot_side.events, bot_side.closed) == ([], 0)


async def test_the_log_says_that_workers_deliver_and_warns_of_nothing(
    shared: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Tracker([Recorder()], store=shared, deliver=False) as tracker:
        await tracker.track("REG", telegram_id=7)
    assert "this process records only: workers deliver (gp-aiogram worker)" in caplog.text
    assert "stored but not delivered" not in caplog.text
    assert "deliver=False" not in caplog.text


async def test_what_is_tracked_before_the_start_needs_no_warning(
    shared: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    await Tracker([Recorder()], store=shared, deliver=False).track("REG", telegram_id=7)
    assert "not delivered" not in caplog.text


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_store_of_one_process_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    store = MemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "gp.sqlite3")
    async with Tracker([Recorder()], store=store, deliver=False):
        pass
    assert "deliver=False, but only this process can use" in caplog.text
    assert "such as PostgreSQL" in caplog.text


async def test_flush_waits_until_somebody_else_has_delivered(
    recording: Tracker, shared: MemoryStore
) -> None:
    assert await recording.flush(0)
    await recording.track("REG", telegram_id=7)
    assert not await recording.flush(0.05)
    flushing = asyncio.create_task(recording.flush(5))
    await asyncio.sleep(0.01)
    assert not flushing.done()
    worker = Recorder()
    async with Tracker([worker], store=shared):
        assert await flushing
    assert [event.name for event in worker.events] == ["REG"]


async def test_flush_waits_for_what_another_process_has_under_way(
    recording: Tracker, shared: MemoryStore
) -> None:
    await recording.track("REG", telegram_id=7)
    await shared.outbox.claim("recorder", 1, lease=60)
    assert not await recording.flush(0.05)


async def test_stats_show_the_store_and_no_state_of_others(recording: Tracker) -> None:
    await recording.track("REG", telegram_id=7)
    stats = await recording.stats()
    one = stats.destinations["recorder"]
    assert (one.state, one.deliveries, one.retried) == (None, {"pending": 1}, 0)
    assert one.oldest_pending is not None
    assert stats.counts == {"tracked": 1}
    assert dict(recording.states) == {}
    assert recording.running
    assert not recording.delivers


async def test_a_tracker_that_delivers_tells_its_states_and_whether_it_runs() -> None:
    tracker = Tracker([Recorder()], store=MemoryStore())
    assert tracker.delivers
    assert dict(tracker.states) == {"recorder": "healthy"}
    assert not tracker.running
    async with tracker:
        assert tracker.running
    assert not tracker.running


async def test_starting_again_is_harmless(
    recording: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await recording.start()
    assert "started" not in caplog.text


async def test_the_setting_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Tracker.from_settings(Settings(**COMPLETE)).delivers
    monkeypatch.setenv("GP_DELIVER", "false")
    assert not Tracker.from_settings(Settings(**COMPLETE)).delivers
