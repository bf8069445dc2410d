"""Files of earlier versions, as those versions wrote them, become files of this one."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

import aiosqlite
import pytest

from gp_aiogram.model.session import Session, SessionQuery, pick
from gp_aiogram.stores.keys import OnceKey, deposit_key, opt_out_key, order_key, user_key
from gp_aiogram.stores.records import Change, DeliveryFilter
from gp_aiogram.stores.sqlite import SQLiteStore
from gp_aiogram.stores.sqlite.schema import MIGRATIONS, migrate
from gp_aiogram.testing import ManualClock
from gp_aiogram.testing.samples import NOON, claim_all, deliveries_of, entry, fill, ids, sample

#: Dumps of files, by the version of their schema.
FILES = {
    int(file.stem.removeprefix("v")): file
    for file in (Path(__file__).parents[1] / "data" / "schema").glob("v*.sql")
}
USER, BOT = 7, 42

every_version = pytest.mark.parametrize("version", sorted(FILES))
since_orders = pytest.mark.parametrize("version", sorted(FILES.keys() - {1}))
before_key_parts = pytest.mark.parametrize("version", [1, 2])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gp.sqlite3"


@pytest.fixture
async def old(path, version):
    """The store over a file of an earlier version."""
    make(path, version)
    async with opened(path) as store:
        yield store


def make(path, version):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FILES[version].read_text(encoding="utf-8"))


@asynccontextmanager
async def opened(path):
    store = SQLiteStore(path, clock=ManualClock(start=NOON.timestamp() + 2))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def look(path, query):
    """Read the file as another program would."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def test_there_is_a_file_of_every_earlier_version():
    assert sorted(FILES) == [*range(1, len(MIGRATIONS))]


