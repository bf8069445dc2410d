"""What is special about the store in PostgreSQL: several processes, versions, plans, forks."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from contextlib import asynccontextmanager

import pytest

from fixtures.odd_tries import UNREADABLE_TRIES
from fixtures.postgres import (
    DSN,
    admin,
    drop_schema,
    empty,
    make_schema,
    new_schema,
    require_server,
)
from gp_aiogram import PostgresStore, StoreError, StoreMismatch, StoreUnavailable
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.stores.keys import opt_out_key
from gp_aiogram.stores.postgres import claims, runtime
from gp_aiogram.stores.postgres import listener as listener_module
from gp_aiogram.stores.postgres.schema import MIGRATIONS, Migration
from gp_aiogram.stores.postgres.statements import numbered
from gp_aiogram.stores.records import Change, DeliveryFilter, Outcome, Try
from gp_aiogram.testing.samples import (
    ALL,
    LEASE,
    NOON,
    USER,
    claim_all,
    claim_one,
    dead_letters,
    deliveries_of,
    entry,
    fill,
    ids,
    key,
    sample,
)

EVERYTHING = DeliveryFilter()


@pytest.fixture(scope="module")
def schema():
    require_server()
    schema = make_schema()
    yield schema
    drop_schema(schema)


@pytest.fixture
async def connection(schema):
    async with admin() as connection:
        await empty(connection, schema)
        yield connection


@asynccontextmanager
async def opened(schema, **options):
    store = PostgresStore(DSN, schema, **options)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(connection, schema):
    async with opened(schema) as store:
        yield store


@pytest.fixture
async def other(connection, schema):
    """As of another process."""
    async with opened(schema) as store:
        yield store


@pytest.fixture
def outbox(store):
    return store.outbox


# Several processes


async def test_what_one_process_records_another_delivers(store, other):
    await fill(store.outbox, "e1")
    held = await claim_one(other.outbox)
    assert list(await claim_all(store.outbox)) == []
    await other.outbox.settle([Outcome(held, "delivered")])
    assert await store.outbox.counts() == {"a": {"delivered": 1}}


async def test_no_delivery_is_claimed_by_two(store, other):
    await asyncio.gather(*(fill(store.outbox, f"e{n}") for n in range(200)))
    claimed = []

    async def claim_to_the_end(outbox):
        while held := await claim_all(outbox, limit=9):
            claimed.extend(ids(held))
            await outbox.settle([Outcome(delivery, "delivered") for delivery in held])

    await asyncio.gather(*(claim_to_the_end(one.outbox) for one in (store, other) * 3))
    assert sorted(claimed) == sorted(f"e{n}" for n in range(200))
    assert await store.outbox.counts() == {"a": {"delivered": 200}}


@pytest.mark.parametrize(
    "entries",
    [
        [entry(f"e{n}", once=[key("k")]) for n in range(40)],
        [entry("e1", once=[key(f"k{n}")]) for n in range(40)],
        # In another order in each: nobody waits for the other for ever.
        [entry(f"e{n}", once=[key("k"), key(f"x{n % 3}"), key(f"y{n % 5}")]) for n in range(40)],
    ],
    ids=["once-key", "event id", "several keys"],
)
async def test_of_many_processes_one_gets_it(store, other, entries):
    for number in range(5):
        stamped = [
            one._replace(
                event=sample(f"{number} {one.event.event_id}"),
                once=[once._replace(value=f"{number} {once.value}") for once in one.once],
            )
            for one in entries
        ]
        results = await asyncio.gather(
            *(
                (store, other)[n % 2].outbox.accept(one)
                for n, one in enumerate([*stamped, *stamped[::-1]])
            )
        )
        assert results.count("stored") == 1, results
        assert set(results) == {"stored", "duplicate"}
    assert await store.outbox.counts() == {"a": {"pending": 5}}


async def test_keys_that_exclude_each_other_do_in_every_process(store, other):
    """As an order that is reported with its bot and without."""
    for number in range(20):
        named = entry(
            f"n{number}",
            once=[key(f"a{number}")],
            unless=[key(f"b{number}")],
            marks=[key(f"c{number}")],
        )
        unnamed = entry(f"u{number}", once=[key(f"b{number}")], unless=[key(f"c{number}")])
        results = await asyncio.gather(store.outbox.accept(named), other.outbox.accept(unnamed))
        assert sorted(results) == ["blocked", "stored"]


async def test_no_event_slips_through_an_opt_out_of_another_process(store, other):
    for number in range(10):
        user = USER - number
        opt_out, of_user = opt_out_key(user), DeliveryFilter(telegram_id=user)

        async def stop(opt_out=opt_out, of_user=of_user):
            await other.outbox.add_keys([opt_out])
            await other.outbox.transition(of_user, Change("skipped", "no"), limit=ALL)

        events = [sample(f"{number}.{n}", telegram_id=user) for n in range(20)]
        accepting = [store.outbox.accept(entry(event, unless=[opt_out])) for event in events]
        await asyncio.gather(*accepting[:10], stop(), *accepting[10:])
        states = {one.state for one in await store.outbox.select(of_user, limit=ALL)}
        assert states <= {"skipped"}


async def test_who_waits_is_woken_by_another_process(store, other, monkeypatch):
    monkeypatch.setattr(listener_module, "LOOK_OFTEN", 60.0)
    waiting = asyncio.create_task(store.outbox.wait("a", 30))
    while not store._server._runtime()._listener._is_working:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await fill(other.outbox, "e1")
    assert await asyncio.wait_for(waiting, 5)


async def test_a_dead_process_claims_are_back_after_their_lease(store, other, monkeypatch):
    """Nobody tells of it: whoever waits looks now and then."""
    monkeypatch.setattr(listener_module, "LOOK_OFTEN", 0.1)
    monkeypatch.setattr(listener_module, "LOOK_SELDOM", 0.1)
    await fill(other.outbox, "e1")
    await claim_one(other.outbox, lease=0.7)
    assert not await store.outbox.wait("a", 0.2)
    assert await store.outbox.wait("a", 5)
    assert (await claim_one(store.outbox)).event.event_id == "e1"


async def test_an_extended_claim_is_kept_from_other_processes(store, other):
    await fill(store.outbox, "e1")
    claim = await store.outbox.claim("a", 1, lease=0.5)
    await store.outbox.extend(claim, LEASE)
    await asyncio.sleep(0.6)
    assert list(await claim_all(other.outbox)) == []
    await store.outbox.settle([Outcome(claim.deliveries[0], "delivered")])
    assert await other.outbox.counts() == {"a": {"delivered": 1}}


async def test_where_listen_tells_nothing_who_waits_looks(store, other, monkeypatch, caplog):
    """As behind PgBouncer in transaction mode."""
    monkeypatch.setattr(listener_module, "LOOK_OFTEN", 0.1)
    monkeypatch.setattr(listener_module, "PROBE_TIMEOUT", 0.1)
    monkeypatch.setattr(listener_module.Listener, "_on_notification", lambda *_: None)
    waiting = asyncio.create_task(store.outbox.wait("a", 30))
    while "LISTEN tells nothing" not in caplog.text:
        await asyncio.sleep(0.01)
    await fill(other.outbox, "e1")
    assert await asyncio.wait_for(waiting, 5)
    assert caplog.text.count("LISTEN tells nothing") == 1


async def test_processes_count_apart_and_in_sum(store, other, connection, schema):
    for number in range(3):
        await fill(store.outbox, f"s{number}")
        await fill(other.outbox, f"o{number}")
    slots = await connection.fetch(f'SELECT slot, n FROM "{schema}".tally')
    assert [row["n"] for row in slots] == [3, 3]
    assert len({row["slot"] for row in slots}) == 2
    assert await store.outbox.counts() == {"a": {"pending": 6}}


async def test_what_the_dead_have_counted_is_inherited(store, schema, connection, monkeypatch):
    async with opened(schema) as gone:
        await fill(gone.outbox, "e1", "e2")
    monkeypatch.setattr(runtime, "BEAT", 0.02)
    async with opened(schema) as heir:
        await fill(heir.outbox, "e3")
        while len(await connection.fetch(f'SELECT 1 FROM "{schema}".tally')) > 1:
            await asyncio.sleep(0.01)
        assert await heir.outbox.counts() == {"a": {"pending": 3}}


async def test_processes_say_that_they_are_there(schema, connection):
    async with opened(schema), opened(schema):
        rows = await connection.fetch(f'SELECT version FROM "{schema}".process')
        assert [row["version"] for row in rows] == [len(MIGRATIONS)] * 2
    assert await connection.fetch(f'SELECT 1 FROM "{schema}".process') == []


# Versions


@pytest.fixture
def fresh():
    """A schema that is not there yet."""
    require_server()
    schema = new_schema()
    yield schema
    drop_schema(schema)


NEXT = Migration(
    pre="ALTER TABLE {gp}.invite ADD COLUMN note TEXT",
    post="ALTER TABLE {gp}.invite ALTER COLUMN note SET DEFAULT 'x'",
)
AFTER_NEXT = Migration(pre="CREATE TABLE {gp}.third (n INT)")


async def versions(schema):
    async with admin() as connection:
        return tuple(*await connection.fetch(f'SELECT pre, post FROM "{schema}".version'))


async def test_processes_may_race_for_a_new_schema(fresh):
    stores = [PostgresStore(DSN, fresh) for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(fill(store.outbox, f"e{n}") for n, store in enumerate(stores)))
    assert await stores[0].outbox.counts() == {"a": {"pending": 6}}
    await asyncio.gather(*(store.close() for store in stores))
    assert await versions(fresh) == (len(MIGRATIONS), len(MIGRATIONS))


async def test_the_version_before_goes_on_until_its_last_process_ends(fresh, monkeypatch):
    monkeypatch.setattr(runtime, "BEAT", 0.02)
    current = len(MIGRATIONS)
    async with opened(fresh) as old:
        await fill(old.outbox, "e1")
        async with opened(fresh, migrations=[*MIGRATIONS, NEXT]) as new:
            assert await versions(fresh) == (current + 1, current)
            await fill(new.outbox, "e2")
            await old.profiles.add_invite("link", "gp_a")
            # A process of the old version may even start.
            async with opened(fresh) as late:
                assert ids(await claim_all(late.outbox)) == ["e1", "e2"]
            await asyncio.sleep(0.1)
            assert await versions(fresh) == (current + 1, current)
            await old.close()
            while await versions(fresh) != (current + 1, current + 1):
                await asyncio.sleep(0.01)
            with pytest.raises(StoreMismatch, match="install the newer gp_aiogram"):
                await old.open()


async def test_version_1_goes_on_beside_one_that_keeps_tries(fresh, monkeypatch):
    monkeypatch.setattr(runtime, "BEAT", 0.02)
    failed = Try(1, NOON, "failed", 503, "HTTP 503")
    async with opened(fresh, migrations=MIGRATIONS[:1]) as old, opened(fresh) as new:
        assert await versions(fresh) == (2, 1)
        await fill(old.outbox, "e1")
        await new.outbox.settle([Outcome(await claim_one(new.outbox), "pending", tries=[failed])])
        # As version 1 settles: it knows nothing of tries.
        await settle_as_version_1(fresh)
        (settled,) = await deliveries_of(new.outbox, "e1")
        assert (settled.state, settled.reason, settled.tries) == ("dead", "HTTP 400", (failed,))
        await old.close()
        while await versions(fresh) != (2, 2):
            await asyncio.sleep(0.01)


async def settle_as_version_1(schema):
    async with admin() as connection:
        await connection.execute(
            f"""
            UPDATE "{schema}".delivery SET state = new.state, due_ms = new.due_ms,
                attempts = new.attempts, reason = new.reason, receipt = new.receipt,
                maybe_delivered = new.maybe_delivered, batch_cap = new.batch_cap
            FROM (VALUES (1, 'a', 'dead', 1, 2, 'HTTP 400', NULL, FALSE, NULL::INTEGER)) AS new (
                seq, destination, state, due_ms, attempts, reason, receipt, maybe_delivered,
                batch_cap
            )
            WHERE delivery.seq = new.seq AND delivery.destination = new.destination
            """
        )


async def test_two_versions_at_once_wait_for_the_earlier_to_end(fresh):
    later = [*MIGRATIONS, NEXT, AFTER_NEXT]
    async with opened(fresh):
        with pytest.raises(StoreUnavailable, match="stop them first"):
            async with opened(fresh, migrations=later):
                pass
    async with opened(fresh, migrations=later):
        pass
    assert await versions(fresh) == (len(later), len(later))


async def test_a_process_that_was_killed_holds_up_no_version(fresh):
    current = len(MIGRATIONS)
    async with opened(fresh), admin() as connection:
        await connection.execute(
            f"UPDATE \"{fresh}\".process SET seen = clock_timestamp() - interval '61 s'"
        )
        async with opened(fresh, migrations=[*MIGRATIONS, NEXT]):
            assert await versions(fresh) == (current + 1, current + 1)


async def test_a_step_that_fails_leaves_the_schema_as_it_was(fresh):
    broken = Migration(pre="CREATE TABLE {gp}.half (n INT); SELECT nonsense")
    async with opened(fresh) as store:
        await fill(store.outbox, "e1")
    with pytest.raises(StoreError, match="nonsense"):
        async with opened(fresh, migrations=[*MIGRATIONS, broken]):
            pass
    async with opened(fresh) as store, admin() as connection:
        assert ids(await store.outbox.select(EVERYTHING)) == ["e1"]
        assert await connection.fetchval("SELECT to_regclass($1)", f"{fresh}.half") is None


# Plans


MANY = 1_000_000

#: A million deliveries, of which 2000 wait, as after months of traffic.
FILL = """
    INSERT INTO {gp}.event SELECT n, 'e' || n, 'REG', n % 5000, 42, n, NULL, '\\x00'
    FROM generate_series(1, 100000) AS n;
    INSERT INTO {gp}.delivery (seq, destination, state, since_ms, due_ms)
    SELECT n, 'd' || n % 2, CASE WHEN n % 500 < 1 THEN 'pending' ELSE 'delivered' END, n, n
    FROM generate_series(1, 1000000) AS n;
    ANALYZE {gp}.event; ANALYZE {gp}.delivery;
