"""One SQLite file, owned by one process through one connection.

Why one: SQLite 3.7.0 to 3.51.2 can lose committed transactions when two connections write and
checkpoint one WAL file at the same moment (https://sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gp_aiogram.errors import StoreError, StoreLocked, StoreMismatch
from gp_aiogram.stores.sqlite.connection import Connection, connect
from gp_aiogram.stores.sqlite.group_commit import BulkOperation, GroupCommit, Item, Result
from gp_aiogram.stores.sqlite.schema import migrate

#: Before anything is deleted: what is erased is overwritten, not just given free. Some builds of
#: SQLite do so anyway.
_ERASING = "PRAGMA secure_delete = ON"

_PRAGMAS = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA journal_size_limit = 67108864;
"""


@dataclass(frozen=True)
class _Opened:
    """What is held while the file is open, and by whom."""

    connection: Connection
    lock: FileLock
    loop: asyncio.AbstractEventLoop
    pid: int


class SQLiteFile:
    """Opens the file when it is first needed, and again when it is needed after :meth:`close`.

    :param path: the file; made when missing, as are its folders.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._on_release: list[Callable[[], None]] = []
        self._commits = GroupCommit(self._connected, self._after_work)
        self._opened: _Opened | None = None
        self._closing = False

    async def open(self) -> None:
        """Take the lock and bring the tables up to date.

        :raises StoreLocked: when another process has the file.
        :raises StoreMismatch: when the file is another program's or a newer version's.
        :raises StoreError: when the file cannot be opened.
        """
        self._closing = False
        await self.submit(_nothing, None)

    async def close(self) -> None:
        """Commit what waits, close the file and release the lock.

        Work submitted later opens the file for as long as it takes.

        :raises StoreError: when an event loop that is running has the file open.
        """
        self._closing = True
        if self._opened is None:
            await self._commits.drain()
        elif self._opened.pid != os.getpid():
            return  # the process that was forked has it open, not this one
        elif self._opened.loop.is_running():
            await self.submit(_nothing, None)
        else:
            # Opened in a loop that has ended: whatever waited there ended with it.
            self._commits = GroupCommit(self._connected, self._after_work)
            await self._disconnect()

    def on_release(self, callback: Callable[[], None]) -> None:
        """Have a function called whenever the file is released: others may change it then."""
        self._on_release.append(callback)

    async def submit(
        self,
        operation: BulkOperation[Item, Result],
        item: Item,
        *,
        reads: bool = False,
    ) -> Result:
        """Have an item worked on and committed, and return its result.

        :param reads: the operation changes nothing.
        :raises StoreError: when the file could not be opened, read or written.
        """
        self._refuse_strangers()
        try:
            result = await self._commits.submit(operation, item, reads=reads)
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            msg = f"{self._path}: {error}"
            raise StoreError(msg) from error
        if self._closing:
            await self._commits.drain()  # which lets go of the file
        return result

    async def read(self, query: str, parameters: Any = ()) -> list[Any]:
        """Return all rows of a query."""
        return await self.submit(_read, (query, parameters), reads=True)

    def _refuse_strangers(self) -> None:
        if self._opened is None:
            return
        if self._opened.pid != os.getpid():
            msg = (
                f"{self._path} was opened before this process was forked, and the other process "
                "has it still: give this one a store on a file of its own"
            )
            raise StoreError(msg)
        if self._opened.loop is not asyncio.get_running_loop():
            msg = f"{self._path} was opened in another event loop: close the store first"
            raise StoreError(msg)

    async def _connected(self) -> Connection:
        if self._opened is None:
            lock = self._acquired_lock()
            connection = await self._connect(lock)
            self._opened = _Opened(connection, lock, asyncio.get_running_loop(), os.getpid())
        return self._opened.connection

    async def _connect(self, lock: FileLock) -> Connection:
        connection: Connection | None = None
        try:
            connection = await connect(self._path)
            await connection.executescript(_ERASING)
            await migrate(connection)
            await connection.executescript(_PRAGMAS)
        except BaseException as error:
            if connection is not None:
                await connection.close()
            lock.release()
            if isinstance(error, StoreMismatch):
                msg = f"cannot use {self._path}: {error}"
                raise StoreMismatch(msg) from None
            if isinstance(error, sqlite3.Error):
                msg = f"cannot use {self._path} as a gp_aiogram store: {error}"
                raise StoreError(msg) from error
            raise
        return connection

    def _acquired_lock(self) -> FileLock:
        # A new one each time: filelock refuses a lock object that was made before a fork.
        lock = FileLock(f"{self._path}.lock", timeout=0, thread_local=False)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            msg = (
                f"another process (or another store of this one) uses {self._path}. One SQLite "
                "file serves one process: give each a file of its own, or let them share a "
                "PostgreSQL or Redis store"
            )
            raise StoreLocked(msg) from None
        except OSError as error:
            msg = f"cannot use {self._path} as a gp_aiogram store: {error}"
            raise StoreError(msg) from error
        return lock

    async def _after_work(self) -> None:
        if self._closing:
            await self._disconnect()

    async def _disconnect(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            for callback in self._on_release:
                callback()
            try:
                await opened.connection.close()
            finally:
                opened.lock.release()


def _nothing(_: sqlite3.Connection, items: Sequence[Any]) -> Sequence[Any]:
    return items


def _read(
    connection: sqlite3.Connection,
    queries: Sequence[tuple[str, Any]],
) -> list[list[Any]]:
    return [connection.execute(*query).fetchall() for query in queries]
