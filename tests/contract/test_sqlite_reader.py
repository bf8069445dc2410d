"""What looks into a SQLite file that another process owns."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures import sample_store
from fixtures.sample_store import ANN
from gp_aiogram import SQLiteStore, StoreError, StoreMismatch, Tracker
from gp_aiogram.model.session import SessionQuery
from gp_aiogram.stores import from_url, reader_from_url
from gp_aiogram.stores.keys import opt_out_key
from gp_aiogram.stores.records import Change, ContextQuery, DeliveryFilter
from gp_aiogram.stores.sqlite import SQLiteReader
from gp_aiogram.stores.sqlite.schema import MIGRATIONS

ANY = DeliveryFilter()


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    clock = sample_store.noon()
    store = SQLiteStore(tmp_path / "gp.sqlite3", clock=clock)
    await store.open()
    await sample_store.fill(store, clock)
    yield store
    await store.close()


@pytest.fixture
async def reader(owner: SQLiteStore) -> AsyncIterator[SQLiteReader]:
    reader = SQLiteReader(owner.path)
    await reader.open()
    yield reader
    await reader.close()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_it_sees_what_its_owner_sees(owner: SQLiteStore, reader: SQLiteReader) -> None:
    assert await reader.outbox.counts() == await owner.outbox.counts()
    assert await reader.outbox.select(ANY) == await owner.outbox.select(ANY)
    assert await reader.sessions.history(ANN) == await owner.sessions.history(ANN)
    query = ContextQuery(SessionQuery(ANN), keys=[opt_out_key(ANN)])
    assert await reader.load_context(query) == await owner.load_context(query)
    tracker = Tracker([], store=owner, journal=None)
    await tracker.track("REG", telegram_id=7)
    await tracker.opt_out(ANN)
    assert await reader.outbox.counts() == await owner.outbox.counts()
    assert (await reader.load_context(query)).keys == {opt_out_key(ANN)}


@pytest.mark.parametrize(
    "write",
    [
        lambda reader: Tracker([], store=reader, journal=None).track("REG", telegram_id=7),
        lambda reader: reader.outbox.transition(ANY, Change("dead", "no"), limit=1),
        lambda reader: reader.outbox.erase(ANY, limit=1),
        lambda reader: reader.outbox.add_keys([opt_out_key(7)]),
        lambda reader: reader.sessions.erase(ANN),
        lambda reader: reader.profiles.add_traits(7, {"meta": {"em": "a" * 64}}),
    ],
)
async def test_it_writes_nothing(
    owner: SQLiteStore, reader: SQLiteReader, write: Callable[[Any], Awaitable[Any]]
) -> None:
    before = digest(owner.path), digest(Path(f"{owner.path}-wal"))
    with pytest.raises(StoreError, match="opened for reading only"):
        await write(reader)
    assert (digest(owner.path), digest(Path(f"{owner.path}-wal"))) == before


async def test_closing_it_makes_no_checkpoint(owner: SQLiteStore) -> None:
    wal = Path(f"{owner.path}-wal")
    before = digest(owner.path), digest(wal)
    assert wal.stat().st_size
    for _ in range(3):
        reader = SQLiteReader(owner.path)
        await reader.open()
        await reader.outbox.counts()
        await reader.close()
    assert (digest(owner.path), digest(wal)) == before


async def test_its_owner_may_start_its_log_anew_meanwhile(
    owner: SQLiteStore, reader: SQLiteReader
) -> None:
    """A transaction that stays open would keep all of the log."""
    tracker = Tracker([], store=owner, journal=None)
    wal = Path(f"{owner.path}-wal")
    for _ in range(3000):
        await tracker.track("REG", telegram_id=7)
        await reader.outbox.counts()
    # SQLite checkpoints every 1000 pages of 4 KiB.
    assert wal.stat().st_size < 3 * 1000 * 4096
    assert len(await reader.outbox.events(ANY, sample_store.EVERYTHING)) == 3003
    with sqlite3.connect(owner.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


async def test_it_comes_and_goes_while_its_owner_restarts(owner: SQLiteStore) -> None:
    reader = SQLiteReader(owner.path)
    await reader.open()
    counts = await reader.outbox.counts()
    await owner.close()
    assert await reader.outbox.counts() == counts
    await owner.open()
    assert await owner.outbox.transition(ANY, Change("dead", "no"), limit=1) == 1
    assert await reader.outbox.counts() != counts
    await reader.close()
    assert await reader.outbox.counts() == await owner.outbox.counts()  # opens again
    await reader.close()


@pytest.mark.parametrize("name", ["a b.sqlite3", "a%41?mode=rw.sqlite3", "a#b.sqlite3", "ä.db"])
async def test_a_file_of_any_name(tmp_path: Path, name: str) -> None:
    store = SQLiteStore(tmp_path / name)
    await store.open()
    await store.close()
    reader = SQLiteReader(tmp_path / name)
    await reader.open()
    assert await reader.outbox.counts() == {}
    await reader.close()


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the bot makes it when it first starts"):
        await SQLiteReader(tmp_path / "gp.sqlite3").open()
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("PRAGMA user_version = 1", "start the bot with this version"),
        (f"PRAGMA user_version = {len(MIGRATIONS) + 1}", "install the newer gp_aiogram"),
        ("PRAGMA application_id = 7", "is no gp_aiogram store"),
    ],
)
async def test_another_versions_file_is_not_read(
    tmp_path: Path, statement: str, told: str
) -> None:
    path = tmp_path / "gp.sqlite3"
    store = SQLiteStore(path)
    await store.open()
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(StoreMismatch, match=told):
        await SQLiteReader(path).open()


def test_a_reader_is_made_of_the_same_url(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gp%20x.sqlite3"
    reader, store = reader_from_url(url), from_url(url)
    assert isinstance(reader, SQLiteReader)
    assert isinstance(store, SQLiteStore)
    assert reader.path == store.path == tmp_path / "gp x.sqlite3"
