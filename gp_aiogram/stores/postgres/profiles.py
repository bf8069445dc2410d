"""Clicks, traits and invite links in a PostgreSQL schema."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from typing_extensions import Self

from gp_aiogram.model import codec
from gp_aiogram.model.click import Click
from gp_aiogram.model.clock import to_ms
from gp_aiogram.model.event import Traits
from gp_aiogram.stores.contract import ProfileStore
from gp_aiogram.stores.postgres import unmatched
from gp_aiogram.stores.postgres.callers import CallersTransaction
from gp_aiogram.stores.postgres.server import PostgresServer
from gp_aiogram.stores.postgres.transaction import Transaction, columns
from gp_aiogram.stores.postgres.unmatched import digest_of
from gp_aiogram.stores.records import Profile, Unmatched
from gp_aiogram.stores.rows import clicks_of, conversions_of

_ADD_CLICKS = """
    INSERT INTO {gp}.click (session_id, at_ms, body)
    SELECT session_id, at_ms, body FROM unnest(
        CAST(:ids AS TEXT[]), CAST(:times AS BIGINT[]), CAST(:bodies AS BYTEA[])
    ) AS new (session_id, at_ms, body)
    ON CONFLICT DO NOTHING RETURNING session_id
"""

_ADD_CLICK_IDS = """
    INSERT INTO {gp}.click_id (digest, session_id)
    SELECT digest, session_id
    FROM unnest(CAST(:digests AS BYTEA[]), CAST(:ids AS TEXT[])) AS new (digest, session_id)
    ON CONFLICT DO NOTHING
"""

_CLICKS = "SELECT session_id, body FROM {gp}.click WHERE session_id = ANY(CAST(:ids AS TEXT[]))"

_SESSIONS = """
    SELECT session_id FROM {gp}.click_id WHERE digest = CAST(:digest AS BYTEA)
    ORDER BY session_id LIMIT CAST(:limit AS BIGINT)
"""

_TRAITS = """
    SELECT telegram_id, platform, field, value FROM {gp}.trait
    WHERE telegram_id = ANY(CAST(:users AS BIGINT[]))
"""

_LEADS = """
    SELECT telegram_id FROM {gp}.trait
    WHERE platform = 'leadsail' AND field = 'lead_id' AND value = CAST(:lead_id AS TEXT)
    LIMIT CAST(:limit AS BIGINT)
"""

_ADD_TRAITS = """
    INSERT INTO {gp}.trait (telegram_id, platform, field, value)
    SELECT telegram_id, platform, field, value FROM unnest(
        CAST(:users AS BIGINT[]), CAST(:platforms AS TEXT[]), CAST(:fields AS TEXT[]),
        CAST(:values AS TEXT[])
    ) AS new (telegram_id, platform, field, value)
    ON CONFLICT (telegram_id, platform, field) DO UPDATE SET value = excluded.value
"""

_ADD_INVITES = """
    INSERT INTO {gp}.invite (link, session_id)
    SELECT link, session_id
    FROM unnest(CAST(:links AS TEXT[]), CAST(:ids AS TEXT[])) AS new (link, session_id)
    ON CONFLICT (link) DO UPDATE SET session_id = excluded.session_id
"""

_INVITED = "SELECT session_id FROM {gp}.invite WHERE link = CAST(:link AS TEXT)"

_DELETE_TRAITS = "DELETE FROM {gp}.trait WHERE telegram_id = ANY(CAST(:users AS BIGINT[]))"

_OLD_CLICKS = """
    SELECT session_id FROM {gp}.click WHERE at_ms < CAST(:before AS BIGINT)
    ORDER BY at_ms LIMIT CAST(:limit AS BIGINT) FOR UPDATE SKIP LOCKED
"""

#: A link without a click is a campaign's, and stays.
_DELETE_CLICKS = """
    WITH gone AS (
        DELETE FROM {gp}.click WHERE session_id = ANY(CAST(:ids AS TEXT[])) RETURNING session_id
    ),
    links AS (
        DELETE FROM {gp}.invite USING gone WHERE invite.session_id = gone.session_id
    ),
    click_ids AS (
        DELETE FROM {gp}.click_id USING gone WHERE click_id.session_id = gone.session_id
    )
    SELECT session_id FROM gone
