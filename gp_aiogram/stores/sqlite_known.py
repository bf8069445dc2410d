"""Everything that a SQLite file knows of a user, with one look."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache, partial
from typing import NamedTuple, cast

from gp_aiogram.attribution import Source
from gp_aiogram.stores.base import Known, Store
from gp_aiogram.stores.group_commit import BulkOperation
from gp_aiogram.stores.sqlite_file import SQLiteFile
from gp_aiogram.stores.sqlite_profiles import profiles_of
from gp_aiogram.stores.sqlite_seen import known_of
from gp_aiogram.stores.sqlite_sessions import Lookup, finder, lookup_for


class _Question(NamedTuple):
    lookup: Lookup
    keys: Collection[str]


class SQLiteKnown(Store):
    """The part of :class:`~gp_aiogram.SQLiteStore` that reads for an event what it needs."""

    _file: SQLiteFile

    async def known(
        self,
        telegram_id: int,
        bot_id: int | None,
        *,
        keys: Collection[str],
        first: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
        preferred: Collection[Source] = (),
    ) -> Known:
        """Return the touch that counts, the profile, and those of the keys that are known."""
        question = _Question(lookup_for(telegram_id, bot_id, since, until), keys)
        operation = _reader("ASC" if first else "DESC", frozenset(preferred))
        return cast("Known", await self._file.submit(operation, question, reads=True))


@lru_cache
def _reader(direction: str, preferred: frozenset[Source]) -> BulkOperation:
    return partial(_known, finder(direction, preferred))


def _known(
    find: BulkOperation,
    connection: sqlite3.Connection,
    questions: Sequence[_Question],
) -> list[Known]:
    sessions = find(connection, [question.lookup for question in questions])
    users = [
        (question.lookup.telegram_id, None if session is None else session.session_id)
        for question, session in zip(questions, sessions, strict=True)
    ]
    profiles = profiles_of(connection, users)
    keys = known_of(connection, [question.keys for question in questions])
    return [*map(Known, sessions, profiles, keys)]
