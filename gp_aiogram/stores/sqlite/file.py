"""One SQLite file, owned by one process through one connection.

Why one: SQLite 3.7.0 to 3.51.2 can lose committed transactions when two connections write and
checkpoint one WAL file at the same moment (https://sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gp_aiogram.errors import StoreError, StoreMismatch, StoreUnavailable
from gp_aiogram.stores.group_commit import GroupCommit, Work
from gp_aiogram.stores.sqlite.connection import Connection, connect
from gp_aiogram.stores.sqlite.failures import is_outage, opening_failed, working_failed
from gp_aiogram.stores.sqlite.place import Place
from gp_aiogram.stores.sqlite.schema import migrate
from gp_aiogram.stores.sqlite.work import BulkOperation, Item, Result

logger = logging.getLogger("gp_aiogram")

#: Before anything is deleted: what is erased is overwritten, not just given free. Some builds of
#: SQLite do so anyway.
_ERASING = "PRAGMA secure_delete = ON"

_PRAGMAS = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA journal_size_limit = 67108864;
"""

#: Puts everything into the file itself, wherever that is now: a log left next to what takes its
#: place would spoil it.
_PACKING = "PRAGMA wal_checkpoint(TRUNCATE)"

#: Of the system, for a file that may be opened later.
_OUTAGES = {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT}

#: A file that took the place of ours is left alone until nobody has written it for so many
#: seconds: it may still be copied.
_SETTLED_AFTER = 2.0


@dataclass(frozen=True)
class _Opened:
    """What is held while the file is open, and by whom."""

    connection: Connection
    place: Place
    loop: asyncio.AbstractEventLoop
    pid: int


class SQLiteFile:
    """Opens the file when it is first needed, and again when it is needed after :meth:`close`.

    A file that is deleted, moved or replaced while it is open is let go of, and what has just
    been written is not acknowledged. Another one is taken when it is there; a missing one is made
    by :meth:`open` alone, since whoever deleted it may be about to put a backup in its place.

    :param path: the file; made when missing, as are its folders.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._on_release: list[Callable[[], None]] = []
        self._commits = self._new_commits()
        self._opened: _Opened | None = None
        self._closing = False
        self._lost: Path | None = None

    async def open(self) -> None:
        """Take the lock and bring the tables up to date.

        :raises StoreLocked: when another process has the file.
        :raises StoreMismatch: when the file is another program's or a newer version's.
        :raises StoreUnavailable: when another program holds SQLite's lock, or the disk is full;
            whatever is submitted later opens the file.
        :raises StoreError: when the file cannot be opened.
        """
        self._closing, self._lost = False, None
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
            self._commits = self._new_commits()
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
        :raises StoreUnavailable: when the file is locked, full or gone; what was to be written
            may have been.
        :raises StoreError: when the file could not be opened, read or written.
        """
        self._refuse_strangers()
        try:
            result: Result = await self._commits.submit(operation, item, reads=reads)
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            raise working_failed(self._path, error) from error
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

    def _new_commits(self) -> GroupCommit:
        return GroupCommit(self._transact, self._after_work, self._failed)

    async def _transact(self, work: Work) -> list[Sequence[Any]]:
        """Do everything or nothing, in one trip to SQLite's thread, whatever it is."""
        connection = await self._connected()
        try:
            return await connection.call(partial(_transaction, work, self._check_place))
        except asyncio.CancelledError:
            # The loop must not end before SQLite's thread is done with it.
            await connection.rollback()
            raise

    async def _connected(self) -> Connection:
        if self._opened is None:
            if self._lost is not None:
                _refuse_what_is_not_ready(self._lost)
            place = self._taken_place()
            connection = await self._connect(place)
            self._opened = _Opened(connection, place, asyncio.get_running_loop(), os.getpid())
            if self._lost is not None:
                self._lost = None
                logger.warning("%s is there again, and is used as it is", self._path)
        return self._opened.connection

    async def _connect(self, place: Place) -> Connection:
        connection: Connection | None = None
        try:
            connection = await connect(place.real_path)
            await connection.executescript(_ERASING)
            await migrate(connection)
            await connection.executescript(_PRAGMAS)
        except BaseException as error:
            if connection is not None:
                await connection.close()
            place.release()
            if isinstance(error, StoreMismatch):
                msg = f"cannot use {self._path}: {error}"
                raise StoreMismatch(msg) from None
            if isinstance(error, sqlite3.Error):
                raise opening_failed(self._path, error) from error
            raise
        return connection

    def _taken_place(self) -> Place:
        try:
            return Place(self._lost or self._path)
        except OSError as error:
            msg = f"cannot use {self._path} as a gp_aiogram store: {error}"
            kind = StoreUnavailable if error.errno in _OUTAGES else StoreError
            raise kind(msg) from error

    async def _failed(self, error: Exception) -> bool:
        """Let go of a file that is gone, and tell whether the error is an outage."""
        if self._opened is not None and self._opened.place.is_lost():
            await self._abandon(self._opened)
        # What opening the file raises meets everybody.
        return isinstance(error, StoreError) or is_outage(error)

    # Its place

    def _check_place(self) -> None:
        if self._opened is not None and self._opened.place.is_lost():
            what = "replaced" if self._opened.place.path.exists() else "deleted"
            msg = f"{self._path} was {what} while it was open"
            raise StoreUnavailable(msg)

    async def _abandon(self, opened: _Opened) -> None:
        self._lost = opened.place.path
        logger.error(
            "%s was deleted, moved or replaced while it was open: what it held is gone with it, "
            "and nothing is stored until there is a file again or the bot is restarted",
            self._path,
        )
        try:
            await opened.connection.execute_fetchall(_PACKING)
        except sqlite3.Error:
            logger.exception("what was last written to %s stays in its log", self._path)
        await self._disconnect()

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
                opened.place.release()


def _refuse_what_is_not_ready(path: Path) -> None:
    try:
        age = time.time() - path.stat().st_mtime
    except OSError as error:
        msg = f"{path} was deleted while it was open, and is not there again"
        raise StoreUnavailable(msg) from error
    if 0 <= age < _SETTLED_AFTER:
        msg = f"{path} was replaced while it was open, and may still be copied"
        raise StoreUnavailable(msg)


def _transaction(
    work: Work,
    check: Callable[[], None],
    connection: sqlite3.Connection,
) -> list[Sequence[Any]]:
    """Do everything or nothing, and return the results of each operation.

    :param check: called after the commit; what it raises is told in place of the results.
    """
    try:
        results = [operation(connection, items) for operation, items in work]
        if connection.in_transaction:
            connection.commit()
    except BaseException:
        connection.rollback()
        raise
    check()
    return results


def _nothing(_: sqlite3.Connection, items: Sequence[Any]) -> Sequence[Any]:
    return items


def _read(
    connection: sqlite3.Connection,
    queries: Sequence[tuple[str, Any]],
) -> list[list[Any]]:
    return [connection.execute(*query).fetchall() for query in queries]