"""


class ProfileQuery(NamedTuple):
    """Whose traits are wanted, and which session's click."""

    telegram_id: int
    session_id: str | None


class _NewClick(NamedTuple):
    session_id: str
    click: Click


class _NewTraits(NamedTuple):
    telegram_id: int
    traits: Traits


class _Invite(NamedTuple):
    link: str
    session_id: str


class _Erasure(NamedTuple):
    telegram_id: int
    session_ids: Collection[str]


class _Pruning(NamedTuple):
    before_ms: int
    limit: int


class PostgresProfiles(ProfileStore):
    """The part of :class:`~gp_aiogram.PostgresStore` that knows clicks, traits and invite links.

    :param server: where they are.
    :param callers: their own transaction, when everything shall be done in that.
    """

    def __init__(self, server: PostgresServer, callers: CallersTransaction | None = None) -> None:
        self._server = server
        self._work = callers or server

    async def open(self) -> None:
        """Connect, and bring the tables up to date."""
        await self._server.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._server.close()

    def within(self, connection: object) -> Self:
        """Return the same profiles, in a transaction of the caller's."""
        return type(self)(self._server, CallersTransaction(self._server, connection))

    async def add_click(self, session_id: str, click: Click) -> bool:
        """Keep what a landing page saw."""
        return await self._work.submit(_add_clicks, _NewClick(session_id, click))

    async def sessions_of(self, click_id: str, limit: int = 100) -> Sequence[str]:
        """Return the session ids of clicks that hold an id."""
        rows = await self._work.read(_SESSIONS, digest=digest_of(click_id), limit=limit)
        return [row[0] for row in rows]

    async def add_traits(self, telegram_id: int, traits: Traits) -> None:
        """Keep traits of a user."""
        copied = {platform: dict(fields) for platform, fields in traits.items()}
        await self._work.submit(_add_traits, _NewTraits(telegram_id, copied))

    async def profile(self, telegram_id: int, session_id: str | None) -> Profile:
        """Return the traits of a user, and the click of the session."""
        query = ProfileQuery(telegram_id, session_id)
        return await self._work.submit(profiles, query, reads=True)

    async def users_of_lead(self, lead_id: str, limit: int = 100) -> Sequence[int]:
        """Return the users who have this ``lead_id`` among their traits."""
        rows = await self._work.read(_LEADS, lead_id=lead_id, limit=limit)
        return [telegram_id for (telegram_id,) in rows]

    async def add_invite(self, link: str, session_id: str) -> None:
        """Keep which session an invite link carries."""
        await self._work.submit(_add_invites, _Invite(link, session_id))

    async def invited(self, link: str) -> str | None:
        """Return the session that an invite link carries."""
        rows = await self._work.read(_INVITED, link=link)
        return rows[0][0] if rows else None

    async def add_unmatched(self, conversion: Unmatched) -> bool:
        """Keep a conversion until its user turns up."""
        return await self._work.submit(unmatched.add, conversion)

    async def unmatched_of(self, session_id: str, limit: int = 100) -> Sequence[Unmatched]:
        """Return conversions that a session brings the user of, the earliest first."""
        digest = digest_of(session_id)
        rows = await self._work.read(
            unmatched.OF_SESSION, digest=digest, session_id=session_id, limit=limit
        )
        return conversions_of(rows)

    async def unmatched(
        self, limit: int = 100, after: Unmatched | None = None
    ) -> Sequence[Unmatched]:
        """Return conversions that were kept, the earliest first."""
        at, key = (-(2**62), "") if after is None else (to_ms(after.at), after.key)
        return conversions_of(await self._work.read(unmatched.PAGE, at=at, key=key, limit=limit))

    async def drop_unmatched(self, keys: Collection[str]) -> None:
        """Keep conversions no longer."""
        await self._work.submit(unmatched.drop, keys)

    async def erase(self, telegram_id: int, session_ids: Collection[str]) -> None:
        """Erase the traits of a user, and the clicks of these sessions with their links."""
        await self._work.submit(_erase, _Erasure(telegram_id, session_ids))

    async def prune(self, before: datetime, limit: int) -> int:
        """Erase clicks that are older, with their invite links."""
        return await self._work.submit(_prune, _Pruning(to_ms(before), limit))


