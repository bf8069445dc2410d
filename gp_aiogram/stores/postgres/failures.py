"""Tells what an error of PostgreSQL means: an outage, a wrong setting, or one bad item."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator

from gp_aiogram.errors import StoreError, StoreUnavailable
from gp_aiogram.stores.postgres.address import Address

#: By SQLSTATE or its class (https://www.postgresql.org/docs/current/errcodes-appendix.html):
#: what heals by itself and meets everybody.
_OUTAGES = (
    "08",  # the connection
    "25006",  # read-only: a standby, or a failover that is under way
    "25P03",  # idle in a transaction for too long
    "53",  # disk full, out of memory, too many connections
    "57014",  # statement timeout
    "57P",  # shutting down, starting up, crashed
    "58",  # the operating system
)
#: What ends when another transaction does.
_BUSY = ("40001", "40P01", "55P03")

#: Our own tables are gone.
_GONE = ("3F000", "42P01")

#: A value of the wrong kind or size; the errors show it.
_BAD_VALUE = "22"

#: What its owner has to set right, by SQLSTATE or its class.
_ADVICE = {
    "28": "the server refuses the login of {user}: check user, password and pg_hba.conf",
    "3D000": "there is no database {database}: create it, or correct the DSN",
    "42501": "{user} lacks a right: see the section on PostgreSQL in docs/explanation/stores.md",
    "3F000": "the schema {schema} is gone: it is made anew when the store is opened again",
    "42P01": "tables of the schema {schema} are missing: drop the schema, or restore it",
}


def sqlstate_of(error: BaseException | None) -> str:
    """Return the SQLSTATE of an error, also when another library has wrapped it."""
    states = (getattr(one, "sqlstate", None) for one in _behind(error))
    return next((state for state in states if isinstance(state, str)), "")


def is_outage(error: BaseException) -> bool:
    """Return whether an error would have met every other item as well, and heals by itself."""
    if isinstance(error, StoreError):
        return isinstance(error, StoreUnavailable)
    if state := sqlstate_of(error):
        return state.startswith(_OUTAGES)
    if isinstance(error, ssl.SSLError) or "rejected SSL" in str(error):
        return False
    if isinstance(error, (OSError, EOFError, asyncio.TimeoutError)):
        return True
    # Of asyncpg itself: the connection was closed. Bad input is a ValueError as well.
    return _is_of("asyncpg", error) and not isinstance(error, ValueError)


def is_connection_lost(error: BaseException) -> bool:
    """Return whether the connection is of no use any more, whatever it was in the midst of."""
    if isinstance(error, (StoreError, asyncio.TimeoutError)):
        return False
    state = sqlstate_of(error)
    # What is read-only may be a standby that was the primary.
    return state.startswith(("08", "57P", "25006")) if state else is_outage(error)


def is_busy(error: BaseException) -> bool:
    """Return whether another transaction has to end first."""
    return sqlstate_of(error) in _BUSY


def are_tables_gone(error: BaseException) -> bool:
    """Return whether somebody has dropped our tables."""
    return sqlstate_of(error) in _GONE


def is_of_database(error: BaseException) -> bool:
    """Return whether an error comes from the database or the way to it."""
    return bool(sqlstate_of(error)) or isinstance(error, OSError) or _is_of_driver(error)


def explained(address: Address, error: BaseException) -> StoreError:
    """Return what to raise; it names no password."""
    if isinstance(error, StoreError):
        return error
    if is_busy(error):
        msg = f"{address}: another transaction holds what this one needs, and takes too long"
        return StoreUnavailable(msg)
    state = sqlstate_of(error)
    text = _told(error)
    if is_outage(error):
        return StoreUnavailable(f"{address} is away for the moment: {text}")
    advice = next((_ADVICE[key] for key in _ADVICE if state.startswith(key)), None)
    if advice is None:
        return StoreError(f"{address}: {text}")
    named = advice.format(
        user=address.user or "the user",
        database=address.database or "of this name",
        schema=address.schema,
    )
    return StoreError(f"{address}: {named} ({text})")


def cause_of(error: BaseException) -> BaseException | None:
    """Return what may be shown as the cause of an error; None of one that shows values."""
    is_telling = isinstance(error, ValueError) or sqlstate_of(error).startswith(_BAD_VALUE)
    return None if is_telling or _is_of("sqlalchemy", error) else error


def _told(error: BaseException) -> str:
    """Return the server's own words; of a driver's error no parameters, which are personal."""
    if isinstance(error, ValueError) or sqlstate_of(error).startswith(_BAD_VALUE):
        return f"a value cannot be kept by PostgreSQL ({type(error).__name__})"
    for one in _behind(error):
        # As asyncpg has it, and psycopg.
        diagnosis = getattr(one, "diag", None)
        message = getattr(one, "message", None) or getattr(diagnosis, "message_primary", None)
        if getattr(one, "sqlstate", None) and isinstance(message, str):
            return message
    if _is_of("sqlalchemy", error):
        return type(error).__name__
    return str(error) or type(error).__name__


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and those that it was made of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        wrapped = getattr(error, "orig", None)
        error = wrapped if isinstance(wrapped, BaseException) else error.__cause__


def _is_of(package: str, error: BaseException) -> bool:
    return any(kind.__module__.partition(".")[0] == package for kind in type(error).__mro__)


def _is_of_driver(error: BaseException) -> bool:
    drivers = ("asyncpg", "sqlalchemy", "psycopg")
    return isinstance(error, asyncio.TimeoutError) or any(
        _is_of(driver, error) for driver in drivers
    )