"""


async def test_at_a_million_deliveries_what_is_due_is_found_by_its_index(fresh):
    async with opened(fresh) as store, admin() as connection:
        await connection.execute(FILL.replace("{gp}", f'"{fresh}"'))
        values = {"destination": "d0", "now": MANY, "limit": 100, "cap": 0, "first": 0}
        for plan in ("force_custom_plan", "force_generic_plan"):
            await connection.execute(f"SET plan_cache_mode = {plan}")
            for statement in (*claims.FRESH, *claims.CAPPED):
                told = await plan_of(connection, fresh, statement, values)
                assert ("delivery_due" in told) is (statement in claims.FRESH), told
                assert ("delivery_capped" in told) is (statement in claims.CAPPED), told
                assert "Seq Scan" not in told
                assert "Sort" not in told
            for statement in (claims.NEXT_DUE, claims.OLDEST):
                told = await plan_of(connection, fresh, statement, {"destinations": ["d0"]})
                assert "Seq Scan on delivery" not in told
                assert "delivery_due" in told
                assert "delivery_capped" in told
        began = time.monotonic()
        assert len(await claim_spoilt(store)) == 0
        of_user = await store.outbox.select(DeliveryFilter(telegram_id=5), limit=10)
        assert len(of_user) == 10
        assert await store.outbox.bot_of(7) == 42
        assert await store.outbox.wait("d0", 0)
        assert time.monotonic() - began < 1.5


async def claim_spoilt(store):
    """The bodies are none: whoever claims buries a few."""
    return (await store.outbox.claim("d0", 5, lease=LEASE)).deliveries


async def plan_of(connection, schema, statement, values):
    """Return how PostgreSQL would do it."""
    text, names = numbered(statement, schema)
    rows = await connection.fetch(f"EXPLAIN (COSTS OFF) {text}", *[values[name] for name in names])
    return "\n".join(row[0] for row in rows)


async def test_the_table_that_churns_is_kept_small(connection, schema):
    options = await connection.fetchval(
        "SELECT reloptions FROM pg_class WHERE oid = to_regclass($1)", f"{schema}.delivery"
    )
    assert "fillfactor=70" in options
    assert "autovacuum_vacuum_scale_factor=0.02" in options


async def test_claiming_and_settling_rewrite_no_index(store, connection, schema):
    """What changes at a claim is in no index, so PostgreSQL updates the row in its place."""
    await fill(store.outbox, *(f"e{n}" for n in range(20)))
    held = await claim_all(store.outbox)
    await store.outbox.release(held)
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    for _ in range(100):
        row = await connection.fetchrow(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables "
            "WHERE schemaname = $1 AND relname = 'delivery'",
            schema,
        )
        if row["n_tup_hot_upd"] >= 40:
            break
        await asyncio.sleep(0.05)
        await connection.execute("SELECT pg_stat_clear_snapshot()")
    assert row["n_tup_hot_upd"] >= 40


# Rows that cannot be read


@pytest.mark.parametrize("body", [b"", b"not json", b"{}", b"\xff\xfe", b'{"event_id": 1}'])
async def test_an_event_that_cannot_be_read_is_a_dead_letter(
    store, outbox, connection, schema, body, caplog
):
    await fill(outbox, "spoilt", "sound")
    await connection.execute(
        f"UPDATE \"{schema}\".event SET body = $1 WHERE event_id = 'spoilt'", body
    )
    async with opened(schema) as other:  # which has not the event in its memory
        assert ids(await claim_all(other.outbox)) == ["sound"]
        (dead,) = await dead_letters(other.outbox)
        assert dead.event.event_id == "spoilt"
        assert dead.reason.startswith("the stored event cannot be read")
        assert await other.outbox.counts() == {"a": {"dead": 1, "pending": 1}}
    assert "event spoilt is a dead letter for a" in caplog.text


async def test_a_delivery_whose_event_is_gone_holds_up_nobody(connection, schema, store):
    await fill(store.outbox, "gone", "sound")
    await connection.execute(f"DELETE FROM \"{schema}\".event WHERE event_id = 'gone'")
    async with opened(schema) as other:
        assert ids(await claim_all(other.outbox)) == ["sound"]
        assert await other.outbox.counts() == {"a": {"dead": 1, "pending": 1}}


@pytest.mark.parametrize("column", ["since_ms", "due_ms"])
async def test_a_delivery_that_cannot_be_read_holds_up_nobody(
    store, outbox, connection, schema, column
):
    await fill(outbox, "spoilt", "sound")
    await connection.execute(
        f'UPDATE "{schema}".delivery SET {column} = -(2 :: NUMERIC ^ 62) WHERE seq = ('
        f"SELECT seq FROM \"{schema}\".event WHERE event_id = 'spoilt')"
    )
    assert ids(await claim_all(outbox)) == ["sound"]
    (dead,) = await dead_letters(outbox)
    assert (dead.event.event_id, dead.reason) == ("spoilt", "the stored delivery cannot be read")


async def test_a_receipt_that_cannot_be_read_is_left_out(outbox, connection, schema, caplog):
    await fill(outbox, "e1")
    await connection.execute(f"UPDATE \"{schema}\".delivery SET receipt = 'x'")
    (delivery,) = await deliveries_of(outbox, "e1")
    assert delivery.receipt == {}
    assert "a stored receipt cannot be read" in caplog.text


@pytest.mark.parametrize("text", UNREADABLE_TRIES)
async def test_tries_that_cannot_be_read_are_left_out(outbox, connection, schema, caplog, text):
    await fill(outbox, "e1")
    await connection.execute(f'UPDATE "{schema}".delivery SET tries = $1', text)
    (delivery,) = await deliveries_of(outbox, "e1")
    assert delivery.tries == ()
    assert "a stored list of tries cannot be read" in caplog.text


@pytest.mark.parametrize(
    "fields",
    [{"telegram_id": 2**70}, {"name": "a\0b"}, {"event_id": "a\0b"}],
    ids=["beyond 64 bits", "NUL in a name", "NUL in an id"],
)
async def test_what_postgresql_cannot_keep_fails_alone(outbox, fields):
    bad = sample(**({"event_id": "bad"} | fields))
    results = await asyncio.gather(
        *(outbox.accept(entry(event)) for event in (sample("e1"), bad, sample("e2"))),
        return_exceptions=True,
    )
    assert (results[0], results[2]) == ("stored", "stored")
    assert isinstance(results[1], StoreError)
    assert not isinstance(results[1], StoreUnavailable)
    assert str(2**70) not in str(results[1])


# Loops, forks, ends


def test_another_event_loop_is_refused_while_the_first_is_there(schema):
    store = PostgresStore(DSN, schema)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        first.run_until_complete(store.open())
        with pytest.raises(StoreError, match="another event loop"):
            second.run_until_complete(store.outbox.counts())
        first.run_until_complete(store.close())
        second.run_until_complete(store.outbox.counts())
        second.run_until_complete(store.close())
    finally:
        first.close()
        second.close()


def test_a_store_left_open_by_a_loop_that_ended_works_in_another(schema):
    store = PostgresStore(DSN, schema)
    asyncio.run(store.open())

    async def use():
        await store.outbox.counts()
        await store.close()

    asyncio.run(use())


def test_a_store_left_open_by_a_loop_that_ended_can_be_closed(schema):
    store = PostgresStore(DSN, schema)
    asyncio.run(store.open())
    asyncio.run(store.close())


FORK = """
import asyncio, json, os, sys
from gp_aiogram import PostgresStore
from gp_aiogram.testing.samples import entry

