"""The default store: sessions, profiles and outbox in one SQLite file."""

from __future__ import annotations

import os
from pathlib import Path

from gp_aiogram.errors import ConfigurationError, StoreError, short_repr
from gp_aiogram.model.clock import Clock, SystemClock
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.records import ContextQuery, UserContext
from gp_aiogram.stores.sqlite.file import SQLiteFile
from gp_aiogram.stores.sqlite.lookup import load_contexts
from gp_aiogram.stores.sqlite.outbox import SQLiteOutbox
from gp_aiogram.stores.sqlite.profiles import SQLiteProfiles
from gp_aiogram.stores.sqlite.sessions import SQLiteSessions


class SQLiteStore(Store):
    """Sessions, profiles and outbox in one SQLite file (WAL, synchronous=FULL, group commit).

    Accepted data survives ``kill -9`` and, on storage that honours fsync, power loss. A second
    process that opens the file gets :class:`~gp_aiogram.errors.StoreLocked`. Other processes may
    read it.

    :param path: the file; it is created if missing, with its folders.
    :param clock: the clock to use; tests may pass their own.
    :raises ConfigurationError: when the path is not that of a file.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        if str(path) in {"", ":memory:"}:
            msg = "SQLiteStore needs the path of a file; for tests without one use MemoryStore()"
            raise ConfigurationError(msg)
        if "://" in str(path):
            msg = (
                f"SQLiteStore takes a path, not {short_repr(path)}: write "
                "SQLiteStore('gp.sqlite3'), or gp_aiogram.stores.from_url(...)"
            )
            raise ConfigurationError(msg)
        self.path = Path(path)
        self.place = os.path.abspath(path)  # noqa: PTH100 - a link stays a link
        self._file = SQLiteFile(self.path)
        super().__init__(
            sessions=SQLiteSessions(self._file),
            profiles=SQLiteProfiles(self._file),
            outbox=SQLiteOutbox(self._file, clock or SystemClock()),
        )

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self.path)!r})"

    async def open(self) -> None:
        """Take the file's lock and bring its tables up to date.

        :raises StoreLocked: when another process has the file.
        :raises StoreMismatch: when the file is another program's or a newer version's.
        :raises StoreError: when the file cannot be opened.
        """
        await self._file.open()

    async def close(self) -> None:
        """Commit what waits, close the file and release its lock.

        An event accepted later opens the file for as long as that takes.
        """
        await self._file.close()

    async def load_context(self, query: ContextQuery) -> UserContext:
        """Return what is known of a user for an event, with one look.

        :raises StoreError: when the file cannot be read.
        """
        try:
            return await self._file.submit(load_contexts, query, reads=True)
        except StoreError:
            raise
        except Exception:  # noqa: BLE001 - what cannot be decoded costs no other part
            return await super().load_context(query)
