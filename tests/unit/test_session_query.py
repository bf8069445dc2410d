"""Of the touches of a user, the one is picked that the rules name."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gp_aiogram.model.own_links import OwnLinks
from gp_aiogram.model.session import SOURCES, Session, SessionQuery, pick

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)

#: Few of each, so that they meet.
bots = st.none() | st.integers(1, 2)
moments = st.integers(0, 5).map(lambda hours: NOON + timedelta(hours=hours))
sources = st.sampled_from(sorted(SOURCES))

touches = st.builds(
    Session,
    bot_id=bots,
    telegram_id=st.just(7),
    session_id=st.sampled_from(["gp_a", "gp_b", "gp_c"]),
    source=sources,
    at=moments,
    payload=st.just(""),
)
histories = st.lists(touches, max_size=8).map(lambda found: sorted(found, key=lambda t: t.at))
owns = st.none() | st.builds(
    OwnLinks,
    names=st.sets(st.sampled_from(["gp_a", "gp_b"])).map(frozenset),
    sources=st.sets(sources, max_size=2).map(frozenset),
)
queries = st.builds(
    SessionQuery,
    telegram_id=st.just(7),
    bot_id=bots,
    since=st.none() | moments,
    until=st.none() | moments,
    first=st.booleans(),
    preferred=st.sets(sources, max_size=3),
    own=owns,
)


def candidates(history: list[Session], query: SessionQuery) -> list[Session]:
    """The touches among which one counts, as the documentation has it."""
    found = [touch for touch in history if query.bot_id is None or touch.bot_id == query.bot_id]
    if query.since is not None:
        found = [touch for touch in found if not touch.at < query.since]
    if query.until is not None:
        found = [touch for touch in found if not touch.at > query.until]
    own = query.own or OwnLinks()
    ads = [t for t in found if t.session_id not in own.names and t.source not in own.sources]
    found = ads or found
    preferred = [touch for touch in found if touch.source in query.preferred]
    return preferred or found


@given(histories, queries)
def test_the_first_or_last_of_the_candidates_counts(history, query):
    found = candidates(history, query)
    expected = (found[0] if query.first else found[-1]) if found else None
    # The very object: of touches at the same moment, their order decides.
    assert pick(history, query) is expected


@given(histories, queries)
def test_a_history_may_come_piece_by_piece(history, query):
    assert pick(iter(history), query) == pick(history, query)


@given(histories, queries)
def test_a_history_cut_to_the_window_gives_the_same_touch(history, query):
    window = [
        touch
        for touch in history
        if (query.since is None or touch.at >= query.since)
        and (query.until is None or touch.at <= query.until)
    ]
    assert pick(window, query) == pick(history, query)


def touch(hours: int, source: str = "start", bot_id: int | None = 1) -> Session:
    return Session(bot_id, 7, f"gp_{hours}", source, NOON + timedelta(hours=hours), "")


FIRST, INVITE, OTHER_BOT, NOBODYS, LAST = HISTORY = [
    touch(0),
    touch(1, "invite"),
    touch(2, bot_id=2),
    touch(3, bot_id=None),
    touch(4),
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (SessionQuery(7), LAST),
        (SessionQuery(7, first=True), FIRST),
        (SessionQuery(7, preferred=["invite"]), INVITE),
        (SessionQuery(7, first=True, preferred=["invite"]), INVITE),
        (SessionQuery(7, preferred=["manual"]), LAST),
        (SessionQuery(7, preferred=["invite"], since=OTHER_BOT.at), LAST),
        (SessionQuery(7, bot_id=2), OTHER_BOT),
        (SessionQuery(7, bot_id=2, preferred=["invite"]), OTHER_BOT),
        (SessionQuery(7, bot_id=3), None),
        (SessionQuery(7, until=NOBODYS.at), NOBODYS),
        (SessionQuery(7, first=True, since=OTHER_BOT.at), OTHER_BOT),
        (SessionQuery(7, since=INVITE.at, until=INVITE.at), INVITE),
        (SessionQuery(7, since=LAST.at, until=FIRST.at), None),
    ],
)
def test_one_touch_of_a_day_counts(query, expected):
    assert pick(HISTORY, query) == expected


def test_of_no_touches_none_counts():
    assert pick([], SessionQuery(7)) is None
