"""The store in PostgreSQL keeps the contract, and its server's clock tells the time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from fixtures.postgres import (
    DSN,
    ServerClock,
    admin,
    drop_schema,
    empty,
    make_schema,
    require_server,
)
from gp_aiogram.model.session import Session
from gp_aiogram.stores import touch_limit
from gp_aiogram.stores.postgres import PostgresStore
from gp_aiogram.stores.postgres import listing as postgres_listing
from gp_aiogram.stores.postgres import outbox as postgres_outbox
from gp_aiogram.stores.postgres import selection as postgres_selection
from gp_aiogram.stores.postgres import sessions as postgres_sessions
from gp_aiogram.stores.records import DeliveryFilter, Span
from gp_aiogram.testing import StoreContract, TriesContract
from gp_aiogram.testing.accept_contract import AcceptContract
from gp_aiogram.testing.capped_contract import CappedContract
from gp_aiogram.testing.erasure_contract import ErasureContract
from gp_aiogram.testing.listing_contract import EventListingContract, TouchListingContract
from gp_aiogram.testing.samples import NOON, fill
from gp_aiogram.testing.select_contract import SelectContract
from gp_aiogram.testing.settle_contract import SettleContract
from gp_aiogram.testing.transition_contract import TransitionContract


@pytest.fixture(scope="module")
def schema():
    require_server()
    schema = make_schema()
    yield schema
    drop_schema(schema)


class ServerTime:
    """The clock of the contract is the server's."""

    @pytest.fixture
    async def clock(self, schema):
        async with admin() as connection:
            await empty(connection, schema)
            clock = ServerClock(connection, schema)
            await clock.install()
            yield clock

    async def advance(self, clock, seconds):
        clock.advance(seconds)
        await clock.show()

    async def jump(self, clock, seconds):
        clock.jump(seconds)
        await clock.show()

    @pytest.fixture
    async def store(self, clock, schema):
        store = PostgresStore(DSN, schema)
        await store.open()
        yield store
        await store.close()


class TestPostgresStore(ServerTime, TouchListingContract, TriesContract, StoreContract):
    """Everything that a store must do."""

    async def test_events_without_deliveries_are_listed_too(self, outbox):
        await fill(outbox, "e1", to=())
        (record,) = await outbox.events(DeliveryFilter(), Span(newest=True))
        assert record.event.event_id == "e1"
        assert list(record.deliveries) == []
        assert list(await outbox.events(DeliveryFilter(destination="a"), Span())) == []


class TestPostgresStoreWithoutPreparedStatements(
    ServerTime, AcceptContract, CappedContract, SettleContract, TriesContract
):
    """As behind PgBouncer."""

    @pytest.fixture
    async def store(self, clock, schema):
        store = PostgresStore(f"{DSN}?schema={schema}&statement_cache_size=0")
        await store.open()
        yield store
        await store.close()


class TestPostgresStoreInSmallPages(
    ServerTime, SelectContract, EventListingContract, TransitionContract, ErasureContract
):
    """What takes one look otherwise takes several."""

    @pytest.fixture
    async def store(self, clock, schema, monkeypatch):
        monkeypatch.setattr(postgres_selection, "WINDOW", 3)
        monkeypatch.setattr(postgres_outbox, "PAGE", 2)
        monkeypatch.setattr(postgres_listing, "WINDOW", 3)
        monkeypatch.setattr(postgres_listing, "PAGE", 2)
        store = PostgresStore(DSN, schema)
        await store.open()
        yield store
        await store.close()


class TestLimitedTouches(ServerTime):
    """As for the other stores: the first and the last touches of each bot stay."""

    @pytest.fixture(autouse=True)
    def few_touches(self, monkeypatch):
        for module in (postgres_sessions, touch_limit):
            monkeypatch.setattr(module, "MAX_TOUCHES", 20)

    async def test_the_first_and_the_last_touches_of_a_bot_stay(self, store, caplog):
        def touch(number, bot=42, user=7):
            at = NOON + timedelta(minutes=number)
            return Session(bot, user, f"gp_{number}", "start", at, f"gp_{number}")

        others = [touch(0, bot=43), touch(1, bot=43), touch(2, bot=None)]
        ours = [touch(number) for number in range(3, 40)]
        for added in [*others, *ours, touch(1, user=8)]:
            await store.sessions.add(added)
        assert list(await store.sessions.history(7)) == [*others, ours[0], *ours[-16:]]
        assert list(await store.sessions.history(8)) == [touch(1, user=8)]
        assert caplog.text.count("more than 20 touches") == 1

    async def test_touches_that_come_at_once_are_limited(self, store):
        touches = [
            Session(42, 7, f"gp_{n}", "start", NOON + timedelta(minutes=n), "") for n in range(50)
        ]
        await asyncio.gather(*map(store.sessions.add, touches))
        assert list(await store.sessions.history(7)) == [touches[0], *touches[-19:]]
