"""Conversions whose user has not turned up, in Redis.

The slot of a conversion holds it and its place among others, so that both change together. The
order of its click id is in another slot: a conversion is noted there before it is kept, under a
mark that no other call has, and removed after. A mark counts only while the conversion that is
kept bears it, so that nobody's removal costs another one its place.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from gp_aiogram.model.clock import to_ms
from gp_aiogram.stores.records import Unmatched
from gp_aiogram.stores.redis.connection import RedisConnection
from gp_aiogram.stores.redis.expiry import Expiry
from gp_aiogram.stores.redis.indexes import PAGE, Member, members_of
from gp_aiogram.stores.redis.rows import (
    click_of,
    conversion_of,
    key_in,
    place_name,
    stored_conversion,
)
from gp_aiogram.stores.redis.schema import Keys
from gp_aiogram.stores.redis.scripts import (
    ADD_UNMATCHED,
    DROP_UNMATCHED,
    NOTE,
    ORDERED,
    UNLIST,
    Command,
)

#: Earlier than every moment of a datetime.
_START = Member("", -(10**15))


class RedisUnmatched:
    """The conversions of :class:`RedisProfiles`."""

    def __init__(self, connection: RedisConnection, keys: Keys, expiry: Expiry) -> None:
        self._connection = connection
        self._keys = keys
        self._expiry = expiry

    async def add(self, conversion: Unmatched) -> None:
        """Keep a conversion, unless one with its key is kept."""
        run, keys = self._connection.run, self._keys
        key, at_ms, mark = conversion.key, to_ms(conversion.at), secrets.token_hex(8)
        order, marked = keys.unmatched_of(conversion.click_id), place_name(key, mark)
        expiry = self._expiry.beyond(_until(conversion))
        await run(NOTE([order], marked, at_ms, expiry.index_ms))
        written = stored_conversion(conversion, mark)
        place = (place_name(key), at_ms)
        (added,) = await run(
            ADD_UNMATCHED(keys.unmatched(key), written, *place, expiry.ms, expiry.index_ms)
        )
        if not added:
            await run(Command(("ZREM", order, marked)))

    async def of_session(self, session_id: str, limit: int) -> list[Unmatched]:
        """Return conversions of a session and of the ids of its click, the earliest first.

        Two round trips where none waits.
        """
        (answer,) = await self._connection.run(Command(("GET", self._keys.click(session_id)[0])))
        stored = click_of(answer)
        ids = set() if stored is None else {*stored.click.click_ids().values()}
        orders = [self._keys.unmatched_of(click_id) for click_id in {session_id, *ids}]
        found = await self._in_orders(orders, limit)
        return sorted(found, key=lambda one: (one.at, one.key))[:limit]

    async def page(self, limit: int, after: Unmatched | None) -> list[Unmatched]:
        """Return conversions of any click id, the earliest first."""
        found: list[Unmatched] = []
        place = _START
        if after is not None:
            place = Member(place_name(after.key), to_ms(after.at))
        while len(found) < limit:
            members = await self._members_after(place, min(PAGE, limit - len(found)))
            if not members:
                break
            found += await self._listed(members)
            place = members[-1]
        return found

    async def drop(self, conversion_keys: Collection[str]) -> None:
        """Keep conversions no longer."""
        run, keys = self._connection.run, self._keys
        answers = await run(
            *(DROP_UNMATCHED(keys.unmatched(key), place_name(key)) for key in conversion_keys)
        )
        dropped = [stored for stored in map(conversion_of, answers) if stored is not None]
        await run(
            *(
                Command(("ZREM", keys.unmatched_of(one.click_id), place_name(one.key, mark)))
                for mark, one in dropped
            )
        )

    async def _in_orders(self, orders: Sequence[str], limit: int) -> list[Unmatched]:
        """Return of each order its earliest conversions, ``limit`` at least if it has so many."""
        found: dict[str, list[Unmatched]] = {order: [] for order in orders}
        places = dict.fromkeys(orders, _START)
        while places:
            answers = await self._connection.run(
                *(
                    ORDERED([order], place.score, place.name, PAGE)
                    for order, place in places.items()
                )
            )
            pages = dict(zip(places, map(members_of, answers), strict=True))
            names = [member.name for page in pages.values() for member in page]
            kept = await self._bearing(names)
            for order, page in pages.items():
                found[order] += [kept[name] for name, _ in page if name in kept]
            places = {
                order: page[-1]
                for order, page in pages.items()
                if len(page) == PAGE and len(found[order]) < limit
            }
        return [one for each in found.values() for one in each]

    async def _bearing(self, names: Sequence[str]) -> dict[str, Unmatched]:
        """Return by their names the conversions that bear the marks there."""
        answers = await self._get(key_in(name) for name in names)
        stored = {name: conversion_of(answer) for name, answer in zip(names, answers, strict=True)}
        return {
            name: each.conversion
            for name, each in stored.items()
            if each is not None and name == place_name(each.conversion.key, each.mark)
        }

    async def _members_after(self, place: Member, most: int) -> list[Member]:
        answers = await self._connection.run(
            *(
                ORDERED([order], place.score, place.name, most)
                for order in self._keys.unmatched_orders
            )
        )
        members = [member for answer in answers for member in members_of(answer)]
        return sorted(members, key=lambda member: (member.score, member.name))[:most]

    async def _listed(self, members: Sequence[Member]) -> list[Unmatched]:
        """Return the conversions in these places, and remove the places of those that are gone."""
        keys = [key_in(member.name) for member in members]
        answers = await self._get(keys)
        gone = [key for key, answer in zip(keys, answers, strict=True) if answer is None]
        await self._connection.run(
            *(UNLIST(self._keys.unmatched(key), place_name(key)) for key in gone)
        )
        return [
            stored.conversion
            for member, stored in zip(members, map(conversion_of, answers), strict=True)
            # What was dropped and told again meanwhile may have another place by now.
            if stored is not None and to_ms(stored.conversion.at) == member.score
        ]

    async def _get(self, conversion_keys: Iterable[str]) -> list[str | bytes | None]:
        return await self._connection.run(
            *(Command(("GET", self._keys.unmatched(key)[0])) for key in conversion_keys)
        )


def _until(conversion: Unmatched) -> datetime | None:
    """Return until when it is worth keeping, if it says so."""
    try:
        until = datetime.fromisoformat(conversion.body["until"])
    except (KeyError, TypeError, ValueError):
        return None
    return until if until.tzinfo is not None else None
