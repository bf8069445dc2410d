"""Redis servers that are away, full, closed or not to be trusted, and what is said of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster

from fixtures.redis_servers import RedisServer, redis_cluster, redis_server
from gp_aiogram import (
    Click,
    RedisStore,
    Session,
    StoreError,
    StoreMismatch,
    StoreUnavailable,
)
from gp_aiogram.stores.records import Unmatched

AT = datetime(2026, 1, 1, tzinfo=timezone.utc)
TOUCH = Session(42, 7, "gp_a", "start", AT, "gp_a")

Make = Callable[..., RedisStore]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[RedisStore] = []

    def make(*arguments: Any, **options: Any) -> RedisStore:
        made.append(RedisStore(*arguments, **options))
        return made[-1]

    yield make
    for store in made:
        await store.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


async def healed(work: Callable[[], Awaitable[Any]]) -> Any:
    """Wait until something can be done again."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return await work()
        except StoreUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


def is_final(error: pytest.ExceptionInfo[StoreError]) -> bool:
    """Tell whether somebody must put it right."""
    return not isinstance(error.value, StoreUnavailable)


# Away


async def test_what_was_kept_outlives_a_kill_and_so_does_the_store(server, make, caplog):
    store = make(server.url)
    await store.open()
    await store.sessions.add(TOUCH)
    await store.profiles.add_click("gp_a", Click(AT, fbclid="x"))
    server.kill()
    for work in (
        store.sessions.history(7),
        store.sessions.add(TOUCH),
        store.profiles.profile(7, "gp_a"),
        store.profiles.add_traits(7, {"meta": {"em": "a"}}),
    ):
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{server.port}"):
            await work
    server.start()
    # Over connections that are broken, and scripts that the server has forgotten.
    assert list(await store.sessions.history(7)) == [TOUCH]
    await store.sessions.add(TOUCH)
    assert await store.profiles.profile(7, "gp_a") != await store.profiles.profile(7, None)
    assert caplog.text == ""


async def test_a_store_opens_when_its_server_is_back(server, make):
    server.kill()
    store = make(server.url)
    with pytest.raises(StoreUnavailable):
        await store.open()
    with pytest.raises(StoreUnavailable):
        await store.sessions.add(TOUCH)
    server.start()
    await store.sessions.add(TOUCH)
    assert list(await store.sessions.history(7)) == [TOUCH]


async def test_a_server_that_hangs_holds_nobody_up_for_longer_than_it_may(server, make):
    client = Redis(port=server.port, socket_timeout=None)
    for store in (make(server.url, timeout=0.3), make(client, timeout=0.3)):
        await store.open()
        server.freeze()
        started = time.monotonic()
        results = await asyncio.gather(
            *(store.sessions.add(TOUCH) for _ in range(200)), return_exceptions=True
        )
        assert time.monotonic() - started < 5
        assert {type(result) for result in results} == {StoreUnavailable}
        server.thaw()
        await healed(lambda store=store: store.sessions.add(TOUCH))
        assert list(await store.sessions.history(7)) == [TOUCH]
    await client.aclose()


async def test_a_server_that_nobody_knows_is_away(make):
    store = make("redis://nobody.invalid:6379")
    with pytest.raises(StoreUnavailable, match=r"redis://nobody\.invalid:6379"):
        await store.open()


async def test_a_full_server_is_away_and_loses_nothing(server, make):
    store = make(server.url)
    await store.open()
    await store.sessions.add(TOUCH)
    with server.client() as client:
        client.config_set("maxmemory", "1")
        for work in (
            store.sessions.add(Session(42, 8, "gp_b", "start", AT, "gp_b")),
            store.sessions.erase(7),
            store.profiles.add_click("gp_b", Click(AT)),
            store.profiles.add_traits(7, {"meta": {"em": "a"}}),
            store.profiles.add_invite("link", "gp_b"),
            store.profiles.add_unmatched(Unmatched("b", "gp_b", AT, {})),
        ):
            with pytest.raises(StoreUnavailable, match=r"OOM|maxmemory"):
                await work
        assert list(await store.sessions.history(7)) == [TOUCH]
        client.config_set("maxmemory", "0")
    assert await store.sessions.erase(7) == {"gp_a"}


