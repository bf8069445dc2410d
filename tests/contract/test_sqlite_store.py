"""What is particular about the SQLite store: the file, its owner, and shared commits."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta

import pytest

from fixtures.odd_tries import UNREADABLE_TRIES
from gp_aiogram import Tracker
from gp_aiogram.errors import ConfigurationError, StoreError, StoreLocked, StoreMismatch
from gp_aiogram.model.clock import from_ms
from gp_aiogram.model.session import Session, SessionQuery
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.recent import OVERHEAD, RecentEvents
from gp_aiogram.stores.records import Change, ContextQuery, DeliveryFilter, Outcome, Profile
from gp_aiogram.stores.sqlite import SQLiteStore, selection
from gp_aiogram.stores.sqlite.bulk import change_in, insert, select_in
from gp_aiogram.stores.sqlite.selection import Selection
from gp_aiogram.testing import ManualClock
from gp_aiogram.testing.samples import (
    CLICK,
    LEASE,
    NOON,
    USER,
    claim_all,
    claim_one,
    deliveries_of,
    entry,
    fill,
    ids,
    key,
    sample,
)

#: Seconds after which another interpreter is taken to hang.
PATIENCE = 30

OTHER_PROCESS = """
import asyncio, os, sys, time
from gp_aiogram.errors import StoreError, StoreLocked
from gp_aiogram.stores.sqlite import SQLiteStore, selection
from gp_aiogram.testing.samples import deliveries_of, fill

store = SQLiteStore(sys.argv[1])
outbox = store.outbox
"""


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
async def opened(path, **options):
    store = SQLiteStore(path, **options)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def traced(store):
    """Collect the statements that SQLite runs."""
    statements = []
    connection = store._file._opened.connection
    await connection.set_trace_callback(statements.append)
    yield statements
    await connection.set_trace_callback(None)


def look(path, query):
    """Read the file as another program would."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def other_process(path, script):
    return subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS + script, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output_of_other_process(path, script):
    with other_process(path, script) as process:
        output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    return output.strip()


# The file


async def test_a_new_store_object_finds_everything_but_the_claims(path):
    async with opened(path) as store:
        await fill(store.outbox, "e1", "e2", "e3")
        one, _, _ = await claim_all(store.outbox)
        await store.outbox.settle([Outcome(one, "dead", reason="no")])
    async with opened(path) as store:
        assert await store.outbox.counts() == {"a": {"dead": 1, "pending": 2}}
        assert ids(await claim_all(store.outbox)) == ["e2", "e3"]


async def test_closing_gives_every_claim_back(store, outbox):
    await fill(outbox, "e1")
    before = await claim_one(outbox)
    await store.close()
    await store.open()
    await outbox.settle([Outcome(before, "dead")])
    assert (await claim_one(outbox)).token != before.token


async def test_a_claim_of_another_store_object_proves_nothing(path):
    async with opened(path) as store:
        await fill(store.outbox, "e1")
        stale = await claim_one(store.outbox)
    async with opened(path) as store:
        await claim_one(store.outbox)
        await store.outbox.settle([Outcome(stale, "dead")])
        assert await store.outbox.counts() == {"a": {"pending": 1}}


async def test_missing_folders_are_made(tmp_path):
    path = tmp_path / "var" / "lib" / "bot" / "gp.sqlite3"
    async with opened(path):
        assert path.is_file()


@pytest.mark.parametrize("path", ["", ":memory:"])
def test_a_store_without_a_file_is_refused(path):
    with pytest.raises(ConfigurationError, match="MemoryStore"):
        SQLiteStore(path)


async def test_what_is_kept_is_on_disk(store, outbox, path):
    connection = store._file._opened.connection
    for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("fullfsync", 1)):
        assert await connection.execute_fetchall(f"PRAGMA {pragma}") == [(value,)]
    await fill(outbox, "e1")
    assert look(path, "SELECT event_id FROM event") == [("e1",)]


