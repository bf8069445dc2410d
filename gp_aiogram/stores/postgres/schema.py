"""The tables of a gp_aiogram schema, and how an older one becomes a current one.

Each version has two steps. ``pre`` is run by the first process of the new version, while
processes of the version before go on: it adds what they do not mind. ``post`` is run when none
of them is left: it removes what only they have needed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from gp_aiogram.errors import StoreMismatch, StoreUnavailable
from gp_aiogram.stores.postgres.database import Connection
from gp_aiogram.stores.postgres.processes import oldest_version
from gp_aiogram.stores.postgres.statements import with_schema
from gp_aiogram.stores.postgres.transaction import lock_space, runner

logger = logging.getLogger("gp_aiogram")

#: Of PostgreSQL, as ``server_version_num`` has it: ``gen_random_uuid`` is built in since then.
OLDEST_SERVER = 130_000

#: Second half of the key of the advisory lock that one migration holds.
_MIGRATING = -1


class Migration(NamedTuple):
    """How a version becomes the next; statements, with ``{gp}`` for the schema.

    Never change one that was released.

    :param pre: nothing that the version before would notice.
    :param post: whatever is left to do.
    """

    pre: str
    post: str = ""


class Versions(NamedTuple):
    """Whose ``pre`` step, and whose ``post`` step was run last."""

    pre: int
    post: int


#: Migration n brings a schema of version n to version n + 1.
MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        """
        CREATE FUNCTION {gp}.now_ms() RETURNS BIGINT LANGUAGE SQL VOLATILE AS
            'SELECT CAST(round(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)';

        CREATE SEQUENCE {gp}.slots;
        CREATE TABLE {gp}.process (
            slot    BIGINT PRIMARY KEY,
            version INTEGER NOT NULL,
            seen    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
        );

        CREATE TABLE {gp}.store (salt BYTEA NOT NULL, legacy BOOLEAN NOT NULL DEFAULT FALSE);
        INSERT INTO {gp}.store (salt)
            SELECT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());

        CREATE TABLE {gp}.move (
            source   TEXT NOT NULL,
            progress TEXT NOT NULL,
            finished BOOLEAN NOT NULL DEFAULT FALSE
        );

        CREATE TABLE {gp}.session (
            id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            telegram_id BIGINT NOT NULL,
            bot_id      BIGINT,
            at_ms       BIGINT NOT NULL,
            session_id  TEXT NOT NULL,
            source      TEXT NOT NULL,
            payload     TEXT NOT NULL
        );
        CREATE UNIQUE INDEX session_touch
            ON {gp}.session (telegram_id, at_ms, session_id, coalesce(bot_id, 0));
        CREATE INDEX session_of_click ON {gp}.session (session_id, at_ms, id);
        CREATE INDEX session_age ON {gp}.session (at_ms);

        CREATE TABLE {gp}.click (
            session_id TEXT PRIMARY KEY,
            at_ms      BIGINT NOT NULL,
            body       BYTEA NOT NULL
        );
        CREATE INDEX click_age ON {gp}.click (at_ms);
        CREATE TABLE {gp}.click_id (
            digest     BYTEA NOT NULL,
            session_id TEXT NOT NULL,
            PRIMARY KEY (digest, session_id)
        );
        CREATE INDEX click_id_of_session ON {gp}.click_id (session_id);

        CREATE TABLE {gp}.trait (
            telegram_id BIGINT NOT NULL,
            platform    TEXT NOT NULL,
            field       TEXT NOT NULL,
            value       TEXT NOT NULL,
            PRIMARY KEY (telegram_id, platform, field)
        );
        CREATE INDEX trait_of_lead ON {gp}.trait USING hash (value)
            WHERE platform = 'leadsail' AND field = 'lead_id';

        CREATE TABLE {gp}.invite (
            link       TEXT PRIMARY KEY,
            session_id TEXT NOT NULL
        );
        CREATE INDEX invite_of_session ON {gp}.invite (session_id);

        CREATE TABLE {gp}.unmatched (
            key      TEXT COLLATE "C" PRIMARY KEY,
            click_id TEXT NOT NULL,
            digest   BYTEA NOT NULL,
            at_ms    BIGINT NOT NULL,
            body     BYTEA NOT NULL
        );
        CREATE INDEX unmatched_of_click ON {gp}.unmatched (digest);
        CREATE INDEX unmatched_age ON {gp}.unmatched (at_ms, key);

        CREATE TABLE {gp}.seen (
            digest BYTEA PRIMARY KEY,
            at_ms  BIGINT NOT NULL
        );

        CREATE SEQUENCE {gp}.event_seq;
        CREATE TABLE {gp}.event (
            seq          BIGINT PRIMARY KEY,
            event_id     TEXT NOT NULL,
            name         TEXT NOT NULL,
            telegram_id  BIGINT NOT NULL,
            bot_id       BIGINT,
            accepted_ms  BIGINT NOT NULL,
            order_digest BYTEA,
            body         BYTEA NOT NULL
        );
        CREATE INDEX event_of_id ON {gp}.event USING hash (event_id);
        CREATE INDEX event_of_user ON {gp}.event (telegram_id, seq);
        CREATE INDEX event_of_order ON {gp}.event (order_digest, seq)
            WHERE order_digest IS NOT NULL;

        CREATE TABLE {gp}.delivery (
            seq             BIGINT NOT NULL,
            destination     TEXT COLLATE "C" NOT NULL,
            state           TEXT NOT NULL DEFAULT 'pending',
            since_ms        BIGINT NOT NULL,
            due_ms          BIGINT NOT NULL,
            attempts        INTEGER NOT NULL DEFAULT 0,
            reason          TEXT,
            receipt         TEXT,
            maybe_delivered BOOLEAN NOT NULL DEFAULT FALSE,
            batch_cap       INTEGER,
            token           TEXT,
            lease_ms        BIGINT NOT NULL DEFAULT 0,
            PRIMARY KEY (seq, destination)
        ) WITH (
            fillfactor = 70,
            autovacuum_vacuum_scale_factor = 0.02,
            autovacuum_vacuum_threshold = 500,
            autovacuum_vacuum_cost_delay = 0,
            autovacuum_analyze_scale_factor = 0.05
        );
        CREATE INDEX delivery_due ON {gp}.delivery (destination, due_ms, seq)
            WHERE state = 'pending' AND batch_cap IS NULL;
        CREATE INDEX delivery_capped ON {gp}.delivery (destination, due_ms, seq)
            WHERE state = 'pending' AND batch_cap IS NOT NULL;
        CREATE INDEX delivery_dead ON {gp}.delivery (seq, destination) WHERE state = 'dead';
        CREATE INDEX delivery_dead_of ON {gp}.delivery (destination, seq) WHERE state = 'dead';

        CREATE TABLE {gp}.tally (
            slot        BIGINT NOT NULL,
            destination TEXT COLLATE "C" NOT NULL,
            state       TEXT NOT NULL,
            n           BIGINT NOT NULL,
            PRIMARY KEY (slot, destination, state)
        ) WITH (
            fillfactor = 20,
            autovacuum_vacuum_scale_factor = 0,
            autovacuum_vacuum_threshold = 500,
            autovacuum_vacuum_cost_delay = 0
        );
        """,
    ),
    # NULL in all rows, so that nothing is rewritten; the version before leaves it as it is.
    Migration("ALTER TABLE {gp}.delivery ADD COLUMN tries TEXT"),
)

_VERSION_TABLE = """
    CREATE TABLE {gp}.version (pre INTEGER NOT NULL, post INTEGER NOT NULL);
    INSERT INTO {gp}.version VALUES (0, 0);
