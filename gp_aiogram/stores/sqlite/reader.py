"""Looks into a SQLite file that a running bot owns, and leaves no trace in it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gp_aiogram.errors import StoreError, StoreMismatch
from gp_aiogram.model.clock import SystemClock
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.sqlite.connection import Connection, connect_read_only
from gp_aiogram.stores.sqlite.failures import opening_failed, working_failed
from gp_aiogram.stores.sqlite.outbox import SQLiteOutbox
from gp_aiogram.stores.sqlite.profiles import SQLiteProfiles
from gp_aiogram.stores.sqlite.schema import APPLICATION_ID, MIGRATIONS
from gp_aiogram.stores.sqlite.sessions import SQLiteSessions
from gp_aiogram.stores.sqlite.work import BulkOperation, Item, Result


class SQLiteReader(Store):
    """The store in a SQLite file, to look at: any number of processes may, beside its owner.

    It takes no lock, writes nothing and makes no checkpoint. Each look is a transaction of its
    own, so that the owner's log does not grow because of it. What would write raises
    :class:`~gp_aiogram.errors.StoreError`. Which deliveries are claimed only the owner knows.

    :param path: the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - a link stays a link
        self.place = str(self.path)
        self._file = _ReadOnlyFile(self.path)
        super().__init__(
            sessions=SQLiteSessions(self._file),
            profiles=SQLiteProfiles(self._file),
            outbox=SQLiteOutbox(self._file, SystemClock()),
        )

    def __repr__(self) -> str:
        return f"SQLiteReader({str(self.path)!r})"

    async def open(self) -> None:
        """Open the file.

        :raises StoreMismatch: when the file is another program's or another version's.
        :raises StoreError: when there is no file, or it cannot be read.
        """
        await self._file.open()

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()


class _ReadOnlyFile:
    """A :class:`~.work.DatabaseFile` that nothing is written to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: Connection | None = None

    async def open(self) -> None:
        await self._connected()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def on_release(self, callback: Callable[[], None]) -> None:
        """Take no notice: nothing of the file is remembered."""

    async def submit(
        self,
        operation: BulkOperation[Item, Result],
        item: Item,
        *,
        reads: bool = False,
    ) -> Result:
        if not reads:
            msg = f"{self._path} was opened for reading only"
            raise StoreError(msg)

        def look(connection: sqlite3.Connection) -> Result:
            # One look at all that the operation reads.
            connection.execute("BEGIN")
            try:
                (result,) = operation(connection, [item])
            finally:
                connection.rollback()
            return result

        connection = await self._connected()
        try:
            return await connection.call(look)
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            raise working_failed(self._path, error) from error

    async def read(self, query: str, parameters: Any = ()) -> list[Any]:
        def rows(connection: sqlite3.Connection, queries: Any) -> list[list[Any]]:
            return [connection.execute(*one).fetchall() for one in queries]

        return await self.submit(rows, (query, parameters), reads=True)

    async def _connected(self) -> Connection:
        if self._connection is None:
            if not self._path.exists():
                msg = f"there is no file {self._path}: the bot makes it when it first starts"
                raise StoreError(msg)
            self._connection = await self._connect()
        return self._connection

    async def _connect(self) -> Connection:
        connection: Connection | None = None
        try:
            connection = await connect_read_only(self._path)
            await self._check_version(connection)
        except BaseException as error:
            if connection is not None:
                await connection.close()
            if isinstance(error, sqlite3.Error):
                raise opening_failed(self._path, error) from error
            raise
        return connection

    async def _check_version(self, connection: Connection) -> None:
        mark, version = await connection.call(_mark_and_version)
        if mark != APPLICATION_ID:
            msg = f"{self._path} is no gp_aiogram store"
            raise StoreMismatch(msg)
        if version < len(MIGRATIONS):
            msg = (
                f"{self._path} has schema version {version}, and this gp_aiogram reads "
                f"{len(MIGRATIONS)}: start the bot with this version, which brings it up to date"
            )
            raise StoreMismatch(msg)
        if version > len(MIGRATIONS):
            msg = (
                f"{self._path} has schema version {version}, this gp_aiogram knows up to "
                f"{len(MIGRATIONS)}: install the newer gp_aiogram that wrote it"
            )
            raise StoreMismatch(msg)


def _mark_and_version(connection: sqlite3.Connection) -> tuple[int, int]:
    ((mark,),) = connection.execute("PRAGMA application_id")
    ((version,),) = connection.execute("PRAGMA user_version")
    return mark, version
