"""What is moved from a SQLite file into PostgreSQL or Redis is what the file held."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import sys
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from fixtures.filled_store import KNOWN_KEYS, make_file, told, told_of_users
from fixtures.postgres import DSN, admin, drop_schema, new_schema, require_server
from fixtures.redis_servers import own_keys, shared_redis
from gp_aiogram import PostgresStore, RedisStore, SQLiteStore
from gp_aiogram.errors import StoreError, StoreLocked, StoreUnavailable
from gp_aiogram.stores.keys import OnceKey, order_key, user_key
from gp_aiogram.stores.migration.move import Move
from gp_aiogram.stores.migration.postgres import PostgresTarget
from gp_aiogram.stores.migration.redis import RedisTarget
from gp_aiogram.stores.migration.source import SQLiteSource
from gp_aiogram.stores.migration.steps import CLICK_IDS, OF_STORE, OF_USERS
from gp_aiogram.stores.records import DeliveryFilter
from gp_aiogram.testing.samples import BOT, claim_all, entry, fill, sample

SCHEMAS = Path(__file__).parents[1] / "data" / "schema"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gp.sqlite3"


@pytest.fixture
def schema():
    require_server()
    schema = new_schema()
    yield schema
    drop_schema(schema)


@pytest.fixture
def redis_store():
    url = shared_redis()
    with own_keys(url) as prefix:
        yield RedisStore(url, prefix=prefix)


@asynccontextmanager
async def opened(store):
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def old_file(path, version):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((SCHEMAS / f"v{version}.sql").read_text(encoding="utf-8"))


def target_of(schema):
    return PostgresTarget(PostgresStore(DSN, schema).address)


def quiet(*_):
    pass


async def move(path, target, tell=quiet, **options):
    return await Move(SQLiteSource(path), target, tell).run(**options)


class StoppedError(Exception):
    """As if somebody had stopped it."""


def stop_at(what):
    def tell(name, done, _):
        if name == what and done:
            raise StoppedError

    return tell


# Into PostgreSQL


async def test_a_schema_tells_what_the_file_told(path, schema):
    await make_file(path)
    moved = await move(path, target_of(schema))
    async with opened(SQLiteStore(path)) as old, opened(PostgresStore(DSN, schema)) as new:
        expected = await told(old)
        assert await told(new) == expected
        assert moved.counts["deliveries"] == len(expected["deliveries"])
        assert moved.left_out == {}
        assert {state for one in expected["counts"].values() for state in one} == {
            "pending",
            "delivered",
            "skipped",
            "dead",
        }


async def test_what_the_file_knew_is_not_recorded_again(path, schema):
    await make_file(path)
    await move(path, target_of(schema))
    async with opened(PostgresStore(DSN, schema)) as store:
        accept = store.outbox.accept
        for known in ("delivered", "dead", "retried", "erased", "of nobody"):
            assert await accept(entry(known)) == "duplicate", known
        assert await accept(entry(sample("delivered", name="another"))) == "stored"
        for key in KNOWN_KEYS:
            assert await accept(entry("new", once=[key])) == "duplicate"
            assert await accept(entry("new", unless=[key])) == "blocked"
        assert await store.outbox.add_keys(KNOWN_KEYS) == 0


async def test_events_to_come_are_later_than_those_that_were_moved(path, schema):
    await make_file(path)
    await move(path, target_of(schema))
    async with opened(PostgresStore(DSN, schema)) as store:
        before = await store.outbox.select(DeliveryFilter(), limit=10_000)
        await fill(store.outbox, "new")
        after = await store.outbox.select(DeliveryFilter(), limit=10_000)
        assert [one.event.event_id for one in after[len(before) :]] == ["new"]
        assert {one.event.event_id for one in await claim_all(store.outbox)} >= {"new", "ordered"}


async def test_the_file_stays_as_it_is(path, schema):
    await make_file(path)
    before = path.read_bytes()
    await move(path, target_of(schema))
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir() if file.suffix != ".lock") == [
        path.name
    ]


async def test_an_empty_store_is_moved_too(path, schema):
    async with opened(SQLiteStore(path)):
        pass
    await move(path, target_of(schema))
    async with opened(PostgresStore(DSN, schema)) as store:
        await fill(store.outbox, "e1")
        assert await store.outbox.counts() == {"a": {"pending": 1}}


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_a_file_of_an_earlier_version_is_moved(path, schema, version):
    old_file(path, version)
    await move(path, target_of(schema))
    async with opened(SQLiteStore(path)) as old, opened(PostgresStore(DSN, schema)) as new:
        assert await told(new) == await told(old)
        assert len(await new.outbox.select(DeliveryFilter())) == 7


@pytest.mark.parametrize("version", [1, 2])
async def test_keys_of_before_they_had_parts_stay_known(path, schema, version):
    known = [user_key(42, 7, "FTD"), order_key(42, "1001", "Purchase"), user_key(None, 8, "REG")]
    unknown = [user_key(42, 8, "FTD"), OnceKey("order", "1001", "Purchase", 42, telegram_id=7)]
    old_file(path, version)
    await move(path, target_of(schema))
    async with opened(PostgresStore(DSN, schema)) as store:
        outbox = store.outbox
        assert await outbox.known_keys([*known, *unknown]) == {*known}
        for key in known:
            assert await outbox.accept(entry("new", once=[key])) == "duplicate"
            assert await outbox.accept(entry("new", unless=[key])) == "blocked"
        assert await outbox.add_keys([*known, unknown[0]]) == 1
        await outbox.drop_keys(known[1:2])
        assert await outbox.known_keys(known) == {known[0], known[2]}
        assert await outbox.accept(entry("new", once=known[1:2])) == "stored"
        if version == 2:
            assert await outbox.accept(entry(sample("e-gone", name="REG"))) == "duplicate"


async def test_keys_of_before_hold_in_a_callers_transaction(path, schema):
    key = order_key(42, "1001", "Purchase")
    old_file(path, 1)
    await move(path, target_of(schema))
    async with (
        opened(PostgresStore(DSN, schema)) as store,
        admin() as connection,
        connection.transaction(),
    ):
        outbox = store.within(connection).outbox
        assert await outbox.known_keys([key]) == {key}
        assert await outbox.accept(entry("new", once=[key])) == "duplicate"


async def test_what_cannot_be_read_is_left_out_or_dead(path, schema, caplog):
    await make_file(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE session SET at_ms = 'no time' WHERE bot_id IS NULL")
        connection.execute("UPDATE event SET body = '{' WHERE event_id = 'retried'")
        connection.execute("UPDATE delivery SET due_ms = 'x' WHERE destination = 'z'")
        connection.commit()
    moved = await move(path, target_of(schema))
    assert moved.left_out == {"touches": 1}
    assert "a stored row of session cannot be read" in caplog.text
    async with opened(PostgresStore(DSN, schema)) as store:
        (spoilt,) = await store.outbox.select(DeliveryFilter(destination="z"))
        assert (spoilt.state, spoilt.reason) == ("dead", "the stored delivery cannot be read")
        (unreadable,) = await store.outbox.select(DeliveryFilter(event_id="retried"))
        assert unreadable.state == "dead"
        assert await store.outbox.accept(entry("retried")) == "duplicate"


# Interrupted

CHILD = """
import asyncio, sys
from pathlib import Path
from gp_aiogram.stores.migration.move import Move
from gp_aiogram.stores.migration.source import SQLiteSource
{imports}

