"""A PostgreSQL server that is away, full, slow or wrong: what is told, and what is kept."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager

import asyncpg
import pytest

from fixtures.postgres_server import Bouncer, OwnServer, Proxy
from gp_aiogram import PostgresStore, StoreError, StoreMismatch, StoreUnavailable, Tracker
from gp_aiogram.stores.records import DeliveryFilter, Outcome
from gp_aiogram.testing.samples import ALL, USER, claim_all, claim_one, entry, fill, ids, key

EVERYTHING = DeliveryFilter()
SCHEMA = "gp"


@pytest.fixture(scope="module")
def server():
    server = OwnServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
async def database(server):
    """A database without our schema."""
    async with admin(server, "postgres") as connection:
        if not await connection.fetch("SELECT 1 FROM pg_database WHERE datname = 'shop'"):
            await connection.execute("CREATE DATABASE shop TEMPLATE template0")
    async with admin(server) as connection:
        await connection.execute("DROP SCHEMA IF EXISTS gp CASCADE")
    return "shop"


@asynccontextmanager
async def admin(server, database="shop"):
    connection = await asyncpg.connect(server.dsn(database=database))
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def opened(dsn, **options):
    store = PostgresStore(dsn, SCHEMA, **options)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(server, database):
    async with opened(server.dsn(database=database)) as store:
        yield store


@pytest.fixture
def outbox(store):
    return store.outbox


async def stored(store):
    return set(ids(await store.outbox.select(EVERYTHING, limit=10_000)))


async def assert_whole(server, store):
    """Nothing is there by half: each event has both deliveries, and is counted."""
    deliveries = await store.outbox.select(EVERYTHING, limit=10_000)
    assert len(deliveries) == 2 * len(set(ids(deliveries)))
    counted = await store.outbox.counts()
    assert sum(sum(states.values()) for states in counted.values()) == len(deliveries)


# Away for a while


async def test_a_restart_loses_nothing_and_heals_by_itself(server, store, outbox):
    await fill(outbox, "before")
    server.stop()
    with pytest.raises(StoreUnavailable, match=r"postgresql://postgres@127.0.0.1:\d+/shop"):
        await outbox.accept(entry("meanwhile"))
    server.start()
    assert await outbox.accept(entry("after")) == "stored"
    assert await stored(store) == {"before", "after"}


async def test_who_only_reads_does_not_notice_a_restart(server, store, outbox):
    await fill(outbox, "e1")
    server.stop()
    server.start()
    assert await outbox.counts() == {"a": {"pending": 1}}


async def test_a_claim_outlives_a_restart(server, store, outbox):
    await fill(outbox, "e1")
    held = await claim_one(outbox)
    server.kill()
    server.start()
    assert list(await claim_all(outbox)) == []
    await outbox.settle([Outcome(held, "delivered")])
    assert await outbox.counts() == {"a": {"delivered": 1}}


@pytest.mark.parametrize("seed", range(3))
async def test_a_killed_server_keeps_what_was_acknowledged(server, store, outbox, seed):
    acknowledged, failed = set(), set()

    async def accept(event_id):
        try:
            result = await outbox.accept(entry(event_id, ["a", "b"], once=[key(event_id)]))
        except StoreUnavailable:
            failed.add(event_id)
        else:
            assert result == "stored"
            acknowledged.add(event_id)

    async def flood():
        for number in range(25):
            await asyncio.gather(*(accept(f"{number}.{n}") for n in range(4)))

    flooding = asyncio.create_task(flood())
    await asyncio.sleep(0.05 + 0.04 * seed)
    await asyncio.to_thread(server.kill)
    await flooding
    server.start()
    found = await stored(store)
    assert acknowledged <= found
    await assert_whole(server, store)
    # Whoever did not hear of it tries again: each counts once.
    tried = sorted(failed)
    again = await asyncio.gather(
        *(outbox.accept(entry(event_id, ["a", "b"], once=[key(event_id)])) for event_id in tried)
    )
    assert again == ["duplicate" if event_id in found else "stored" for event_id in tried]
    await assert_whole(server, store)


async def test_a_connection_that_was_cut_while_idle_is_not_noticed(server, store, outbox):
    await fill(outbox, "e1")
    async with admin(server) as connection:
        await cut(connection)
    assert await outbox.accept(entry("e2")) == "stored"
    assert await stored(store) == {"e1", "e2"}


async def cut(connection):
    await connection.execute("""
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
    """)


async def test_connections_that_are_cut_amid_work_leave_nothing_by_half(server, store, outbox):
    acknowledged = set()

    async def accept(event_id):
        try:
            assert await outbox.accept(entry(event_id, ["a", "b"])) == "stored"
            acknowledged.add(event_id)
        except StoreUnavailable:
            pass

    async with admin(server) as connection:
        for number in range(30):
            accepting = [asyncio.create_task(accept(f"{number}.{n}")) for n in range(5)]
            await asyncio.sleep(0.001 * (number % 10))
            await cut(connection)
            await asyncio.gather(*accepting)
    assert acknowledged <= await stored(store)
    await assert_whole(server, store)


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_commit_without_an_answer_has_happened_once_or_not_at_all(
    server, database, arrives
):
    proxy = Proxy(server.port)
    port = await proxy.start()
    dsn = server.dsn(database=database).replace(str(server.port), str(port))
    async with opened(dsn) as store:
        await fill(store.outbox, "e0")
        proxy.word, proxy.passes_word = b"COMMIT\0", arrives
        with pytest.raises(StoreUnavailable):
            await store.outbox.accept(entry("e1", once=[key("k")]))
        assert proxy.cuts == 1
        assert await stored(store) == ({"e0", "e1"} if arrives else {"e0"})
        again = await store.outbox.accept(entry("e1", once=[key("k")]))
        assert again == ("duplicate" if arrives else "stored")
        assert await store.outbox.counts() == {"a": {"pending": 2}}
    await proxy.stop()


async def test_what_was_cut_before_its_commit_is_done_again(server, database):
    proxy = Proxy(server.port)
    port = await proxy.start()
    dsn = server.dsn(database=database).replace(str(server.port), str(port))
    async with opened(dsn) as store:
        await fill(store.outbox, "e0")
        proxy.word = b"LOCAL lock_timeout"
        assert await store.outbox.accept(entry("e1")) == "stored"
        assert proxy.cuts == 1
    await proxy.stop()


async def test_a_server_that_answers_no_more_is_given_up(server, database, monkeypatch):
    """As behind a firewall that has forgotten the connection."""
    monkeypatch.setattr("gp_aiogram.stores.postgres.database.ANSWERING", 0.5)
    proxy = Proxy(server.port)
    port = await proxy.start()
    dsn = server.dsn(database=database).replace(str(server.port), str(port))
    async with opened(dsn) as store:
        await fill(store.outbox, "e0")
        proxy.is_silent = True
        with pytest.raises(StoreUnavailable, match="away for the moment"):
            await store.outbox.accept(entry("e1", once=[key("k")]))
        proxy.is_silent = False
        assert await store.outbox.accept(entry("e1", once=[key("k")])) == "stored"
        assert await stored(store) == {"e0", "e1"}
    await proxy.stop()


async def test_a_tracker_starts_while_the_server_is_away(server, database, recorder, caplog):
    server.stop()
    store = PostgresStore(server.dsn(database=database))
    tracker = Tracker([recorder], store=store, journal=None)
    await tracker.start()
    assert "started without the store" in caplog.text
    with pytest.raises(StoreUnavailable):
        await tracker.track("REG", telegram_id=USER)
    await asyncio.to_thread(server.start)
    event = await tracker.track("REG", telegram_id=USER)
    while event not in recorder.events:
        await asyncio.sleep(0.05)
    await tracker.close()


async def test_a_courier_hears_again_after_a_restart(server, database, recorder):
    """Of what another process records, by NOTIFY and not by looking every few seconds."""
    async with opened(server.dsn(database=database)) as other:
        tracker = Tracker([recorder], store=PostgresStore(server.dsn(database=database)))
        await tracker.start()
        await asyncio.sleep(0.2)
        server.stop()
        server.start()
        listener = tracker.store._server._runtime()._listener
        while not listener._is_working:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        names = [lane.destination.name for lane in tracker._courier.lanes.values()]
        await other.outbox.accept(entry("e1", names))
        deadline = asyncio.get_running_loop().time() + 1.5
        while not recorder.events:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)
        await tracker.close()


# Slow, full, read-only


async def test_a_statement_timeout_is_an_outage(server, database):
    async with admin(server) as connection:
        await connection.execute("CREATE ROLE slow LOGIN SUPERUSER")
        await connection.execute("ALTER ROLE slow SET statement_timeout = 60")
        try:
            async with opened(server.dsn("slow", database)) as store:
                await fill(store.outbox, "e1")
                async with connection.transaction():
                    await connection.execute("LOCK TABLE gp.event IN EXCLUSIVE MODE")
                    with pytest.raises(StoreUnavailable, match="statement timeout"):
                        await store.outbox.accept(entry("e2", once=[key("k")]))
                assert await store.outbox.accept(entry("e2", once=[key("k")])) == "stored"
        finally:
            await connection.execute("DROP OWNED BY slow CASCADE; DROP ROLE slow")


async def test_a_full_disk_fails_a_whole_batch_and_heals(server, store, outbox):
    await fill(outbox, "e1")
    async with admin(server) as connection:
        # The server's own words and code for it.
        await connection.execute("""
            CREATE FUNCTION gp.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                RAISE EXCEPTION 'could not extend file: No space left on device'
                USING ERRCODE = 'disk_full';
            END $$;
            CREATE TRIGGER full_disk BEFORE INSERT ON gp.delivery EXECUTE FUNCTION gp.fail();
        """)
        results = await asyncio.gather(
            *(outbox.accept(entry(f"f{n}", once=[key(f"k{n}")])) for n in range(20)),
            return_exceptions=True,
        )
        assert {type(result) for result in results} == {StoreUnavailable}
        assert "No space left" in str(results[0])
        await connection.execute("DROP TRIGGER full_disk ON gp.delivery")
    assert await outbox.accept(entry("f1", once=[key("k1")])) == "stored"
    assert await stored(store) == {"e1", "f1"}


async def test_a_standby_is_left_for_the_primary(server, store, outbox):
    """A connection to what is read-only is not used again."""
    await fill(outbox, "e1")
    async with admin(server) as connection:
        await connection.execute("ALTER DATABASE shop SET default_transaction_read_only = on")
        await cut(connection)
        with pytest.raises(StoreUnavailable, match="read-only"):
            await outbox.accept(entry("e2"))
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute("ALTER DATABASE shop SET default_transaction_read_only = off")
    assert await outbox.accept(entry("e2")) == "stored"


async def test_a_deadlock_is_solved_by_itself(server, store, outbox):
    """It gives way to whoever came first, and tries again."""
    await fill(outbox, "e1", "e2")
    first, second = await claim_all(outbox)
    async with admin(server) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("UPDATE gp.delivery SET reason = 'x' WHERE seq = $1", second.seq)
        settling = asyncio.create_task(
            outbox.settle([Outcome(first, "delivered"), Outcome(second, "delivered")])
        )
        await asyncio.sleep(0.3)
        await connection.execute("UPDATE gp.delivery SET reason = 'x' WHERE seq = $1", first.seq)
        await transaction.commit()
        await settling
    assert await outbox.counts() == {"a": {"delivered": 2}}


async def test_a_lock_on_a_whole_table_holds_up_nobody_for_long(server, store, outbox):
    """As of somebody who builds an index: what waits is told so, and not one after the other."""
    await fill(outbox, "e1")
    async with admin(server) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("LOCK TABLE gp.event IN SHARE MODE")
        began = asyncio.get_running_loop().time()
        results = await asyncio.gather(
            *(outbox.accept(entry(f"f{n}")) for n in range(200)), return_exceptions=True
        )
        assert {type(result) for result in results} == {StoreUnavailable}
        assert asyncio.get_running_loop().time() - began < 20
        await transaction.rollback()
    assert await outbox.accept(entry("f1")) == "stored"


# PgBouncer


async def test_pgbouncer_in_transaction_mode_is_no_obstacle(server, database, caplog):
    bouncer = Bouncer(server)
    try:
        async with opened(bouncer.dsn) as store, opened(bouncer.dsn) as other:
            entries = [entry(f"e{n % 40}", once=[key(f"k{n % 40}")]) for n in range(80)]
            results = await asyncio.gather(
                *(one.outbox.accept(accepted) for accepted in entries for one in (store, other))
            )
            assert results.count("stored") == 40
            claimed = []
            for one in (store, other) * 8:
                held = await claim_all(one.outbox, limit=7)
                claimed += ids(held)
                await one.outbox.settle([Outcome(delivery, "delivered") for delivery in held])
            assert len(claimed) == len(set(claimed)) == 40
            waiting = asyncio.create_task(store.outbox.wait("a", 30))
            await asyncio.sleep(0.1)
            await fill(other.outbox, "late")
            assert await asyncio.wait_for(waiting, 10)
    finally:
        bouncer.remove()


# Wrong


async def test_a_wrong_password_is_told_without_it(server, database):
    async with admin(server) as connection:
        await connection.execute("DROP ROLE IF EXISTS guarded")
        await connection.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    dsn = f"postgresql://guarded:my-secret@127.0.0.1:{server.port}/{database}"
    store = PostgresStore(dsn)
    with pytest.raises(StoreError, match="login of guarded") as caught:
        await store.open()
    assert not isinstance(caught.value, StoreUnavailable)
    for shown in (str(caught.value), repr(store), repr(store.address), str(store.address)):
        assert "my-secret" not in shown
    await store.close()


async def test_a_right_password_that_needs_escaping_is_taken(server, database):
    async with admin(server) as connection:
        await connection.execute("DROP ROLE IF EXISTS guarded")
        await connection.execute("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'p@ss/w:rd?'")
    dsn = f"postgresql://guarded:p%40ss%2Fw%3Ard%3F@127.0.0.1:{server.port}/{database}"
    async with opened(dsn) as store:
        assert await store.outbox.counts() == {}


@pytest.mark.parametrize(
    ("user", "database_name", "told"),
    [
        ("refused", "shop", "login of refused"),
        ("postgres", "missing", "no database missing"),
    ],
)
async def test_a_wrong_address_is_told(server, database, user, database_name, told):
    store = PostgresStore(server.dsn(user, database_name))
    with pytest.raises(StoreError, match=told) as caught:
        await store.open()
    assert not isinstance(caught.value, StoreUnavailable)
    await store.close()


async def test_tls_that_the_server_has_not_is_told(server, database):
    store = PostgresStore(f"{server.dsn(database=database)}?sslmode=require")
    with pytest.raises(StoreError, match="SSL") as caught:
        await store.open()
    assert not isinstance(caught.value, StoreUnavailable)
    await store.close()


async def test_who_may_not_make_the_schema_is_told(server, database):
    async with admin(server) as connection:
        await connection.execute("DROP ROLE IF EXISTS poor")
        await connection.execute("CREATE ROLE poor LOGIN")
        store = PostgresStore(server.dsn("poor", database))
        with pytest.raises(StoreError, match="poor lacks a right") as caught:
            await store.open()
        assert not isinstance(caught.value, StoreUnavailable)
        await store.close()
        await connection.execute("GRANT CREATE ON DATABASE shop TO poor")
        async with opened(server.dsn("poor", database)) as store:
            await fill(store.outbox, "e1")
        await connection.execute("DROP OWNED BY poor; DROP ROLE poor")


async def test_who_may_use_the_tables_needs_no_more(server, store, database):
    async with admin(server) as connection:
        await connection.execute("DROP ROLE IF EXISTS clerk")
        await connection.execute("""
            CREATE ROLE clerk LOGIN;
            GRANT USAGE ON SCHEMA gp TO clerk;
            GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA gp TO clerk;
            GRANT USAGE ON ALL SEQUENCES IN SCHEMA gp TO clerk;
        """)
        async with opened(server.dsn("clerk", database)) as other:
            await fill(other.outbox, "e1")
            await other.outbox.settle([Outcome(await claim_one(other.outbox), "delivered")])
            assert await other.outbox.erase(EVERYTHING, limit=ALL) == 1
        await connection.execute("DROP OWNED BY clerk; DROP ROLE clerk")


async def test_a_schema_of_another_program_is_refused_and_left_alone(server, database):
    async with admin(server) as connection:
        await connection.execute("CREATE SCHEMA gp; CREATE TABLE gp.orders (id INT)")
        store = PostgresStore(server.dsn(database=database))
        with pytest.raises(StoreMismatch, match="another program's tables"):
            await store.open()
        await store.close()
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'gp'")
        assert [row["tablename"] for row in tables] == ["orders"]


async def test_a_schema_that_is_dropped_is_made_anew(server, store, outbox):
    await fill(outbox, "e1")
    async with admin(server) as connection:
        await connection.execute("DROP SCHEMA gp CASCADE")
    with pytest.raises(StoreError, match="gp"):
        await outbox.accept(entry("e2"))
    assert await outbox.accept(entry("e2")) == "stored"
    assert await stored(store) == {"e2"}


async def test_nothing_personal_is_logged_at_any_level(server, store, outbox, caplog):
    caplog.set_level(logging.DEBUG)
    await fill(outbox, "e1")
    server.stop()
    with pytest.raises(StoreUnavailable):
        await outbox.accept(entry("private-event"))
    server.start()
    await outbox.accept(entry("private-event"))
    assert "private-event" not in caplog.text
    assert str(USER) not in caplog.text
