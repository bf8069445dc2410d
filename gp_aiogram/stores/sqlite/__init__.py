"""The default store: one SQLite file, owned by one process."""

from gp_aiogram.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
