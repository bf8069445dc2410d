"""A SQLite file that is locked, full, gone or spoilt: what is told, and what goes on."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from gp_aiogram.errors import StoreError, StoreLocked, StoreMismatch, StoreUnavailable
from gp_aiogram.model.session import Session, SessionQuery
from gp_aiogram.stores.records import Change, ContextQuery, DeliveryFilter, Outcome
from gp_aiogram.stores.sqlite import SQLiteStore
from gp_aiogram.stores.sqlite import file as file_module
from gp_aiogram.stores.sqlite.failures import is_outage
from gp_aiogram.testing.samples import (
    CLICK,
    NOON,
    USER,
    claim_all,
    claim_one,
    dead_letters,
    deliveries_of,
    entry,
    fill,
    ids,
    sample,
)

#: Seconds that a locked file is waited for, and that a machine under load may take besides.
PATIENCE, SLACK = 1.0, 1.5


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gp.sqlite3"


@pytest.fixture
async def store(path):
    async with opened(path) as store:
        yield store


@pytest.fixture
def outbox(store):
    return store.outbox


@asynccontextmanager
async def opened(path):
    store = SQLiteStore(path)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def locked(path, how="IMMEDIATE"):
    """Hold the file's lock, as a database browser does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"BEGIN {how}")
        yield
        connection.execute("ROLLBACK")


def change(path, statement, *parameters):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement, parameters)
        connection.commit()


def fail_commits(store, monkeypatch, code):
    """Have every commit fail with a code that SQLite gives."""

    class Failing(sqlite3.OperationalError):
        sqlite_errorcode = code

    commits = []

    async def fail(_):
        commits.append(code)
        raise Failing

    monkeypatch.setattr(store._file._commits, "_transact", fail)
    return commits


# Locked, full, broken


async def test_a_locked_file_holds_up_a_whole_batch_once(outbox, path):
    await fill(outbox, "e0")
    with locked(path):
        start = time.monotonic()
        accepting = (outbox.accept(entry(f"e{n}")) for n in range(1, 6))
        results = await asyncio.gather(*accepting, return_exceptions=True)
        assert time.monotonic() - start < PATIENCE + SLACK
    assert {type(result) for result in results} == {StoreUnavailable}
    assert "locked" in str(results[0])
    assert await outbox.accept(entry("e1")) == "stored"


async def test_a_full_disk_fails_a_whole_batch(store, outbox):
    connection = store._file._opened.connection
    ((pages,),) = await connection.execute_fetchall("PRAGMA page_count")
    await connection.execute_fetchall(f"PRAGMA max_page_count = {pages + 8}")
    large = [entry(sample(f"e{n}", user_data={"x": "x" * 20_000})) for n in range(5)]
    results = await asyncio.gather(*map(outbox.accept, large), return_exceptions=True)
    assert {type(result) for result in results} == {StoreUnavailable}
    assert await outbox.counts() == {}


async def test_a_commit_whose_outcome_is_unknown_is_not_tried_again(store, outbox, monkeypatch):
    commits = fail_commits(store, monkeypatch, (12 << 8) | 10)
    results = await asyncio.gather(
        *(outbox.accept(entry(f"e{n}")) for n in range(3)), return_exceptions=True
    )
    assert {type(result) for result in results} == {StoreUnavailable}
    assert len(commits) == 1
    monkeypatch.undo()


async def test_an_outage_ends_the_trying_one_by_one(store, outbox, monkeypatch):
    commits = []

    async def fail(batch):
        commits.append(batch)
        text = "not authorized" if len(commits) < 3 else OUTAGES[5]
        raise sqlite3.OperationalError(text)

    monkeypatch.setattr(store._file._commits, "_transact", fail)
    results = await asyncio.gather(
        *(outbox.accept(entry(f"e{n}")) for n in range(5)), return_exceptions=True
    )
    assert [type(result) for result in results] == [StoreError, *[StoreUnavailable] * 4]
    assert len(commits) == 3
    monkeypatch.undo()