async def test_another_programs_file_is_refused_and_left_alone(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(StoreMismatch, match=r"gp\.sqlite3.*another program"):
        await SQLiteStore(path).open()
    assert path.read_bytes() == before


async def test_the_file_of_a_newer_version_is_refused_and_left_alone(path):
    async with opened(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StoreMismatch, match=r"99.*install the newer"):
        await SQLiteStore(path).open()
    assert path.read_bytes() == before


async def test_an_empty_file_is_taken(path):
    path.touch()
    async with opened(path) as store:
        await fill(store.outbox, "e1")


async def test_a_file_that_is_no_database_is_an_error(path):
    path.write_text("to be or not to be " * 100)
    with pytest.raises(StoreError, match=r"gp\.sqlite3.*not a database"):
        await SQLiteStore(path).open()
    assert path.read_text().startswith("to be")


async def test_a_folder_in_place_of_the_file_is_an_error(path):
    path.mkdir()
    with pytest.raises(StoreError, match=r"gp\.sqlite3"):
        await SQLiteStore(path).open()


async def test_a_file_in_place_of_a_folder_is_an_error(path):
    path.touch()
    with pytest.raises(StoreError, match=r"gp\.sqlite3"):
        await SQLiteStore(path / "gp.sqlite3").open()


async def test_a_file_that_could_not_be_opened_can_be_opened_later(path):
    path.mkdir()
    store = SQLiteStore(path)
    with pytest.raises(StoreError):
        await store.open()
    path.rmdir()
    await store.open()
    await fill(store.outbox, "e1")
    await store.close()


# Its owner


async def test_a_second_store_in_this_process_is_locked_out(store, outbox, path):
    second = SQLiteStore(path)
    with pytest.raises(StoreLocked, match=r"a file of its own.*PostgresStore"):
        await second.open()
    with pytest.raises(StoreLocked):
        await second.outbox.accept(entry())
    assert await outbox.accept(entry()) == "stored"
    await second.close()
    await store.close()
    await second.open()
    assert await second.outbox.accept(entry()) == "duplicate"
    await second.close()


async def test_a_second_process_may_only_read_until_the_owner_is_killed(path):
    script = """
async def main():
    await store.open()
    await fill(outbox, "e1", "e2")
    await outbox.claim("a", 1, lease=600)
    print("ready", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
    with other_process(path, script) as owner:
        assert owner.stdout.readline() == "ready\n"
        assert look(path, "SELECT count(*) FROM event") == [(2,)]
        with pytest.raises(StoreLocked, match=r"gp\.sqlite3.*a file of its own"):
            await SQLiteStore(path).open()
        owner.kill()
    async with opened(path) as store:
        assert ids(await claim_all(store.outbox)) == ["e1", "e2"]


async def test_what_was_accepted_survives_a_kill(path):
    script = """
async def accept(number):
    event_id = f"e{number}"
    await fill(outbox, event_id)
    print(event_id, flush=True)

async def main():
    for start in range(0, 100_000, 20):
        await asyncio.gather(*map(accept, range(start, start + 20)))

asyncio.run(main())
"""
    with other_process(path, script) as owner:
        accepted = [owner.stdout.readline() for _ in range(333)]
        owner.kill()
        accepted += owner.stdout.readlines()
    accepted = {line.strip() for line in accepted if line.endswith("\n")}
    async with opened(path) as store:
        assert accepted <= set(ids(await claim_all(store.outbox, limit=100_000)))


async def test_reading_from_outside_disturbs_nothing(outbox, path):
    await fill(outbox, "e1")
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT event_id FROM event").fetchall() == [("e1",)]
        await fill(outbox, "e2")
        await outbox.settle([Outcome(await claim_one(outbox), "delivered")])
        assert reader.execute("SELECT event_id FROM event").fetchall() == [("e1",)]
    assert await outbox.counts() == {"a": {"delivered": 1, "pending": 1}}


async def test_an_event_accepted_after_closing_is_on_disk_and_the_file_free(store, outbox, path):
    await store.close()
    assert await outbox.accept(entry("e1")) == "stored"
    async with opened(path) as second:
        assert ids(await claim_all(second.outbox)) == ["e1"]
    await asyncio.gather(*(outbox.accept(entry(f"f{n}")) for n in range(20)))
    async with opened(path) as second:
        assert await second.outbox.counts() == {"a": {"pending": 21}}


async def test_closing_commits_what_waits(store, outbox, path):
    waiting = [asyncio.create_task(outbox.accept(entry(f"e{n}"))) for n in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*waiting) == ["stored"] * 50
    async with opened(path) as second:
        assert await second.outbox.counts() == {"a": {"pending": 50}}


async def test_opening_and_closing_may_overlap_with_use(path):
    store = SQLiteStore(path)
    for n in range(10):
        await asyncio.gather(
            store.close(),
            store.outbox.accept(entry(f"e{n}")),
            store.close(),
            store.open(),
            store.outbox.accept(entry(f"f{n}")),
            store.close(),
        )
    async with opened(path) as second:
        assert await second.outbox.counts() == {"a": {"pending": 20}}


def test_another_event_loop_is_refused_until_the_store_is_closed(path):
    store = SQLiteStore(path)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    with closing(first), closing(second):
        first.run_until_complete(fill(store.outbox, "e1"))
        with pytest.raises(StoreError, match="another event loop: close the store"):
            second.run_until_complete(fill(store.outbox, "e2"))
        first.run_until_complete(fill(store.outbox, "e3"))
        second.run_until_complete(store.close())
        second.run_until_complete(fill(store.outbox, "e4"))
        second.run_until_complete(store.close())
    assert look(path, "SELECT event_id FROM event") == [("e1",), ("e3",), ("e4",)]


def test_a_store_is_not_closed_under_a_loop_that_runs(path):
    store = SQLiteStore(path)

    async def use_here_and_there():
        await store.open()
        with pytest.raises(StoreError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, store.close())
        await store.open()
        await fill(store.outbox, "e1")
        await store.close()

    asyncio.run(use_here_and_there())


def test_a_store_left_open_by_a_loop_that_ended_can_be_closed(path):
    store = SQLiteStore(path)
    asyncio.run(fill(store.outbox, "e1"))
    asyncio.run(store.close())

    async def use():
        async with opened(path) as second:
            assert ids(await claim_all(second.outbox)) == ["e1"]

    asyncio.run(use())


def test_a_forked_child_is_refused_and_takes_nothing_from_its_parent(path):
    script = """
import warnings

warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, about forks and threads

def child(work):
    pid = os.fork()
    if not pid:
        try:
            asyncio.run(work())
        except StoreError as error:
            print(type(error).__name__, str(error).partition(" was ")[2], flush=True)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

async def main():
    await store.open()
    child(lambda: fill(outbox, "e1"))
    child(store.close)
    child(SQLiteStore(sys.argv[1]).open)
    await fill(outbox, "e2")
    await store.close()
    child(lambda: fill(outbox, "e3"))
    print(len(await deliveries_of(outbox, "e3")))
    await store.close()

asyncio.run(main())
"""
    refused, locked, found = output_of_other_process(path, script).splitlines()
    assert refused.startswith("StoreError opened before this process was forked")
    assert locked.startswith("StoreLocked")
    assert found == "1"
    assert look(path, "SELECT event_id FROM event") == [("e2",), ("e3",)]


def test_an_interpreter_that_never_closes_the_store_exits(path):
    script = """
asyncio.run(fill(outbox, "e1"))
print("done")
"""
    assert output_of_other_process(path, script) == "done"
    assert look(path, "SELECT event_id FROM event") == [("e1",)]


def test_an_interpreter_that_stops_amid_commits_exits(path):
    script = """
async def main():
    await store.open()
    tasks = [asyncio.create_task(fill(outbox, f"e{n}")) for n in range(3000)]
    await tasks[0]

asyncio.run(main())
time.sleep(0.3)  # if SQLite's thread has something to say
"""
    output_of_other_process(path, script)
    assert look(path, "SELECT count(*) FROM event WHERE event_id = 'e0'") == [(1,)]
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


def test_an_interpreter_that_cannot_open_the_store_says_only_why(tmp_path):
    script = """
try:
    asyncio.run(store.open())
except StoreError as error:
    print(error)
"""
    assert "unable to open" in output_of_other_process(tmp_path, script)


# Shared commits


async def test_events_that_come_together_share_commits(store, outbox):
    async with traced(store) as statements:
        accepting = (outbox.accept(entry(f"e{n}", ["a", "b"])) for n in range(500))
        assert set(await asyncio.gather(*accepting)) == {"stored"}
    assert statements.count("COMMIT") <= 3


async def test_duplicates_that_come_together_share_commits(store, outbox):
    async with traced(store) as statements:
        same_ids = (outbox.accept(entry(f"e{n % 50}")) for n in range(250))
        same_keys = (outbox.accept(entry(f"f{n}", once=[key(f"k{n % 20}")])) for n in range(250))
        accepted = await asyncio.gather(*same_ids, *same_keys)
    assert accepted.count("stored") == 50 + 20
    assert statements.count("COMMIT") <= 3


async def test_different_work_shares_commits(store, outbox):
    await fill(outbox, *(f"e{n}" for n in range(20)))
    claimed = await claim_all(outbox)
    async with traced(store) as statements:
        await asyncio.gather(
            *(outbox.settle([Outcome(delivery, "delivered")]) for delivery in claimed),
            *(outbox.accept(entry(f"f{n}")) for n in range(20)),
        )
    assert statements.count("COMMIT") <= 3
    assert await outbox.counts() == {"a": {"delivered": 20, "pending": 20}}


async def test_an_event_is_completed_and_kept_in_one_transaction(store):
    tracker = Tracker([], store=store)
    async with traced(store) as statements:
        tracked = (tracker.track("REG", telegram_id=n, bot_id=42) for n in range(1, 101))
        events = await asyncio.gather(*tracked)
    assert None not in events
    assert statements.count("BEGIN ") == statements.count("COMMIT") <= 2


async def test_who_reads_does_not_wait_for_the_disk(store, outbox):
    async with traced(store) as statements:
        accepting = asyncio.gather(*(outbox.accept(entry(f"e{n}")) for n in range(3)))
        assert await outbox.counts() == {}
        assert "COMMIT" not in statements
        assert await accepting == ["stored"] * 3
        assert statements.count("COMMIT") == 1


async def test_reading_commits_nothing(store, outbox):
    async with traced(store) as statements:
        await outbox.wait("a", timeout=0)
        await outbox.counts()
        await outbox.select(DeliveryFilter())
        await claim_all(outbox)
    assert "COMMIT" not in statements


async def test_more_than_a_statement_can_name_are_accepted_together(outbox):
    entries = [entry(f"e{n}", once=[key(f"k{n}")]) for n in range(2500)]
    accepted = await asyncio.gather(*map(outbox.accept, [*entries, *entries]))
    assert accepted == ["stored"] * 2500 + ["duplicate"] * 2500
    assert await outbox.counts() == {"a": {"pending": 2500}}


UNUSABLE = {
    "id beyond 64 bits": {"telegram_id": 2**63},
    "text that is no Unicode": {"event_id": "\ud83c"},
    "no JSON": {"user_data": {"set": {1, 2}}},
}


@pytest.mark.parametrize("fields", UNUSABLE.values(), ids=UNUSABLE)
async def test_a_bad_item_fails_alone(outbox, fields):
    await fill(outbox, "e1", "e2")
    bad = replace(sample("bad"), **fields)
    claimed, first, failure, second = await asyncio.gather(
        claim_all(outbox),
        outbox.accept(entry("first", ["b"])),
        outbox.accept(entry(bad, ["b"], once=[key("k")])),
        outbox.accept(entry("second", ["b"], once=[key("k")])),
        return_exceptions=True,
    )
    assert isinstance(failure, Exception)
    assert (first, second) == ("stored", "stored")
    assert ids(claimed) == ["e1", "e2"]
    assert await outbox.counts() == {"a": {"pending": 2}, "b": {"pending": 2}}


@pytest.mark.parametrize(
    "fields", [UNUSABLE["id beyond 64 bits"], UNUSABLE["text that is no Unicode"]]
)
async def test_what_sqlite_cannot_keep_is_a_store_error(outbox, fields):
    with pytest.raises(StoreError, match=r"gp\.sqlite3"):
        await outbox.accept(entry(sample(**fields)))


async def test_a_full_disk_is_an_error_until_there_is_room(store, outbox):
    connection = store._file._opened.connection
    ((pages,),) = await connection.execute_fetchall("PRAGMA page_count")
    await connection.execute_fetchall(f"PRAGMA max_page_count = {pages + 8}")
    padding = {"padding": "x" * 20_000}
    entries = [entry(sample(f"e{n}", user_data=padding)) for n in range(10)]
    results = [await outbox.accept(entries[0])]
    results += await asyncio.gather(*map(outbox.accept, entries[1:]), return_exceptions=True)
    refused = [entry for entry, result in zip(entries, results, strict=True) if result != "stored"]
    assert 0 < len(refused) < len(entries)
    assert all(isinstance(result, StoreError) for result in results if result != "stored")
    assert await outbox.counts() == {"a": {"pending": len(entries) - len(refused)}}

    await connection.execute_fetchall(f"PRAGMA max_page_count = {pages + 1000}")
    assert [await outbox.accept(entry) for entry in refused] == ["stored"] * len(refused)


async def test_a_commit_that_fails_is_told_to_the_caller_once(store, outbox):
    await fill(outbox, "e1")
    delivery = await claim_one(outbox)
    await refuse_commits(store, 1)
    with pytest.raises(StoreError, match="not authorized"):
        await outbox.settle([Outcome(delivery, "delivered")])
    assert await outbox.counts() == {"a": {"pending": 1}}
    await outbox.settle([Outcome(delivery, "delivered")])
    assert await outbox.counts() == {"a": {"delivered": 1}}


async def test_a_shared_commit_that_fails_is_tried_for_each_alone(store, outbox):
    await fill(outbox, "e0")  # what opens the file is committed alone
    await refuse_commits(store, 2)
    accepting = (outbox.accept(entry(f"e{n}")) for n in range(1, 4))
    results = await asyncio.gather(*accepting, return_exceptions=True)
    assert isinstance(results[0], StoreError)
    assert results[1:] == ["stored", "stored"]
    assert ids(await claim_all(outbox)) == ["e0", "e2", "e3"]
    assert await outbox.counts() == {"a": {"pending": 3}}


async def refuse_commits(store, count):
    """Have the next commits fail."""
    refusals = ["COMMIT"] * count

    def authorizer(_, argument, *__):
        if argument in refusals:
            refusals.remove(argument)
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    connection = store._file._opened.connection
    await connection.call(lambda own: own.set_authorizer(authorizer))


async def test_a_caller_that_gives_up_harms_nobody(outbox):
    await fill(outbox, "e1", "e2")
    for patience in range(20):
        leaving = [
            asyncio.create_task(claim_all(outbox)),
            asyncio.create_task(outbox.accept(entry(f"f{patience}", ["b"]))),
        ]
        staying = asyncio.create_task(outbox.accept(entry(f"g{patience}", ["c"])))
        for _ in range(patience):
            await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        await asyncio.wait(leaving)
        assert await staying == "stored"
        if not leaving[0].cancelled():
            await outbox.release(leaving[0].result())
    assert ids(await claim_all(outbox)) == ["e1", "e2"]
    assert (await outbox.counts())["c"] == {"pending": 20}


@pytest.mark.parametrize("turns", range(6))
async def test_what_comes_during_a_transaction_sees_its_result(outbox, turns):
    """Wherever in the first transaction the second call comes."""
    await fill(outbox, *(f"e{n}" for n in range(10)))
    first = asyncio.create_task(claim_all(outbox, limit=5))
    for _ in range(turns):
        await asyncio.sleep(0)
    rest = await claim_all(outbox, limit=5)
    claimed = [*await first, *rest]
    assert sorted(ids(claimed)) == [f"e{n}" for n in range(10)]

    settling = asyncio.create_task(outbox.settle([Outcome(one, "dead") for one in claimed]))
    for _ in range(turns):
        await asyncio.sleep(0)
    await outbox.settle([Outcome(one, "delivered") for one in claimed])
    await settling
    (states,) = (await outbox.counts()).values()
    assert states in ({"dead": 10}, {"delivered": 10})
    await outbox.settle([Outcome(one, "skipped") for one in claimed])
    assert states == (await outbox.counts())["a"]


async def test_what_is_known_of_many_users_is_read_in_one_trip(store, monkeypatch):
    await store.sessions.add(Session(42, USER, "gp_a", "start", NOON, "gp_a"))
    await store.profiles.add_click("gp_a", CLICK)
    await store.profiles.add_traits(USER, {"meta": {"em": "a" * 64}})
    await store.outbox.add_keys([key("k")])
    connection = store._file._opened.connection
    call, trips = connection.call, []

    async def counted(work):
        trips.append(work)
        return await call(work)

    monkeypatch.setattr(connection, "call", counted)
    queries = [
        ContextQuery(SessionQuery(USER), keys=[key("k"), key("l")]),
        ContextQuery(SessionQuery(USER), session_id="gp_other"),
        ContextQuery(SessionQuery(8, until=NOON)),
    ]
    found, named, stranger = await asyncio.gather(*map(store.load_context, queries))
    assert len(trips) == 1
    for query, context in zip(queries, (found, named, stranger), strict=True):
        one_by_one = await Store.load_context(store, query)
        assert replace_keys(context) == replace_keys(one_by_one)
    assert (found.session.session_id, found.profile.click) == ("gp_a", CLICK)
    assert found.keys == {key("k")}
    assert (named.session, named.profile) == (None, Profile(None, {"meta": {"em": "a" * 64}}))
    assert (stranger.session, stranger.profile) == (None, Profile())


def replace_keys(context):
    """Return a context whose keys compare by what they hold."""
    return context._replace(keys=set(context.keys))


async def test_a_click_that_cannot_be_read_costs_nothing_else(store):
    await store.sessions.add(Session(42, USER, "gp_a", "start", NOON, "gp_a"))
    await store.profiles.add_click("gp_a", CLICK)
    await store.outbox.add_keys([key("k")])
    connection = store._file._opened.connection
    await connection.execute("UPDATE click SET body = '{'")
    await connection.commit()
    context = await store.load_context(ContextQuery(SessionQuery(USER), keys=[key("k")]))
    assert context.session.session_id == "gp_a"
    assert context.profile == Profile()
    assert context.keys == {key("k")}
    assert not context.failures


async def test_what_is_delivered_at_once_takes_no_room_for_tries(outbox, path):
    await fill(outbox, "e1")
    await outbox.settle([Outcome(await claim_one(outbox), "delivered")])
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("SELECT state, tries FROM delivery").fetchall() == [
            ("delivered", None)
        ]


@pytest.mark.parametrize("text", [*UNREADABLE_TRIES, 7, b"\xff"], ids=str)
async def test_tries_that_cannot_be_read_are_left_out(path, caplog, text):
    async with opened(path) as store:
        await fill(store.outbox, "e1")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE delivery SET tries = ?", (text,))
        connection.commit()
    async with opened(path) as store:
        assert (await claim_one(store.outbox)).tries == ()
    assert "a stored list of tries cannot be read" in caplog.text


async def test_a_file_that_cannot_be_read_is_told_once(store, path, monkeypatch):
    second = SQLiteStore(path)
    with pytest.raises(StoreLocked):
        await second.load_context(ContextQuery(SessionQuery(USER)))


# Events that were accepted moments ago


def found_of(recent, count):
    return [*recent.find(range(count))]


def test_the_youngest_events_are_kept_up_to_a_size(monkeypatch):
    monkeypatch.setattr("gp_aiogram.stores.recent.ENOUGH", 2 * (OVERHEAD + 50))
    recent = RecentEvents()
    for seq in range(5):
        recent.add(seq, sample(f"e{seq}"), 50)
    assert found_of(recent, 5) == [2, 3, 4]
    recent.drop([3, 4])
    recent.drop([4])
    assert found_of(recent, 5) == [2]
    recent.clear()
    assert found_of(recent, 5) == []


async def test_events_are_claimed_from_memory_and_else_from_the_file(store, outbox, monkeypatch):
    monkeypatch.setattr("gp_aiogram.stores.recent.ENOUGH", 1)
    events = [sample(f"e{n}", user_data={"n": n}) for n in range(5)]
    for event in events:
        await outbox.accept(entry(event))
    async with traced(store) as statements:
        claimed = await claim_all(outbox)
    assert [delivery.event for delivery in claimed] == events
    (decoding,) = (statement for statement in statements if "body" in statement)
    assert "(1,2,3,3)" in decoding


async def test_no_number_of_an_event_is_given_twice(outbox):
    for n in range(3):
        await outbox.accept(entry(sample(f"e{n}", telegram_id=7)))
        bad = outbox.accept(entry(sample("bad", telegram_id=2**63)))
        good = outbox.accept(entry(f"f{n}"))
        await asyncio.gather(bad, good, return_exceptions=True)
        assert ids(await claim_all(outbox)) == [f"e{n}", f"f{n}"]
        await outbox.erase(DeliveryFilter(telegram_id=7), limit=99)
        await outbox.erase(DeliveryFilter(telegram_id=USER), limit=99)
        assert found_of(outbox._claims._recent, 99) == []


async def test_a_claim_on_an_erased_event_never_settles_another(outbox):
    """Not even when whoever erased it gave up before the claim was ended."""
    await fill(outbox, "e1")
    stale = await claim_one(outbox)
    erasing = asyncio.create_task(outbox.erase(DeliveryFilter(event_id="e1"), limit=1))
    await asyncio.sleep(0)
    erasing.cancel()
    await asyncio.wait([erasing])
    await fill(outbox, "e2")
    assert await deliveries_of(outbox, "e1") == []
    await outbox.settle([Outcome(stale, "delivered")])
    assert await outbox.counts() == {"a": {"pending": 1}}
    assert ids(await claim_all(outbox)) == ["e2"]


@pytest.mark.parametrize("part", ["sessions", "profiles", "outbox"])
async def test_another_owners_events_are_not_taken_for_ones_own(path, part):
    """Whichever part lets go of the file."""
    first = SQLiteStore(path)
    await first.open()
    await first.outbox.accept(entry(sample("e1", telegram_id=7)))
    stale = await claim_one(first.outbox)
    await getattr(first, part).close()
    async with opened(path) as second:
        await second.outbox.erase(DeliveryFilter(telegram_id=7), limit=1)
        await second.outbox.accept(entry("e2"))
    await getattr(first, part).open()
    await first.outbox.settle([Outcome(stale, "dead")])
    assert ids(await claim_all(first.outbox)) == ["e2"]
    await first.close()
    await first.outbox.accept(entry("e3"))
    assert found_of(first.outbox._claims._recent, 99) == []


# Its queries


async def plans_of(store, path, *calls):
    """Return how SQLite answers the queries of calls."""
    async with traced(store) as statements:
        for call in calls:
            await call
    queries = [text for text in statements if "SELECT" in text or "UPDATE" in text]
    assert len(queries) >= len(calls)
    return [[row[3] for row in look(path, f"EXPLAIN QUERY PLAN {query}")] for query in queries]


def scans(plan, table):
    return any(step.startswith(f"SCAN {table}") and "INDEX" not in step for step in plan)


@pytest.mark.parametrize(("capped", "index"), [(False, "delivery_due"), (True, "delivery_capped")])
async def test_what_is_due_is_found_by_an_index(store, outbox, path, capped, index):
    await fill(outbox, *(f"e{n}" for n in range(100)))
    await outbox.settle(
        [
            Outcome(delivery, "pending", batch_cap=5 if delivery.seq % 2 else None)
            for delivery in await claim_all(outbox, limit=90)
        ]
    )
    plans = await plans_of(store, path, outbox.claim("a", 60, lease=LEASE, capped=capped))
    for plan in plans:
        if not any("delivery" in step for step in plan):
            continue
        assert any(f"delivery USING INDEX {index} (" in step for step in plan), plan
        assert not any("B-TREE" in step for step in plan), plan


async def test_whoever_waits_looks_into_both_indexes(store, outbox, path):
    plans = await plans_of(store, path, outbox.wait("a", timeout=0))
    text = str(plans)
    assert "INDEX delivery_due (" in text
    assert "INDEX delivery_capped (" in text
    assert not any(scans(plan, "delivery") or "B-TREE" in str(plan) for plan in plans)


async def test_the_age_of_what_is_pending_is_the_first_row_of_both_indexes(store, outbox, path):
    await fill(outbox, *(f"e{n}" for n in range(100)))
    plans = await plans_of(store, path, outbox.oldest_pending("a"))
    assert len(plans) == 2
    for plan, index in zip(plans, ("delivery_due", "delivery_capped"), strict=True):
        assert len(plan) == 1, plan
        assert f"delivery USING INDEX {index} (destination=?)" in plan[0]


@pytest.mark.parametrize("destination", ["a", None])
async def test_dead_letters_are_found_without_reading_every_delivery(
    store, outbox, path, destination
):
    await fill(outbox, *(f"e{n}" for n in range(100)))
    dead = await claim_one(outbox)
    await outbox.settle([Outcome(dead, "dead")])
    where = DeliveryFilter(destination=destination, states=frozenset({"dead"}))
    found = await outbox.select(where)
    replay = Change("pending", restart=True)
    plans = await plans_of(
        store,
        path,
        outbox.select(where),
        outbox.select(where, after=found[0]),
        outbox.transition(where, replay, limit=9),
    )
    assert ids(found) == ["e0"]
    assert await outbox.counts() == {"a": {"pending": 100}}
    for plan in plans:
        assert not scans(plan, "delivery"), plan
    assert str(plans).count("delivery_dead") == 6  # where the look ends, and the look


FINDS = {
    "event id": ({"event_id": "e1"}, "sqlite_autoindex_event_1"),
    "user": ({"telegram_id": USER, "states": frozenset({"pending"})}, "event_of_user"),
    "user's dead letters": (
        {"telegram_id": USER, "states": frozenset({"dead"})},
        "event_of_user",
    ),
    "order": (
        {"order": "o1", "states": frozenset({"pending", "dead"}), "maybe_delivered": False},
        "event_of_order",
    ),
}


@pytest.mark.parametrize(("fields", "index"), FINDS.values(), ids=FINDS)
async def test_what_a_filter_means_is_found_by_an_index(store, outbox, path, fields, index):
    await outbox.accept(entry("e1", order="o1"))
    where = DeliveryFilter(**fields)
    plans = await plans_of(
        store,
        path,
        outbox.select(where),
        outbox.transition(where, Change("skipped"), limit=9),
        outbox.erase(where, limit=9),
    )
    for plan in plans:
        assert not scans(plan, "event"), plan
        assert not scans(plan, "delivery"), plan
    assert str(plans).count(index) >= 3


class Effort:
    """Counts the steps of SQLite's virtual machine, in tens."""

    def __init__(self, store):
        self.connection = store._file._opened.connection

    async def of(self, call):
        steps = []
        await self.connection.set_progress_handler(lambda: steps.append(1), 10)
        await call
        await self.connection.set_progress_handler(None, 0)
        return len(steps)


PRUNINGS = {
    "events": lambda store, before: store.outbox.erase(
        DeliveryFilter(states=frozenset({"delivered", "skipped"}), accepted_before=before),
        limit=1000,
    ),
    "touches": lambda store, before: store.sessions.prune(before, 1000),
    "clicks": lambda store, before: store.profiles.prune(before, 1000),
}


@pytest.mark.parametrize("prune", PRUNINGS.values(), ids=PRUNINGS)
async def test_pruning_does_not_look_at_what_is_younger(path, prune):
    clock = ManualClock(start=NOON.timestamp())
    async with opened(path, clock=clock) as store:
        effort = Effort(store)
        await add_everything(store, "old", 5)
        clock.advance(3600)
        await add_everything(store, "young", 5)
        before = from_ms(round(clock.time() * 1000))
        few = await effort.of(prune(store, before - timedelta(days=1)))
        await add_everything(store, "younger", 500)
        many = await effort.of(prune(store, before - timedelta(days=1)))
        assert many <= few + 2
        assert await prune(store, before) == 5


async def add_everything(store, name, count):
    """Add delivered events, touches and clicks of now."""
    now = from_ms(round(store.outbox._clock.time() * 1000))
    names = [f"gp_{name}_{n}" for n in range(count)]
    await asyncio.gather(*(fill(store.outbox, event_id) for event_id in names))
    claimed = await claim_all(store.outbox, limit=count)
    await store.outbox.settle([Outcome(delivery, "delivered") for delivery in claimed])
    for session_id in names:
        await store.sessions.add(Session(42, USER, session_id, "start", now, session_id))
        await store.profiles.add_click(session_id, replace(CLICK, at=now))


async def test_counting_takes_the_same_effort_however_much_is_stored(store, outbox):
    effort = Effort(store)
    await fill(outbox, "e0")
    few = await effort.of(outbox.counts())
    await asyncio.gather(*(fill(outbox, f"e{n}") for n in range(1, 2000)))
    assert await effort.of(outbox.counts()) == few
    assert await outbox.counts() == {"a": {"pending": 2000}}


# Its pages


@pytest.fixture
def efforts(monkeypatch):
    """The effort of each look, change and erasure, in tens of steps."""
    efforts = []

    def counted(work):
        def count(self, connection, items):
            efforts.append(0)

            def step():
                efforts[-1] += 1

            connection.set_progress_handler(step, 10)
            try:
                return work(self, connection, items)
            finally:
                connection.set_progress_handler(None, 0)

        return count

    for name in ("select", "transition", "erase"):
        monkeypatch.setattr(Selection, name, counted(getattr(Selection, name)))
    return efforts


DEAD = frozenset({"dead"})
SPARSE = {
    "old dead letters": DeliveryFilter(states=DEAD, accepted_before=NOON - timedelta(days=1)),
    "dead letters that may be delivered": DeliveryFilter(states=DEAD, maybe_delivered=True),
    "a user's pending": DeliveryFilter(telegram_id=USER, states=frozenset({"pending"})),
    "everything of another bot": DeliveryFilter(bot_id=43, states=frozenset({"delivered"})),
}


@pytest.mark.parametrize("where", SPARSE.values(), ids=SPARSE)
async def test_no_look_takes_long_however_little_it_finds(path, monkeypatch, efforts, where):
    monkeypatch.setattr(selection, "WINDOW", 20)
    async with opened(path, clock=ManualClock(start=NOON.timestamp())) as store:
        outbox = store.outbox
        await fill(outbox, *(f"e{n}" for n in range(400)))
        claimed = await claim_all(outbox, limit=400)
        await outbox.settle([Outcome(delivery, "dead") for delivery in claimed])
        assert await outbox.select(where) == []
        assert await outbox.transition(where, Change("skipped"), limit=500) == 0
        assert await outbox.erase(where, limit=500) == 0
    assert len(efforts) >= 3
    assert max(efforts) < 150


async def test_what_is_kept_is_not_looked_at_by_each_of_many_erasures(outbox, efforts):
    await fill(outbox, *(f"kept{n}" for n in range(500)), *(f"e{n}" for n in range(30)))
    claimed = await claim_all(outbox, limit=530)
    await outbox.settle([Outcome(delivery, "delivered") for delivery in claimed[500:]])
    where = DeliveryFilter(states=frozenset({"delivered"}))
    assert await outbox.erase(where, limit=10) == 10
    assert await outbox.erase(where, limit=10) == 10
    first, second = efforts
    assert second < first / 3
    await outbox.settle([Outcome(delivery, "delivered") for delivery in claimed[:5]])
    assert await outbox.erase(where, limit=99) == 15
    assert await outbox.erase(where, limit=99) == 0
    assert await outbox.counts() == {"a": {"pending": 495}}


# Its tally


@pytest.mark.parametrize("seed", range(4))
async def test_the_tally_is_what_a_scan_would_count(path, seed):
    draw = random.Random(seed)
    clock = ManualClock()
    async with opened(path, clock=clock) as store:
        history = History(store.outbox, draw)
        for _ in range(60):
            await draw.choice(history.steps)()
            clock.advance(draw.choice([0, 1, LEASE]))
            assert await store.outbox.counts() == counted(path)
        assert len(counted(path)) > 1


def counted(path):
    counts = {}
    query = "SELECT destination, state, count(*) FROM delivery GROUP BY destination, state"
    for destination, state, count in look(path, query):
        counts.setdefault(destination, {})[state] = count
    return counts


class History:
    """Things that happen to an outbox."""

    def __init__(self, outbox, draw):
        self.outbox = outbox
        self.draw = draw
        self.claimed = []
        self.steps = [self.accept, self.accept, self.claim, self.settle, self.settle]
        self.steps += [self.transition, self.erase]

    async def accept(self):
        events = [
            sample(f"e{self.draw.randrange(200)}", telegram_id=self.draw.randint(1, 3))
            for _ in range(self.draw.randint(1, 12))
        ]
        to = self.draw.sample("abc", self.draw.randint(0, 3))
        await asyncio.gather(*(self.outbox.accept(entry(event, to)) for event in events))

    async def claim(self):
        self.claimed += await claim_all(self.outbox, self.draw.choice("abc"), 10)

    async def settle(self):
        states = ["pending", "delivered", "skipped", "dead", "dead"]
        outcomes = [
            Outcome(
                self.draw.choice(self.claimed),
                self.draw.choice(states),
                provisional=self.draw.random() < 0.5,
            )
            for _ in range(self.draw.randint(0, len(self.claimed)))
        ]
        await self.outbox.settle(outcomes)

    async def transition(self):
        where = DeliveryFilter(
            telegram_id=self.draw.randint(1, 3),
            states=frozenset(self.draw.sample(["pending", "skipped", "dead"], 2)),
            unclaimed=self.draw.random() < 0.5,
        )
        change = Change(self.draw.choice(["pending", "skipped"]), restart=True)
        await self.outbox.transition(where, change, limit=self.draw.randint(1, 9))

    async def erase(self):
        where = DeliveryFilter(telegram_id=self.draw.randint(1, 3))
        await self.outbox.erase(where, limit=self.draw.randint(1, 3))


async def test_a_provisional_outcome_is_counted_once(outbox):
    await fill(outbox, "e1", "e2", "e3")
    claimed = await claim_all(outbox)
    await outbox.settle([Outcome(delivery, "dead", provisional=True) for delivery in claimed[:2]])
    assert await outbox.counts() == {"a": {"dead": 2, "pending": 1}}
    await outbox.settle([Outcome(delivery, "delivered") for delivery in claimed])
    assert await outbox.counts() == {"a": {"delivered": 3}}


# Its statements


@pytest.fixture
def numbers():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE number (n INTEGER PRIMARY KEY, name TEXT)")
        yield connection


@pytest.mark.parametrize("count", [0, 1, 2, 3, 63, 64, 65, 600, 1500])
def test_any_number_of_rows_is_written_read_and_changed(numbers, count):
    rows = [(n, str(n)) for n in range(count)]
    assert insert(numbers, "INSERT INTO number (n, name)", rows) == count
    found = select_in(numbers, "SELECT * FROM number WHERE n IN ({marks})", range(count + 5))
    assert sorted(found) == rows
    change = "UPDATE number SET name = ? WHERE n IN ({marks})"
    assert change_in(numbers, change, range(count), before=["x"]) == count
    assert numbers.execute("SELECT count(*) FROM number WHERE name = 'x'").fetchone() == (count,)


def test_rows_that_are_there_are_not_counted_as_inserted(numbers):
    into = "INSERT OR IGNORE INTO number (n, name)"
    assert insert(numbers, into, [(1, "a"), (2, "b")]) == 2
    assert insert(numbers, into, [(n, "c") for n in range(6)]) == 4


def test_few_texts_of_a_statement_serve_every_number_of_values(numbers):
    statements = set()
    numbers.set_trace_callback(lambda text: statements.add(text.count("NULL")))
    for count in range(1, 500):
        select_in(numbers, "SELECT * FROM number WHERE n IN ({marks})", [None] * count)
    assert len(statements) == 10
