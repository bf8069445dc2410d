"""Events in a transaction of the caller's: recorded with the rest of it, or not at all."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from contextlib import asynccontextmanager, suppress

import asyncpg
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

from fixtures.postgres import DSN, admin, drop_schema, empty, make_schema, require_server
from gp_aiogram import (
    ConfigurationError,
    EventError,
    MemoryStore,
    PostgresStore,
    SQLiteStore,
    Store,
    StoreError,
    Tracker,
    UserTracker,
)
from gp_aiogram.stores.records import DeliveryFilter
from gp_aiogram.testing.samples import BOT, USER, entry, key, sample

EVERYTHING = DeliveryFilter()
PURCHASE = {"telegram_id": USER, "bot_id": BOT, "value": 5, "currency": "EUR"}


@pytest.fixture(scope="module")
def schema():
    require_server()
    schema = make_schema()

    async def add_orders():
        async with admin() as connection:
            await connection.execute(f'CREATE TABLE "{schema}".orders (id TEXT PRIMARY KEY)')

    asyncio.run(add_orders())
    yield schema
    drop_schema(schema)


@pytest.fixture
async def store(schema):
    async with admin() as connection:
        await empty(connection, schema)
        await connection.execute(f'DELETE FROM "{schema}".orders')
    store = PostgresStore(DSN, schema)
    yield store
    await store.close()


@pytest.fixture
async def tracker(recorder, store):
    tracker = Tracker([recorder], store=store, journal=None)
    yield tracker
    await tracker.close(grace=0)


@pytest.fixture
async def engine():
    engine = create_async_engine(
        DSN.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool
    )
    yield engine
    await engine.dispose()


class Shop:
    """A caller with a transaction.

    :param connection: what is given as ``connection=``.
    :param execute: runs a statement in it.
    """

    def __init__(self, connection, execute, schema):
        self.connection = connection
        self.execute = execute
        self.schema = schema

    async def order(self, order):
        await self.execute(f"INSERT INTO \"{self.schema}\".orders VALUES ('{order}')")


class RolledBackError(Exception):
    pass


@asynccontextmanager
async def rolled_back(transaction):
    """Begin a transaction, and roll it back in the end."""
    with suppress(RolledBackError):
        async with transaction() as shop:
            yield shop
            raise RolledBackError


@asynccontextmanager
async def asyncpg_transaction(schema, engine):
    async with admin() as connection, connection.transaction():
        yield Shop(connection, connection.execute, schema)


@asynccontextmanager
async def pooled_transaction(schema, engine):
    async with (
        asyncpg.create_pool(DSN, min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
        connection.transaction(),
    ):
        yield Shop(connection, connection.execute, schema)


@asynccontextmanager
async def alchemy_connection(schema, engine):
    async with engine.begin() as connection:
        yield Shop(connection, lambda statement: connection.execute(text(statement)), schema)


@asynccontextmanager
async def alchemy_connection_begun_lazily(schema, engine):
    async with engine.connect() as connection:
        yield Shop(connection, lambda statement: connection.execute(text(statement)), schema)
        await connection.commit()


@asynccontextmanager
async def alchemy_session(schema, engine):
    async with async_sessionmaker(engine).begin() as session:
        yield Shop(session, lambda statement: session.execute(text(statement)), schema)


class OwnSession(AsyncSession):
    pass


@asynccontextmanager
async def alchemy_session_of_ones_own(schema, engine):
    async with OwnSession(engine) as session:
        yield Shop(session, lambda statement: session.execute(text(statement)), schema)
        await session.commit()


@asynccontextmanager
async def alchemy_session_over_psycopg(schema, engine):
    """Another driver beneath it is none of our business."""
    other = create_async_engine(
        engine.url.set(drivername="postgresql+psycopg"), poolclass=NullPool
    )
    async with async_sessionmaker(other).begin() as session:
        yield Shop(session, lambda statement: session.execute(text(statement)), schema)
    await other.dispose()


KINDS = [
    asyncpg_transaction,
    pooled_transaction,
    alchemy_connection,
    alchemy_connection_begun_lazily,
    alchemy_session,
    alchemy_session_of_ones_own,
    alchemy_session_over_psycopg,
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def transaction(request, schema, engine):
    """Begin a transaction as a caller may; it is rolled back when an error leaves it."""
    return lambda: request.param(schema, engine)


@pytest.fixture
def plain(schema, engine):
    return lambda: asyncpg_transaction(schema, engine)


async def orders(schema):
    async with admin() as connection:
        rows = await connection.fetch(f'SELECT id FROM "{schema}".orders ORDER BY id')
    return [row["id"] for row in rows]


async def events(store):
    return [delivery.event for delivery in await store.outbox.select(EVERYTHING)]


async def test_an_order_and_its_event_are_committed_together(tracker, store, schema, transaction):
    async with transaction() as shop:
        await shop.order("o1")
        event = await tracker.track("Purchase", **PURCHASE, once="o1", connection=shop.connection)
        assert await events(store) == []
        assert await orders(schema) == []
    assert await orders(schema) == ["o1"]
    assert await events(store) == [event]
    assert await tracker.track("Purchase", **PURCHASE, once="o1") is None


async def test_the_event_may_be_first(tracker, store, schema, transaction):
    """A lazy transaction is begun by it, and goes on with what comes after."""
    async with transaction() as shop:
        await tracker.track("Purchase", **PURCHASE, once="o1", connection=shop.connection)
        assert await events(store) == []
        await shop.order("o1")
    assert await orders(schema) == ["o1"]
    assert len(await events(store)) == 1


async def test_a_rolled_back_order_leaves_no_event_and_no_once_key(
    tracker, store, schema, transaction
):
    async with rolled_back(transaction) as shop:
        assert await tracker.track(
            "Purchase", **PURCHASE, once="o1", event_id="e1", connection=shop.connection
        )
        await shop.order("o1")
    assert await orders(schema) == []
    assert await events(store) == []
    assert await store.outbox.counts() == {}
    assert await tracker.track("Purchase", **PURCHASE, once="o1", event_id="e1") is not None


async def test_what_is_decided_sees_what_the_transaction_has_written(tracker, store, transaction):
    async with transaction() as shop:
        own = {"connection": shop.connection}
        first = await tracker.deposit(**PURCHASE, **own)
        second = await tracker.deposit(**PURCHASE, **own)
        assert (first.name, second.name) == ("FTD", "DEP")
        assert await tracker.track("Purchase", **PURCHASE, once="o1", **own) is not None
        assert await tracker.track("Purchase", **PURCHASE, once="o1", **own) is None
    assert [event.name for event in await events(store)] == ["FTD", "DEP", "Purchase"]
    assert await store.outbox.counts() == {"recorder": {"pending": 3}}


async def test_a_refund_finds_the_order_of_its_own_transaction(tracker, store, transaction):
    async with transaction() as shop:
        own = {"connection": shop.connection}
        await tracker.track("Purchase", **PURCHASE, once="o1", **own)
        await tracker.refund("o1", telegram_id=USER, bot_id=BOT, **own)
    (payment,) = await store.outbox.select(DeliveryFilter(order="o1"))
    assert (payment.state, payment.reason) == ("skipped", "refunded before it was sent")
    assert await store.outbox.counts() == {"recorder": {"skipped": 1}}


async def test_a_refund_that_is_rolled_back_cancels_nothing(tracker, store, transaction):
    await tracker.track("Purchase", **PURCHASE, once="o1")
    async with rolled_back(transaction) as shop:
        await tracker.refund("o1", telegram_id=USER, bot_id=BOT, connection=shop.connection)
    assert await store.outbox.counts() == {"recorder": {"pending": 1}}


async def test_a_savepoint_of_the_callers_is_theirs(tracker, store, schema, engine):
    async with engine.begin() as connection:
        await tracker.track("Purchase", **PURCHASE, once="kept", connection=connection)
        nested = await connection.begin_nested()
        await tracker.track("Purchase", **PURCHASE, once="gone", connection=connection)
        await nested.rollback()
        async with connection.begin_nested():
            await tracker.track("Purchase", **PURCHASE, once="kept too", connection=connection)
    known = await store.outbox.select(EVERYTHING)
    assert len(known) == 2
    assert await tracker.track("Purchase", **PURCHASE, once="gone") is not None


async def test_an_opt_out_is_seen(tracker, store, transaction):
    await tracker.opt_out(USER)
    async with transaction() as shop:
        assert await tracker.track("REG", telegram_id=USER, connection=shop.connection) is None
    assert await events(store) == []


async def test_a_commit_wakes_the_couriers(tracker, recorder, transaction):
    """Of every process, by NOTIFY; the lane looks again after seconds only."""
    await tracker.start()
    await tracker.track("REG", telegram_id=USER)
    assert await tracker.flush(5)
    await asyncio.sleep(0.3)
    async with transaction() as shop:
        event = await tracker.track("REG", telegram_id=USER, connection=shop.connection)
    deadline = asyncio.get_running_loop().time() + 1.5
    while event not in recorder.events:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


async def test_the_log_claims_nothing_that_may_be_rolled_back(tracker, plain, caplog):
    caplog.set_level(logging.INFO, "gp_aiogram")
    async with plain() as shop:
        await tracker.track("REG", telegram_id=USER, connection=shop.connection)
    assert "recorded when the caller's transaction commits: REG" in caplog.text
    assert (tracker.counts["tracked"], tracker.counts["in_transactions"]) == (0, 1)


async def test_what_makes_no_event_leaves_the_transaction_alone(tracker, schema, plain):
    async with plain() as shop:
        with pytest.raises(EventError):
            await tracker.track("Purchase", telegram_id=USER, connection=shop.connection)
        await shop.order("o1")
    assert await orders(schema) == ["o1"]


async def test_a_closed_tracker_leaves_nothing_open(tracker, store, plain):
    await tracker.start()
    await tracker.close()
    async with plain() as shop:
        event = await tracker.track("REG", telegram_id=USER, connection=shop.connection)
    assert store._server._running is None
    assert await events(store) == [event]


# Two at once


async def test_of_two_transactions_with_one_key_the_second_waits_for_the_first(
    tracker, store, plain
):
    async with plain() as first:
        await tracker.track("Purchase", **PURCHASE, once="o1", connection=first.connection)

        async def other():
            async with plain() as second:
                return await tracker.track(
                    "Purchase", **PURCHASE, once="o1", connection=second.connection
                )

        waiting = asyncio.create_task(other())
        await asyncio.sleep(0.2)
        assert not waiting.done()
    assert await waiting is None
    assert len(await events(store)) == 1


async def test_a_long_transaction_holds_up_only_what_meets_it(tracker, store, plain):
    await store.open()
    async with plain() as shop:
        await tracker.track("Purchase", **PURCHASE, once="held", connection=shop.connection)
        meeting = asyncio.create_task(tracker.track("Purchase", **PURCHASE, once="held"))
        others = [entry(sample(f"e{n}"), once=[key(f"k{n}")]) for n in range(40)]
        results = await asyncio.wait_for(
            asyncio.gather(*map(store.outbox.accept, others)), timeout=5
        )
        assert results == ["stored"] * 40
        # The one is out of the way now, and new ones do not wait at all.
        await asyncio.wait_for(store.outbox.accept(entry("late")), timeout=1)
        assert not meeting.done()
    assert await meeting is None


async def test_a_transaction_that_takes_too_long_fails_what_meets_it(
    tracker, store, plain, monkeypatch
):
    monkeypatch.setattr("gp_aiogram.stores.postgres.runtime._PATIENCE", 0.2)
    async with plain() as shop:
        await tracker.track("Purchase", **PURCHASE, once="held", connection=shop.connection)
        with pytest.raises(StoreError, match="another transaction holds"):
            await tracker.track("Purchase", **PURCHASE, once="held")
    assert await tracker.track("Purchase", **PURCHASE, once="held") is None


async def test_an_opt_out_waits_for_who_has_seen_none(tracker, store, plain):
    async with plain() as shop:
        assert await tracker.track("REG", telegram_id=USER, connection=shop.connection)
        opting_out = asyncio.create_task(tracker.opt_out(USER))
        await asyncio.sleep(0.3)
        assert not opting_out.done()
    await opting_out
    assert await store.outbox.counts() == {"recorder": {"skipped": 1}}


# What cannot be


@pytest.mark.parametrize("name", ["memory", "sqlite"])
async def test_a_store_that_cannot_says_which_can(name, recorder, tmp_path, plain):
    stores = {"memory": MemoryStore(), "sqlite": SQLiteStore(tmp_path / "gp.sqlite3")}
    tracker = Tracker([recorder], store=stores[name], journal=None)
    async with plain() as shop:
        for record in (
            tracker.track("REG", telegram_id=USER, connection=shop.connection),
            tracker.deposit(**PURCHASE, connection=shop.connection),
            tracker.refund("o1", telegram_id=USER, connection=shop.connection),
        ):
            with pytest.raises(ConfigurationError, match=r"PostgresStore"):
                await record
    assert (await tracker.stats()).destinations["recorder"].deliveries == {}
    await tracker.close()


@pytest.mark.parametrize("given", [object(), "postgresql://", 5, logging])
async def test_what_is_no_connection_is_refused(tracker, given):
    with pytest.raises(ConfigurationError, match="AsyncSession"):
        await tracker.track("REG", telegram_id=USER, connection=given)


async def test_another_librarys_connection_is_refused_by_its_full_name(tracker):
    connection = await psycopg.AsyncConnection.connect(DSN)
    with pytest.raises(ConfigurationError, match=r"not psycopg\.AsyncConnection"):
        await tracker.track("REG", telegram_id=USER, connection=connection)
    await connection.close()


async def test_a_pool_is_no_connection(tracker):
    async with asyncpg.create_pool(DSN, min_size=1, max_size=1) as pool:
        with pytest.raises(ConfigurationError, match="in a transaction"):
            await tracker.track("REG", telegram_id=USER, connection=pool)


async def test_a_connection_without_a_transaction_is_refused(tracker, store):
    async with admin() as connection:
        with pytest.raises(ConfigurationError, match="is in no transaction"):
            await tracker.track("REG", telegram_id=USER, connection=connection)
    assert await events(store) == []


async def test_autocommit_is_refused(tracker, store, engine):
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(ConfigurationError, match="autocommit"):
            await tracker.track("REG", telegram_id=USER, connection=connection)
    assert await events(store) == []


async def test_an_error_in_the_transaction_is_a_store_error_without_values(
    tracker, store, transaction
):
    async with rolled_back(transaction) as shop:
        with pytest.raises(Exception, match="division by zero"):
            await shop.execute("SELECT 1 / 0")
        with pytest.raises(
            StoreError, match=r"to be rolled back.*current transaction is aborted"
        ) as caught:
            await tracker.track(
                "REG", telegram_id=USER, connection=shop.connection, event_id="secret-id"
            )
    assert "secret-id" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert await events(store) == []


async def test_a_touch_that_cannot_be_stored_fails_the_transaction_for_all_to_see(
    tracker, store, schema, transaction
):
    """Elsewhere it costs no event; here nothing could be committed any more."""
    await store.open()
    async with admin() as connection:
        await connection.execute(
            f'ALTER TABLE "{schema}".session ADD CONSTRAINT none CHECK (FALSE) NOT VALID'
        )
        try:
            async with rolled_back(transaction) as shop:
                with pytest.raises(StoreError, match="to be rolled back"):
                    await tracker.track(
                        "REG", telegram_id=USER, session_id="gp_a", connection=shop.connection
                    )
        finally:
            await connection.execute(f'ALTER TABLE "{schema}".session DROP CONSTRAINT none')
    assert await events(store) == []


async def test_sessions_elsewhere_and_the_outbox_in_postgresql(recorder, store, plain):
    parts = Store.of(MemoryStore(), store)
    tracker = Tracker([recorder], store=parts, journal=None)
    await tracker.capture(USER, "gp_a", bot_id=BOT)
    async with plain() as shop:
        event = await tracker.track(
            "REG", telegram_id=USER, bot_id=BOT, connection=shop.connection
        )
    assert event.session_id == "gp_a"
    assert await events(store) == [event]
    await tracker.close()


# From a handler


async def test_gp_in_a_handler_shares_the_transaction(tracker, store, schema, transaction):
    gp = UserTracker(tracker, USER, BOT, update_id=7)
    async with transaction() as shop:
        await shop.order("o1")
        own = {"connection": shop.connection}
        await gp.track("Purchase", value=5, once="o1", **own)
        await gp.deposit(value=5, once="o2", **own)
        await gp.refund("o1", **own)
        assert await events(store) == []
    names = [event.name for event in await events(store)]
    assert names == ["Purchase", "FTD"]
    assert tracker.counts["journaled"] == 0


async def test_gp_in_a_handler_raises_what_has_failed_with_the_transaction(tracker, plain):
    gp = UserTracker(tracker, USER, BOT, update_id=7)
    with pytest.raises(ConfigurationError):
        await gp.track("REG", connection=object())
    async with plain() as shop:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await shop.execute("SELECT 1 / 0")
        with pytest.raises(StoreError):
            await gp.track("REG", connection=shop.connection)
        # What makes no sense is told in the log as ever.
        assert await gp.track("Purchase", connection=shop.connection) is None
    assert tracker.counts["handler_errors"] == 1


def test_sqlalchemy_is_imported_only_with_what_is_its():
    code = (
        "import sys, gp_aiogram, gp_aiogram.stores.postgres.callers;"
        "sys.exit('sqlalchemy' in sys.modules or 'asyncpg' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