OUTAGES = {
    5: "database is locked",
    6: "database table is locked",
    8: "attempt to write a readonly database",
    10: "disk I/O error",
    13: "database or disk is full",
    14: "unable to open database file",
    15: "locking protocol",
}


@pytest.mark.parametrize(("code", "text"), OUTAGES.items())
def test_outages_are_recognised_by_code_or_else_by_text(code, text):
    """Python 3.10 knows no codes."""
    assert is_outage(sqlite3.OperationalError(text))
    coded = sqlite3.OperationalError("whatever")
    coded.sqlite_errorcode = code | (3 << 8)
    assert is_outage(coded)


@pytest.mark.parametrize("code", [1, 19, 20, 23])
def test_what_one_item_has_brought_about_is_no_outage(code):
    coded = sqlite3.OperationalError("database is locked")
    coded.sqlite_errorcode = code
    assert not is_outage(coded)
    assert not is_outage(sqlite3.IntegrityError("UNIQUE constraint failed"))
    assert not is_outage(OverflowError("database is locked"))


@pytest.mark.parametrize("how", ["IMMEDIATE", "EXCLUSIVE"])
async def test_a_file_that_is_locked_at_the_start_is_opened_later(path, how):
    change(path, "CREATE TABLE x (y)")
    change(path, "DROP TABLE x")
    store = SQLiteStore(path)
    with locked(path, how):
        start = time.monotonic()
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.open()
        assert time.monotonic() - start < PATIENCE + SLACK
        with pytest.raises(StoreUnavailable):
            await store.outbox.accept(entry("e1"))
    assert await store.outbox.accept(entry("e1")) == "stored"
    await store.close()


async def test_opening_fails_once_for_all_that_wait(path, monkeypatch):
    tries = []

    async def connect(_):
        tries.append(1)
        raise sqlite3.OperationalError(OUTAGES[10])

    monkeypatch.setattr(file_module, "connect", connect)
    store = SQLiteStore(path)
    results = await asyncio.gather(
        *(store.outbox.accept(entry(f"e{n}")) for n in range(5)), return_exceptions=True
    )
    assert {type(result) for result in results} == {StoreUnavailable}
    assert len(tries) == 1


async def test_a_file_that_never_can_be_opened_is_no_outage(path):
    path.mkdir()
    with pytest.raises(StoreError) as raised:
        await SQLiteStore(path).open()
    assert not isinstance(raised.value, StoreUnavailable)


# Its owner


LINKS = {"symbolic": os.symlink, "hard": os.link}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
async def test_another_name_of_the_file_is_locked_too(store, outbox, path, tmp_path, link):
    other = tmp_path / "elsewhere" / "other.sqlite3"
    other.parent.mkdir()
    link(path, other)
    with pytest.raises(StoreLocked):
        await SQLiteStore(other).open()
    assert opens_elsewhere(other) == "StoreLocked"
    await fill(outbox, "e1")
    await store.close()
    async with opened(other) as second:
        assert ids(await claim_all(second.outbox)) == ["e1"]


