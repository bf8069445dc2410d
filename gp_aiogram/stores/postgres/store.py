"""A store in a PostgreSQL schema, shared by any number of processes."""

from __future__ import annotations

from collections.abc import Sequence

from gp_aiogram.errors import StoreError
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.postgres.address import address_of
from gp_aiogram.stores.postgres.callers import CallersTransaction
from gp_aiogram.stores.postgres.database import require_asyncpg
from gp_aiogram.stores.postgres.lookup import load_contexts
from gp_aiogram.stores.postgres.outbox import PostgresOutbox
from gp_aiogram.stores.postgres.profiles import PostgresProfiles
from gp_aiogram.stores.postgres.schema import MIGRATIONS, Migration
from gp_aiogram.stores.postgres.server import PostgresServer
from gp_aiogram.stores.postgres.sessions import PostgresSessions
from gp_aiogram.stores.records import ContextQuery, UserContext


class _Parts(Store):
    """The three parts over one schema.

    :param server: has the tables.
    :param callers: their own transaction, when everything shall be done in that.
    """

    def __init__(self, server: PostgresServer, callers: CallersTransaction | None = None) -> None:
        self._server = server
        self._work = callers or server
        super().__init__(
            sessions=PostgresSessions(server, callers),
            profiles=PostgresProfiles(server, callers),
            outbox=PostgresOutbox(server, callers),
        )

    async def open(self) -> None:
        """Connect, and bring the tables up to date.

        :raises StoreMismatch: when the schema is another program's or a newer version's.
        :raises StoreUnavailable: when the server is away; it heals by itself.
        :raises StoreError: when the server cannot be used as it is configured.
        """
        await self._server.open()

    async def close(self) -> None:
        """Finish what is under way, and disconnect.

        An event accepted later connects for as long as that takes.
        """
        await self._server.close()

    async def load_context(self, query: ContextQuery) -> UserContext:
        """Return what is known of a user for an event, with few statements.

        :raises StoreError: when the server cannot be asked.
        """
        try:
            return await self._work.submit(load_contexts, query, reads=True)
        except StoreError:
            raise
        except Exception:  # noqa: BLE001 - what cannot be decoded costs no other part
            return await super().load_context(query)

    def within(self, connection: object) -> Store:
        """Return the same store, in a transaction of the caller's.

        :param connection: of asyncpg, in a transaction; or an ``AsyncSession`` or
            ``AsyncConnection`` of SQLAlchemy.
        :raises ConfigurationError: when it is none of these.
        """
        return _Parts(self._server, CallersTransaction(self._server, connection))


class PostgresStore(_Parts):
    """Sessions, profiles and outbox in a schema of a PostgreSQL database (13 or newer).

    Any number of processes can share it. Accepted data is on the server's disk. Needs asyncpg:
    ``pip install 'gp-aiogram[postgres]'``.

    :param dsn: such as ``postgresql://user:password@host:5432/database``, with the options of
        libpq. ``?schema=…`` and ``?statement_cache_size=…`` in it are as the parameters.
    :param schema: created if missing; lower-case letters, digits and underscores.
    :param statement_cache_size: prepared statements per connection; 0 for PgBouncer in transaction
        mode.
    :param migrations: every version of the tables; for tests.
    :raises ConfigurationError: when the DSN or the schema is invalid, or asyncpg is missing.
    """

    def __init__(
        self,
        dsn: str,
        schema: str = "gp",
        *,
        statement_cache_size: int | None = None,
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> None:
        require_asyncpg()
        self.address = address_of(dsn, schema, statement_cache_size)
        # Not the host: after a failover the same database may be at another address.
        self.place = f"postgresql:{self.address.database}?schema={self.address.schema}"
        super().__init__(PostgresServer(self.address, migrations))

    def __repr__(self) -> str:
        return f"PostgresStore({self.address.url!r}, schema={self.address.schema!r})"
