"""Tells an outage of Redis, which heals by itself, from what somebody must put right."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from gp_aiogram.errors import StoreError, StoreUnavailable

RIGHTS = (
    "the user lacks rights, allow it: ~PREFIX:* +@connection +@read +@write +@scripting +time "
    "+info +config|get"
)

#: By the names of redis-py's classes: a module that imports them would need redis-py.
_REFUSED = {
    "AuthenticationError": "user or password is wrong",
    "AuthenticationWrongNumberOfArgsError": "user or password is wrong",
    "AuthorizationError": "the user has no access",
    "NoPermissionError": RIGHTS,
    "MovedError": (
        "this server is part of a cluster: write RedisStore(RedisCluster.from_url(...)), with "
        "RedisCluster of redis.asyncio"
    ),
    "AskError": "this server is part of a cluster, use a client that knows clusters",
}

#: Parts of answers that redis-py has no class for.
_REFUSED_IN_SO_MANY_WORDS = {
    "user executing the script": RIGHTS,
    "WRONGTYPE": "another program has a key of this name, give RedisStore another prefix=...",
}

#: What says of a whole server that it cannot work for the moment.
_OUTAGES = {
    "ConnectionError",
    "TimeoutError",
    "OSError",
    "OutOfMemoryError",
    "ReadOnlyError",
    "ClusterError",
    "ClusterDownError",
    "MasterDownError",
    "TryAgainError",
    "SlotNotCoveredError",
    "RedisClusterException",
}

#: Beginnings of answers that redis-py has no class for, and scripts of Redis 6 quote.
_OUTAGE_CODES = (
    "OOM ",
    "READONLY ",
    "MISCONF ",
    "NOREPLICAS ",
    "BUSY ",
    "LOADING ",
    "MASTERDOWN ",
)


def translated(error: Exception, where: str) -> StoreError:
    """Return what to raise in place of redis-py's error.

    :param where: names the server, without secrets.
    """
    if isinstance(error, StoreError):
        return error
    if isinstance(error, asyncio.TimeoutError):
        return StoreUnavailable(f"{where}: no answer in time")
    names, text = [kind.__name__ for kind in type(error).__mro__], str(error)
    if advice := _advice(names, text):
        return StoreError(f"{where}: {advice} ({text})")
    if _OUTAGES.intersection(names) or any(code in text for code in _OUTAGE_CODES):
        return StoreUnavailable(f"{where}: {text or type(error).__name__}")
    return StoreError(f"{where}: {type(error).__name__}: {text}")


def _advice(names: Iterable[str], text: str) -> str | None:
    """Return what somebody must do; None when nothing is known that helps."""
    told = [_REFUSED[name] for name in names if name in _REFUSED]
    told += [advice for part, advice in _REFUSED_IN_SO_MANY_WORDS.items() if part in text]
    return told[0] if told else None


def is_unknown_script(error: object) -> bool:
    """Return whether a server has not got a script, as after its restart."""
    return type(error).__name__ == "NoScriptError"