async def test_a_link_to_nothing_makes_the_file(path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    async with opened(tmp_path / "link"):
        assert path.is_file()
        with pytest.raises(StoreLocked):
            await SQLiteStore(path).open()


async def test_nobody_gets_in_when_the_lock_file_is_removed(store, outbox, path):
    Path(f"{path}.lock").unlink()
    with pytest.raises(StoreLocked):
        await SQLiteStore(path).open()
    assert opens_elsewhere(path) == "StoreLocked"
    await fill(outbox, "e1")
    assert ids(await claim_all(outbox)) == ["e1"]


async def test_a_temporary_folder_that_cannot_be_used_costs_nothing(path, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    async with opened(path) as store:
        await fill(store.outbox, "e1")
        with pytest.raises(StoreLocked):
            await SQLiteStore(path).open()


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX modes")
@pytest.mark.parametrize("planted", ["file", "link", "folder for all"])
async def test_no_lock_is_put_where_somebody_else_may_write(path, monkeypatch, tmp_path, planted):
    target = tmp_path / "target"
    target.mkdir()
    folder = tmp_path / f"gp_aiogram-{os.getuid()}"
    if planted == "file":
        folder.touch()
    elif planted == "link":
        folder.symlink_to(target)
    else:
        folder.mkdir()
        folder.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with opened(path) as store:
        await fill(store.outbox, "e1")
    assert not any(target.iterdir())
    assert folder.is_file() or not any(folder.iterdir())


def opens_elsewhere(path):
    """Open the store in another process, and return the error's name."""
    script = """
import asyncio, sys
from gp_aiogram.errors import StoreError
from gp_aiogram.stores.sqlite import SQLiteStore
try:
    asyncio.run(SQLiteStore(sys.argv[1]).open())
except StoreError as error:
    print(type(error).__name__)
"""
    command = [sys.executable, "-c", script, path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX modes")
async def test_only_its_owner_can_read_the_files(outbox, tmp_path):
    await fill(outbox, "e1")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == dict.fromkeys(
        ("gp.sqlite3", "gp.sqlite3-wal", "gp.sqlite3-shm", "gp.sqlite3.lock"), 0o600
    )


# Its place


async def test_a_deleted_file_takes_nothing_more(store, outbox, path, caplog):
    await fill(outbox, "e1")
    path.unlink()
    for n in range(2):
        with pytest.raises(StoreUnavailable, match="deleted"):
            await outbox.accept(entry(f"f{n}"))
    with pytest.raises(StoreUnavailable):
        await outbox.counts()
    assert not path.exists()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    await store.open()
    assert await outbox.accept(entry("f0")) == "stored"
    assert await outbox.counts() == {"a": {"pending": 1}}


async def test_a_deleted_file_is_noticed_by_who_only_reads(outbox, path):
    path.unlink()
    with pytest.raises(StoreUnavailable):
        await outbox.wait("a", 0)


async def test_a_store_whose_file_is_gone_can_be_closed(store, outbox, path):
    path.unlink()
    with pytest.raises(StoreUnavailable):
        await outbox.counts()
    await store.close()
    assert not path.exists()


async def test_a_file_put_in_its_place_is_taken(store, outbox, path, tmp_path, caplog):
    other = tmp_path / "other.sqlite3"
    async with opened(other) as second:
        await fill(second.outbox, "other")
    os.utime(other, (time.time() - 60,) * 2)
    await fill(outbox, "e1")
    stale = await claim_one(outbox)
    other.replace(path)
    with pytest.raises(StoreUnavailable, match="replaced"):
        await outbox.accept(entry("e2"))
    assert await outbox.accept(entry("e2")) == "stored"
    await outbox.settle([Outcome(stale, "dead")])
    assert ids(await claim_all(outbox)) == ["other", "e2"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    connection = store._file._opened.connection
    assert await connection.execute_fetchall("PRAGMA integrity_check") == [("ok",)]


async def test_a_process_may_go_to_another_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with opened(path.name) as store:
        monkeypatch.chdir("/")
        await fill(store.outbox, "e1")
        path.rename(tmp_path / "aside")
        with pytest.raises(StoreUnavailable):
            await store.outbox.counts()
        os.utime(tmp_path / "aside", (time.time() - 60,) * 2)
        (tmp_path / "aside").rename(path)
        assert ids(await claim_all(store.outbox)) == ["e1"]


async def test_a_file_that_is_being_copied_is_left_alone(outbox, path, tmp_path):
    await fill(outbox, "e1")
    path.rename(tmp_path / "aside")
    path.write_bytes(b"SQLite format 3\0")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await outbox.counts()
    assert path.read_bytes() == b"SQLite format 3\0"


async def test_a_file_that_was_moved_away_holds_everything_and_may_come_back(
    outbox, path, tmp_path
):
    await fill(outbox, "e1", "e2")
    aside = tmp_path / "aside.sqlite3"
    path.rename(aside)
    with pytest.raises(StoreUnavailable):
        await outbox.counts()
    shutil.copy(aside, tmp_path / "copy.sqlite3")
    async with opened(tmp_path / "copy.sqlite3") as copy:
        assert await copy.outbox.counts() == {"a": {"pending": 2}}
    os.utime(aside, (time.time() - 60,) * 2)
    aside.rename(path)
    assert ids(await claim_all(outbox)) == ["e1", "e2"]


async def test_another_programs_file_in_its_place_is_left_alone(outbox, path, tmp_path):
    other = tmp_path / "other"
    change(other, "CREATE TABLE users (id)")
    os.utime(other, (time.time() - 60,) * 2)
    other.replace(path)
    with pytest.raises(StoreUnavailable):
        await outbox.counts()
    with pytest.raises(StoreMismatch):
        await outbox.counts()


# Rows that cannot be read

SPOILT = {
    "cut off": "{",
    "no object": "[]",
    "a field is missing": '{"event_id": "bad"}',
    "a blob": b"\xff\xfe",
    "no time": '{"event_id":"bad","name":"REG","event_time":"ada@example.org","value":null}',
}


async def spoil(path, body, *event_ids):
    """Spoil the bodies of two events of three."""
    async with opened(path) as store:
        for event_id in ("e1", "bad", "e2"):
            await store.outbox.accept(
                entry(sample(event_id, bot_id=42), ["a", "b"], order=event_id)
            )
    change(path, "UPDATE event SET body = ? WHERE event_id = 'bad'", body)


@pytest.mark.parametrize("body", SPOILT.values(), ids=SPOILT)
async def test_an_event_that_cannot_be_read_is_a_dead_letter(path, body, caplog):
    await spoil(path, body)
    async with opened(path) as store:
        outbox = store.outbox
        assert ids(await claim_all(outbox)) == ["e1", "e2"]
        assert await outbox.counts() == {
            "a": {"pending": 2, "dead": 1},
            "b": {"pending": 3},
        }
        (letter,) = await dead_letters(outbox)
        assert (letter.event.event_id, letter.event.name) == ("bad", "REG")
        assert (letter.event.telegram_id, letter.event.bot_id) == (USER, 42)
        assert (letter.destination, letter.state) == ("a", "dead")
        assert letter.reason.startswith("the stored event cannot be read: ")
        assert "ada@" not in letter.reason + caplog.text
        assert "bad" in caplog.text


@pytest.mark.parametrize("body", SPOILT.values(), ids=SPOILT)
async def test_whoever_looks_is_shown_what_cannot_be_read(path, body):
    await spoil(path, body)
    async with opened(path) as store:
        found = await store.outbox.select(DeliveryFilter(destination="a"))
        assert [(delivery.event.event_id, delivery.state) for delivery in found] == [
            ("e1", "pending"),
            ("bad", "dead"),
            ("e2", "pending"),
        ]
        assert "cannot be read" in found[1].reason
        assert len(await deliveries_of(store.outbox, "bad")) == 2


async def test_what_cannot_be_read_can_be_replayed_and_erased(path):
    await spoil(path, "{")
    async with opened(path) as store:
        outbox = store.outbox
        await claim_all(outbox)
        dead = DeliveryFilter(states=frozenset({"dead"}))
        assert await outbox.transition(dead, Change("pending", restart=True), limit=9) == 1
        assert list(await claim_all(outbox)) == []
        assert ids(await dead_letters(outbox)) == ["bad"]
        assert await outbox.erase(DeliveryFilter(telegram_id=USER), limit=9) == 3


async def test_a_delivery_whose_event_is_gone_holds_up_nobody(path):
    await spoil(path, "{")
    change(path, "DELETE FROM event WHERE event_id = 'bad'")
    async with opened(path) as store:
        assert ids(await claim_all(store.outbox)) == ["e1", "e2"]
        assert await store.outbox.wait("a", 0) is False


@pytest.mark.parametrize("column", ["since_ms", "due_ms", "attempts", "batch_cap"])
@pytest.mark.parametrize("value", [b"\xff", "soon", 2**62])
async def test_a_delivery_that_cannot_be_read_holds_up_nobody(path, column, value):
    if column in {"attempts", "batch_cap"} and value == 2**62:
        return
    await spoil(path, sample("bad", bot_id=42).to_json())
    change(path, f"UPDATE delivery SET {column} = ? WHERE seq = 2 AND destination = 'a'", value)
    async with opened(path) as store:
        claimed = [*await claim_all(store.outbox), *await claim_all(store.outbox, capped=True)]
        assert ids(claimed) == ["e1", "e2"]
        shown = {
            one.event.event_id: one.state
            for one in await store.outbox.select(DeliveryFilter(destination="a"))
        }
        assert shown == {"e1": "pending", "bad": "dead", "e2": "pending"}


async def test_a_receipt_that_cannot_be_read_is_left_out(path, caplog):
    await spoil(path, sample("bad", bot_id=42).to_json())
    change(path, "UPDATE delivery SET receipt = '{' WHERE seq = 2")
    async with opened(path) as store:
        assert ids(await claim_all(store.outbox)) == ["e1", "bad", "e2"]
        assert [one.receipt for one in await store.outbox.select(DeliveryFilter())] == [{}] * 6
    assert "receipt" in caplog.text


@pytest.mark.parametrize("version", [1, 2])
async def test_an_old_file_with_a_spoilt_event_is_brought_up_to_date(path, version):
    dump = Path(__file__).parents[1] / "data" / "schema" / f"v{version}.sql"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))
    change(path, "UPDATE event SET body = '{' WHERE event_id = 'e-3'")
    async with opened(path) as store:
        (shown,) = await deliveries_of(store.outbox, "e-3")
        assert (shown.state, shown.event.event_id) == ("dead", "e-3")


async def test_what_is_known_of_a_user_is_used_as_far_as_it_can_be_read(path, caplog):
    async with opened(path) as store:
        for n in range(2):
            await store.sessions.add(Session(42, USER, f"gp_{n}", "start", NOON, f"gp_{n}"))
            await store.profiles.add_click(f"gp_{n}", CLICK)
        await store.profiles.add_traits(USER, {"meta": {"em": "a" * 64, "ph": "b" * 64}})
    change(path, "UPDATE session SET at_ms = 'noon' WHERE session_id = 'gp_1'")
    change(path, "UPDATE click SET body = '[]' WHERE session_id = 'gp_0'")
    change(path, "UPDATE trait SET value = x'ff' WHERE field = 'ph'")
    async with opened(path) as store:
        context = await store.load_context(ContextQuery(SessionQuery(USER)))
        assert context.session.session_id == "gp_0"
        assert context.profile.click is None
        assert context.profile.traits == {"meta": {"em": "a" * 64}}
        assert not context.failures
        assert await store.sessions.history(USER) == [context.session]
        assert (await store.profiles.profile(USER, "gp_1")).click == CLICK
    for what in ("touch", "click", "trait"):
        assert what in caplog.text


# What aiosqlite logs


async def test_nothing_personal_is_logged_at_any_level(store, caplog):
    caplog.set_level(logging.DEBUG, "aiosqlite")
    click = CLICK
    await store.profiles.add_click("gp_secret", click)
    await store.profiles.add_traits(987654, {"meta": {"em": "hash-of-mail"}})
    await store.sessions.add(Session(42, 987654, "gp_secret", "start", NOON, "gp_secret"))
    await store.outbox.accept(entry(sample("e1", telegram_id=987654)))
    await store.load_context(ContextQuery(SessionQuery(987654)))
    await store.outbox.erase(DeliveryFilter(telegram_id=987654), limit=1)
    await store.sessions.history(987654)
    assert any(record.name == "aiosqlite" for record in caplog.records)
    for secret in ("987654", "gp_secret", click.ip, "Mozilla", "hash-of-mail"):
        assert secret not in caplog.text