async def test_a_replica_is_away_until_it_is_promoted(server, make, tmp_path):
    options = ("--replicaof", "127.0.0.1", str(server.port), "--appendonly", "yes")
    with redis_server(tmp_path / "replica", *options) as replica:
        store = make(replica.url)
        with pytest.raises(StoreUnavailable, match="replica"):
            await store.open()
        with replica.client() as client:
            client.execute_command("REPLICAOF NO ONE")
        await store.sessions.add(TOUCH)
        with replica.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", server.port)
        with pytest.raises(StoreUnavailable, match=r"READONLY|read.?only"):
            await store.sessions.add(TOUCH)


async def test_a_server_that_cannot_save_is_away(tmp_path, make):
    with redis_server(tmp_path, "--save", "3600 1") as server:
        store = make(server.url)
        await store.open()
        with server.client() as client:
            (tmp_path / "dump.rdb").mkdir()
            client.bgsave()
            while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
                await asyncio.sleep(0.02)
        with pytest.raises(StoreUnavailable, match="MISCONF"):
            await store.sessions.add(TOUCH)


# Not to be trusted


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "volatile-lfu"])
async def test_a_server_that_may_drop_keys_is_refused(tmp_path, make, policy):
    options = ("--maxmemory", "100mb", "--maxmemory-policy", policy)
    with redis_server(tmp_path, *options) as server:
        store = make(server.url)
        with pytest.raises(StoreError, match=f"policy {policy}.*policy noeviction") as refused:
            await store.open()
        assert is_final(refused)
        with pytest.raises(StoreError, match=policy):
            await store.sessions.add(TOUCH)
        with server.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
        await store.open()


async def test_a_policy_that_has_no_limit_to_keep_is_warned_of(tmp_path, make, caplog):
    options = ("--maxmemory-policy", "allkeys-lru", "--appendonly", "yes")
    with redis_server(tmp_path, *options) as server:
        await make(server.url).open()
    assert "would drop keys once maxmemory is set" in caplog.text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--appendonly", "yes"], None),
        ([], "saves nothing: its restart forgets every session"),
        (["--save", "3600 1"], "saves snapshots only: a crash forgets"),
        (["--rename-command", "CONFIG", ""], "has no append-only file"),
    ],
    ids=["append-only", "nothing", "snapshots", "unknown"],
)
async def test_what_a_restart_forgets_is_told_once(tmp_path, make, caplog, options, says):
    with redis_server(tmp_path, *options) as server:
        store = make(server.url)
        for _ in range(2):
            await store.open()
            await store.sessions.add(TOUCH)
            await store.close()
        assert len(caplog.records) == (0 if says is None else 1)
        assert (says or "") in caplog.text
        assert says is None or "set appendonly yes" in caplog.text
        server.kill()
        server.start()
        kept = [TOUCH] if says is None else []
        assert list(await store.sessions.history(7)) == kept


async def test_a_server_that_does_not_tell_its_policy_is_warned_of(server, make, caplog):
    acl(server, "+@read +@write +@scripting +@connection +time", "~gp:*")
    await make(f"redis://bot:right@127.0.0.1:{server.port}").open()
    assert "does not tell its maxmemory-policy" in caplog.text


async def test_a_policy_is_asked_for_by_other_ways_as_well(server, make):
    acl(server, "+@read +@write +@scripting +@connection +time +config|get", "~gp:*")
    with server.client() as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(StoreError, match="policy allkeys-lru"):
        await make(f"redis://bot:right@127.0.0.1:{server.port}").open()


# Closed


def acl(server: RedisServer, commands: str, keys: str) -> None:
    """Let a user do so much."""
    with server.client() as client:
        client.execute_command("ACL SETUSER", "bot", "on", ">right", keys, *commands.split())


ALLOWED = "+@connection +@read +@write +@scripting +time +info +config|get"