"""

#: However long an index takes; but nobody else shall queue up for long behind a lock.
_BEGIN = """
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL lock_timeout = 4000; SET LOCAL statement_timeout = 0
"""

#: Seconds for a step.
_STEP = 24 * 60 * 60.0

_LOCK = "SELECT pg_advisory_xact_lock(CAST(:space AS INTEGER), CAST(:lock AS INTEGER))"

_HAS_SCHEMA = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = CAST(:schema AS TEXT)"

_TABLES = """
    SELECT relname FROM pg_catalog.pg_class
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = CAST(:schema AS TEXT) AND relkind IN ('r', 'p', 'v')
"""

_VERSIONS = "SELECT pre, post FROM {gp}.version"


class SchemaVersions:
    """Brings one schema up to date.

    :param connection: with the right to create the schema, unless it is there and current.
    :param migrations: every version's.
    """

    def __init__(
        self,
        connection: Connection,
        schema: str,
        migrations: Sequence[Migration],
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._migrations = migrations
        self._run = runner(connection, schema)

    async def prepare(self) -> None:
        """Run every step that may be run now; processes may race for it.

        :raises StoreMismatch: when the schema is another program's or a newer version's.
        :raises StoreUnavailable: when a process of too early a version is alive.
        """
        versions = await self._versions()
        self._refuse_newer(versions)
        if versions.pre < len(self._migrations):
            async with _Locked(self._connection, self._schema):
                await self._prepare()

    async def finish(self) -> None:
        """Run the ``post`` step of the current version, if its time has come."""
        versions = await self._versions()
        if versions.post < len(self._migrations):
            async with _Locked(self._connection, self._schema):
                versions = await self._versions()
                if versions.post + 1 == versions.pre and await self._is_alone(versions.pre):
                    await self._run_post(versions)

    async def _prepare(self) -> None:
        versions = await self._versions()
        self._refuse_newer(versions)
        if not versions.pre:
            await self._create()
        while versions.pre < len(self._migrations):
            if versions.post < versions.pre:
                if not await self._is_alone(versions.pre):
                    msg = (
                        f"processes that know schema {self._schema} as version {versions.post} "
                        "are alive, and this one is two versions later: stop them first"
                    )
                    raise StoreUnavailable(msg)
                versions = await self._run_post(versions)
            versions = await self._run_pre(versions)

    async def _run_pre(self, versions: Versions) -> Versions:
        await self._execute(self._migrations[versions.pre].pre)
        return await self._store(versions._replace(pre=versions.pre + 1))

    async def _run_post(self, versions: Versions) -> Versions:
        await self._execute(self._migrations[versions.post].post)
        return await self._store(versions._replace(post=versions.post + 1))

    async def _is_alone(self, version: int) -> bool:
        """Return whether no process of an earlier version is alive."""
        oldest = await oldest_version(self._run)
        return oldest is None or oldest >= version

    async def _create(self) -> None:
        if not await self._run(_HAS_SCHEMA, {"schema": self._schema}):
            await self._execute("CREATE SCHEMA {gp}")
        tables = {row[0] for row in await self._run(_TABLES, {"schema": self._schema})}
        if "version" in tables:
            return
        if tables:
            msg = (
                f"the schema {self._schema} holds another program's tables: give gp_aiogram a "
                "schema of its own, PostgresStore(..., schema='gp')"
            )
            raise StoreMismatch(msg)
        await self._execute(_VERSION_TABLE)

    async def _versions(self) -> Versions:
        tables = {row[0] for row in await self._run(_TABLES, {"schema": self._schema})}
        if "version" not in tables:
            return Versions(0, 0)
        rows = await self._run(_VERSIONS, {})
        try:
            ((pre, post),) = rows
            return Versions(int(pre), int(post))
        except (TypeError, ValueError):
            msg = f"the table {self._schema}.version is not gp_aiogram's: use another schema"
            raise StoreMismatch(msg) from None

    async def _store(self, versions: Versions) -> Versions:
        await self._run(
            "UPDATE {gp}.version SET pre = CAST(:pre AS INTEGER), post = CAST(:post AS INTEGER)",
            versions._asdict(),
        )
        return versions

    def _refuse_newer(self, versions: Versions) -> None:
        known = len(self._migrations)
        if versions.post > known:
            msg = (
                f"the schema {self._schema} has version {versions.post}, this gp_aiogram knows up "
                f"to {known}: install the newer gp_aiogram that wrote it"
            )
            raise StoreMismatch(msg)

    async def _execute(self, statements: str) -> None:
        if statements.strip():
            text = with_schema(statements, self._schema)
            await self._connection.execute(text, timeout=_STEP)


class _Locked:
    """A transaction in which this process alone migrates."""

    def __init__(self, connection: Connection, schema: str) -> None:
        self._connection = connection
        self._schema = schema

    async def __aenter__(self) -> None:
        await self._connection.execute(_BEGIN)
        run = runner(self._connection, self._schema)
        await run(_LOCK, {"space": lock_space(self._schema), "lock": _MIGRATING})

    async def __aexit__(self, kind: object, *_: object) -> None:
        if not self._connection.is_closed():
            await self._connection.execute("COMMIT" if kind is None else "ROLLBACK")
