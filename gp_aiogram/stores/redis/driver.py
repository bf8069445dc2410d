"""The only module that imports redis-py, and only where a :class:`RedisStore` is made."""

from __future__ import annotations

from typing import Any

from gp_aiogram.errors import ConfigurationError, short_repr

#: What a client of redis-py is here: its types differ from version to version.
Client = Any

#: What is found in ``RedisStore(url)``.
SCHEMES = ("redis", "rediss", "unix")


def _asyncio() -> Any:
    try:
        import redis.asyncio  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        msg = "RedisStore needs redis-py: pip install 'gp_aiogram[redis]'"
        raise ConfigurationError(msg) from error
    return redis.asyncio


def client_of(url: str) -> Client:
    """Build a client, which connects when it is used.

    A connection that broke while it was idle is replaced once; all else is told at once, since
    the journal waits better than a handler does.

    :raises ConfigurationError: when redis-py is missing, or the URL is invalid.
    """
    redis = _asyncio()
    if url.partition("://")[0].lower() not in SCHEMES:
        msg = "RedisStore takes a URL such as 'redis://localhost:6379/0' or 'rediss://…' for TLS"
        raise ConfigurationError(msg)
    try:
        from redis.backoff import NoBackoff  # noqa: PLC0415 - an optional extra

        client = redis.Redis.from_url(url, retry=redis.retry.Retry(NoBackoff(), 1))
        client.connection_pool.make_connection()
    except (TypeError, ValueError, AttributeError) as error:
        # Without the text of the error: it may quote a part of the URL.
        msg = (
            "RedisStore got a URL that redis-py cannot read; it looks like "
            "'redis://user:password@localhost:6379/0', with % escapes in user and password, and "
            f"redis-py's own options after a '?' ({type(error).__name__})"
        )
        raise ConfigurationError(msg) from None
    return client


def checked_client(client: object) -> Client:
    """Return a client that the caller has made.

    :raises ConfigurationError: when it is none of ``redis.asyncio``.
    """
    redis = _asyncio()
    if isinstance(client, (redis.Redis, redis.RedisCluster)):
        return client
    advice = (
        "its client is storage.redis"
        if hasattr(client, "redis")
        else "clients without asyncio block the bot"
    )
    msg = (
        "RedisStore takes a URL or a client of redis.asyncio (Redis, RedisCluster), not "
        f"{short_repr(client)}: {advice}"
    )
    raise ConfigurationError(msg)


def is_cluster(client: Client) -> bool:
    """Return whether a client knows the slots of a cluster."""
    return isinstance(client, _asyncio().RedisCluster)
