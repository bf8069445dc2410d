"""Several processes in one folder, each with a journal of its own, and what ended ones leave.

A tracker of the same process stands in for another process: the locks keep them apart alike.
tests/faults does it with processes that are killed.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fixtures.delivery import until
from fixtures.recorder import Recorder
from gp_aiogram import MemoryStore, SQLiteStore, StoreUnavailable, Tracker
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.records import DeliveryFilter
from gp_aiogram.tracker import adoption
from gp_aiogram.tracker.request import DepositRules, EventRequest


class Database:
    """Is shared by all trackers, and away at will."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = MemoryStore()
        self.is_away = False
        for name in ("accept", "known_keys"):
            monkeypatch.setattr(self.store.outbox, name, self.unless_away(name))

    def unless_away(self, name: str) -> Any:
        works = getattr(self.store.outbox, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.is_away:
                msg = "the database is away"
                raise StoreUnavailable(msg)
            return await works(*args, **kwargs)

        return call


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    return Database(monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gp.journal"


@asynccontextmanager
async def running(store: Store, path: Path) -> AsyncIterator[Tracker]:
    async with Tracker([Recorder()], store=store, journal=path) as tracker:
        yield tracker


async def register(tracker: Tracker, user: int) -> None:
    request = EventRequest(name="REG", telegram_id=user, bot_id=42, event_id=f"e{user}")
    assert await tracker.intake.track(request) is not None


async def pay(tracker: Tracker, order: str) -> None:
    request = EventRequest(name="DEP", telegram_id=7, bot_id=42, value=5, once=order)
    assert await tracker.intake.deposit(request, DepositRules()) is not None


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if file.suffix != ".lock"}


async def leave(database: Database, path: Path, *users: int) -> None:
    """Be a process that ends while the database is away."""
    database.is_away = True
    async with running(database.store, path) as tracker:
        for user in users:
            await register(tracker, user)


async def test_each_process_has_a_journal_of_its_own(database: Database, path: Path) -> None:
    async with running(database.store, path) as one, running(database.store, path) as other:
        database.is_away = True
        await register(one, 7)
        await register(other, 8)
        await one.intake.capture(7, "gp_a", bot_id=42, source="start", at=None)
        assert names(path.parent) == {"gp.journal", "gp.journal.2", "gp.journal.touches"}
        database.is_away = False
        await until(lambda: not one.intake.waiting and not other.intake.waiting)
        assert names(path.parent) == set()
        assert one.counts["tracked"] == other.counts["tracked"] == 1


async def test_what_an_ended_process_left_is_recorded_while_another_runs(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "LOOK_EVERY", 0.01)
    async with running(database.store, path) as lives:
        await leave(database, path, 7, 8)
        await until(lambda: lives.intake.waiting == 2)
        database.is_away = False
        await until(lambda: not lives.intake.waiting)
        assert lives.counts["tracked"] == 2
        assert names(path.parent) == set()


async def test_one_process_takes_over_what_was_left(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "LOOK_EVERY", 0.01)
    async with running(database.store, path) as one, running(database.store, path) as other:
        await leave(database, path, *range(1, 21))
        await until(lambda: one.intake.waiting + other.intake.waiting == 20)
        assert {one.intake.waiting, other.intake.waiting} == {0, 20}
        database.is_away = False
        await until(lambda: not one.intake.waiting + other.intake.waiting)
        assert one.counts["tracked"] + other.counts["tracked"] == 20
        assert not one.counts["duplicates"] + other.counts["duplicates"]


async def test_a_slot_whose_process_lives_is_left_alone(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "LOOK_EVERY", 0.01)
    async with running(database.store, path) as one:
        database.is_away = True
        await register(one, 7)
        async with running(database.store, path) as other:
            await asyncio.sleep(0.1)
            assert (one.intake.waiting, other.intake.waiting) == (1, 0)


async def test_restarts_amid_an_outage_keep_one_file_and_the_order(
    database: Database, path: Path
) -> None:
    for order in ("o1", "o2", "o3"):
        database.is_away = True
        async with running(database.store, path) as tracker:
            await pay(tracker, order)
    assert names(path.parent) == {"gp.journal"}
    database.is_away = False
    async with running(database.store, path) as tracker:
        await pay(tracker, "o4")
        await until(lambda: not tracker.intake.waiting)
        recorded = await database.store.outbox.select(DeliveryFilter(telegram_id=7))
    assert [delivery.event.name for delivery in recorded] == ["FTD", "DEP", "DEP", "DEP"]


async def test_forget_reaches_what_was_taken_over(database: Database, path: Path) -> None:
    await leave(database, path, 7)
    database.is_away = True
    async with running(database.store, path) as first, running(database.store, path) as second:
        await register(first, 8)
        await register(second, 9)
        await first.forget(7)
        assert {json.loads(line)["telegram_id"] for line in path.read_text().splitlines()} == {8}
        database.is_away = False
        await until(lambda: not first.intake.waiting)
        assert await first.deliveries("e7") == []
        assert first.counts["tracked"] == 1


async def test_forgetting_keeps_the_lines_of_others_at_any_moment(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut while a user is erased costs nobody else a line."""
    database.is_away = True
    seen: list[str] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        sync(descriptor)
        seen.append(path.read_text())

    async with running(database.store, path) as tracker:
        for user in (7, 8):
            await register(tracker, user)
        monkeypatch.setattr(os, "fsync", watched)
        await tracker.forget(7)
        monkeypatch.undo()
        monkeypatch.setattr(database.store.outbox, "accept", database.unless_away("accept"))
    assert seen
    assert all('"telegram_id":8' in text for text in seen)
    assert '"telegram_id":7' not in seen[-1]


async def test_a_line_that_is_erased_while_it_is_recorded_takes_no_other_with_it(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.is_away = True
    async with running(database.store, path) as tracker:
        for user in (7, 8):
            await register(tracker, user)
        accept, begun, going = database.store.outbox.accept, asyncio.Event(), asyncio.Event()

        async def slow(*args: Any) -> Any:
            begun.set()
            await going.wait()
            return await accept(*args)

        monkeypatch.setattr(database.store.outbox, "accept", slow)
        database.is_away = False
        await begun.wait()
        await tracker.intake.erase(7)
        going.set()
        await until(lambda: not tracker.intake.waiting)
        assert len(await tracker.deliveries("e8")) == 1


async def test_what_is_taken_over_while_a_line_is_recorded_is_not_taken_for_it(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes before this process's own lines."""
    monkeypatch.setattr(adoption, "LOOK_EVERY", 0.01)
    elsewhere = path.with_name("elsewhere")
    await leave(database, elsewhere, 8)
    async with running(database.store, path) as tracker:
        database.is_away = True
        await register(tracker, 7)
        accept, begun, going = database.store.outbox.accept, asyncio.Event(), asyncio.Event()

        async def slow(*args: Any) -> Any:
            begun.set()
            await going.wait()
            return await accept(*args)

        database.is_away = False
        monkeypatch.setattr(database.store.outbox, "accept", slow)
        await begun.wait()
        elsewhere.rename(path.with_name("gp.journal.5"))
        await until(lambda: tracker.intake.waiting == 2)
        going.set()
        await until(lambda: not tracker.intake.waiting)
        assert len(await tracker.deliveries("e7")) == 1
        assert len(await tracker.deliveries("e8")) == 1


async def test_what_waits_for_another_store_is_left_alone(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two bots in one folder: what one has left must not get into the other's store."""
    first = SQLiteStore(path.with_name("one.sqlite3"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first.outbox, "accept", None)  # fails
        async with running(first, path) as tracker:
            await register(tracker, 7)
    other = SQLiteStore(path.with_name("two.sqlite3"))
    async with running(other, path) as tracker:
        assert tracker.intake.waiting == 0
        assert path.exists()
        assert "another store (one.sqlite3; this one is two.sqlite3)" in caplog.text
    async with running(first, path) as tracker:
        await until(lambda: not tracker.intake.waiting)
        assert tracker.counts["tracked"] == 1
    assert not path.exists()


async def test_a_folder_that_moves_with_its_store_keeps_its_journal(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    store = SQLiteStore(old / "gp.sqlite3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.outbox, "accept", None)  # fails
        async with running(store, old / "gp.journal") as tracker:
            await register(tracker, 7)
    old.rename(new)
    async with running(SQLiteStore(new / "gp.sqlite3"), new / "gp.journal") as tracker:
        await until(lambda: not tracker.intake.waiting)
        assert tracker.counts["tracked"] == 1


async def test_a_journal_of_an_earlier_version_is_anybodys(database: Database, path: Path) -> None:
    await leave(database, path, 7)
    line = json.loads(path.read_text())
    del line["store"]
    path.write_text(json.dumps(line) + "\n")
    database.is_away = False
    async with running(database.store, path) as tracker:
        await until(lambda: not tracker.intake.waiting)
        assert tracker.counts["tracked"] == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
async def test_a_forked_process_does_not_touch_its_parents_journal(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "LOOK_EVERY", 0.01)
    async with running(database.store, path) as tracker:
        database.is_away = True
        await register(tracker, 7)
        child = os.fork()
        if child == 0:
            be_forked(tracker)
        await asyncio.to_thread(os.waitpid, child, 0)
        assert '"telegram_id":8' not in path.read_text()
        await until(lambda: tracker.intake.waiting == 2)
        database.is_away = False
        await until(lambda: not tracker.intake.waiting)
        assert tracker.counts["tracked"] == 2


def be_forked(tracker: Tracker) -> None:
    """Record in a process of one's own, which ends without a word."""
    code = 1
    try:
        asyncio.set_event_loop(None)
        asyncio._set_running_loop(None)
        if tracker.intake.waiting == 0:
            asyncio.new_event_loop().run_until_complete(register(tracker, 8))
            code = 0
    finally:
        os._exit(code)


async def test_a_folder_that_cannot_be_written_keeps_what_waits_in_memory(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    async with running(database.store, tmp_path / "file" / "gp.journal") as tracker:
        database.is_away = True
        await register(tracker, 7)
        assert "requests are kept in memory" in caplog.text
        database.is_away = False
        await until(lambda: not tracker.intake.waiting)
        assert tracker.counts["tracked"] == 1
