"""What a process has running in one event loop: connections, shared commits, signs of life."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gp_aiogram.errors import StoreError, StoreMismatch
from gp_aiogram.stores.group_commit import GroupCommit, Work, halves
from gp_aiogram.stores.notifier import Notifier
from gp_aiogram.stores.postgres.address import Address
from gp_aiogram.stores.postgres.claims import next_due
from gp_aiogram.stores.postgres.connections import Connections
from gp_aiogram.stores.postgres.database import Connection, terminate
from gp_aiogram.stores.postgres.failures import (
    are_tables_gone,
    explained,
    is_busy,
    is_connection_lost,
    is_outage,
)
from gp_aiogram.stores.postgres.listener import Listener
from gp_aiogram.stores.postgres.processes import BEAT, beat, leave, register
from gp_aiogram.stores.postgres.salts import Salt, read_salt
from gp_aiogram.stores.postgres.schema import OLDEST_SERVER, Migration, SchemaVersions
from gp_aiogram.stores.postgres.transaction import Transaction, runner

logger = logging.getLogger("gp_aiogram")

#: Milliseconds to wait for another transaction: with others in the same boat, and alone. Less
#: than the second after which PostgreSQL looks for circles: who gives way is us, not a caller's
#: transaction.
_TOGETHER_MS, _ALONE_MS = 150, 700

#: Seconds to go on trying alone, and between tries.
_PATIENCE, _PAUSE = 5.0, 0.05

#: Items that may wait for other transactions at a time, each with a connection of its own.
_APART = 4

#: A transaction whose client is cut off lets go of what it holds within a minute.
_BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {lock_ms}; "
    "SET LOCAL idle_in_transaction_session_timeout = 60000"
)

_SETTINGS = """
    SELECT current_setting('server_version_num'), current_setting('synchronous_commit'),
        current_setting('fsync')
