"""The default store: one SQLite file, owned by one process."""

from gp_aiogram.stores.sqlite.reader import SQLiteReader
from gp_aiogram.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteReader", "SQLiteStore"]
