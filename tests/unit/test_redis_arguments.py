"""What RedisStore is made of."""

from __future__ import annotations

import subprocess
import sys

import pytest
import redis
from redis.asyncio import Redis

from gp_aiogram import (
    ConfigurationError,
    RedisStore,
)


@pytest.mark.parametrize("prefix", ["", "a{b}", "a b", "a*", "é", "x" * 65, 5])
def test_a_prefix_that_would_break_a_cluster_is_refused(prefix):
    with pytest.raises(ConfigurationError, match=r"prefix=\.\.\."):
        RedisStore("redis://localhost", prefix=prefix)


@pytest.mark.parametrize("timeout", [0, -1, "5", None, float("nan")])
def test_a_timeout_is_seconds(timeout):
    with pytest.raises(ConfigurationError, match="must be seconds"):
        RedisStore("redis://localhost", timeout=timeout)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://localhost",
        "redis://:hunter2@localhost:port",
        "redis://:hunter2@localhost/0?nonsense=hunter2",
        "redis://:hunter2@localhost/0?socket_timeout=hunter2",
    ],
)
def test_a_url_that_makes_no_sense_is_refused_without_its_secrets(url):
    with pytest.raises(ConfigurationError, match="RedisStore") as caught:
        RedisStore(url)
    assert "hunter2" not in str(caught.value)


def test_what_is_no_client_is_refused_with_what_to_give():
    class Storage:
        redis = None

    with pytest.raises(ConfigurationError, match=r"storage\.redis"):
        RedisStore(Storage())
    with redis.Redis() as client, pytest.raises(ConfigurationError, match="without asyncio"):
        RedisStore(client)


def test_a_store_shows_where_it_is_without_secrets():
    store = RedisStore(
        "rediss://bot:hunter2@example.com:6380/3?client_name=hunter2", prefix="shop"
    )
    assert repr(store) == "RedisStore('rediss://example.com:6380/3', prefix='shop')"
    assert repr(RedisStore(Redis(password="hunter2"))) == (
        "RedisStore('Redis of the given Redis', prefix='gp')"
    )


def test_without_redis_py_it_is_said_what_to_install():
    code = """if True:
        import sys
        import gp_aiogram
        assert not any(name.split(".")[0] == "redis" for name in sys.modules)
        sys.modules["redis"] = None
        try:
            gp_aiogram.RedisStore("redis://localhost")
        except gp_aiogram.ConfigurationError as error:
            print(error)
    """
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "RedisStore needs redis-py: pip install 'gp_aiogram[redis]'\n"
