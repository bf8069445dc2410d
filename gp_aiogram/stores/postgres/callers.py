"""Does a store's work in a transaction of the caller's, through what the caller has given."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from gp_aiogram.errors import ConfigurationError
from gp_aiogram.stores.postgres.failures import explained, is_of_database
from gp_aiogram.stores.postgres.salts import Salt, read_salt
from gp_aiogram.stores.postgres.server import Item, Operation, PostgresServer, Result
from gp_aiogram.stores.postgres.statements import Run, numbered, with_schema
from gp_aiogram.stores.postgres.transaction import Transaction, runner


class CallersTransaction:
    """A transaction that somebody else has begun, and commits or rolls back.

    :param server: has the tables.
    :param connection: of asyncpg, or an ``AsyncSession`` or ``AsyncConnection`` of SQLAlchemy.
        Every statement goes through it: what it has begun lazily is begun, and what is beneath it
        is never touched.
    :raises ConfigurationError: when it is none of these.
    """

    def __init__(self, server: PostgresServer, connection: object) -> None:
        self._server = server
        self._connection: Any = connection
        self._kind = _kind_of(connection)
        self._run: Run | None = None
        self._salt = Salt(b"")

    async def submit(
        self,
        operation: Operation[Item, Result],
        item: Item,
        *,
        reads: bool = False,
    ) -> Result:
        """Do something in the caller's transaction, and return its result.

        :param reads: the operation changes nothing.
        :raises ConfigurationError: when there is no transaction to do it in.
        :raises StoreError: when the server refuses; the caller's transaction has failed with it.
        """
        del reads
        await self._server.ensure_tables()
        try:
            run = await self._begun()
            transaction = Transaction(run, self._salt, self._server.address.schema, None)
            (result,) = await operation(transaction, [item])
            await transaction.finish()
        except Exception as error:
            if not is_of_database(error):
                raise
            failed = explained(self._server.address, error)
            msg = f"in the transaction of connection=, which is to be rolled back: {failed}"
            # Without what SQLAlchemy has raised: it shows every parameter.
            raise type(failed)(msg) from None
        return result

    async def read(self, statement: str, **parameters: Any) -> Sequence[Any]:
        """Return all rows of a statement."""

        async def read(transaction: Transaction, _: Sequence[None]) -> list[Sequence[Any]]:
            return [await transaction.fetch(statement, **parameters)]

        return await self.submit(read, None)

    def notify(self, destinations: Collection[str]) -> None:
        """Do nothing: whoever waits is told by the server when the caller commits."""

    async def _begun(self) -> Run:
        """Return what runs statements, once it is sure that they are in a transaction."""
        if self._run is None:
            schema = self._server.address.schema
            if self._kind == "asyncpg":
                run = _through_asyncpg(self._connection, schema)
            else:
                run = await _through_sqlalchemy(self._connection, self._kind, schema)
            self._salt = await read_salt(run, schema)
            self._run = run
        return self._run


def _kind_of(connection: object) -> str:
    """Tell whose connection it is, without importing what may not be installed."""
    for kind in type(connection).__mro__:
        package = kind.__module__.partition(".")[0]
        if package == "asyncpg" and hasattr(connection, "is_in_transaction"):
            return "asyncpg"
        if package == "sqlalchemy" and kind.__name__ in {
            "AsyncConnection",
            "AsyncSession",
            "async_scoped_session",
        }:
            return kind.__name__
    name = f"{type(connection).__module__}.{type(connection).__qualname__}"
    msg = (
        "connection= takes a connection of asyncpg that is in a transaction, or an AsyncSession "
        f"or AsyncConnection of SQLAlchemy, not {name}"
    )
    raise ConfigurationError(msg)


def _through_asyncpg(connection: Any, schema: str) -> Run:
    if not connection.is_in_transaction():
        msg = (
            "connection= is in no transaction, so the event would be stored whatever becomes of "
            "the rest: write 'async with connection.transaction():' around both"
        )
        raise ConfigurationError(msg)
    return runner(connection, schema)


async def _through_sqlalchemy(given: Any, kind: str, schema: str) -> Run:
    from sqlalchemy import text  # noqa: PLC0415 - an optional extra, which the caller has

    connection = given if kind == "AsyncConnection" else await given.connection()
    if connection.dialect.name != "postgresql":
        msg = f"connection= is one to {connection.dialect.name}, and the store is in PostgreSQL"
        raise ConfigurationError(msg)
    raw = await connection.get_raw_connection()
    if getattr(raw.dbapi_connection, "autocommit", False):
        msg = "connection= is in autocommit mode, so there is no transaction to store the event in"
        raise ConfigurationError(msg)

    async def run(statement: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
        names = numbered(statement, schema).names
        result = await connection.execute(
            text(with_schema(statement, schema)), {name: parameters[name] for name in names}
        )
        rows: Sequence[Any] = result.fetchall() if result.returns_rows else ()
        return rows

    return run
