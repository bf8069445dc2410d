"""The connections of one process that nobody uses at the moment."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gp_aiogram.stores.postgres.address import Address
from gp_aiogram.stores.postgres.database import Connection, abandon, connect, terminate

#: Seconds for the server to say good-bye.
_CLOSING = 2.0

#: More than one writes and one reads only where somebody waits for another transaction.
_MOST_IDLE = 2


class Connections:
    """Makes a connection when none is idle, and keeps a few.

    :param address: where to.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._idle: list[Connection] = []
        self._is_closed = False

    async def take(self) -> Connection:
        """Return a connection of one's own.

        :raises Exception: when none can be made; see :mod:`.failures`.
        """
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await connect(self._address)

    async def give_back(self, connection: Connection) -> None:
        """Let others have a connection, which is in no transaction."""
        if connection.is_closed():
            return
        if self._is_closed or len(self._idle) >= _MOST_IDLE:
            await _close(connection)
        else:
            self._idle.append(connection)

    async def close(self) -> None:
        """Close what is idle, and whatever is given back from now on."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*map(_close, idle))

    def abandon(self) -> None:
        """Drop what is idle: the event loop has ended."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            abandon(connection)


async def _close(connection: Connection) -> None:
    try:
        with suppress(Exception):
            await connection.close(timeout=_CLOSING)
    finally:
        if not connection.is_closed():
            terminate(connection)