async def profiles(
    transaction: Transaction,
    queries: Sequence[ProfileQuery],
) -> list[Profile]:
    """Answer many callers with few statements."""
    session_ids = {query.session_id for query in queries if query.session_id}
    clicks = await _clicks(transaction, session_ids)
    traits = await _traits(transaction, {query.telegram_id for query in queries})
    return [
        Profile(
            clicks.get(session_id or ""),
            {platform: dict(fields) for platform, fields in traits.get(telegram_id, {}).items()},
        )
        for telegram_id, session_id in queries
    ]


async def _clicks(transaction: Transaction, session_ids: set[str]) -> dict[str, Click]:
    rows = await transaction.fetch(_CLICKS, ids=[*session_ids]) if session_ids else ()
    return clicks_of(rows)


async def _traits(
    transaction: Transaction,
    telegram_ids: set[int],
) -> dict[int, dict[str, dict[str, str]]]:
    traits: dict[int, dict[str, dict[str, str]]] = {}
    rows = await transaction.fetch(_TRAITS, users=[*telegram_ids])
    for telegram_id, platform, field, value in rows:
        traits.setdefault(telegram_id, {}).setdefault(platform, {})[field] = value
    return traits


async def _add_clicks(transaction: Transaction, clicks: Sequence[_NewClick]) -> list[bool]:
    first: dict[str, Click] = {}
    for session_id, click in clicks:
        first.setdefault(session_id, click)
    rows = [
        (session_id, to_ms(first[session_id].moment), codec.encode(first[session_id].to_dict()))
        for session_id in sorted(first)
    ]
    ids, times, bodies = columns(rows, 3)
    added = {
        row[0] for row in await transaction.fetch(_ADD_CLICKS, ids=ids, times=times, bodies=bodies)
    }
    click_ids = sorted(
        {
            (digest_of(value), session_id)
            for session_id in added
            for value in first[session_id].click_ids().values()
        }
    )
    if click_ids:
        digests, of = columns(click_ids, 2)
        await transaction.fetch(_ADD_CLICK_IDS, digests=digests, ids=of)
    results = []
    for session_id, _ in clicks:
        results.append(session_id in added)
        added.discard(session_id)
    return results


async def _add_traits(transaction: Transaction, users: Sequence[_NewTraits]) -> list[None]:
    last = {
        (telegram_id, platform, field): value
        for telegram_id, traits in users
        for platform, fields in traits.items()
        for field, value in fields.items()
    }
    if last:
        rows = [(*key, last[key]) for key in sorted(last)]
        telegram_ids, platforms, fields, values = columns(rows, 4)
        await transaction.fetch(
            _ADD_TRAITS, users=telegram_ids, platforms=platforms, fields=fields, values=values
        )
    return [None] * len(users)


async def _add_invites(transaction: Transaction, invites: Sequence[_Invite]) -> list[None]:
    last = dict(invites)
    links, ids = columns(sorted(last.items()), 2)
    await transaction.fetch(_ADD_INVITES, links=links, ids=ids)
    return [None] * len(invites)


async def _erase(transaction: Transaction, erasures: Sequence[_Erasure]) -> list[None]:
    users = sorted({telegram_id for telegram_id, _ in erasures})
    await transaction.fetch(_DELETE_TRAITS, users=users)
    session_ids = {session_id for erasure in erasures for session_id in erasure.session_ids}
    if session_ids:
        await transaction.fetch(_DELETE_CLICKS, ids=sorted(session_ids))
    return [None] * len(erasures)


async def _prune(transaction: Transaction, prunings: Sequence[_Pruning]) -> list[int]:
    counts = []
    for before_ms, limit in prunings:
        old = await transaction.fetch(_OLD_CLICKS, before=before_ms, limit=limit)
        gone = await transaction.fetch(_DELETE_CLICKS, ids=[row[0] for row in old]) if old else ()
        counts.append(len(gone))
    return counts