store = PostgresStore(*sys.argv[1:3])

async def accept(name):
    await store.outbox.accept(entry(name))

async def parent():
    await store.open()
    await accept("before")
    pid = os.fork()
    if not pid:
        return False
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    await accept("after")
    print(json.dumps([status, await store.outbox.counts()]))
    await store.close()
    return True

async def child():
    await accept("child")
    await store.close()

loop = asyncio.new_event_loop()
if not loop.run_until_complete(parent()):
    asyncio.set_event_loop(None)
    asyncio.events._set_running_loop(None)
    asyncio.run(child())
    os._exit(0)
"""


def test_a_forked_child_has_connections_of_its_own(schema):
    asyncio.run(_emptied(schema))
    done = subprocess.run(
        [sys.executable, "-c", FORK, DSN, schema],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [0, {"a": {"pending": 3}}]


async def _emptied(schema):
    async with admin() as connection:
        await empty(connection, schema)


async def test_a_listener_stops_although_it_hears_something_just_then():
    happens = asyncio.Event()
    listening = asyncio.ensure_future(listener_module._comes_within(happens, 30))
    await asyncio.sleep(0.01)
    happens.set()
    listening.cancel()
    await asyncio.wait([listening], timeout=5)
    assert listening.cancelled()


@pytest.mark.parametrize("closes", [True, False])
def test_an_interpreter_ends_in_silence(schema, closes):
    code = (
        "import asyncio, sys\n"
        "from gp_aiogram import PostgresStore\n"
        "async def main():\n"
        "    store = PostgresStore(*sys.argv[1:3])\n"
        "    await store.open()\n"
        "    await store.outbox.wait('a', 0.1)\n"
        f"    {'await store.close()' if closes else 'pass'}\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, DSN, schema],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_an_event_accepted_after_closing_is_there_and_nothing_stays_open(schema, connection):
    store = PostgresStore(DSN, schema)
    await store.open()
    await store.close()
    assert await store.outbox.accept(entry("late")) == "stored"
    assert store._server._running is None
    async with opened(schema) as other:
        assert ids(await other.outbox.select(EVERYTHING)) == ["late"]


# What is configured


@pytest.mark.parametrize(
    ("dsn", "options"),
    [
        ("gp.sqlite3", {}),
        ("mysql://user:secret@db/gp", {}),
        ("postgresql://user:secret@db/gp", {"schema": "Gp"}),
        ("postgresql://user:secret@db/gp", {"schema": 'gp"; DROP TABLE x'}),
        ("postgresql://user:secret@db/gp", {"schema": "pg_own"}),
        ("postgresql://user:secret@db/gp", {"schema": "x" * 49}),
        ("postgresql://user:secret@db/gp?schema=a.b", {}),
        ("postgresql://user:secret@db/gp?statement_cache_size=few", {}),
        ("postgresql://user:secret@db/gp", {"statement_cache_size": -1}),
    ],
)
def test_what_makes_no_sense_is_refused_without_the_password(dsn, options):
    with pytest.raises(ConfigurationError) as caught:
        PostgresStore(dsn, **options)
    assert "secret" not in str(caught.value)


def test_the_password_is_never_shown():
    store = PostgresStore("postgresql://bot:secret@db:5433/shop?password=secret&schema=ads")
    for shown in (repr(store), repr(store.address), str(store.address), str(vars(store.address))):
        assert "bot" in shown
    assert "secret" not in repr(store) + repr(store.address) + str(store.address)
    assert repr(store) == "PostgresStore('postgresql://bot@db:5433/shop', schema='ads')"


async def test_events_that_come_together_share_commits(store, connection, schema, monkeypatch):
    commits = []
    transact = runtime.Runtime._commit

    async def counting(self, work, *arguments):
        commits.append(sum(len(items) for _, items in work))
        return await transact(self, work, *arguments)

    monkeypatch.setattr(runtime.Runtime, "_commit", counting)
    await asyncio.gather(*(fill(store.outbox, f"e{n}") for n in range(200)))
    assert sum(commits) == 200
    assert len(commits) <= 3


async def test_nothing_is_said_of_a_sound_server(store, outbox, caplog):
    caplog.set_level(logging.INFO)
    await fill(outbox, "e1")
    assert caplog.messages == []
