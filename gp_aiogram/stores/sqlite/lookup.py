"""Finds for an event what a SQLite file knows of its user, with one look."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from gp_aiogram.model.session import Session, pick
from gp_aiogram.stores.records import ContextQuery, UserContext
from gp_aiogram.stores.sqlite.once_keys import known_keys
from gp_aiogram.stores.sqlite.profiles import ProfileQuery, profiles
from gp_aiogram.stores.sqlite.sessions import histories


def load_contexts(
    connection: sqlite3.Connection,
    queries: Sequence[ContextQuery],
) -> list[UserContext]:
    """Answer many callers with few statements."""
    sessions = _sessions(connection, queries)
    users = [
        ProfileQuery(query.touch.telegram_id, session.session_id if session else query.session_id)
        for query, session in zip(queries, sessions, strict=True)
    ]
    keys = known_keys(connection, [query.keys for query in queries])
    return [*map(UserContext, sessions, profiles(connection, users), keys)]


def _sessions(
    connection: sqlite3.Connection,
    queries: Sequence[ContextQuery],
) -> list[Session | None]:
    """Return the touch that counts; None for a caller who names a session."""
    users = {query.touch.telegram_id for query in queries if query.session_id is None}
    touches = histories(connection, users)
    return [
        pick(touches.get(query.touch.telegram_id, ()), query.touch)
        if query.session_id is None
        else None
        for query in queries
    ]