{target}
target.steps = tuple(step._replace(page=2) for step in target.steps)
begun = set()

def tell(name, done, total):
    # Each step is told once before its first page.
    if name in begun:
        print("page", flush=True)
        sys.stdin.readline()
    begun.add(name)

asyncio.run(Move(SQLiteSource(Path(sys.argv[1])), target, tell).run())
print("moved", flush=True)
"""
POSTGRES_CHILD = CHILD.format(
    imports="from gp_aiogram.stores.migration.postgres import PostgresTarget\n"
    "from gp_aiogram import PostgresStore",
    target="target = PostgresTarget(PostgresStore(sys.argv[2], sys.argv[3]).address)",
)
REDIS_CHILD = CHILD.format(
    imports="from gp_aiogram.stores.migration.redis import RedisTarget\n"
    "from gp_aiogram import RedisStore",
    target="target = RedisTarget(RedisStore(sys.argv[2], prefix=sys.argv[3]))",
)


async def killed_after(pages, code, *arguments):
    """Let a child write so many pages, kill it on the way to the next, and tell if it was done."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    try:
        # It gets no further than one page beyond, however busy the machine is.
        child.stdin.write(b"\n" * pages)
        for _ in range(pages):
            line = await asyncio.wait_for(child.stdout.readline(), 60)
            if line != b"page\n":
                return line == b"moved\n"
        # Wherever it is then, in the midst of a transaction or not.
        await asyncio.sleep(random.uniform(0, 0.004))
    finally:
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGKILL)
        await child.communicate()
    return False


