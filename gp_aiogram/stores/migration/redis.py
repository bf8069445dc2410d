"""Writes what is known of users into Redis, and notes there how far that has come."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from gp_aiogram.errors import StoreError
from gp_aiogram.model import codec
from gp_aiogram.model.click import Click
from gp_aiogram.model.clock import from_ms
from gp_aiogram.model.session import Session, Source
from gp_aiogram.stores.migration.progress import Progress
from gp_aiogram.stores.migration.rows import (
    Invite,
    StoredClick,
    Touch,
    Trait,
    Waiting,
)
from gp_aiogram.stores.migration.source import Page, Summary
from gp_aiogram.stores.migration.steps import CLICKS, INVITES, TOUCHES, TRAITS, WAITING, Step
from gp_aiogram.stores.migration.target import Target, refuse_other, unread
from gp_aiogram.stores.records import Unmatched
from gp_aiogram.stores.redis.rows import text
from gp_aiogram.stores.redis.scripts import Command
from gp_aiogram.stores.redis.store import RedisStore
from gp_aiogram.stores.rows import tell_left_out

Item = TypeVar("Item")
Read = TypeVar("Read")

#: Writes that are under way at a time.
_AT_ONCE = 24

_STEPS = (TOUCHES, CLICKS, TRAITS, INVITES, WAITING)

#: More conversions than wait for one click.
_ALL = 100_000


class RedisTarget(Target):
    """Sessions and profiles of :class:`~gp_aiogram.RedisStore`.

    To write again what is there changes nothing, so that a page which was cut off is written once
    more. What was written is read back at once.

    :param store: where to.
    :param steps: what is moved; clicks bring their ids with them.
    """

    def __init__(self, store: RedisStore, steps: tuple[Step, ...] = _STEPS) -> None:
        super().__init__(steps)
        self._store = store
        self._note_key = f"{store.prefix}:move"

    def __str__(self) -> str:
        return f"{self._store.connection.where} (prefix {self._store.prefix})"

    async def open(self) -> None:
        """Connect, and check the server."""
        await self._store.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._store.close()

    async def begin(self, source: Summary, *, restart: bool) -> Progress | None:
        """Make sure that there are no keys, or go on with the same file's move."""
        (noted,) = await self._store.connection.run(Command(("GET", self._note_key)))
        if noted is not None:
            note = json.loads(text(noted))
            if not restart or note["finished"]:
                refuse_other(str(self), source, note["source"], is_finished=note["finished"])
                return None if note["finished"] else Progress.from_json(note["progress"])
            await self._erase()
        elif await self._has_data():
            msg = (
                f"{self} holds data of its own, and two stores cannot become one: name another "
                "prefix, such as ?prefix=gp2"
            )
            raise StoreError(msg)
        await self._note(source, Progress())
        return Progress()

    async def write(self, step: Step, page: Page, source: Summary, progress: Progress) -> Progress:
        """Write a page, read it back, and note how far that brings the move."""
        written = await _WRITERS[step.name](self._store, page.rows)
        unreadable = len(page.rows) - written
        page = page._replace(rows=page.rows[:written], left_out=page.left_out + unreadable)
        now = progress.after(step, page, written)
        await self._note(source, now)
        return now

    async def finish(self, source: Summary, progress: Progress) -> None:
        """Compare how much was read; what was written is compared already."""
        if wrong := unread(source, progress, self.steps):
            msg = f"{self} has not got what the file holds: {'; '.join(wrong)}"
            raise StoreError(msg)
        await self._note(source, progress, is_finished=True)

    async def _note(
        self, source: Summary, progress: Progress, *, is_finished: bool = False
    ) -> None:
        note = {
            "source": source.fingerprint,
            "progress": progress.to_json(),
            "finished": is_finished,
        }
        await self._store.connection.run(Command(("SET", self._note_key, json.dumps(note))))

    async def _has_data(self) -> bool:
        cursor = "0"
        while True:
            cursor, keys = await self._scan(cursor)
            if keys:
                return True
            if cursor == "0":
                return False

    async def _erase(self) -> None:
        cursor = "0"
        while True:
            cursor, keys = await self._scan(cursor)
            if keys:
                await self._store.connection.run(Command(("UNLINK", *keys)))
            if cursor == "0":
                return

    async def _scan(self, cursor: str) -> tuple[str, list[Any]]:
        """Return keys of the store, but its layout's version and the note."""
        match = ("MATCH", f"{self._store.prefix}:{{*", "COUNT", 1000)
        ((cursor_, keys),) = await self._store.connection.run(Command(("SCAN", cursor, *match)))
        return text(str(cursor_) if isinstance(cursor_, int) else cursor_), keys


