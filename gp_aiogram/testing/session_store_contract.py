"""What every session store must do."""
# ruff: noqa: PLR2004, S101 - it is a test suite

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gp_aiogram.model.session import SOURCES, Session, Source
from gp_aiogram.stores.contract import SessionStore
from gp_aiogram.testing.contract_base import Contract

USER, OTHER_USER = 2**52 - 1, 43
BOT, OTHER_BOT = 7_000_000_001, 7_000_000_002
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


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


class SessionStoreContract(Contract):
    """The docstrings of :class:`~gp_aiogram.stores.contract.SessionStore`, as tests."""

    async def test_a_user_without_touches_has_no_session(self, store: SessionStore) -> None:
        await store.add_session(touch("gp_other", user=OTHER_USER))
        assert await store.find_session(USER, BOT) is None
        assert await store.find_session(USER, None) is None

    @pytest.mark.parametrize("source", sorted(SOURCES))
    async def test_every_field_of_a_touch_comes_back(
        self, store: SessionStore, source: Source
    ) -> None:
        at = NOON + timedelta(milliseconds=123)
        session = touch("gp_a-Z_9", at, source=source)
        await store.add_session(session)
        found = await store.find_session(USER, BOT)
        assert found == session
        assert found is not None
        assert found.at.utcoffset() == timedelta(0)

    async def test_the_last_touch_counts_unless_the_first_is_asked_for(
        self, store: SessionStore
    ) -> None:
        first, middle, last = (touch(f"gp_{n}", NOON + n * HOUR) for n in range(3))
        for session in (middle, last, first):
            await store.add_session(session)
        assert await store.find_session(USER, BOT) == last
        assert await store.find_session(USER, BOT, first=True) == first

    async def test_every_touch_is_kept(self, store: SessionStore) -> None:
        touches = [touch(f"gp_{n}", NOON + n * HOUR) for n in range(20)]
        await asyncio.gather(*map(store.add_session, touches))
        for session in touches:
            at = session.at
            assert await store.find_session(USER, BOT, since=at, until=at) == session

    async def test_coming_back_by_the_same_click_is_another_touch(
        self, store: SessionStore
    ) -> None:
        early, late = touch("gp_same"), touch("gp_same", NOON + HOUR)
        await store.add_session(early)
        await store.add_session(late)
        assert await store.find_session(USER, BOT, first=True) == early
        assert await store.find_session(USER, BOT) == late

    @pytest.mark.parametrize("bot", [BOT, None])
    async def test_the_same_touch_again_changes_nothing(
        self, store: SessionStore, bot: int | None
    ) -> None:
        session = touch("gp_a", bot=bot)
        await store.add_session(session)
        await store.add_session(touch("gp_a", bot=bot, source="manual"))
        assert await store.find_session(USER, bot) == session
        assert await store.find_session(USER, bot, first=True) == session

    async def test_touches_that_differ_in_the_bot_alone_are_two(self, store: SessionStore) -> None:
        for bot in (BOT, OTHER_BOT, None):
            await store.add_session(touch("gp_a", bot=bot))
        assert await store.find_session(USER, BOT) == touch("gp_a")
        assert await store.find_session(USER, OTHER_BOT) == touch("gp_a", bot=OTHER_BOT)

    async def test_each_bot_has_sessions_of_its_own(self, store: SessionStore) -> None:
        ours = touch("gp_ours")
        theirs = touch("gp_theirs", NOON + HOUR, bot=OTHER_BOT)
        nobodys = touch("gp_nobodys", NOON - HOUR, bot=None)
        for session in (ours, theirs, nobodys):
            await store.add_session(session)
        assert await store.find_session(USER, BOT) == ours
        assert await store.find_session(USER, BOT, first=True) == ours
        assert await store.find_session(USER, OTHER_BOT) == theirs
        assert await store.find_session(USER, BOT + 9) is None

    async def test_without_a_bot_the_touches_of_all_bots_count(self, store: SessionStore) -> None:
        ours = touch("gp_ours")
        theirs = touch("gp_theirs", NOON + HOUR, bot=OTHER_BOT)
        nobodys = touch("gp_nobodys", NOON - HOUR, bot=None)
        for session in (ours, theirs, nobodys):
            await store.add_session(session)
        assert await store.find_session(USER, None) == theirs
        assert await store.find_session(USER, None, first=True) == nobodys

    async def test_since_and_until_bound_the_search(self, store: SessionStore) -> None:
        early, middle, late = (touch(f"gp_{n}", NOON + n * HOUR) for n in range(3))
        for session in (early, middle, late):
            await store.add_session(session)
        assert await store.find_session(USER, BOT, first=True, since=middle.at) == middle
        assert await store.find_session(USER, BOT, until=middle.at) == middle
        minute = timedelta(minutes=1)
        assert await store.find_session(USER, BOT, until=middle.at - minute) == early
        assert await store.find_session(USER, BOT, since=late.at + minute) is None
        between: dict[str, Any] = {"since": early.at + minute, "until": middle.at - minute}
        assert await store.find_session(USER, BOT, first=True, **between) is None
        elsewhere = middle.at.astimezone(timezone(timedelta(hours=5, minutes=30)))
        assert await store.find_session(USER, BOT, until=elsewhere) == middle

    async def test_many_who_ask_at_once_get_each_their_own(self, store: SessionStore) -> None:
        early = [touch(f"gp_{user}", user=user) for user in range(1, 401)]
        late = [replace(one, bot_id=OTHER_BOT, at=one.at + HOUR) for one in early]
        await asyncio.gather(*map(store.add_session, [*early, *late]))

        async def find(bot: int | None, *, first: bool) -> list[Session | None]:
            return await asyncio.gather(
                *(store.find_session(one.telegram_id, bot, first=first) for one in early),
            )

        found = await asyncio.gather(
            find(None, first=True),
            find(None, first=False),
            find(OTHER_BOT, first=True),
            find(BOT + 9, first=False),
        )
        assert tuple(found) == (early, late, late, [None] * len(early))

    async def test_touches_outlive_closing(self, store: SessionStore) -> None:
        await store.open()
        await store.add_session(touch("gp_a"))
        await store.close()
        await store.close()
        assert await store.find_session(USER, BOT) == touch("gp_a")
        await store.open()
        await store.add_session(touch("gp_b", NOON + HOUR))
        assert await store.find_session(USER, BOT, first=True) == touch("gp_a")
        assert await store.find_session(USER, BOT) == touch("gp_b", NOON + HOUR)

    async def test_preferred_sources_go_first(self, store: SessionStore) -> None:
        invited = touch("gp_invite", source="invite")
        requested = touch("gp_request", NOON + HOUR, source="join_request")
        started = touch("gp_start", NOON + 2 * HOUR)
        for session in (invited, requested, started):
            await store.add_session(session)
        assert await store.find_session(USER, BOT) == started
        both: tuple[Source, ...] = ("invite", "join_request")
        assert await store.find_session(USER, BOT, preferred=both) == requested
        assert await store.find_session(USER, BOT, preferred=both, first=True) == invited
        assert await store.find_session(USER, BOT, preferred=["invite"]) == invited
        late = NOON + 1.5 * HOUR
        assert await store.find_session(USER, BOT, preferred=both, since=late) == started
        assert await store.find_session(USER, BOT, preferred=["start"]) == started
        assert await store.find_session(USER, BOT, preferred=["startgroup"]) == started

    async def test_a_forgotten_user_has_no_touches(self, store: SessionStore) -> None:
        for session in (touch("gp_a"), touch("gp_b", NOON + HOUR), touch("gp_c", user=OTHER_USER)):
            await store.add_session(session)
        assert await store.forget_sessions(USER) == {"gp_a", "gp_b"}
        assert await store.forget_sessions(USER) == set()
        assert await store.find_session(USER, None) is None
        assert await store.find_session(OTHER_USER, None) is not None

    async def test_old_touches_are_pruned(self, store: SessionStore) -> None:
        for number in range(5):
            await store.add_session(touch(f"gp_{number}", NOON + number * HOUR))
        before = NOON + 3 * HOUR
        assert await store.prune_sessions(before, 2) == 2
        assert await store.prune_sessions(before, 9) == 1
        assert await store.prune_sessions(before, 9) == 0
        assert await store.find_session(USER, BOT, first=True) == touch("gp_3", before)
