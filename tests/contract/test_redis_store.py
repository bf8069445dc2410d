"""Sessions and profiles in Redis keep the contract, whoever has made the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.crc import key_slot

from fixtures.limited_touches import LimitedTouches
from fixtures.redis_servers import RedisServer, redis_cluster
from gp_aiogram import (
    RedisStore,
)
from gp_aiogram.stores.redis import connection as redis_connection
from gp_aiogram.stores.redis import indexes as redis_indexes
from gp_aiogram.stores.redis import sessions as redis_sessions
from gp_aiogram.stores.redis import unmatched as redis_unmatched
from gp_aiogram.stores.redis.connection import Runner
from gp_aiogram.stores.redis.scripts import Command
from gp_aiogram.testing import ProfileStoreContract, SessionStoreContract


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


def assert_one_slot(command: Command) -> None:
    slots = {key_slot(key.encode() if isinstance(key, str) else key) for key in command.keys}
    assert len(slots) == 1, command


class UserStoreContract(SessionStoreContract, ProfileStoreContract):
    """What is promised by what has sessions and profiles, in a cluster as well."""

    @pytest.fixture(autouse=True)
    def one_slot(self, monkeypatch):
        """Let no command work on keys of several slots, whether the server would mind or not."""
        run, checked = Runner.run, []

        async def run_in_one_slot(runner, commands):
            for command in commands:
                assert_one_slot(command)
            checked.extend(commands)
            return await run(runner, commands)

        monkeypatch.setattr(Runner, "run", run_in_one_slot)
        yield
        assert checked


class TestRedisStore(LimitedTouches, UserStoreContract):
    @pytest.fixture
    async def store(self, redis_url, redis_prefix):
        store = RedisStore(redis_url, prefix=redis_prefix)
        await store.open()
        yield store
        await store.close()


class TestRedisStoreInSmallPages(UserStoreContract):
    """What takes one look otherwise takes several."""

    @pytest.fixture
    async def store(self, redis_url, redis_prefix, monkeypatch):
        monkeypatch.setattr(redis_sessions, "_FEW", 1)
        monkeypatch.setattr(redis_sessions, "PAGE", 1)
        monkeypatch.setattr(redis_indexes, "PAGE", 1)
        monkeypatch.setattr(redis_unmatched, "PAGE", 1)
        monkeypatch.setattr(redis_connection, "_PAGE", 1)
        store = RedisStore(redis_url, prefix=redis_prefix)
        await store.open()
        yield store
        await store.close()


@pytest.mark.parametrize("decodes", [True, False], ids=["decoded", "bytes"])
@pytest.mark.parametrize("protocol", [2, 3])
class TestRedisStoreOfAClient(UserStoreContract):
    @pytest.fixture
    async def store(self, redis_url, redis_prefix, decodes, protocol):
        client = Redis.from_url(redis_url, decode_responses=decodes, protocol=protocol)
        store = RedisStore(client, prefix=redis_prefix)
        await store.open()
        yield store
        await store.close()
        assert await client.ping()  # it is the caller's
        await client.aclose()


class TestRedisStoreOfACluster(UserStoreContract):
    @pytest.fixture
    async def store(self, servers):
        client = RedisCluster.from_url(servers[0].url)
        store = RedisStore(client)
        await store.open()
        yield store
        await store.close()
        await client.flushall(target_nodes=RedisCluster.PRIMARIES)
        await client.aclose()