async def _touches(store: RedisStore, rows: Sequence[Touch]) -> int:
    """Write touches, those of one user one after the other: their order is kept."""
    by_user: dict[int, list[Session]] = defaultdict(list)
    touches = _readable("touch", rows, _touch)
    for touch in touches:
        by_user[touch.telegram_id].append(touch)

    async def write(telegram_id: int) -> bool:
        for touch in by_user[telegram_id]:
            await store.sessions.add(touch)
        return {*by_user[telegram_id]} <= {*await store.sessions.history(telegram_id)}

    await _each("touches", by_user, write)
    return len(touches)


async def _clicks(store: RedisStore, rows: Sequence[StoredClick]) -> int:
    clicks = dict(_readable("click", rows, _click))

    async def write(session_id: str) -> bool:
        await store.profiles.add_click(session_id, clicks[session_id])
        return (await store.profiles.profile(0, session_id)).click == clicks[session_id]

    await _each("clicks", clicks, write)
    return len(clicks)


async def _traits(store: RedisStore, rows: Sequence[Trait]) -> int:
    by_user: dict[int, dict[str, dict[str, str]]] = defaultdict(dict)
    for telegram_id, platform, field, value in rows:
        by_user[telegram_id].setdefault(platform, {})[field] = value

    async def write(telegram_id: int) -> bool:
        traits = by_user[telegram_id]
        await store.profiles.add_traits(telegram_id, traits)
        stored = (await store.profiles.profile(telegram_id, None)).traits
        return all(
            fields.items() <= stored.get(platform, {}).items()
            for platform, fields in traits.items()
        )

    await _each("traits", by_user, write)
    return len(rows)


async def _invites(store: RedisStore, rows: Sequence[Invite]) -> int:
    async def write(row: Invite) -> bool:
        await store.profiles.add_invite(*row)
        return await store.profiles.invited(row.link) == row.session_id

    await _each("invite links", rows, write)
    return len(rows)


async def _waiting(store: RedisStore, rows: Sequence[Waiting]) -> int:
    conversions = _readable("conversion", rows, _conversion)

    async def write(conversion: Unmatched) -> bool:
        await store.profiles.add_unmatched(conversion)
        kept = await store.profiles.unmatched_of(conversion.click_id, limit=_ALL)
        return any(one.key == conversion.key for one in kept)

    await _each("waiting conversions", conversions, write)
    return len(conversions)


_WRITERS: Mapping[str, Callable[[RedisStore, Any], Awaitable[int]]] = {
    TOUCHES.name: _touches,
    CLICKS.name: _clicks,
    TRAITS.name: _traits,
    INVITES.name: _invites,
    WAITING.name: _waiting,
}


def _touch(row: Touch) -> Session:
    bot_id, telegram_id, session_id, source, at_ms, payload = row
    return Session(
        bot_id, telegram_id, session_id, cast("Source", source), from_ms(at_ms), payload
    )


def _click(row: StoredClick) -> tuple[str, Click]:
    return row.session_id, Click.from_dict(codec.decode(row.body))


def _conversion(row: Waiting) -> Unmatched:
    return Unmatched(row.key, row.click_id, from_ms(row.at_ms), codec.decode(row.body))


def _readable(what: str, rows: Sequence[Item], read: Callable[[Item], Read]) -> list[Read]:
    """Return what rows hold; what cannot be read is left out, and told."""
    found = (_attempt(what, row, read) for row in rows)
    return [one for one in found if one is not None]


def _attempt(what: str, row: Item, read: Callable[[Item], Read]) -> Read | None:
    try:
        return read(row)
    except Exception as error:  # noqa: BLE001 - whatever is in the row
        tell_left_out(what, error)
        return None


async def _each(
    what: str, items: Iterable[Item], write: Callable[[Item], Awaitable[bool]]
) -> None:
    """Write items, many at a time.

    :param write: tells whether the item is there then.
    :raises StoreError: when one is not.
    """
    turns = asyncio.Semaphore(_AT_ONCE)

    async def write_one(item: Item) -> bool:
        async with turns:
            return await write(item)

    if not all(await asyncio.gather(*map(write_one, items))):
        msg = f"Redis does not keep the {what} that it was told: run this again with --restart"
        raise StoreError(msg)
