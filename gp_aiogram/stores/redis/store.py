"""Sessions and profiles in Redis, shared by every process that serves the bot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.model.retention import Retention
from gp_aiogram.stores.contract import UserStore
from gp_aiogram.stores.redis.connection import RedisConnection
from gp_aiogram.stores.redis.expiry import Expiry
from gp_aiogram.stores.redis.profiles import RedisProfiles
from gp_aiogram.stores.redis.schema import Keys
from gp_aiogram.stores.redis.server import ServerCheck
from gp_aiogram.stores.redis.sessions import RedisSessions

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster


class RedisStore(UserStore):
    """Sessions and profiles in Redis; events stay in another store.

    All processes of a bot share touches and clicks. ``Tracker(store=RedisStore(url))`` keeps
    events in ``gp.sqlite3``; ``Store.of(RedisStore(url), other)`` in another store. Needs
    Redis 6.2 or newer, and ``pip install 'gp_aiogram[redis]'``.

    :param url_or_client: ``redis://user:password@host:6379/0``, ``rediss://…`` for TLS, or
        ``unix:///path``; or a client of ``redis.asyncio``, such as ``storage.redis`` of aiogram's
        ``RedisStorage`` or a ``RedisCluster``. A client that you pass is never closed.
    :param prefix: prefix of all keys.
    :param retention: after which time Redis expires touches, and clicks with their invite links.
        It counts from when they were stored, by the clock of Redis. If the tracker's retention is
        longer, that applies. None means the tracker's, or 90 days. Postbacks that wait for their
        user are kept as long, and until 30 days after their wait ends. Traits, and invite links of
        campaigns, stay until they are erased.
    :param timeout: seconds to wait for an answer of Redis.
    :raises ConfigurationError: when redis-py is missing, or one of these is invalid.
    """

    def __init__(
        self,
        url_or_client: str | Redis | RedisCluster,
        *,
        prefix: str = "gp",
        retention: Retention | None = None,
        timeout: float = 5.0,
    ) -> None:
        _validate_timeout(timeout)
        keys, expiry = Keys(prefix), Expiry(retention)
        self.prefix = prefix
        #: For what has commands of its own, such as a move; not for users.
        self.connection = RedisConnection(url_or_client, timeout=timeout, check=ServerCheck(keys))
        super().__init__(
            sessions=RedisSessions(self.connection, keys, expiry),
            profiles=RedisProfiles(self.connection, keys, expiry),
        )

    def __repr__(self) -> str:
        return f"RedisStore({self.connection.where!r}, prefix={self.prefix!r})"

    async def open(self) -> None:
        """Connect, and check the server.

        :raises StoreUnavailable: when it is away; it heals by itself.
        :raises StoreError: when it may drop keys, or user or password is wrong; the text says what
            to do.
        :raises StoreMismatch: when a newer version of gp_aiogram wrote there.
        """
        await self.connection.open()

    async def close(self) -> None:
        """Close the connections that are the store's own."""
        await self.connection.close()


def _validate_timeout(timeout: object) -> None:
    if not isinstance(timeout, (int, float)) or not timeout > 0:
        msg = f"RedisStore(timeout=...) must be seconds, not {short_repr(timeout)}"
        raise ConfigurationError(msg)
