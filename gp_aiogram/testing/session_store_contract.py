"""What every session store must do."""
# ruff: noqa: PLR2004, S101 - it is a test suite

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gp_aiogram.model.own_links import OwnLinks
from gp_aiogram.model.session import SOURCES, Session, SessionQuery, Source, pick
from gp_aiogram.stores.contract import SessionStore
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import ALL, BOT, NOON, OTHER_BOT, OTHER_USER, USER

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def touch(
    session_id: str,
    at: datetime = NOON,
    *,
    user: int = USER,
    bot: int | None = BOT,
    source: Source = "start",
) -> Session:
    """Make a touch."""
    return Session(bot, user, session_id, source, at, payload=f"{session_id}__ref42")


async def find(
    sessions: SessionStore,
    telegram_id: int,
    bot_id: int | None,
    **conditions: Any,
) -> Session | None:
    """Return the touch that counts, as a tracker finds it."""
    query = SessionQuery(telegram_id, bot_id, **conditions)
    history = await sessions.history(telegram_id, since=query.since, until=query.until)
    return pick(history, query)


class SessionStoreContract(Contract):
    """The docstrings of :class:`~gp_aiogram.stores.contract.SessionStore`, as tests."""

    async def test_a_user_without_touches_has_no_session(self, sessions: SessionStore) -> None:
        await sessions.add(touch("gp_other", user=OTHER_USER))
        assert list(await sessions.history(USER)) == []
        assert await find(sessions, USER, BOT) is None
        assert await find(sessions, USER, None) is None

    @pytest.mark.parametrize("source", sorted(SOURCES))
    async def test_every_field_of_a_touch_comes_back(
        self, sessions: SessionStore, source: Source
    ) -> None:
        at = NOON + timedelta(milliseconds=123)
        session = touch("gp_a-Z_9", at, source=source)
        await sessions.add(session)
        (found,) = await sessions.history(USER)
        assert found == session
        assert found.at.utcoffset() == timedelta(0)

    async def test_a_history_is_told_oldest_first(self, sessions: SessionStore) -> None:
        first, middle, last = (touch(f"gp_{n}", NOON + n * HOUR) for n in range(3))
        for session in (middle, last, first):
            await sessions.add(session)
        assert list(await sessions.history(USER)) == [first, middle, last]

    async def test_touches_of_the_same_moment_are_told_as_they_were_added(
        self, sessions: SessionStore
    ) -> None:
        before, after = touch("gp_before", NOON - HOUR), touch("gp_after", NOON + HOUR)
        at_once = [touch("gp_c"), touch("gp_a", bot=None), touch("gp_b")]
        for session in (after, *at_once, before):
            await sessions.add(session)
        assert list(await sessions.history(USER)) == [before, *at_once, after]

    async def test_a_history_is_told_of_every_bot(self, sessions: SessionStore) -> None:
        touches = [touch("gp_a", NOON + n * HOUR, bot=bot) for n, bot in enumerate((BOT, None, 7))]
        for session in touches:
            await sessions.add(session)
        assert list(await sessions.history(USER)) == touches

    async def test_the_last_touch_counts_unless_the_first_is_asked_for(
        self, sessions: SessionStore
    ) -> None:
        first, middle, last = (touch(f"gp_{n}", NOON + n * HOUR) for n in range(3))
        for session in (middle, last, first):
            await sessions.add(session)
        assert await find(sessions, USER, BOT) == last
        assert await find(sessions, USER, BOT, first=True) == first

    async def test_every_touch_is_kept(self, sessions: SessionStore) -> None:
        touches = [touch(f"gp_{n}", NOON + n * HOUR) for n in range(20)]
        await asyncio.gather(*map(sessions.add, touches))
        for session in touches:
            at = session.at
            assert list(await sessions.history(USER, since=at, until=at)) == [session]

    async def test_coming_back_by_the_same_click_is_another_touch(
        self, sessions: SessionStore
    ) -> None:
        early, late = touch("gp_same"), touch("gp_same", NOON + HOUR)
        await sessions.add(early)
        await sessions.add(late)
        assert await find(sessions, USER, BOT, first=True) == early
        assert await find(sessions, USER, BOT) == late

    @pytest.mark.parametrize("bot", [BOT, None])
    async def test_the_same_touch_again_changes_nothing(
        self, sessions: SessionStore, bot: int | None
    ) -> None:
        session = touch("gp_a", bot=bot)
        await sessions.add(session)
        await sessions.add(touch("gp_a", bot=bot, source="manual"))
        assert list(await sessions.history(USER)) == [session]

    async def test_touches_that_differ_in_the_bot_alone_are_several(
        self, sessions: SessionStore
    ) -> None:
        for bot in (BOT, OTHER_BOT, None):
            await sessions.add(touch("gp_a", bot=bot))
        assert await find(sessions, USER, BOT) == touch("gp_a")
        assert await find(sessions, USER, OTHER_BOT) == touch("gp_a", bot=OTHER_BOT)
        assert len(await sessions.history(USER)) == 3

    async def test_each_bot_has_sessions_of_its_own(self, sessions: SessionStore) -> None:
        ours = touch("gp_ours")
        theirs = touch("gp_theirs", NOON + HOUR, bot=OTHER_BOT)
        nobodys = touch("gp_nobodys", NOON - HOUR, bot=None)
        for session in (ours, theirs, nobodys):
            await sessions.add(session)
        assert await find(sessions, USER, BOT) == ours
        assert await find(sessions, USER, BOT, first=True) == ours
        assert await find(sessions, USER, OTHER_BOT) == theirs
        assert await find(sessions, USER, BOT + 9) is None

    async def test_without_a_bot_the_touches_of_all_bots_count(
        self, sessions: SessionStore
    ) -> None:
        ours = touch("gp_ours")
        theirs = touch("gp_theirs", NOON + HOUR, bot=OTHER_BOT)
        nobodys = touch("gp_nobodys", NOON - HOUR, bot=None)
        for session in (ours, theirs, nobodys):
            await sessions.add(session)
        assert await find(sessions, USER, None) == theirs
        assert await find(sessions, USER, None, first=True) == nobodys

    async def test_since_and_until_bound_the_search(self, sessions: SessionStore) -> None:
        early, middle, late = (touch(f"gp_{n}", NOON + n * HOUR) for n in range(3))
        for session in (early, middle, late):
            await sessions.add(session)
        assert await find(sessions, USER, BOT, first=True, since=middle.at) == middle
        assert await find(sessions, USER, BOT, until=middle.at) == middle
        assert await find(sessions, USER, BOT, until=middle.at - MINUTE) == early
        assert await find(sessions, USER, BOT, since=late.at + MINUTE) is None
        between: dict[str, Any] = {"since": early.at + MINUTE, "until": middle.at - MINUTE}
        assert await find(sessions, USER, BOT, first=True, **between) is None
        elsewhere = middle.at.astimezone(timezone(timedelta(hours=5, minutes=30)))
        assert await find(sessions, USER, BOT, until=elsewhere) == middle

    async def test_since_and_until_bound_a_history(self, sessions: SessionStore) -> None:
        early, middle, late = (touch(f"gp_{n}", NOON + n * HOUR) for n in range(3))
        for session in (early, middle, late):
            await sessions.add(session)
        assert list(await sessions.history(USER, since=middle.at)) == [middle, late]
        assert list(await sessions.history(USER, until=middle.at)) == [early, middle]
        assert list(await sessions.history(USER, since=middle.at, until=middle.at)) == [middle]
        nothing = await sessions.history(USER, since=early.at + MINUTE, until=early.at + MINUTE)
        assert list(nothing) == []

    async def test_many_who_ask_at_once_get_each_their_own(self, sessions: SessionStore) -> None:
        early = [touch(f"gp_{user}", user=user) for user in range(1, 401)]
        late = [replace(session, bot_id=OTHER_BOT, at=session.at + HOUR) for session in early]
        await asyncio.gather(*map(sessions.add, [*early, *late]))

        async def ask(bot: int | None, *, first: bool) -> list[Session | None]:
            return await asyncio.gather(
                *(find(sessions, session.telegram_id, bot, first=first) for session in early),
            )

        found = await asyncio.gather(
            ask(None, first=True),
            ask(None, first=False),
            ask(OTHER_BOT, first=True),
            ask(BOT + 9, first=False),
        )
        assert tuple(found) == (early, late, late, [None] * len(early))

    async def test_touches_outlive_closing(self, sessions: SessionStore) -> None:
        await sessions.open()
        await sessions.add(touch("gp_a"))
        await sessions.close()
        await sessions.close()
        assert await find(sessions, USER, BOT) == touch("gp_a")
        await sessions.open()
        await sessions.add(touch("gp_b", NOON + HOUR))
        assert await find(sessions, USER, BOT, first=True) == touch("gp_a")
        assert await find(sessions, USER, BOT) == touch("gp_b", NOON + HOUR)

    async def test_preferred_sources_go_first(self, sessions: SessionStore) -> None:
        invited = touch("gp_invite", source="invite")
        requested = touch("gp_request", NOON + HOUR, source="join_request")
        started = touch("gp_start", NOON + 2 * HOUR)
        for session in (invited, requested, started):
            await sessions.add(session)
        assert await find(sessions, USER, BOT) == started
        both: tuple[Source, ...] = ("invite", "join_request")
        assert await find(sessions, USER, BOT, preferred=both) == requested
        assert await find(sessions, USER, BOT, preferred=both, first=True) == invited
        assert await find(sessions, USER, BOT, preferred=["invite"]) == invited
        late = NOON + 1.5 * HOUR
        assert await find(sessions, USER, BOT, preferred=both, since=late) == started
        assert await find(sessions, USER, BOT, preferred=["start"]) == started
        assert await find(sessions, USER, BOT, preferred=["startgroup"]) == started

    async def test_the_bots_own_links_count_only_where_no_other_does(
        self, sessions: SessionStore
    ) -> None:
        ad, own = touch("gp_ad"), touch("gp_own", NOON + HOUR, source="invite")
        channel = touch("gp_channel", NOON + 2 * HOUR)
        for session in (ad, own, channel):
            await sessions.add(session)
        both = OwnLinks(names=frozenset({channel.session_id}), sources=frozenset({"invite"}))
        preferred: tuple[Source, ...] = ("invite",)
        assert await find(sessions, USER, BOT, own=both, preferred=preferred) == ad
        assert await find(sessions, USER, BOT, own=both, first=True) == ad
        late: dict[str, Any] = {"own": both, "since": ad.at + MINUTE}
        assert await find(sessions, USER, BOT, **late) == channel
        assert await find(sessions, USER, BOT, **late, first=True) == own
        assert await find(sessions, USER, BOT, **late, preferred=preferred) == own
        pattern = OwnLinks(pattern=re.compile(rf"{channel.session_id}.*"))
        assert await find(sessions, USER, BOT, own=pattern) == own

    async def test_an_erased_user_has_no_touches(self, sessions: SessionStore) -> None:
        for session in (
            touch("gp_a"),
            touch("gp_a", NOON + 2 * HOUR),
            touch("gp_b", NOON + HOUR, bot=None),
            touch("gp_c", user=OTHER_USER),
        ):
            await sessions.add(session)
        assert await sessions.erase(USER) == {"gp_a", "gp_b"}
        assert await sessions.erase(USER) == set()
        assert list(await sessions.history(USER)) == []
        assert list(await sessions.history(OTHER_USER)) == [touch("gp_c", user=OTHER_USER)]

    async def test_an_erased_touch_may_come_again(self, sessions: SessionStore) -> None:
        await sessions.add(touch("gp_a"))
        await sessions.erase(USER)
        await sessions.add(touch("gp_a", source="manual"))
        assert list(await sessions.history(USER)) == [touch("gp_a", source="manual")]

    async def test_a_click_of_several_users_is_shared(self, sessions: SessionStore) -> None:
        """A store may return none: :meth:`~gp_aiogram.SessionStore.shared`."""
        if type(sessions).shared is SessionStore.shared:
            assert await sessions.shared(USER, {"gp_a"}) == set()
            return
        for session in (
            touch("gp_both"),
            touch("gp_both", NOON + HOUR, user=OTHER_USER),
            touch("gp_mine"),
            touch("gp_mine", NOON + HOUR, bot=OTHER_BOT),
            touch("gp_theirs", user=OTHER_USER),
        ):
            await sessions.add(session)
        assert await sessions.shared(USER, {"gp_both", "gp_mine", "gp_none"}) == {"gp_both"}
        assert await sessions.shared(USER, set()) == set()
        many = {f"gp_{n}" for n in range(ALL)}
        assert await sessions.shared(USER, {"gp_theirs", *many}) == {"gp_theirs"}
        await sessions.erase(OTHER_USER)
        assert await sessions.shared(USER, {"gp_both", "gp_mine"}) == set()

    async def test_who_has_a_session_id_is_found(self, sessions: SessionStore) -> None:
        """A store may return none: :meth:`~gp_aiogram.SessionStore.touches_of`."""
        if type(sessions).touches_of is SessionStore.touches_of:
            assert list(await sessions.touches_of("gp_a")) == []
            return
        first, again = touch("gp_a"), touch("gp_a", NOON + 2 * HOUR, bot=OTHER_BOT)
        other = touch("gp_a", NOON + HOUR, user=OTHER_USER, bot=None)
        for session in (first, again, other, touch("gp_A"), touch("gp_ab", user=OTHER_USER)):
            await sessions.add(session)
        assert list(await sessions.touches_of("gp_a")) == [again, other, first]
        assert list(await sessions.touches_of("gp_a", limit=2)) == [again, other]
        assert list(await sessions.touches_of("gp_none")) == []
        await sessions.erase(USER)
        assert list(await sessions.touches_of("gp_a")) == [other]

    async def test_old_touches_are_pruned(self, sessions: SessionStore) -> None:
        for number in range(5):
            await sessions.add(touch(f"gp_{number}", NOON + number * HOUR))
        before = NOON + 3 * HOUR
        assert await sessions.prune(before, 2) == 2
        assert await sessions.prune(before, ALL) == 1
        assert await sessions.prune(before, ALL) == 0
        assert await find(sessions, USER, BOT, first=True) == touch("gp_3", before)

    async def test_touches_of_every_user_are_pruned(self, sessions: SessionStore) -> None:
        for user in (USER, OTHER_USER):
            await sessions.add(touch("gp_old", user=user))
            await sessions.add(touch("gp_new", NOON + HOUR, user=user))
        assert await sessions.prune(NOON + MINUTE, ALL) == 2
        for user in (USER, OTHER_USER):
            (left,) = await sessions.history(user)
            assert left.session_id == "gp_new"
