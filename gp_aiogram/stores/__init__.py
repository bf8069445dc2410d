"""Where sessions and the outbox live: one file per store."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from gp_aiogram.errors import ConfigurationError
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.memory.store import MemoryStore
from gp_aiogram.stores.sqlite.store import SQLiteStore

__all__ = ["from_url"]


def _sqlite(url: str) -> Store:
    # As SQLAlchemy writes it: three slashes before a relative path, four before an absolute one.
    path = url.partition("://")[2]
    if not path.startswith("/") or path == "/":
        msg = f"a SQLite URL looks like 'sqlite:///gp.sqlite3', not {url!r}"
        raise ConfigurationError(msg)
    return SQLiteStore(unquote(path[1:]))


_BY_SCHEME: dict[str, Callable[[str], Store]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": _sqlite,
}


def from_url(url: str) -> Store:
    """Build a store from its URL.

    :param url: ``sqlite:///gp.sqlite3`` (relative), ``sqlite:////var/lib/bot/gp.sqlite3``
        (absolute) or ``memory://``.
    :raises ConfigurationError: when no store has this scheme.
    """
    scheme = url.partition(":")[0].lower()
    if scheme not in _BY_SCHEME:
        known = ", ".join(f"{name}://" for name in sorted(_BY_SCHEME))
        msg = f"a store's URL starts with one of {known}, not {scheme!r}"
        raise ConfigurationError(msg)
    return _BY_SCHEME[scheme](url)