@pytest.mark.timeout(300)
async def test_killed_at_any_moment_it_goes_on_where_it_was(path, schema):
    await make_file(path)
    kills = 0
    while not await killed_after(random.randint(1, 10), POSTGRES_CHILD, path, DSN, schema):
        kills += 1
        assert kills < 100
    assert kills > 1
    async with opened(SQLiteStore(path)) as old, opened(PostgresStore(DSN, schema)) as new:
        assert await told(new) == await told(old)


async def test_nobody_uses_a_schema_that_is_half_there(path, schema):
    await make_file(path)
    with pytest.raises(StoppedError):
        await move(path, target_of(schema), stop_at("events"))
    store = PostgresStore(DSN, schema)
    with pytest.raises(StoreUnavailable, match="gp-aiogram migrate"):
        await store.open()
    with pytest.raises(StoreUnavailable):
        await store.outbox.accept(entry("new"))
    await move(path, target_of(schema))
    try:
        # It heals by itself.
        assert await store.outbox.accept(entry("delivered")) == "duplicate"
        assert await store.outbox.accept(entry("new")) == "stored"
    finally:
        await store.close()


async def test_moved_again_it_is_there_already(path, schema):
    await make_file(path)
    await move(path, target_of(schema))
    async with opened(PostgresStore(DSN, schema)) as store:
        await fill(store.outbox, "new")
        moved = await move(path, target_of(schema))
        assert moved.was_there
        assert len(await store.outbox.select(DeliveryFilter(event_id="new"))) == 1


async def test_two_at_once_move_everything_once(path, tmp_path, schema):
    await make_file(path)
    copy = tmp_path / "copy.sqlite3"
    copy.write_bytes(path.read_bytes())
    slow = tuple(step._replace(page=3) for step in OF_STORE)
    target = PostgresTarget(PostgresStore(DSN, schema).address, slow)
    done = await asyncio.gather(
        move(path, target), move(copy, target_of(schema)), return_exceptions=True
    )
    for failed in (one for one in done if isinstance(one, Exception)):
        assert isinstance(failed, StoreError), failed
    await move(path, target_of(schema))
    async with opened(SQLiteStore(path)) as old, opened(PostgresStore(DSN, schema)) as new:
        assert await told(new) == await told(old)


async def test_a_file_that_was_used_in_between_is_moved_anew_only(path, schema):
    await make_file(path)
    with pytest.raises(StoppedError):
        await move(path, target_of(schema), stop_at("deliveries"))
    async with opened(SQLiteStore(path)) as store:
        await store.profiles.add_traits(7, {"meta": {"em": "c" * 64}})
    with pytest.raises(StoreError, match="--restart"):
        await move(path, target_of(schema))
    await move(path, target_of(schema), restart=True)
    async with opened(SQLiteStore(path)) as old, opened(PostgresStore(DSN, schema)) as new:
        assert await told(new) == await told(old)


async def test_rows_that_are_not_there_in_the_end_are_told(path, schema):
    await make_file(path)
    with pytest.raises(StoppedError):
        await move(path, target_of(schema), stop_at("deliveries"))
    async with admin() as connection:
        await connection.execute(f'DELETE FROM "{schema}".trait')
    with pytest.raises(StoreError, match="0 of 3 rows are in table trait"):
        await move(path, target_of(schema))
    with pytest.raises(StoreUnavailable):
        await PostgresStore(DSN, schema).open()
    await move(path, target_of(schema), restart=True)
    async with opened(SQLiteStore(path)) as old, opened(PostgresStore(DSN, schema)) as new:
        assert await told(new) == await told(old)


# Refused


async def test_a_file_that_a_bot_has_is_refused(path, schema):
    async with opened(SQLiteStore(path)):
        with pytest.raises(StoreLocked, match="stop the other one"):
            await move(path, target_of(schema))


async def test_what_is_no_store_is_refused(path, schema):
    with pytest.raises(StoreError, match="there is no store in"):
        await move(path, target_of(schema))
    assert not path.exists()