"""


@dataclass(frozen=True)
class _Opened:
    """A schema that is known to be current.

    :param slot: where this process counts.
    :param begin: begins a transaction.
    """

    connections: Connections
    salt: Salt
    slot: int
    begin: str


class Runtime:
    """Serves one event loop of one process.

    :param address: of the schema.
    :param migrations: every version's.
    """

    def __init__(self, address: Address, migrations: Sequence[Migration]) -> None:
        self.loop = asyncio.get_running_loop()
        self.pid = os.getpid()
        self._address = address
        self._migrations = migrations
        self._lock = asyncio.Lock()
        self._seats = asyncio.Semaphore(_APART)
        self._opened: _Opened | None = None
        self._beating: asyncio.Task[None] | None = None
        self._reads = GroupCommit(self._read, _nothing, self._failed, split=halves)
        self._writes = GroupCommit(
            self._write,
            _nothing,
            self._failed,
            split=halves,
            apart=self._write_apart,
            is_busy=is_busy,
        )
        self._listener = Listener(address, self._heard, self._missed)
        self._notifier = Notifier(self._seconds_to_next, lambda: self._listener.pause)

    # What is asked for

    @property
    def is_open(self) -> bool:
        """Whether the schema is known to be current."""
        return self._opened is not None

    async def open(self) -> None:
        """Connect, and bring the tables up to date. Does nothing when already done."""
        await self._ready()

    async def close(self) -> None:
        """Finish what is under way, and disconnect."""
        await self._listener.stop()
        await self._reads.drain()
        await self._writes.drain()
        opened, beating = self._opened, self._beating
        if opened is None:
            return
        if beating is not None:
            # Ended before the good-bye, which it would take back.
            beating.cancel()
            await asyncio.wait([beating])
        await self._leave(opened)
        await self._forget(opened)

    def abandon(self) -> None:
        """Let go of everything although the event loop has ended."""
        if self._opened is not None:
            self._opened.connections.abandon()
            self._opened = None

    async def submit(self, operation: Any, item: Any, *, reads: bool) -> Any:
        """Have an item worked on and committed, and return its result."""
        return await (self._reads if reads else self._writes).submit(operation, item, reads=reads)

    def notify(self, destinations: Sequence[str]) -> None:
        """Have those who wait in this process look again."""
        self._notifier.notify(destinations)

    async def wait(self, destination: str, timeout: float) -> bool:
        """Wait until a delivery is due."""
        if timeout > 0:
            self._listener.start()
        return await self._notifier.wait(destination, timeout)

    # Transactions

    async def _read(self, work: Work) -> list[Sequence[Any]]:
        return await self._with_connection(partial(self._run, work))

    async def _write(self, work: Work, lock_ms: int = _TOGETHER_MS) -> list[Sequence[Any]]:
        return await self._with_connection(partial(self._commit, work, lock_ms))

    async def _write_apart(self, work: Work) -> list[Sequence[Any]]:
        """Wait for another transaction, while everybody else goes on."""
        deadline = self.loop.time() + _PATIENCE
        async with self._seats:
            while True:
                try:
                    return await self._write(work, _ALONE_MS)
                except Exception as error:
                    if not is_busy(error) or self.loop.time() >= deadline:
                        raise
                await asyncio.sleep(_PAUSE)

    async def _with_connection(self, work: Any) -> list[Sequence[Any]]:
        """Do something with a connection, and once more where an idle one has been lost."""
        for may_repeat in (True, False):
            opened = await self._ready()
            connection = await opened.connections.take()
            attempt = _Attempt()
            try:
                results: list[Sequence[Any]] = await work(opened, connection, attempt)
            except asyncio.TimeoutError:
                # Nothing answers on this connection, and perhaps on none.
                terminate(connection)
                await self._forget(opened)
                raise
            except Exception as error:
                await _roll_back(connection)
                await opened.connections.give_back(connection)
                if is_connection_lost(error):
                    await self._forget(opened)
                    if may_repeat and not attempt.is_committing:
                        continue
                raise
            except BaseException:
                terminate(connection)
                raise
            await opened.connections.give_back(connection)
            return results
        raise AssertionError

    async def _run(
        self,
        work: Work,
        opened: _Opened,
        connection: Connection,
        _: _Attempt,
    ) -> list[Sequence[Any]]:
        transaction = self._transaction(opened, connection)
        return [await operation(transaction, items) for operation, items in work]

    async def _commit(
        self,
        work: Work,
        lock_ms: int,
        opened: _Opened,
        connection: Connection,
        attempt: _Attempt,
    ) -> list[Sequence[Any]]:
        await connection.execute(opened.begin.format(lock_ms=lock_ms))
        transaction = self._transaction(opened, connection)
        results = [await operation(transaction, items) for operation, items in work]
        await transaction.finish()
        attempt.is_committing = True
        await connection.execute("COMMIT")
        return results

    def _transaction(self, opened: _Opened, connection: Connection) -> Transaction:
        schema = self._address.schema
        return Transaction(runner(connection, schema), opened.salt, schema, opened.slot)

    async def _failed(self, error: Exception) -> bool:
        """Return whether an error meets everybody."""
        if are_tables_gone(error) and self._opened is not None:
            await self._forget(self._opened)
        return isinstance(error, StoreError) or is_outage(error)

    # What is open

    async def _ready(self) -> _Opened:
        """Return what is open, opening it if need be.

        :raises StoreError: when it cannot be opened.
        """
        if self._opened is None:
            async with self._lock:
                if self._opened is None:
                    self._opened = await self._open()
        return self._opened

    async def _open(self) -> _Opened:
        connections = Connections(self._address)
        try:
            connection = await connections.take()
            try:
                opened = await self._prepare(connections, connection)
            except BaseException:
                terminate(connection)
                raise
        except Exception as error:
            if isinstance(error, StoreMismatch):
                msg = f"cannot use {self._address}: {error}"
                raise StoreMismatch(msg) from None
            raise explained(self._address, error) from error
        await connections.give_back(connection)
        self._beating = asyncio.create_task(self._keep_beating(opened), name="gp_aiogram beats")
        return opened

    async def _prepare(self, connections: Connections, connection: Connection) -> _Opened:
        run = runner(connection, self._address.schema)
        ((server_version, synchronous_commit, fsync),) = await run(_SETTINGS, {})
        if int(server_version) < OLDEST_SERVER:
            msg = f"{self._address}: gp_aiogram needs PostgreSQL 13 or newer"
            raise StoreError(msg)
        if fsync == "off":
            logger.warning("%s has fsync off: events may be lost with its power", self._address)
        schema = SchemaVersions(connection, self._address.schema, self._migrations)
        await schema.prepare()
        slot = await register(run, len(self._migrations))
        await schema.finish()
        try:
            # After registering: who moves a store here first looks who is there.
            salt = await read_salt(run, self._address.schema)
        except BaseException:
            await leave(run, slot)
            raise
        begin = _BEGIN
        if synchronous_commit == "off":
            # Somebody's default; here what was acknowledged must be on the disk.
            begin += "; SET LOCAL synchronous_commit = on"
        return _Opened(connections, salt, slot, begin)

    async def _forget(self, opened: _Opened) -> None:
        """Let go of connections, and look at the schema again before the next use."""
        if self._opened is opened:
            self._opened = None
            beating, self._beating = self._beating, None
            if beating is not None and beating is not asyncio.current_task():
                beating.cancel()
        await opened.connections.close()

    async def _leave(self, opened: _Opened) -> None:
        try:
            connection = await opened.connections.take()
            try:
                await leave(runner(connection, self._address.schema), opened.slot)
            finally:
                await opened.connections.give_back(connection)
        except Exception as error:  # noqa: BLE001 - others will see that nobody is there
            logger.debug("%s: could not say good-bye: %s", self._address, type(error).__name__)

    async def _keep_beating(self, opened: _Opened) -> None:
        while True:
            await asyncio.sleep(BEAT)
            try:
                await self._beat(opened)
            except Exception as error:  # noqa: BLE001 - an outage, which others tell of
                logger.debug("%s: no sign of life: %s", self._address, type(error).__name__)

    async def _beat(self, opened: _Opened) -> None:
        connection = await opened.connections.take()
        try:
            await beat(
                runner(connection, self._address.schema), opened.slot, len(self._migrations)
            )
            await SchemaVersions(connection, self._address.schema, self._migrations).finish()
        except BaseException:
            terminate(connection)
            raise
        await opened.connections.give_back(connection)

    # What is due

    async def _seconds_to_next(self, destination: str) -> float | None:
        try:
            seconds: float | None = await self.submit(next_due, destination, reads=True)
        except Exception as error:
            raise explained(self._address, error) from error
        return seconds

    def _heard(self, payload: str) -> None:
        slot, _, destination = payload.partition(" ")
        if self._opened is None or slot != str(self._opened.slot):
            self._notifier.notify([destination])

    def _missed(self) -> None:
        self._notifier.notify_all()


class _Attempt:
    """How far a transaction has come: once it is being committed, it may have been."""

    is_committing = False


async def _nothing() -> None:
    pass


async def _roll_back(connection: Connection) -> None:
    if connection.is_closed() or not connection.is_in_transaction():
        return
    try:
        await connection.execute("ROLLBACK", timeout=_PATIENCE)
    except Exception:  # noqa: BLE001 - then the server does it when the connection ends
        terminate(connection)
