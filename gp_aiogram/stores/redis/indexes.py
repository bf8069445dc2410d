"""Indexes and calendars, which lead from one slot to keys of others.

An index has members with stamps, which rise each time that they are noted; a calendar has members
with their oldest moment, or an earlier one, which falls. Both are noted before what they lead to
is written, and once more after: whoever removes a member says which stamp or moment it had before
they found nothing there, and is refused when it has another by then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from gp_aiogram.stores.redis.connection import RedisConnection
from gp_aiogram.stores.redis.expiry import Expiry
from gp_aiogram.stores.redis.rows import text
from gp_aiogram.stores.redis.scripts import DATE, DATED, INDEX, INDEXED, Command

#: A stamp is a whole number that Redis keeps exactly as a score: below 2 ** 53.
_HIGHEST_STAMP = 9 * 10**15

#: Members that are looked at together.
PAGE = 100


class Member(NamedTuple):
    """A member of an index or a calendar.

    :param score: its stamp, in microseconds, or its moment, in milliseconds.
    """

    name: str
    score: int


def index(key: str | bytes, name: str, expiry: Expiry, *, at_ms: int = 0) -> Command:
    """Return the command that notes a member of an index.

    :param at_ms: its stamp is no lower than this moment.
    """
    lowest = min(at_ms * 1000, _HIGHEST_STAMP)
    return INDEX([key], name, lowest, expiry.index_ms)


def date(key: str, name: str, at_ms: int, expiry: Expiry) -> Command:
    """Return the command that notes a member of a calendar."""
    return DATE([key], name, at_ms, expiry.index_ms)


async def indexed(
    connection: RedisConnection, key: str | bytes, page: int = PAGE
) -> AsyncIterator[list[Member]]:
    """Return the members of an index, page by page, the latest first."""
    start = 0
    while True:
        (answer,) = await connection.run(INDEXED([key], start, start + page - 1))
        members = members_of(answer)
        if members:
            yield members
        if len(members) < page:
            return
        start += page


async def dated(connection: RedisConnection, key: str, before_ms: int, most: int) -> list[Member]:
    """Return members of a calendar that are older, the oldest first."""
    (answer,) = await connection.run(DATED([key], before_ms, most))
    return members_of(answer)


def members_of(answer: Sequence[str | bytes]) -> list[Member]:
    """Read names and scores."""
    words = [text(word) for word in answer]
    return [
        Member(name, int(float(score)))
        for name, score in zip(words[::2], words[1::2], strict=True)
    ]
