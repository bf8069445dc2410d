"""Where sessions and the outbox live: one file per store."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from gp_aiogram.errors import ConfigurationError
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.memory.store import MemoryStore
from gp_aiogram.stores.postgres.address import SCHEMES
from gp_aiogram.stores.postgres.store import PostgresStore
from gp_aiogram.stores.redis.store import RedisStore
from gp_aiogram.stores.sqlite.reader import SQLiteReader
from gp_aiogram.stores.sqlite.store import SQLiteStore

__all__ = ["from_url", "reader_from_url", "sessions_from_url"]


def _sqlite(url: str) -> Store:
    return SQLiteStore(_path(url))


def _path(url: str) -> str:
    # As SQLAlchemy writes it: three slashes before a relative path, four before an absolute one.
    path = url.partition("://")[2]
    if not path.startswith("/") or path == "/":
        msg = f"a SQLite URL looks like 'sqlite:///gp.sqlite3', not {url!r}"
        raise ConfigurationError(msg)
    return unquote(path[1:])


def _refuse_redis() -> None:
    msg = (
        "Redis keeps sessions and profiles only, and events need another store: set "
        "GP_SESSIONS=redis://... beside GP_STORE=sqlite:///gp.sqlite3, or write "
        "Store.of(RedisStore('redis://...'), SQLiteStore('gp.sqlite3'))"
    )
    raise ConfigurationError(msg)


_BY_SCHEME: dict[str, Callable[[str], Store]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": _sqlite,
    **dict.fromkeys(SCHEMES, PostgresStore),
}


def from_url(url: str) -> Store:
    """Build a store from its URL.

    :param url: ``sqlite:///gp.sqlite3`` (relative), ``sqlite:////var/lib/bot/gp.sqlite3``
        (absolute), ``postgresql://user:password@host:5432/database?schema=gp`` (extra
        ``postgres``) or ``memory://``.
    :raises ConfigurationError: when no store has this scheme, or its extra is not installed.
    """
    scheme = url.partition(":")[0].lower()
    if scheme in {"redis", "rediss"}:
        _refuse_redis()
    if scheme not in _BY_SCHEME:
        known = ", ".join(f"{name}://" for name in sorted(_BY_SCHEME))
        msg = f"a store's URL starts with one of {known}, not {scheme!r}"
        raise ConfigurationError(msg)
    return _BY_SCHEME[scheme](url)


def reader_from_url(url: str) -> Store:
    """Build what looks into a store beside the bot that owns it, and changes nothing.

    :param url: as of :func:`from_url`; a store that many processes share needs nothing of its own.
    :raises ConfigurationError: when no store has this scheme, or no other process can look at it.
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "memory":
        msg = "nobody but the bot itself can look into memory://: set GP_STORE to a file or server"
        raise ConfigurationError(msg)
    return SQLiteReader(_path(url)) if scheme == "sqlite" else from_url(url)


def sessions_from_url(url: str) -> RedisStore:
    """Build what keeps sessions and profiles beside a store, from its URL.

    :param url: ``redis://user:password@host:6379/0``, ``rediss://…`` or ``unix:///path``, with
        options of redis-py after a ``?``, and ``prefix=`` for that of
        :class:`~gp_aiogram.RedisStore`.
    :raises ConfigurationError: when it is none, or redis-py is missing.
    """
    plain, _, query = url.partition("?")
    options = query.split("&") if query else []
    prefixes = [option for option in options if option.startswith("prefix=")]
    rest = "&".join(option for option in options if option not in prefixes)
    address = f"{plain}?{rest}" if rest else plain
    if not prefixes:
        return RedisStore(address)
    return RedisStore(address, prefix=unquote(prefixes[-1].removeprefix("prefix=")))
