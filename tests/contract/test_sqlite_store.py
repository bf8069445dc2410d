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

from gp_aiogram import Tracker
from gp_aiogram.errors import ConfigurationError, StoreError, StoreLocked, StoreMismatch
from gp_aiogram.model.clock import from_ms
from gp_aiogram.model.session import Session, SessionQuery
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.keys import user_key
from gp_aiogram.stores.records import Change, ContextQuery, DeliveryFilter, Outcome, Profile
from gp_aiogram.stores.sqlite import SQLiteStore
from gp_aiogram.stores.sqlite.bulk import change_in, insert, select_in
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
from gp_aiogram.stores.sqlite import SQLiteStore
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
        one, _, _ = await store.outbox.claim("a", 3, lease=LEASE)
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
    with pytest.raises(StoreLocked, match="PostgreSQL or Redis"):
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
        with pytest.raises(StoreLocked, match=r"gp\.sqlite3.*PostgreSQL or Redis"):
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
        assert accepted <= set(ids(await store.outbox.claim("a", 100_000, lease=LEASE)))


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
    assert all(await asyncio.gather(*waiting))
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
    child(lambda: fill(store.outbox, "e1"))
    child(store.close)
    child(SQLiteStore(sys.argv[1]).open)
    await fill(store.outbox, "e2")
    await store.close()
    child(lambda: fill(store.outbox, "e3"))
    print(len(await store.deliveries("e3")))
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
        events = [sample(f"e{n}") for n in range(500)]
        assert all(
            await asyncio.gather(*(outbox.accept(entry(event, ["a", "b"])) for event in events))
        )
    assert statements.count("COMMIT") <= 3


async def test_duplicates_that_come_together_share_commits(store, outbox):
    async with traced(store) as statements:
        same_ids = (outbox.accept(entry(f"e{n % 50}")) for n in range(250))
        same_keys = (outbox.accept(entry(f"f{n}", once=[f"k{n % 20}"])) for n in range(250))
        accepted = await asyncio.gather(*same_ids, *same_keys)
    assert accepted.count(True) == 50 + 20
    assert statements.count("COMMIT") <= 3


async def test_different_work_shares_commits(store, outbox):
    await fill(outbox, *(f"e{n}" for n in range(20)))
    claimed = await outbox.claim("a", 20, lease=LEASE)
    async with traced(store) as statements:
        await asyncio.gather(
            *(outbox.settle([Outcome(one, "delivered")]) for one in claimed),
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
        assert all(await accepting)
        assert statements.count("COMMIT") == 1


async def test_reading_commits_nothing(store, outbox):
    async with traced(store) as statements:
        await store.next_due("a")
        await outbox.counts()
        await claim_all(outbox)
    assert "COMMIT" not in statements


async def test_more_than_a_statement_can_name_are_accepted_together(outbox):
    events = [sample(f"e{n}") for n in range(2500)]
    accepted = (outbox.accept(entry(event, once=[event.event_id])) for event in [*events, *events])
    assert (await asyncio.gather(*accepted)).count(True) == len(events)
    assert await outbox.counts() == {"a": {"pending": len(events)}}


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
        outbox.claim("a", 9, lease=LEASE),
        outbox.accept(entry("first", ["b"])),
        outbox.accept(entry(bad, ["b"], once=["k"])),
        outbox.accept(entry("second", ["b"], once=["k"])),
        return_exceptions=True,
    )
    assert isinstance(failure, Exception)
    assert (first, second) == (True, True)
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
    events = [sample(f"e{n}", user_data=padding) for n in range(10)]
    outcomes = await asyncio.gather(
        *(outbox.accept(entry(event)) for event in events), return_exceptions=True
    )
    refused = [event for event, kept in zip(events, outcomes, strict=True) if kept is not True]
    assert 0 < len(refused) < len(events)
    assert all(isinstance(kept, StoreError) for kept in outcomes if kept is not True)
    assert await outbox.counts() == {"a": {"pending": len(events) - len(refused)}}

    await connection.execute_fetchall(f"PRAGMA max_page_count = {pages + 1000}")
    assert all([await outbox.accept(entry(event)) for event in refused])


async def test_a_commit_that_fails_is_told_to_the_caller_once(store, outbox):
    refusals = ["COMMIT"]

    def authorizer(_, argument, *__):
        if argument in refusals:
            refusals.remove(argument)
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    await fill(outbox, "e1")
    delivery = await claim_one(outbox)
    connection = store._file._opened.connection
    await connection.call(lambda own: own.set_authorizer(authorizer))
    with pytest.raises(StoreError, match="not authorized"):
        await outbox.settle([Outcome(delivery, "delivered")])
    assert await outbox.counts() == {"a": {"pending": 1}}
    await outbox.settle([Outcome(delivery, "delivered")])
    assert await outbox.counts() == {"a": {"delivered": 1}}


async def test_a_caller_that_gives_up_harms_nobody(outbox):
    await fill(outbox, "e1", "e2")
    for patience in range(20):
        leaving = [
            asyncio.create_task(outbox.claim("a", 9, lease=LEASE)),
            asyncio.create_task(outbox.accept(entry(f"f{patience}", ["b"]))),
        ]
        staying = asyncio.create_task(outbox.accept(entry(f"g{patience}", ["c"])))
        for _ in range(patience):
            await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        await asyncio.wait(leaving)
        assert await staying
        if not leaving[0].cancelled():
            await outbox.release(leaving[0].result())
    assert ids(await claim_all(outbox)) == ["e1", "e2"]
    assert (await outbox.counts())["c"] == {"pending": 20}


