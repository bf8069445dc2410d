"""Connects to PostgreSQL through asyncpg, which is an optional extra: nothing else imports it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from gp_aiogram.errors import ConfigurationError
from gp_aiogram.stores.postgres.address import Address

#: Seconds for a connection, and for the answer to a statement from a server that may be gone.
CONNECTING, ANSWERING = 5.0, 30.0


class Connection(Protocol):
    """What is used of an asyncpg connection."""

    async def fetch(
        self, query: str, *args: Any, timeout: float | None = None
    ) -> Sequence[Any]: ...

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str: ...

    async def add_listener(self, channel: str, callback: Callable[..., None]) -> None: ...

    def add_termination_listener(self, callback: Callable[..., None]) -> None: ...

    def is_in_transaction(self) -> bool: ...

    def is_closed(self) -> bool: ...

    async def close(self, *, timeout: float | None = None) -> None: ...

    def terminate(self) -> None: ...


def require_asyncpg() -> Any:
    """Return the module.

    :raises ConfigurationError: when it is not installed; the text says how to.
    """
    try:
        import asyncpg  # noqa: PLC0415 - an optional extra
    except ImportError:
        msg = "PostgreSQL needs asyncpg: pip install 'gp-aiogram[postgres]'"
        raise ConfigurationError(msg) from None
    return asyncpg


async def connect(address: Address) -> Connection:
    """Connect to the server.

    :raises Exception: whatever asyncpg and the operating system raise; see :mod:`.failures`.
    """
    options: dict[str, Any] = {}
    if address.statement_cache_size is not None:
        options["statement_cache_size"] = address.statement_cache_size
    if "application_name" not in address.dsn:
        options["server_settings"] = {"application_name": "gp_aiogram"}
    connection: Connection = await require_asyncpg().connect(
        address.dsn,
        timeout=CONNECTING,
        command_timeout=ANSWERING,
        **options,
    )
    return connection


def terminate(connection: Connection) -> None:
    """Close a connection at once."""
    with suppress(Exception):
        connection.terminate()


def abandon(connection: Connection) -> None:
    """Close a connection whose event loop has ended: asyncio leaves its socket open."""
    terminate(connection)
    transport = getattr(connection, "_transport", None)
    end = getattr(transport, "_call_connection_lost", None)
    if end is not None:
        with suppress(Exception):
            end(None)
