"""Writes what is moved into a PostgreSQL schema, and notes there how far it has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, NamedTuple

from gp_aiogram.errors import StoreError
from gp_aiogram.stores.keys import event_digest
from gp_aiogram.stores.migration.progress import Progress
from gp_aiogram.stores.migration.rows import Row
from gp_aiogram.stores.migration.source import Page, Summary
from gp_aiogram.stores.migration.steps import (
    CLICK_IDS,
    CLICKS,
    DELIVERIES,
    EVENTS,
    IDENTITIES,
    INVITES,
    KEYS,
    OF_STORE,
    TOUCHES,
    TRAITS,
    WAITING,
    Step,
)
from gp_aiogram.stores.migration.target import Target, refuse_other, unread
from gp_aiogram.stores.postgres.address import Address
from gp_aiogram.stores.postgres.database import Connection, connect, terminate
from gp_aiogram.stores.postgres.failures import cause_of, explained, is_of_database
from gp_aiogram.stores.postgres.processes import DEAD_AFTER
from gp_aiogram.stores.postgres.schema import MIGRATIONS, OLDEST_SERVER, SchemaVersions
from gp_aiogram.stores.postgres.statements import numbered, with_schema
from gp_aiogram.stores.postgres.transaction import columns
from gp_aiogram.stores.postgres.unmatched import digest_of

#: Seconds for a statement that looks at whole tables.
_LONG = 60 * 60.0

_TABLES = (
    "session",
    "click",
    "click_id",
    "trait",
    "invite",
    "unmatched",
    "seen",
    "event",
    "delivery",
    "tally",
)

#: Whoever comes waits until it is known that nobody has the schema but this move.
_ALONE = "LOCK TABLE {gp}.process IN SHARE ROW EXCLUSIVE MODE"

_ALIVE = """
    SELECT count(*) FROM {gp}.process
    WHERE seen >= clock_timestamp() - make_interval(secs => CAST(:seconds AS FLOAT8))
"""

_NOTED = "SELECT source, progress, finished FROM {gp}.move FOR UPDATE"

_HELD = """
    SELECT 1 FROM {gp}.move WHERE NOT finished AND progress = CAST(:progress AS TEXT) FOR UPDATE
"""

_BEGIN = """
    INSERT INTO {gp}.move (source, progress)
    VALUES (CAST(:source AS TEXT), CAST(:progress AS TEXT))
"""

_SALT = "UPDATE {gp}.store SET salt = CAST(:salt AS BYTEA), legacy = CAST(:legacy AS BOOLEAN)"

_NOTE = "UPDATE {gp}.move SET progress = CAST(:progress AS TEXT)"

_MAY_SET = "SELECT has_sequence_privilege('{gp}.event_seq', 'UPDATE')"

#: A later event has a higher number.
_NUMBER = """
    SELECT setval('{gp}.event_seq', greatest(max(seq), last_value))
    FROM {gp}.event, {gp}.event_seq GROUP BY last_value
"""

_TALLY = """
    INSERT INTO {gp}.tally (slot, destination, state, n)
    SELECT slot, destination, state, n
    FROM (SELECT nextval('{gp}.slots') AS slot) AS own, (
        SELECT destination, state, count(*) AS n FROM {gp}.delivery GROUP BY destination, state
    ) AS counted
    RETURNING destination, state, n
