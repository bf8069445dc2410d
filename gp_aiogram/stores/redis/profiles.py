"""Clicks, traits and invite links in Redis."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from gp_aiogram.model.click import Click
from gp_aiogram.model.clock import to_ms
from gp_aiogram.model.event import Traits
from gp_aiogram.model.retention import Retention
from gp_aiogram.stores.contract import ProfileStore
from gp_aiogram.stores.records import Profile, Unmatched
from gp_aiogram.stores.redis.connection import RedisConnection
from gp_aiogram.stores.redis.expiry import Expiry
from gp_aiogram.stores.redis.indexes import PAGE, Member, date, dated, index, indexed
from gp_aiogram.stores.redis.rows import (
    StoredClick,
    click_of,
    packed,
    stored_click,
    traits_of,
    unpacked,
)
from gp_aiogram.stores.redis.schema import Keys
from gp_aiogram.stores.redis.scripts import (
    ADD_CLICK,
    ADD_LINK,
    DROP_INVITE,
    ERASE_CLICK,
    REDATE,
    UNINDEX,
    Command,
)
from gp_aiogram.stores.redis.unmatched import RedisUnmatched

#: The field of a user's traits that their lead id is in.
_LEAD_ID = packed(["leadsail", "lead_id"])


class _Found(NamedTuple):
    """What an erasure has found of a session.

    :param erased: whether there was a click that is gone now.
    """

    session_id: str
    erased: bool
    click: StoredClick | None
    links: Sequence[str]


class RedisProfiles(ProfileStore):
    """The part of :class:`~gp_aiogram.RedisStore` that knows clicks, traits and invite links."""

    def __init__(self, connection: RedisConnection, keys: Keys, expiry: Expiry) -> None:
        self._connection = connection
        self._keys = keys
        self._expiry = expiry
        self._unmatched = RedisUnmatched(connection, keys, expiry)

    async def open(self) -> None:
        """Connect, and check the server."""
        await self._connection.open()

    async def close(self) -> None:
        """Close the connections that are the store's own."""
        await self._connection.close()

    def keep_for(self, retention: Retention) -> None:
        """Keep clicks at least so long."""
        self._expiry.extend(retention)

    async def add_click(self, session_id: str, click: Click) -> bool:
        """Keep what a landing page saw."""
        run, keys = self._connection.run, self._keys
        at_ms = to_ms(click.moment)
        written = stored_click(click, secrets.token_hex(8))
        found_by = [
            date(keys.click_calendar(session_id), packed(session_id), at_ms, self._expiry),
            *(
                index(keys.sessions(click_id), packed(session_id), self._expiry)
                for click_id in {*click.click_ids().values()}
            ),
        ]
        (known,) = await run(Command(("EXISTS", keys.click(session_id)[0])))
        if known:
            return False
        await run(*found_by)
        ((added, links),) = await run(ADD_CLICK(keys.click(session_id), written, self._expiry.ms))
        if not added:
            return False
        await run(*found_by)
        await run(
            *(
                Command(("PEXPIRE", keys.invite(unpacked(link)), self._expiry.index_ms))
                for link in links
            )
        )
        return True

    async def sessions_of(self, click_id: str, limit: int = 100) -> Sequence[str]:
        """Return the session ids of clicks that hold an id."""
        found: list[str] = []
        async for page in indexed(self._connection, self._keys.sessions(click_id)):
            session_ids = [unpacked(name) for name, _ in page]
            clicks = await self._connection.run(
                *(Command(("GET", self._keys.click(session_id)[0])) for session_id in session_ids)
            )
            for session_id, answer in zip(session_ids, clicks, strict=True):
                stored = click_of(answer)
                if stored is not None and click_id in stored.click.click_ids().values():
                    found.append(session_id)
            if len(found) >= limit:
                break
        return found[:limit]

    async def add_traits(self, telegram_id: int, traits: Traits) -> None:
        """Keep traits of a user."""
        words = [
            word
            for platform, fields in traits.items()
            for field, value in fields.items()
            for word in (packed([platform, field]), packed(value))
        ]
        if not words:
            return
        lead_id = traits.get("leadsail", {}).get("lead_id")
        # Before the traits and once more after, so that an erasure meanwhile leaves it found.
        found_by = [] if lead_id is None else [self._found_by_lead("SADD", lead_id, telegram_id)]
        written = Command(("HSET", self._keys.traits(telegram_id), *words))
        await self._connection.run(*found_by)
        await self._connection.run(written)
        await self._connection.run(*found_by)

    async def users_of_lead(self, lead_id: str, limit: int = 100) -> Sequence[int]:
        """Return the users who have this ``lead_id`` among their traits."""
        command = Command(("SMEMBERS", self._keys.users_of_lead(lead_id)))
        (members,) = await self._connection.run(command)
        users = sorted(int(member) for member in members)
        told = await self._connection.run(*map(self._lead_of, users))
        found = [
            user
            for user, answer in zip(users, told, strict=True)
            if answer is not None and unpacked(answer) == lead_id
        ]
        return found[:limit]

    def _lead_of(self, telegram_id: int) -> Command:
        return Command(("HGET", self._keys.traits(telegram_id), _LEAD_ID))

    def _found_by_lead(self, change: str, lead_id: str, telegram_id: int) -> Command:
        return Command((change, self._keys.users_of_lead(lead_id), telegram_id))

    async def profile(self, telegram_id: int, session_id: str | None) -> Profile:
        """Return the traits of a user, and the click of the session."""
        commands = [Command(("HGETALL", self._keys.traits(telegram_id)))]
        if session_id is not None:
            commands.append(Command(("GET", self._keys.click(session_id)[0])))
        traits, *clicks = await self._connection.run(*commands)
        stored = click_of(clicks[0]) if clicks else None
        return Profile(None if stored is None else stored.click, traits_of(traits))

    async def add_invite(self, link: str, session_id: str) -> None:
        """Keep which session an invite link carries."""
        (left,) = await self._connection.run(
            ADD_LINK(self._keys.click(session_id), packed(link)),
        )
        words: tuple[object, ...] = ("SET", self._keys.invite(link), packed(session_id))
        if left > 0:
            words += ("PX", left)
        await self._connection.run(Command(words))

    async def invited(self, link: str) -> str | None:
        """Return the session that an invite link carries."""
        (answer,) = await self._connection.run(Command(("GET", self._keys.invite(link))))
        if answer is None:
            return None
        session_id: str = unpacked(answer)
        links = self._keys.click(session_id)[1]
        (is_carried,) = await self._connection.run(Command(("SISMEMBER", links, packed(link))))
        return session_id if is_carried else None

    async def add_unmatched(self, conversion: Unmatched) -> bool:
        """Keep a conversion until its user turns up."""
        await self._unmatched.add(conversion)
        return True

    async def unmatched_of(self, session_id: str, limit: int = 100) -> Sequence[Unmatched]:
        """Return conversions that a session brings the user of, the earliest first."""
        return await self._unmatched.of_session(session_id, limit)

    async def unmatched(
        self, limit: int = 100, after: Unmatched | None = None
    ) -> Sequence[Unmatched]:
        """Return conversions that were kept, the earliest first."""
        return await self._unmatched.page(limit, after)

    async def drop_unmatched(self, keys: Collection[str]) -> None:
        """Keep conversions no longer."""
        await self._unmatched.drop(keys)

    async def erase(self, telegram_id: int, session_ids: Collection[str]) -> None:
        """Erase the traits of a user, and the clicks of these sessions with their links."""
        (lead,) = await self._connection.run(self._lead_of(telegram_id))
        await self._connection.run(Command(("DEL", self._keys.traits(telegram_id))))
        if lead is not None:
            await self._connection.run(self._found_by_lead("SREM", unpacked(lead), telegram_id))
        await self._erase_clicks([*session_ids], "")

    async def prune(self, before: datetime, limit: int) -> int:
        """Erase clicks that are older, with their invite links."""
        before_ms, erased = to_ms(before), 0
        for calendar in self._keys.click_calendars:
            while erased < limit:
                page = await dated(
                    self._connection, calendar, before_ms, min(PAGE, limit - erased)
                )
                if not page:
                    break
                erased += await self._prune(calendar, page, before_ms)
        return erased

    async def _prune(self, calendar: str, page: Sequence[Member], before_ms: int) -> int:
        session_ids = [unpacked(member.name) for member in page]
        found = await self._erase_clicks(session_ids, before_ms)
        await self._connection.run(
            *(
                REDATE([calendar], member.name, member.score, _moment(each))
                for member, each in zip(page, found, strict=True)
            )
        )
        return sum(each.erased for each in found)

    async def _erase_clicks(
        self, session_ids: Sequence[str], before_ms: int | str
    ) -> list[_Found]:
        """Erase clicks, then what leads to them."""
        answers = await self._connection.run(
            *(ERASE_CLICK(self._keys.click(each), before_ms) for each in session_ids)
        )
        found = [
            _found(session_id, answer)
            for session_id, answer in zip(session_ids, answers, strict=True)
        ]
        gone = [each for each in found if each.erased]
        await self._unindex(gone)
        await self._connection.run(
            *(
                DROP_INVITE([self._keys.invite(link)], packed(each.session_id))
                for each in gone
                for link in each.links
            )
        )
        return found

    async def _unindex(self, gone: Sequence[_Found]) -> None:
        """Remove sessions from the indexes of their click ids, and from the calendar."""
        run, keys = self._connection.run, self._keys
        members = [
            (keys.sessions(click_id), packed(each.session_id))
            for each in gone
            if each.click is not None
            for click_id in {*each.click.click.click_ids().values()}
        ]
        members += [
            (keys.click_calendar(each.session_id), packed(each.session_id)) for each in gone
        ]
        scores = await run(*(Command(("ZSCORE", *member)) for member in members))
        clicks = await run(
            *(Command(("EXISTS", keys.click(each.session_id)[0])) for each in gone),
        )
        again = {
            packed(each.session_id)
            for each, is_there in zip(gone, clicks, strict=True)
            if is_there
        }
        await run(
            *(
                _removal(key, name, int(float(score)), keys)
                for (key, name), score in zip(members, scores, strict=True)
                if score is not None and name not in again
            ),
        )


def _removal(key: str, name: str, score: int, keys: Keys) -> Command:
    if key in keys.click_calendars:
        return REDATE([key], name, score, "")
    return UNINDEX([key], name, score)


def _found(session_id: str, answer: Sequence[object]) -> _Found:
    if not answer:
        return _Found(session_id, erased=False, click=None, links=())
    erased, click, links = answer
    names = [unpacked(link) for link in links]  # type: ignore[attr-defined]
    return _Found(session_id, bool(erased), click_of(click), names)  # type: ignore[arg-type]


def _moment(found: _Found) -> int | str:
    """Return when a click that stays has happened."""
    return "" if found.erased or found.click is None else found.click.at_ms