async def test_a_schema_in_use_is_refused(path, schema):
    await make_file(path)
    async with opened(PostgresStore(DSN, schema)) as store:
        with pytest.raises(StoreError, match="in use by 1 process: stop"):
            await move(path, target_of(schema))
        await fill(store.outbox, "e1")


async def test_a_user_without_the_rights_is_told_before_anything_is_moved(path, schema):
    await make_file(path)
    async with opened(PostgresStore(DSN, schema)):
        pass
    user = f"{schema}_user"
    async with admin() as connection:
        await connection.execute(f"""
            CREATE ROLE {user} LOGIN;
            GRANT USAGE ON SCHEMA {schema} TO {user};
            GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user};
            GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {user};
        """)
        try:
            address = PostgresStore(DSN.replace("postgres@", f"{user}@"), schema).address
            with pytest.raises(StoreError, match="GRANT ALL ON ALL SEQUENCES"):
                await move(path, PostgresTarget(address))
            await connection.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {user}")
            await move(path, PostgresTarget(address))
        finally:
            await connection.execute(f"DROP OWNED BY {user}; DROP ROLE {user}")


@pytest.mark.parametrize("restart", [False, True])
async def test_a_schema_with_other_data_is_refused(path, schema, restart):
    await make_file(path)
    async with opened(PostgresStore(DSN, schema)) as store:
        await store.outbox.add_keys([user_key(BOT, 1, "FTD")])
    with pytest.raises(StoreError, match="holds data of its own"):
        await move(path, target_of(schema), restart=restart)
    async with opened(PostgresStore(DSN, schema)) as store:
        assert await store.outbox.known_keys([user_key(BOT, 1, "FTD")])


async def test_what_another_file_has_filled_is_refused(path, tmp_path, schema):
    await make_file(path)
    await make_file(tmp_path / "another.sqlite3")
    await move(path, target_of(schema))
    with pytest.raises(StoreError, match="from another file"):
        await move(tmp_path / "another.sqlite3", target_of(schema), restart=True)


# Into Redis


async def test_redis_tells_of_users_what_the_file_told(path, redis_store):
    await make_file(path)
    moved = await move(path, RedisTarget(redis_store))
    async with opened(SQLiteStore(path)) as old, opened(redis_store) as new:
        assert await told_of_users(new) == await told_of_users(old)
    assert moved.counts["touches"] == 5
    assert (await move(path, RedisTarget(redis_store))).was_there


@pytest.mark.timeout(300)
async def test_killed_on_the_way_to_redis_it_goes_on_where_it_was(path, redis_store):
    await make_file(path)
    kills = 0
    arguments = (path, shared_redis(), redis_store.prefix)
    while not await killed_after(random.randint(1, 3), REDIS_CHILD, *arguments):
        kills += 1
        assert kills < 100
    assert kills > 1
    async with opened(SQLiteStore(path)) as old, opened(redis_store) as new:
        assert await told_of_users(new) == await told_of_users(old)


async def test_redis_with_other_data_is_refused(path, redis_store):
    await make_file(path)
    async with opened(redis_store):
        await redis_store.profiles.add_traits(1, {"meta": {"em": "d" * 64}})
    with pytest.raises(StoreError, match="holds data of its own"):
        await move(path, RedisTarget(redis_store))


async def test_a_file_that_was_used_in_between_is_moved_anew_into_redis(path, redis_store):
    await make_file(path)
    with pytest.raises(StoppedError):
        await move(path, RedisTarget(redis_store), stop_at("traits"))
    async with opened(SQLiteStore(path)) as store:
        await store.sessions.erase(43)
    with pytest.raises(StoreError, match="--restart"):
        await move(path, RedisTarget(redis_store))
    await move(path, RedisTarget(redis_store), restart=True)
    async with opened(SQLiteStore(path)) as old, opened(redis_store) as new:
        assert await told_of_users(new) == await told_of_users(old)


async def test_every_table_of_a_file_is_moved(path, redis_store):
    async with opened(SQLiteStore(path)):
        pass
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {name for (name,) in found}
    # The salt is moved in the beginning, and the tally counted in the end.
    assert tables - {step.table for step in OF_STORE} == {"store", "tally"}
    # Clicks bring their ids with them.
    assert {*OF_USERS} - {*RedisTarget(redis_store).steps} == {CLICK_IDS}
