"""Finds for an event what a PostgreSQL schema knows of its user, with few statements."""

from __future__ import annotations

from collections.abc import Sequence

from gp_aiogram.model.session import Session, pick
from gp_aiogram.stores.postgres.once_keys import known_keys
from gp_aiogram.stores.postgres.profiles import ProfileQuery, profiles
from gp_aiogram.stores.postgres.sessions import histories
from gp_aiogram.stores.postgres.transaction import Transaction
from gp_aiogram.stores.records import ContextQuery, UserContext


async def load_contexts(
    transaction: Transaction,
    queries: Sequence[ContextQuery],
) -> list[UserContext]:
    """Answer many callers with few statements."""
    sessions = await _sessions(transaction, queries)
    users = [
        ProfileQuery(query.touch.telegram_id, session.session_id if session else query.session_id)
        for query, session in zip(queries, sessions, strict=True)
    ]
    known = await profiles(transaction, users)
    keys = await known_keys(transaction, [query.keys for query in queries])
    return [*map(UserContext, sessions, known, keys)]


async def _sessions(
    transaction: Transaction,
    queries: Sequence[ContextQuery],
) -> list[Session | None]:
    """Return the touch that counts; None for a caller who names a session."""
    users = {query.touch.telegram_id for query in queries if query.session_id is None}
    touches = await histories(transaction, users)
    return [
        pick(touches.get(query.touch.telegram_id, ()), query.touch)
        if query.session_id is None
        else None
        for query in queries
    ]
