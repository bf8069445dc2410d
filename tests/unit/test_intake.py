"""What handlers record while a store is away, step by step; tests/faults kills bots at it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from gp_aiogram import MemoryStore, StoreError, StoreUnavailable, Tracker
from gp_aiogram.tracker.journals import Journals
from gp_aiogram.tracker.request import EventRequest


async def capture(tracker: Tracker) -> None:
    now = datetime.now(timezone.utc)
    await tracker.intake.capture(7, "gp_a", bot_id=42, source="start", at=now)


def fail_once(part: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    works, failures = getattr(part, name), iter([StoreError("away")])

    async def fail(*args: Any, **kwargs: Any) -> Any:
        for failure in failures:
            raise failure
        return await works(*args, **kwargs)

    monkeypatch.setattr(part, name, fail)


async def away(*args: Any, **kwargs: Any) -> Any:
    msg = "away"
    raise StoreUnavailable(msg)


async def test_a_touch_that_leaves_the_journal_while_the_store_is_read_is_not_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    tracker = Tracker([], store=store)
    fail_once(store.sessions, "add", monkeypatch)
    await capture(tracker)
    assert tracker.intake.waiting == 1
    load = store.load_context

    async def load_and_wait(query: Any) -> Any:
        context = await load(query)
        while tracker.intake.waiting:
            await asyncio.sleep(0.01)
        return context

    monkeypatch.setattr(store, "load_context", load_and_wait)
    event = await tracker.track("REG", telegram_id=7, bot_id=42)
    assert event is not None
    assert event.session_id == "gp_a"
    await tracker.close()


async def test_what_waits_of_a_forgotten_user_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = MemoryStore()
    tracker = Tracker([], store=store, journal=tmp_path / "gp.journal")
    monkeypatch.setattr(store.outbox, "accept", away)
    for user in (7, 8):
        request = EventRequest(name="REG", telegram_id=user, bot_id=42, event_id=f"e{user}")
        assert await tracker.intake.track(request) is not None
    await tracker.forget(7)
    assert b'"telegram_id":7' not in (tmp_path / "gp.journal").read_bytes()
    monkeypatch.undo()
    assert await tracker.intake.flush(5)
    assert await tracker.deliveries("e7") == []
    assert (await tracker.stats()).counts["tracked"] == 1
    assert not (tmp_path / "gp.journal").exists()
    await tracker.close()


async def test_a_line_that_a_crash_has_torn_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "gp.journal"
    store = MemoryStore()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.outbox, "accept", away)
        async with Tracker([], store=store, journal=path) as tracker:
            await tracker.intake.track(EventRequest(name="REG", telegram_id=7, bot_id=42))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind":"event","telegram_id":8,"ev')
    async with Tracker([], store=store, journal=path) as tracker:
        assert await tracker.flush(5)
        assert (await tracker.stats()).counts["tracked"] == 1


async def test_a_power_cut_at_any_byte_costs_no_line_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "gp.journal"
    first = Journals(path)
    ends = [0]
    for user in (7, 8, 9):
        assert await first.events.append({"kind": "opt_out", "telegram_id": user})
        ends.append(path.stat().st_size)
    whole = path.read_bytes()
    await first.close()
    for cut in range(1, len(whole) + 1):
        path.write_bytes(whole[:cut])
        journals = Journals(path)
        assert await journals.adopt() == len(journals.events)
        after = journals.events
        acknowledged = sum(end <= cut for end in ends[1:])
        # A line that misses its line feed only was written, though nobody was told so.
        assert acknowledged <= len(after) <= acknowledged + 1
        assert await after.append({"kind": "opt_in", "telegram_id": 10})
        users = [line["telegram_id"] for line in await after.matching(lambda _: True)]
        assert users[:acknowledged] == [7, 8, 9][:acknowledged]
        assert users[-1] == 10
        await journals.close()
