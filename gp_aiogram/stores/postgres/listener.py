"""Hears through LISTEN when another process has something due, and notices when it cannot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gp_aiogram.stores.postgres.address import Address
from gp_aiogram.stores.postgres.database import Connection, connect, terminate
from gp_aiogram.stores.postgres.transaction import channel

logger = logging.getLogger("gp_aiogram")

#: Seconds between two looks of whoever waits: where LISTEN works, for what it cannot tell, such
#: as the end of a dead process's lease; and where it does not.
LOOK_SELDOM, LOOK_OFTEN = 10.0, 2.0

#: Seconds between two checks that what is sent is heard, and for one to arrive.
PROBE_EVERY, PROBE_TIMEOUT = 20.0, 5.0

#: Seconds until another try, when the server was away, and when LISTEN has told nothing.
_RECONNECT, _TRY_LISTENING = 1.0, 60.0

_PROBE = "probe"


class _Deaf(Exception):  # noqa: N818 - reads as what happened
    """What was sent was not heard."""


class Listener:
    """A connection of its own that listens, from :meth:`start` to :meth:`stop`.

    :param address: where.
    :param heard: gets whatever was sent.
    :param missed: called when something may have been missed.
    """

    def __init__(
        self,
        address: Address,
        heard: Callable[[str], None],
        missed: Callable[[], None],
    ) -> None:
        self._address = address
        self._channel = channel(address.schema)
        self._heard = heard
        self._missed = missed
        self._task: asyncio.Task[None] | None = None
        self._probed = asyncio.Event()
        self._is_working = False
        self._has_complained = False

    @property
    def pause(self) -> float:
        """Seconds after which whoever waits shall look, whatever was heard."""
        return LOOK_SELDOM if self._is_working else LOOK_OFTEN

    def start(self) -> None:
        """Begin to listen. Does nothing when already begun."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="gp_aiogram listens")

    async def stop(self) -> None:
        """Stop listening."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        while True:
            pause = _RECONNECT
            try:
                await self._listen()
            except _Deaf:
                pause = _TRY_LISTENING
                self._complain()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                logger.debug("listening to %s ended: %s", self._address, type(error).__name__)
            self._is_working = False
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        connection = await connect(self._address)
        try:
            await connection.add_listener(self._channel, self._on_notification)
            while True:
                await self._probe(connection)
                if not self._is_working:
                    self._is_working = True
                    self._missed()
                await _sleep_or_end(connection, PROBE_EVERY)
        finally:
            terminate(connection)

    async def _probe(self, connection: Connection) -> None:
        self._probed.clear()
        await connection.fetch("SELECT pg_notify($1, $2)", self._channel, _PROBE)
        if not await _comes_within(self._probed, PROBE_TIMEOUT):
            raise _Deaf

    def _on_notification(self, _: object, __: int, ___: str, payload: str) -> None:
        if payload == _PROBE:
            self._probed.set()
        else:
            self._heard(payload)

    def _complain(self) -> None:
        if not self._has_complained:
            self._has_complained = True
            logger.warning(
                "LISTEN tells nothing at %s, as behind PgBouncer in transaction mode: what other "
                "processes record is looked for every %.0f s",
                self._address,
                LOOK_OFTEN,
            )


async def _sleep_or_end(connection: Connection, seconds: float) -> None:
    """Sleep, but not longer than the connection lasts.

    :raises ConnectionError: when it has ended.
    """
    ended = asyncio.Event()
    connection.add_termination_listener(lambda _: ended.set())
    if await _comes_within(ended, seconds) or connection.is_closed():
        msg = "the connection has ended"
        raise ConnectionError(msg)


async def _comes_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, and tell whether it has come."""
    # Not wait_for(): before Python 3.12 it loses a cancellation that comes with the event.
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([waiting], timeout=seconds)
    finally:
        waiting.cancel()
    return event.is_set()
