"""A Redis server that is killed while a bot captures touches and records events of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from random import Random

import pytest

from fixtures.fault_table import RUNS, Table
from fixtures.recorder import Recorder
from fixtures.redis_servers import RedisServer, redis_server
from gp_aiogram import RedisStore, SQLiteStore, Store, Tracker
from gp_aiogram.tracker import journal_queue
from gp_aiogram.tracker.request import EventRequest

KILLS = 4 * RUNS

#: Seconds for what happens after a server is back, on a slow machine too.
PATIENCE = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    options = ("--appendonly", "yes", "--appendfsync", "always")
    with redis_server(tmp_path / "redis", *options) as server:
        yield server


class Visitors:
    """Come by links, one after the other, and register."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._users = count(1)
        self._open = True
        self.captured: list[int] = []

    async def come(self, draw: Random) -> None:
        while self._open:
            user = next(self._users)
            now = datetime.now(timezone.utc)
            await self._tracker.intake.capture(
                user, f"gp_{user}", bot_id=42, source="start", at=now
            )
            self.captured.append(user)
            await self._tracker.intake.track(
                EventRequest(name="REG", telegram_id=user, bot_id=42, once="user")
            )
            await asyncio.sleep(draw.uniform(0, 0.01))

    def close(self) -> None:
        self._open = False


async def test_a_redis_server_that_is_killed_costs_no_touch(
    server: RedisServer, tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_queue, "_PAUSE", 0.05)
    draw, recorder = Random(3), Recorder()
    store = Store.of(RedisStore(server.url), SQLiteStore(tmp_path / "gp.sqlite3"))
    async with Tracker([recorder], store=store, journal=tmp_path / "gp.journal") as tracker:
        visitors = Visitors(tracker)
        coming = [asyncio.create_task(visitors.come(Random(n))) for n in range(4)]
        for _ in range(KILLS):
            await asyncio.sleep(draw.uniform(0.1, 0.4))
            server.kill()
            await asyncio.sleep(draw.uniform(0, 0.3))
            await asyncio.to_thread(server.start)
        await asyncio.sleep(0.3)
        visitors.close()
        await asyncio.gather(*coming)
        deadline = time.monotonic() + PATIENCE
        while tracker.intake.waiting:
            assert time.monotonic() < deadline, "the journal is not worked off"
            await asyncio.sleep(0.02)
        assert tracker.counts["journaled"]
        assert await tracker.flush(PATIENCE)
        lost = [user for user in visitors.captured if not await store.sessions.history(user)]
    events = [event.telegram_id for event in recorder.events if event.name == "REG"]
    lost += {*visitors.captured} - {*events}
    table.add(
        "kill -9 of a Redis server",
        kills=KILLS,
        acknowledged=2 * len(visitors.captured),
        lost=len(lost),
        duplicated=len(events) - len({*events}),
    )
    assert not lost
    assert len(events) == len({*events})
    sessions = {event.telegram_id: event.session_id for event in recorder.events}
    assert sessions == {user: f"gp_{user}" for user in visitors.captured}
