"""Touches of users in a PostgreSQL schema."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from typing_extensions import Self

from gp_aiogram.model.clock import to_ms
from gp_aiogram.model.session import Session
from gp_aiogram.stores.contract import SessionStore
from gp_aiogram.stores.postgres.callers import CallersTransaction
from gp_aiogram.stores.postgres.rows import storable
from gp_aiogram.stores.postgres.server import PostgresServer
from gp_aiogram.stores.postgres.transaction import Transaction, columns
from gp_aiogram.stores.records import Span, TouchRecord
from gp_aiogram.stores.rows import session_of, sessions_of
from gp_aiogram.stores.touch_limit import MAX_TOUCHES, TouchLimit

_COLUMNS = "bot_id, telegram_id, session_id, source, at_ms, payload"

_INSERT = f"""
    INSERT INTO {{gp}}.session ({_COLUMNS})
    SELECT {_COLUMNS} FROM unnest(
        CAST(:bots AS BIGINT[]), CAST(:users AS BIGINT[]), CAST(:ids AS TEXT[]),
        CAST(:sources AS TEXT[]), CAST(:times AS BIGINT[]), CAST(:payloads AS TEXT[])
    ) WITH ORDINALITY AS new ({_COLUMNS}, n)
    ORDER BY telegram_id, at_ms, n
    ON CONFLICT DO NOTHING
"""

_HISTORY = f"""
    SELECT {_COLUMNS} FROM {{gp}}.session
    WHERE telegram_id = CAST(:telegram_id AS BIGINT)
        AND at_ms BETWEEN CAST(:since AS BIGINT) AND CAST(:until AS BIGINT)
    ORDER BY at_ms, id
"""

_HISTORIES = f"""
    SELECT {_COLUMNS} FROM {{gp}}.session WHERE telegram_id = ANY(CAST(:users AS BIGINT[]))
    ORDER BY at_ms, id
"""

_TOUCHES = f"""
    SELECT {_COLUMNS} FROM {{gp}}.session WHERE session_id = CAST(:session_id AS TEXT)
    ORDER BY at_ms DESC, id DESC LIMIT CAST(:limit AS BIGINT)
"""

_LISTED = f"""
    SELECT id, {_COLUMNS} FROM {{{{gp}}}}.session
    WHERE id > CAST(:after AS BIGINT) AND id < CAST(:before AS BIGINT)
    ORDER BY id {{order}} LIMIT CAST(:limit AS BIGINT)
"""

_ERASE = """
    DELETE FROM {gp}.session WHERE telegram_id = ANY(CAST(:users AS BIGINT[]))
    RETURNING telegram_id, session_id
"""

_SHARED = """
    SELECT DISTINCT session_id FROM {gp}.session
    WHERE session_id = ANY(CAST(:ids AS TEXT[])) AND telegram_id <> CAST(:telegram_id AS BIGINT)
"""

_PRUNE = """
    DELETE FROM {gp}.session WHERE id IN (
        SELECT id FROM {gp}.session WHERE at_ms < CAST(:before AS BIGINT)
        ORDER BY at_ms LIMIT CAST(:limit AS BIGINT) FOR UPDATE SKIP LOCKED
    )
    RETURNING id
"""

_COUNTS = """
    SELECT telegram_id, count(*) FROM {gp}.session
    WHERE telegram_id = ANY(CAST(:users AS BIGINT[])) GROUP BY telegram_id
"""

#: The oldest touches of a user, except the first and the last of each bot.
_DROP = """
    DELETE FROM {gp}.session WHERE id IN (
        SELECT id FROM {gp}.session AS touch
        WHERE telegram_id = CAST(:telegram_id AS BIGINT)
        AND EXISTS (
            SELECT 1 FROM {gp}.session AS earlier
            WHERE earlier.telegram_id = touch.telegram_id
            AND earlier.bot_id IS NOT DISTINCT FROM touch.bot_id
            AND (earlier.at_ms, earlier.id) < (touch.at_ms, touch.id)
        )
        AND EXISTS (
            SELECT 1 FROM {gp}.session AS later
            WHERE later.telegram_id = touch.telegram_id
            AND later.bot_id IS NOT DISTINCT FROM touch.bot_id
            AND (later.at_ms, later.id) > (touch.at_ms, touch.id)
        )
        ORDER BY at_ms, id LIMIT CAST(:excess AS BIGINT)
    )