@every_version
async def test_an_old_file_gets_the_tables_of_a_new_one(old, path, tmp_path):
    tables = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
    async with opened(tmp_path / "new.sqlite3"):
        assert look(path, tables) == look(tmp_path / "new.sqlite3", tables)
    assert look(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


@every_version
async def test_deliveries_stay_as_they_were(old):
    found = await old.outbox.select(DeliveryFilter())
    assert [
        (one.event.event_id, one.destination, one.state, one.attempts, one.maybe_delivered)
        for one in found
    ] == [
        ("e-every", "a", "pending", 0, False),
        ("e-every", "b", "pending", 0, False),
        ("e-0", "a", "delivered", 0, False),
        ("e-1", "a", "dead", 1, False),
        ("e-2", "a", "dead", 3, True),
        ("e-3", "a", "pending", 2, True),
        ("e-4", "a", "skipped", 0, False),
    ]
    assert {(one.batch_cap, *one.tries) for one in found} == {(None,)}
    by_id = {one.event.event_id: one for one in found}
    assert by_id["e-1"].reason == "HTTP 400: no"
    assert by_id["e-4"].reason == "no click"
    assert by_id["e-3"].since == NOON + timedelta(seconds=1)
    assert by_id["e-3"].due == NOON + timedelta(seconds=61)
    assert by_id["e-4"].event.name == "Lead ✓"
    assert ids(await claim_all(old.outbox)) == ["e-every"]


@every_version
async def test_deliveries_are_counted(old):
    assert await old.outbox.counts() == {
        "a": {"pending": 2, "delivered": 1, "dead": 2, "skipped": 1},
        "b": {"pending": 1},
    }


@every_version
async def test_an_event_is_known_by_id_and_name(old):
    accept = old.outbox.accept
    assert await accept(entry(sample("e-4", name="Lead ✓"))) == "duplicate"
    assert await accept(entry(sample("e-every", name="FTD"))) == "duplicate"
    assert await accept(entry(sample("e-every", name="REG"))) == "stored"
    assert len(await deliveries_of(old.outbox, "e-every")) == 3


@every_version
async def test_touches_clicks_and_traits_are_there(old):
    history = await old.sessions.history(USER)
    assert [(touch.bot_id, touch.session_id, touch.source) for touch in history] == [
        (None, "gp_d4e5f6", "manual"),
        (BOT, "gp_a1b2c3", "start"),
    ]
    assert pick(history, SessionQuery(USER)) == Session(
        BOT, USER, "gp_a1b2c3", "start", NOON - timedelta(hours=1), "gp_a1b2c3__ref42"
    )
    profile = await old.profiles.profile(USER, "gp_a1b2c3")
    assert profile.click.fbclid == "IwAR0aBcD_-e"
    assert profile.traits == {"leadsail": {"lead_id": "lead_1"}, "meta": {"em": "a" * 64}}
    assert list(await old.profiles.users_of_lead("lead_1")) == [USER]


FIRST_DEPOSIT = user_key(BOT, USER, "FTD")
PURCHASE = order_key(BOT, "1001", "Purchase")
REGISTRATION = user_key(None, 8, "REG")


@every_version
async def test_once_keys_stay_known(old):
    known = [FIRST_DEPOSIT, PURCHASE, REGISTRATION]
    unknown = [
        user_key(BOT, 8, "FTD"),
        order_key(BOT, "1002", "Purchase"),
        order_key(BOT, "1001", "FTD"),
        OnceKey("order", "1001", "Purchase", BOT, telegram_id=USER),
    ]
    assert await old.outbox.known_keys([*known, *unknown]) == {*known}
    for key in known:
        assert await old.outbox.accept(entry("new", once=[key])) == "duplicate"
        assert await old.outbox.accept(entry("new", unless=[key])) == "blocked"
    assert await old.outbox.add_keys([*known, unknown[0]]) == 1
    assert await old.outbox.accept(entry("new", once=[PURCHASE, unknown[1]])) == "duplicate"
    assert await old.outbox.accept(entry("new", once=[unknown[1]])) == "stored"


@every_version
async def test_a_dropped_key_lets_one_event_through(old):
    await old.outbox.drop_keys([PURCHASE])
    assert await old.outbox.known_keys([FIRST_DEPOSIT, PURCHASE]) == {FIRST_DEPOSIT}
    assert await old.outbox.accept(entry("e1", once=[PURCHASE])) == "stored"
    assert await old.outbox.accept(entry("e2", once=[PURCHASE])) == "duplicate"


@since_orders
async def test_other_keys_stay_known(old):
    keys = [opt_out_key(9), deposit_key(BOT, "1001"), order_key(BOT, "1001", "Refund")]
    assert await old.outbox.known_keys([*keys, opt_out_key(8)]) == {*keys}
    await old.outbox.drop_keys([opt_out_key(9)])
    assert await old.outbox.known_keys(keys) == {*keys[1:]}


@since_orders
async def test_erased_events_stay_known(old):
    gone = sample("e-gone", name="REG")
    assert await old.outbox.accept(entry(gone)) == "duplicate"
    assert await old.outbox.accept(entry(sample("e-gone-2"))) == "stored"
    assert await old.outbox.erase(DeliveryFilter(event_id="e-gone-2"), limit=1) == 1
    assert await old.outbox.accept(entry("e-gone-2")) == "duplicate"
    assert await old.outbox.accept(entry(sample("e-gone-2", name="FTD"))) == "stored"


@since_orders
async def test_orders_and_invite_links_are_found(old):
    where = DeliveryFilter(order="1001", maybe_delivered=False)
    assert ids(await old.outbox.select(where)) == ["e-1"]
    assert await old.outbox.transition(where, Change("skipped", "refunded"), limit=9) == 1
    assert await old.profiles.invited("https://t.me/+a") == "gp_a1b2c3"


@before_key_parts
async def test_no_key_of_a_person_is_left_in_the_file(path, version):
    make(path, version)
    assert (b"user:42" in path.read_bytes()) == (version == 1)
    async with opened(path):
        pass
    assert b"user:42" not in path.read_bytes()


@before_key_parts
async def test_keys_of_before_are_looked_for_only_where_there_may_be_some(
    path, version, monkeypatch
):
    asked = []

    def digest(_, text):
        asked.append(text)
        return b"none"

    monkeypatch.setattr("gp_aiogram.stores.sqlite.once_keys.legacy_once_digest", digest)
    monkeypatch.setattr("gp_aiogram.stores.sqlite.once_keys.legacy_event_digest", digest)
    async with opened(path) as store:
        await use_keys(store.outbox)
    assert asked == []
    path.unlink()
    make(path, version)
    async with opened(path) as store:
        await use_keys(store.outbox)
    assert {"user:42:7:FTD", "opted out:7", "e1"} <= {*asked}


async def use_keys(outbox):
    await fill(outbox, "e1")
    await outbox.erase(DeliveryFilter(event_id="e1"), limit=1)
    await outbox.accept(entry("e1", once=[FIRST_DEPOSIT], unless=[opt_out_key(USER)]))
    await outbox.add_keys([PURCHASE])
    await outbox.known_keys([PURCHASE])
    await outbox.drop_keys([PURCHASE])


@pytest.mark.parametrize("version", [2])
async def test_a_file_without_keys_has_none_of_before(path, version):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FILES[version].read_text(encoding="utf-8"))
        connection.execute("DELETE FROM seen")
        connection.commit()
    async with opened(path):
        assert look(path, "SELECT legacy FROM store") == [(0,)]


@every_version
async def test_a_file_that_was_brought_up_to_date_is_opened_again(path, version):
    make(path, version)
    for _ in range(2):
        async with opened(path) as store:
            assert len(await store.outbox.select(DeliveryFilter())) == 7
            assert await store.outbox.known_keys([FIRST_DEPOSIT]) == {FIRST_DEPOSIT}


async def test_an_older_file_is_brought_up_to_date(path):
    async with opened(path) as store:
        await fill(store.outbox, "e1")
    added = "ALTER TABLE event ADD COLUMN note TEXT NOT NULL DEFAULT 'none';"
    async with aiosqlite.connect(path) as connection:
        await migrate(connection, (*MIGRATIONS, added))
        await migrate(connection, (*MIGRATIONS, added))
    assert look(path, "SELECT event_id, note FROM event") == [("e1", "none")]
    assert look(path, "PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]


async def test_a_failed_migration_leaves_the_file_as_it_was(path):
    async with opened(path) as store:
        await fill(store.outbox, "e1")
    steps = ("ALTER TABLE event ADD COLUMN note TEXT;", "ALTER TABLE missing ADD COLUMN x TEXT;")
    async with aiosqlite.connect(path) as connection:
        with pytest.raises(sqlite3.OperationalError):
            await migrate(connection, (*MIGRATIONS, *steps))
    async with opened(path) as store:
        assert ids(await claim_all(store.outbox)) == ["e1"]