async def test_the_rights_that_are_named_are_enough(server, make, caplog):
    acl(server, ALLOWED, "~gp:*")
    store = make(f"redis://bot:right@127.0.0.1:{server.port}")
    await store.open()
    await store.sessions.add(TOUCH)
    await store.profiles.add_click("gp_a", Click(AT, fbclid="x"))
    await store.profiles.add_invite("link", "gp_a")
    assert await store.profiles.invited("link") == "gp_a"
    await store.profiles.add_traits(7, {"meta": {"em": "a"}})
    await store.profiles.erase(7, await store.sessions.erase(7))
    assert await store.sessions.prune(AT, 9) == 0
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("commands", "keys"),
    [
        ("+@read +info +ping", "~gp:*"),
        (ALLOWED, "~other:*"),
        (ALLOWED.replace("+time ", ""), "~gp:*"),
    ],
)
async def test_missing_rights_are_named(server, make, commands, keys):
    acl(server, commands, keys)
    store = make(f"redis://bot:right@127.0.0.1:{server.port}")
    with pytest.raises(StoreError, match=r"lacks rights, allow it: ~PREFIX:\*") as refused:
        await store.open()
    assert is_final(refused)


@pytest.mark.parametrize("user", ["bot:wrong@", "nobody:wrong@", ":wrong@", ""])
async def test_a_wrong_password_is_told_without_it(server, make, user):
    acl(server, ALLOWED, "~gp:*")
    with server.client() as client:
        client.config_set("requirepass", "right")
    store = make(f"redis://{user}127.0.0.1:{server.port}")
    with pytest.raises(StoreError, match="user or password is wrong") as refused:
        await store.open()
    assert is_final(refused)
    assert ":wrong" not in str(refused.value)
    assert "right" not in str(refused.value)


async def test_a_server_of_a_cluster_needs_a_client_that_knows_clusters(tmp_path, make):
    with redis_cluster(tmp_path, nodes=1) as (server,):
        with pytest.raises(StoreError, match="RedisCluster") as refused:
            await make(server.url).open()
        assert is_final(refused)


async def test_a_redirect_is_explained(tmp_path, make):
    """As of a server that does not tell that it is part of a cluster."""
    with redis_cluster(tmp_path, nodes=2) as servers:
        refused = []
        for server in servers:
            acl(server, ALLOWED.replace("+info ", ""), "~gp:*")
            try:
                await make(f"redis://bot:right@127.0.0.1:{server.port}").open()
            except StoreError as error:
                refused.append(error)
        (error,) = refused  # of the one that has not got the slot
        assert not isinstance(error, StoreUnavailable)
        assert "RedisCluster.from_url" in str(error)


async def test_every_server_of_a_cluster_is_checked(tmp_path, make):
    with redis_cluster(tmp_path, nodes=2) as servers:
        with servers[1].client() as client:
            client.config_set("maxmemory", "100mb")
            client.config_set("maxmemory-policy", "allkeys-lru")
        async with RedisCluster.from_url(servers[0].url) as cluster:
            with pytest.raises(StoreError, match="policy allkeys-lru"):
                await make(cluster).open()


# Somebody else's


async def test_keys_of_a_newer_version_are_left_alone(server, make):
    with server.client() as client:
        client.set("gp:layout", 99)
    store = make(server.url)
    with pytest.raises(StoreMismatch, match="newer version"):
        await store.open()
    with pytest.raises(StoreMismatch):
        await store.sessions.add(TOUCH)
    with server.client() as client:
        assert client.keys() == [b"gp:layout"]


async def test_keys_of_another_program_are_left_alone(server, make):
    with server.client() as client:
        client.set("gp:{u7}:touches", "theirs")
    store = make(server.url)
    for work in (store.sessions.add(TOUCH), store.sessions.history(7)):
        with pytest.raises(StoreError, match=r"another prefix=\.\.\.") as refused:
            await work
        assert is_final(refused)
    with server.client() as client:
        assert client.get("gp:{u7}:touches") == b"theirs"
