"""A SQLite connection in a thread of its own, which takes whole functions."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiosqlite

Result = TypeVar("Result")

#: Seconds that SQLite waits for another program's lock.
_BUSY_TIMEOUT = 1.0

#: Seconds for a thread that has nothing left to do.
_THREAD_ENDING = 1.0

#: Rows that aiosqlite fetches at a time when it iterates, as ``aiosqlite.connect`` has it.
_CHUNK = 64


class Connection(aiosqlite.Connection):
    """A connection of aiosqlite that also does many statements in one trip to its thread."""

    async def call(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Call a function in the connection's thread, and return its result.

        Not named ``run``: before aiosqlite 0.22 a connection is a ``Thread``.

        :raises Exception: what it raised.
        """
        execute: Callable[..., Awaitable[Result]] = self._execute
        return await execute(_Unnamed(work), self._conn)


class _Unnamed(Generic[Result]):
    """A function whose arguments stay out of the log: aiosqlite prints whatever it calls."""

    def __init__(self, work: Callable[[sqlite3.Connection], Result]) -> None:
        self._work = work

    def __call__(self, connection: sqlite3.Connection) -> Result:
        return self._work(connection)

    def __repr__(self) -> str:
        return "<a transaction>"


async def connect(path: Path) -> Connection:
    """Open a file.

    :raises sqlite3.Error: when it cannot be opened.
    """
    return await _connected(lambda: sqlite3.connect(path, timeout=_BUSY_TIMEOUT))


async def connect_read_only(path: Path) -> Connection:
    """Open a file that another process may have open, so that nothing is ever written to it.

    SQLite itself refuses: neither a statement nor a checkpoint, also when the file is closed.

    :param path: absolute.
    :raises sqlite3.Error: when it cannot be opened.
    """
    uri = f"{path.as_uri()}?mode=ro"
    return await _connected(lambda: sqlite3.connect(uri, timeout=_BUSY_TIMEOUT, uri=True))


async def _connected(connector: Callable[[], sqlite3.Connection]) -> Connection:
    connection = Connection(connector, _CHUNK)
    # Before aiosqlite 0.22 the connection was itself the thread.
    thread: Any = getattr(connection, "_thread", connection)
    # Let the process exit although nobody closed the store; what was accepted is on disk.
    thread.daemon = True
    try:
        await connection
    except BaseException:
        # aiosqlite ends the thread without waiting, which may then meet a closed event loop.
        thread.join(_THREAD_ENDING)
        raise
    return connection
