"""What a SQLite file knows of a user, and what is decided by that, with one look."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from gp_aiogram.model.session import Session, Source
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.records import Acceptance, Decide, Known
from gp_aiogram.stores.sqlite.group_commit import BulkOperation
from gp_aiogram.stores.sqlite.once_keys import known_of
from gp_aiogram.stores.sqlite.outbox import Kept, SQLiteOutbox
from gp_aiogram.stores.sqlite.profiles import profiles_of
from gp_aiogram.stores.sqlite.sessions import Lookup, finder, lookup_for


class _Question(NamedTuple):
    find: BulkOperation
    lookup: Lookup
    keys: Collection[str]


class SQLiteKnown(SQLiteOutbox, Store):
    """The part of :class:`~gp_aiogram.SQLiteStore` that finds for an event what it needs."""

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
        question = _question(
            telegram_id,
            bot_id,
            keys=keys,
            first=first,
            since=since,
            until=until,
            preferred=preferred,
        )
        return cast("Known", await self._file.submit(_known, question, reads=True))

    async def accept_knowing(
        self,
        decide: Decide,
        telegram_id: int,
        bot_id: int | None,
        **which: Any,
    ) -> tuple[Acceptance | None, bool]:
        """Keep what is decided by what is known; returns when it is on disk."""
        wish = decide, _question(telegram_id, bot_id, **which)
        decision, kept = await self._file.submit(self._accept_knowing, wish)
        return decision, decision is not None and self._remembered(decision.event, kept)

    def _accept_knowing(
        self,
        connection: sqlite3.Connection,
        wishes: Sequence[tuple[Decide, _Question]],
    ) -> list[tuple[Acceptance | None, Kept | None]]:
        known = _known(connection, [question for _, question in wishes])
        decisions = [decide(one) for (decide, _), one in zip(wishes, known, strict=True)]
        wanted = [decision for decision in decisions if decision is not None]
        kept = iter(self._accept(connection, wanted))
        return [(one, None if one is None else next(kept)) for one in decisions]


def _question(
    telegram_id: int,
    bot_id: int | None,
    *,
    keys: Collection[str],
    first: bool = False,
    since: datetime | None = None,
    until: datetime | None = None,
    preferred: Collection[Source] = (),
) -> _Question:
    find = finder(frozenset(preferred), first=first)
    return _Question(find, lookup_for(telegram_id, bot_id, since, until), keys)


def _known(connection: sqlite3.Connection, questions: Sequence[_Question]) -> list[Known]:
    sessions = _sessions(connection, questions)
    users = [
        (question.lookup.telegram_id, None if session is None else session.session_id)
        for question, session in zip(questions, sessions, strict=True)
    ]
    profiles = profiles_of(connection, users)
    keys = known_of(connection, [question.keys for question in questions])
    return [*map(Known, sessions, profiles, keys)]


def _sessions(
    connection: sqlite3.Connection,
    questions: Sequence[_Question],
) -> list[Session | None]:
    by_finder: dict[BulkOperation, list[int]] = {}
    for number, question in enumerate(questions):
        by_finder.setdefault(question.find, []).append(number)
    sessions: list[Session | None] = [None] * len(questions)
    for find, numbers in by_finder.items():
        found = find(connection, [questions[number].lookup for number in numbers])
        for number, session in zip(numbers, found, strict=True):
            sessions[number] = session
    return sessions