"""

_FINISH = "UPDATE {gp}.move SET finished = TRUE"


class _Table(NamedTuple):
    """Where the rows of a step go.

    :param types: of the columns, by their names.
    :param values: of these columns, of a row and with the salt.
    """

    name: str
    types: Mapping[str, str]
    values: Callable[[Any, bytes], Sequence[Any]]

    @property
    def insertion(self) -> str:
        """A statement whose parameters are named as the columns."""
        names = ", ".join(self.types)
        arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in self.types.items())
        return f"""
            WITH inserted AS (
                INSERT INTO {{gp}}.{self.name} ({names})
                SELECT {names} FROM unnest({arrays}) WITH ORDINALITY AS new ({names}, ordinal)
                ORDER BY ordinal ON CONFLICT DO NOTHING RETURNING 1
            )
            SELECT count(*) FROM inserted
        """


def _as_it_is(row: Row, _: bytes) -> Row:
    return row


_INTO: Mapping[str, _Table] = {
    TOUCHES.name: _Table(
        "session",
        {
            "bot_id": "BIGINT",
            "telegram_id": "BIGINT",
            "session_id": "TEXT",
            "source": "TEXT",
            "at_ms": "BIGINT",
            "payload": "TEXT",
        },
        _as_it_is,
    ),
    CLICKS.name: _Table(
        "click", {"session_id": "TEXT", "at_ms": "BIGINT", "body": "BYTEA"}, _as_it_is
    ),
    CLICK_IDS.name: _Table(
        "click_id",
        {"digest": "BYTEA", "session_id": "TEXT"},
        lambda row, _: (digest_of(row.value), row.session_id),
    ),
    TRAITS.name: _Table(
        "trait",
        {"telegram_id": "BIGINT", "platform": "TEXT", "field": "TEXT", "value": "TEXT"},
        _as_it_is,
    ),
    INVITES.name: _Table("invite", {"link": "TEXT", "session_id": "TEXT"}, _as_it_is),
    WAITING.name: _Table(
        "unmatched",
        {"key": "TEXT", "click_id": "TEXT", "at_ms": "BIGINT", "body": "BYTEA", "digest": "BYTEA"},
        lambda row, _: (*row, digest_of(row.click_id)),
    ),
    KEYS.name: _Table("seen", {"digest": "BYTEA", "at_ms": "BIGINT"}, _as_it_is),
    EVENTS.name: _Table(
        "event",
        {
            "seq": "BIGINT",
            "event_id": "TEXT",
            "name": "TEXT",
            "telegram_id": "BIGINT",
            "bot_id": "BIGINT",
            "accepted_ms": "BIGINT",
            "order_digest": "BYTEA",
            "body": "BYTEA",
        },
        _as_it_is,
    ),
    # PostgreSQL knows every event by its digest; a SQLite file those that it has erased.
    IDENTITIES.name: _Table(
        "seen",
        {"digest": "BYTEA", "at_ms": "BIGINT"},
        lambda row, salt: (event_digest(salt, row.event_id, row.name), row.at_ms),
    ),
    DELIVERIES.name: _Table(
        "delivery",
        {
            "seq": "BIGINT",
            "destination": "TEXT",
            "state": "TEXT",
            "since_ms": "BIGINT",
            "due_ms": "BIGINT",
            "attempts": "INTEGER",
            "reason": "TEXT",
            "receipt": "TEXT",
            "tries": "TEXT",
            "maybe_delivered": "BOOLEAN",
            "batch_cap": "INTEGER",
        },
        _as_it_is,
    ),
}


class PostgresTarget(Target):
    """A schema that nobody uses until the move has finished.

    :param address: of the schema; made when missing.
    :param steps: what is moved.
    """

    def __init__(self, address: Address, steps: tuple[Step, ...] = OF_STORE) -> None:
        super().__init__(steps)
        self._address = address
        self._connection: Connection | None = None

    def __str__(self) -> str:
        return str(self._address)

    async def open(self) -> None:
        """Connect, and bring the tables up to date.

        :raises StoreError: when the server cannot be used; the text says what to do.
        """
        with _told(self._address):
            self._connection = await connect(self._address)
            ((version,),) = await self._run("SELECT current_setting('server_version_num')")
            if int(version) < OLDEST_SERVER:
                msg = f"{self._address}: gp_aiogram needs PostgreSQL 13 or newer"
                raise StoreError(msg)
            schema = SchemaVersions(self._connection, self._address.schema, MIGRATIONS)
            await schema.prepare()
            await self._refuse_without_rights()

    async def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                await connection.close(timeout=2.0)
            terminate(connection)

    async def begin(self, source: Summary, *, restart: bool) -> Progress | None:
        """Make sure that the schema is free, or go on with the same file's move."""
        async with self._transaction():
            await self._run(_ALONE)
            noted = await self._run(_NOTED)
            if noted and restart and not noted[0][2]:
                await self._empty()
                noted = ()
            if noted:
                ((fingerprint, progress, finished),) = noted
                refuse_other(str(self), source, fingerprint, is_finished=finished)
                return None if finished else Progress.from_json(progress)
            await self._refuse_living()
            await self._refuse_data()
            await self._run(_SALT, salt=source.salt, legacy=source.has_legacy)
            progress = Progress()
            await self._run(_BEGIN, source=source.fingerprint, progress=progress.to_json())
        return progress

    async def write(self, step: Step, page: Page, source: Summary, progress: Progress) -> Progress:
        """Write a page and how far it brings the move, both or neither."""
        async with self._transaction():
            await self._hold(progress)
            now = progress.after(step, page, await self._insert(step, page, source.salt))
            await self._run(_NOTE, progress=now.to_json())
        return now

    async def finish(self, source: Summary, progress: Progress) -> None:
        """Compare, and let everybody have the schema."""
        async with self._transaction():
            await self._run("SET LOCAL synchronous_commit = on")
            await self._hold(progress)
            await self._run(_NUMBER)
            states = {(to, state): n for to, state, n in await self._run(_TALLY)}
            wrong = unread(source, progress, self.steps) + await self._miscounted(progress)
            wrong += _differing(source.states, states)
            if wrong:
                msg = (
                    f"{self} has not got what the file holds: {'; '.join(wrong)}. The file is as "
                    "it was: run this again with --restart"
                )
                raise StoreError(msg)
            await self._run(_FINISH)
        await self._analyze()

    # What is behind these

    async def _insert(self, step: Step, page: Page, salt: bytes) -> int:
        if not page.rows:
            return 0
        table = _INTO[step.name]
        values = columns([table.values(row, salt) for row in page.rows], len(table.types))
        ((count,),) = await self._run(
            table.insertion, **dict(zip(table.types, values, strict=True))
        )
        return int(count)

    async def _hold(self, progress: Progress) -> None:
        """Let no other move go on from the same place."""
        if not await self._run(_HELD, progress=progress.to_json()):
            msg = f"{self}: another gp-aiogram migrate is moving the same file there"
            raise StoreError(msg)

    async def _miscounted(self, progress: Progress) -> list[str]:
        """Tell which tables have not as many rows as were written."""
        written: Counter[str] = Counter()
        for step in self.steps:
            written[_INTO[step.name].name] += progress.of(step).written
        wrong = []
        for table, count in written.items():
            ((found,),) = await self._run(f"SELECT count(*) FROM {{gp}}.{table}")
            if found != count:
                wrong.append(f"{found} of {count} rows are in table {table}")
        return wrong

    async def _refuse_without_rights(self) -> None:
        """Tell now what would only show in the end: who uses the tables need not own them."""
        ((may_set,),) = await self._run(_MAY_SET)
        if not may_set:
            msg = (
                f"{self}: run this as the user who owns the schema, or as one with "
                f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {self._address.schema}"
            )
            raise StoreError(msg)

    async def _refuse_living(self) -> None:
        ((count,),) = await self._run(_ALIVE, seconds=DEAD_AFTER)
        if count:
            msg = (
                f"{self} is in use by {count} process{'es' if count > 1 else ''}: stop every bot "
                "and worker that has it, wait a minute if one was killed, and run this again"
            )
            raise StoreError(msg)

    async def _refuse_data(self) -> None:
        for table in _TABLES:
            if await self._run(f"SELECT 1 FROM {{gp}}.{table} LIMIT 1"):
                msg = (
                    f"{self} holds data of its own (table {table}), and two stores cannot become "
                    "one: name another schema, such as ?schema=gp2"
                )
                raise StoreError(msg)

    async def _empty(self) -> None:
        for table in (*_TABLES, "move"):
            await self._run(f"DELETE FROM {{gp}}.{table}")

    async def _analyze(self) -> None:
        """Let the server know what the tables hold now, before it plans the first claim."""
        with suppress(Exception):
            for table in _TABLES:
                text = with_schema(f"ANALYZE {{gp}}.{table}", self._address.schema)
                await self._opened.execute(text, timeout=_LONG)

    @property
    def _opened(self) -> Connection:
        if self._connection is None:
            msg = f"{self} is not open"
            raise StoreError(msg)
        return self._connection

    async def _run(self, statement: str, **parameters: Any) -> Sequence[Any]:
        text, names = numbered(statement, self._address.schema)
        return await self._opened.fetch(text, *[parameters[name] for name in names], timeout=_LONG)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """Do everything or nothing; what goes wrong ends the connection."""
        with _told(self._address):
            try:
                await self._opened.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
                yield
                await self._opened.execute("COMMIT", timeout=_LONG)
            except BaseException:
                terminate(self._opened)
                raise


def _differing(
    source: Mapping[tuple[str, str], int], target: Mapping[tuple[str, str], int]
) -> list[str]:
    """Tell of which state there are not as many deliveries."""
    return [
        f"{target.get(key, 0)} of {source.get(key, 0)} deliveries to {key[0]} are {key[1]}"
        for key in sorted({*source, *target})
        if source.get(key, 0) != target.get(key, 0)
    ]


@contextmanager
def _told(address: Address) -> Iterator[None]:
    """Say what a server's refusal means."""
    try:
        yield
    except Exception as error:
        if not is_of_database(error):
            raise
        raise explained(address, error) from cause_of(error)