@pytest.mark.parametrize("turns", range(6))
async def test_what_comes_during_a_transaction_sees_its_result(outbox, turns):
    """Wherever in the first transaction the second call comes."""
    await fill(outbox, *(f"e{n}" for n in range(10)))
    first = asyncio.create_task(outbox.claim("a", 5, lease=LEASE))
    for _ in range(turns):
        await asyncio.sleep(0)
    rest = await outbox.claim("a", 5, lease=LEASE)
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


# Events that were accepted moments ago


def kept(recent, count):
    return [seq for seq in range(count) if recent.get(seq) is not None]


def test_the_youngest_events_are_kept_up_to_a_number(monkeypatch):
    monkeypatch.setattr("gp_aiogram.stores.sqlite.recent.ENOUGH_EVENTS", 2)
    recent = RecentEvents()
    for seq in range(5):
        recent.add(seq, sample(f"e{seq}"), 1)
    assert kept(recent, 5) == [2, 3, 4]
    recent.drop(3)
    recent.drop(4)
    recent.drop(4)
    assert kept(recent, 5) == [2]
    recent.clear()
    assert kept(recent, 5) == []


def test_the_youngest_events_are_kept_up_to_a_size(monkeypatch):
    monkeypatch.setattr("gp_aiogram.stores.sqlite.recent.ENOUGH_TEXT", 100)
    recent = RecentEvents()
    for seq in range(5):
        recent.add(seq, sample(f"e{seq}"), 50)
    assert kept(recent, 5) == [2, 3, 4]
    recent.add(5, sample("e5"), 100)
    assert kept(recent, 6) == [4, 5]
    recent.add(6, sample("e6"), 101)
    assert kept(recent, 7) == [5]


async def test_events_are_claimed_from_memory_and_else_from_the_file(store, outbox, monkeypatch):
    monkeypatch.setattr("gp_aiogram.stores.sqlite.recent.ENOUGH_EVENTS", 1)
    events = [sample(f"e{n}", user_data={"n": n}) for n in range(5)]
    for event in events:
        await outbox.accept(entry(event))
    async with traced(store) as statements:
        claimed = await outbox.claim("a", 5, lease=LEASE)
    assert [delivery.event for delivery in claimed] == events
    (decoding,) = (one for one in statements if "body" in one)
    assert "(1,2,3)" in decoding


async def test_no_number_of_an_event_is_given_twice(store, outbox):
    for n in range(3):
        await outbox.accept(entry(sample(f"e{n}", telegram_id=7)))
        bad = outbox.accept(entry(replace(sample("bad"), telegram_id=2**63), ["a"]))
        good = outbox.accept(entry(f"f{n}"))
        await asyncio.gather(bad, good, return_exceptions=True)
        assert ids(await claim_all(outbox)) == [f"e{n}", f"f{n}"]
        await store.forget_events(7)
        await store.forget_events(sample().telegram_id)
    assert len(store._recent) == 0


async def test_another_owners_events_are_not_taken_for_ones_own(path):
    first = SQLiteStore(path)
    await first.open()
    await first.outbox.accept(entry(sample("e1", telegram_id=7)))
    await first.close()
    async with opened(path) as second:
        await second.forget_events(7)
        await second.outbox.accept(entry("e2"))
    await first.open()
    assert ids(await claim_all(first.outbox)) == ["e2"]
    await first.close()
    await first.outbox.accept(entry("e3"))
    assert len(first._recent) == 0


# Its queries


async def test_what_is_due_is_found_by_the_index_of_pending_deliveries(path):
    clock = ManualClock()
    async with opened(path, clock=clock) as store:
        await fill(store.outbox, *(f"e{n}" for n in range(100)))
        await store.outbox.settle(
            [Outcome(one, "delivered") for one in await store.outbox.claim("a", 90, lease=LEASE)]
        )
        async with traced(store) as statements:
            await store.outbox.claim("a", 5, lease=LEASE)
            await store.next_due("a")
        queries = [statement for statement in statements if "SELECT" in statement]
        assert len(queries) >= 2
        for query in queries:
            plan = [row[3] for row in look(path, f"EXPLAIN QUERY PLAN {query}")]
            assert any(
                "delivery USING" in step and "INDEX delivery_due (" in step for step in plan
            )
            assert not any("B-TREE" in step or step.startswith("SCAN delivery") for step in plan)


@pytest.mark.parametrize("destination", ["a", None])
async def test_dead_letters_are_found_without_reading_every_delivery(
    store, outbox, path, destination
):
    await fill(outbox, *(f"e{n}" for n in range(100)))
    (dead,) = await outbox.claim("a", 1, lease=LEASE)
    await outbox.settle([Outcome(dead, "dead")])
    async with traced(store) as statements:
        assert len(await store.dead_letters(destination)) == 1
        assert await store.replay(destination) == 1
    for query in (one for one in statements if "SELECT" in one or "UPDATE" in one):
        plan = [row[3] for row in look(path, f"EXPLAIN QUERY PLAN {query}")]
        assert any("delivery_dead" in step for step in plan), plan
