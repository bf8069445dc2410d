"""Tells an outage of the file, which heals by itself, from what one item has brought about."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gp_aiogram.errors import StoreError, StoreUnavailable

#: By SQLite's code, the text that it gives: Python 3.10 tells the text alone.
_CANNOT_OPEN, _READ_ONLY = 14, 8
_OUTAGES = {
    5: "database is locked",
    6: "database table is locked",
    _READ_ONLY: "attempt to write a readonly database",
    10: "disk I/O error",
    13: "database or disk is full",
    _CANNOT_OPEN: "unable to open database file",
    15: "locking protocol",
}

#: Before the file has been opened, these mean that it is the wrong path.
_MISCONFIGURED = {_CANNOT_OPEN, _READ_ONLY}

_PRIMARY = 0xFF


def is_outage(error: Exception) -> bool:
    """Return whether an error of SQLite would have met every other item as well."""
    return _outage_code(error) is not None


def working_failed(path: Path, error: Exception) -> StoreError:
    """Return what to raise when an open file could not be used."""
    kind = StoreUnavailable if is_outage(error) else StoreError
    return kind(f"{path}: {error}")


def opening_failed(path: Path, error: Exception) -> StoreError:
    """Return what to raise when the file could not be opened."""
    code = _outage_code(error)
    kind = StoreError if code is None or code in _MISCONFIGURED else StoreUnavailable
    return kind(f"cannot use {path} as a gp_aiogram store: {error}")


def _outage_code(error: Exception) -> int | None:
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & _PRIMARY if code & _PRIMARY in _OUTAGES else None
    text = str(error)
    return next((code for code, told in _OUTAGES.items() if text.startswith(told)), None)