"""

#: Milliseconds before and after any moment.
_EVER = (-(2**62), 2**62)


class _Share(NamedTuple):
    telegram_id: int
    session_ids: Collection[str]


class _Pruning(NamedTuple):
    before_ms: int
    limit: int


class PostgresSessions(SessionStore):
    """The part of :class:`~gp_aiogram.PostgresStore` that knows touches.

    :param server: where they are.
    :param callers: their own transaction, when everything shall be done in that.
    """

    def __init__(self, server: PostgresServer, callers: CallersTransaction | None = None) -> None:
        self._server = server
        self._work = callers or server
        self._limit = TouchLimit()

    async def open(self) -> None:
        """Connect, and bring the tables up to date."""
        await self._server.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._server.close()

    def within(self, connection: object) -> Self:
        """Return the same touches, in a transaction of the caller's."""
        return type(self)(self._server, CallersTransaction(self._server, connection))

    async def add(self, session: Session) -> None:
        """Keep a touch."""
        await self._work.submit(self._add, session)

    async def history(
        self,
        telegram_id: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Session]:
        """Return a user's touches, oldest first."""
        rows = await self._work.read(
            _HISTORY,
            telegram_id=telegram_id,
            since=_EVER[0] if since is None else to_ms(since),
            until=_EVER[1] if until is None else to_ms(until),
        )
        return sessions_of(rows)

    async def erase(self, telegram_id: int) -> set[str]:
        """Erase every touch of a user."""
        return await self._work.submit(_erase, telegram_id)

    async def shared(self, telegram_id: int, session_ids: Collection[str]) -> set[str]:
        """Return the session ids that touches of other users name as well."""
        rows = await self._work.read(_SHARED, telegram_id=telegram_id, ids=[*session_ids])
        return {row[0] for row in rows}

    async def touches_of(self, session_id: str, limit: int = 100) -> Sequence[Session]:
        """Return touches that name a session id, the latest first."""
        return sessions_of(await self._work.read(_TOUCHES, session_id=session_id, limit=limit))

    async def touches(self, span: Span) -> Sequence[TouchRecord]:
        """Return touches in the order in which they were added."""
        rows = await self._work.read(
            _LISTED.format(order="DESC" if span.newest else "ASC"),
            after=span.after,
            before=_EVER[1] if span.before is None else span.before,
            limit=span.limit,
        )
        read = [(number, session_of(row)) for number, *row in rows]
        return [TouchRecord(number, touch) for number, touch in read if touch is not None]

    async def prune(self, before: datetime, limit: int) -> int:
        """Erase touches that are older."""
        return await self._work.submit(_prune, _Pruning(to_ms(before), limit))

    async def _add(self, transaction: Transaction, sessions: Sequence[Session]) -> list[None]:
        rows = [
            (
                touch.bot_id,
                touch.telegram_id,
                touch.session_id,
                touch.source,
                to_ms(touch.at),
                storable(touch.payload),
            )
            for touch in sessions
        ]
        bots, users, ids, sources, times, payloads = columns(rows, 6)
        await transaction.fetch(
            _INSERT,
            bots=bots,
            users=users,
            ids=ids,
            sources=sources,
            times=times,
            payloads=payloads,
        )
        counts = await transaction.fetch(_COUNTS, users=sorted({*users}))
        for telegram_id, count in counts:
            if count > MAX_TOUCHES:
                self._limit.tell(telegram_id)
                await transaction.fetch(_DROP, telegram_id=telegram_id, excess=count - MAX_TOUCHES)
        return [None] * len(sessions)


async def histories(
    transaction: Transaction,
    telegram_ids: Collection[int],
) -> dict[int, list[Session]]:
    """Return the touches of many users, oldest first; nothing of those who have none."""
    found: dict[int, list[Session]] = {}
    rows = await transaction.fetch(_HISTORIES, users=[*telegram_ids]) if telegram_ids else ()
    for session in sessions_of(rows):
        found.setdefault(session.telegram_id, []).append(session)
    return found


async def _erase(transaction: Transaction, telegram_ids: Sequence[int]) -> list[set[str]]:
    rows = await transaction.fetch(_ERASE, users=[*telegram_ids])
    erased = []
    for telegram_id in telegram_ids:
        erased.append({session_id for user, session_id in rows if user == telegram_id})
        rows = [row for row in rows if row[0] != telegram_id]
    return erased


async def _prune(transaction: Transaction, prunings: Sequence[_Pruning]) -> list[int]:
    return [
        len(await transaction.fetch(_PRUNE, before=before_ms, limit=limit))
        for before_ms, limit in prunings
    ]
