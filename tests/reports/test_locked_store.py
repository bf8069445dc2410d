"""A backup or a database browser holds the file's lock: the handler runs, and nothing is lost."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from aiogram import Bot, Dispatcher, F
from aiogram.types import Message

from fixtures import updates
from fixtures.recorder import Recorder
from gp_aiogram import SQLiteStore, Tracker, track


async def test_nobody_waits_for_the_lock_and_nothing_is_lost(
    tmp_path: Path, recorder: Recorder, bot: Bot
) -> None:
    path = tmp_path / "gp.sqlite3"
    tracker = Tracker([recorder], store=SQLiteStore(path), journal=tmp_path / "gp.journal")
    dp, called = Dispatcher(), []
    tracker.setup(dp)

    @dp.message(F.text == "go")
    @track("REG")
    async def go(message: Message) -> None:
        called.append(time.monotonic())

    @dp.message()
    async def other(message: Message) -> None:
        called.append(time.monotonic())

    await dp.emit_startup()
    browser = sqlite3.connect(path, isolation_level=None)
    browser.execute("BEGIN IMMEDIATE")
    now = int(time.time())
    began = time.monotonic()
    await dp.feed_raw_update(bot, updates.start("gp_abc", date=now))
    assert called[-1] - began < 1
    await dp.feed_raw_update(bot, updates.message("go", date=now))
    assert time.monotonic() - began < 3
    browser.execute("ROLLBACK")
    browser.close()
    assert await tracker.flush(10)
    session = await tracker.session(7, 42)
    assert session is not None
    assert session.session_id == "gp_abc"
    assert [(event.name, event.session_id) for event in recorder.events] == [("REG", "gp_abc")]
    await dp.emit_shutdown()
