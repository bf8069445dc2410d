"""Which session an event is credited to, in the order that GramPixel states."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.types import Message

from fixtures import updates
from fixtures.banks import STORES
from fixtures.recorder import Feed, Recorder
from gp_aiogram import Attribution, Event, Store, Tracker, UserTracker, track
from gp_aiogram.model.session import Source
from gp_aiogram.tracker.before_send import BeforeSend

NOON = datetime(2026, 9, 21, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)

Make = Callable[..., Tracker]


@pytest.fixture(params=[*STORES, "split"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "split":
        return Store.of(STORES["memory"](tmp_path), STORES["memory"](tmp_path))
    return STORES[request.param](tmp_path)


@pytest.fixture
async def make(store: Store, recorder: Recorder) -> AsyncIterator[Make]:
    """Make a tracker with a policy."""
    made: list[Tracker] = []

    def make(before_send: BeforeSend | None = None, **policy: Any) -> Tracker:
        attribution = Attribution(**policy)
        made.append(
            Tracker([recorder], store=store, attribution=attribution, before_send=before_send)
        )
        return made[-1]

    yield make
    for tracker in made:
        await tracker.close(grace=0)


async def touched(tracker: Tracker, *touches: tuple[str, Source, int]) -> None:
    """Have a user come by sessions: id, way and how many days before noon."""
    for session_id, source, days in touches:
        await tracker.capture(7, session_id, source=source, at=NOON - days * DAY, bot_id=42)


async def credited(tracker: Tracker, **arguments: Any) -> str | None:
    """The session of an event at noon."""
    arguments = {"event_time": NOON, "bot_id": 42, **arguments}
    event = await tracker.track("REG", telegram_id=7, **arguments)
    assert event is not None
    return event.session_id


ALL: list[tuple[str, Source, int]] = [
    ("gp_start", "start", 5),
    ("gp_join", "join_request", 4),
    ("gp_invite", "invite", 3),
    ("gp_app", "startapp", 2),
    ("gp_group", "startgroup", 1),
]


@pytest.mark.parametrize(
    ("policy", "session_id"),
    [
        ({}, "gp_invite"),
        ({"touch": "first"}, "gp_join"),
        ({"invites_first": False}, "gp_group"),
        ({"invites_first": False, "touch": "first"}, "gp_start"),
        ({"window": 2.5 * DAY}, "gp_group"),
        ({"window": 4.5 * DAY, "touch": "first"}, "gp_join"),
        ({"window": 4.5 * DAY, "touch": "first", "invites_first": False}, "gp_join"),
        ({"window": DAY / 2}, None),
    ],
    ids=str,
)
async def test_an_event_is_credited_by_the_policy(
    make: Make, policy: dict[str, Any], session_id: str | None
) -> None:
    tracker = make(**policy)
    await touched(tracker, *ALL)
    assert await credited(tracker) == session_id
    assert await credited(tracker, session_id="gp_named") == "gp_named"


@pytest.mark.parametrize("policy", [{}, {"touch": "first", "invites_first": False}], ids=str)
async def test_a_handler_is_told_what_an_event_is_credited_to(
    make: Make, policy: dict[str, Any]
) -> None:
    tracker = make(**policy)
    now = datetime.now(timezone.utc)
    for session_id, source, days in ALL:
        await tracker.capture(7, session_id, source=source, at=now - days * DAY, bot_id=42)
    session = await tracker.session(7, 42)
    assert session is not None
    assert session.session_id == await credited(tracker, event_time=None)


async def test_a_session_that_was_named_is_known_to_later_events(make: Make) -> None:
    tracker = make()
    await touched(tracker, ("gp_start", "start", 1))
    assert await credited(tracker, session_id="gp_named") == "gp_named"
    assert await credited(tracker, event_time=NOON + DAY) == "gp_named"
    assert await credited(tracker, event_time=NOON - DAY / 2) == "gp_start"
    await touched(tracker, ("gp_later", "start", -2))
    assert await credited(tracker, event_time=NOON + 3 * DAY) == "gp_later"


async def test_a_session_that_a_deposit_or_refund_names_is_known_to_later_events(
    make: Make,
) -> None:
    tracker = make()
    facts = {"telegram_id": 7, "bot_id": 42, "event_time": NOON}
    await tracker.deposit(**facts, value=5, session_id="gp_deposit")
    assert await credited(tracker, event_time=NOON + DAY) == "gp_deposit"
    await tracker.deposit(**{**facts, "event_time": NOON + DAY}, value=5, session_id="gp_next")
    assert await credited(tracker, event_time=NOON + 2 * DAY) == "gp_next"
    await tracker.refund("o1", **{**facts, "event_time": NOON + 2 * DAY}, session_id="gp_refund")
    assert await credited(tracker, event_time=NOON + 3 * DAY) == "gp_refund"


async def test_invites_go_before_sessions_that_were_named_for_other_events(make: Make) -> None:
    tracker = make()
    await touched(tracker, ("gp_invite", "invite", 2))
    await credited(tracker, session_id="gp_named")
    assert await credited(tracker, event_time=NOON + DAY) == "gp_invite"


async def test_a_session_that_is_the_users_already_stays_as_old_as_it_is(make: Make) -> None:
    tracker = make(window=10 * DAY)
    await touched(tracker, ("gp_start", "start", 8))
    assert await credited(tracker, session_id="gp_start") == "gp_start"
    assert await credited(tracker, event_time=NOON + DAY) == "gp_start"
    assert await credited(tracker, event_time=NOON + 5 * DAY) is None


@pytest.mark.parametrize("policy", [{}, {"touch": "first"}], ids=str)
async def test_a_session_that_is_named_again_and_again_is_one_touch(
    make: Make, store: Store, policy: dict[str, Any]
) -> None:
    tracker = make(**policy)
    await touched(tracker, ("gp_invite", "invite", 2))
    for day in range(3):
        at = NOON + day * DAY
        await tracker.track("Lead", telegram_id=7, bot_id=42, session_id="gp_a", event_time=at)
    assert await store.sessions.prune(NOON + 9 * DAY, 99) == 2


@pytest.mark.parametrize("event", ["Purchase", "deposit", "refund"])
async def test_what_is_reported_again_brings_no_old_session_back(make: Make, event: str) -> None:
    tracker = make()

    async def report(days: int) -> Event | None:
        facts = {"telegram_id": 7, "bot_id": 42, "session_id": "gp_old", "value": 5}
        moment = NOON + days * DAY
        if event == "refund":
            return await tracker.refund("o1", event_time=moment, **facts)
        if event == "deposit":
            return await tracker.deposit(once="o1", event_time=moment, **facts)
        return await tracker.track(event, once="o1", event_time=moment, **facts)

    assert await report(0) is not None
    await touched(tracker, ("gp_new", "start", -1))
    assert await report(2) is None
    assert await credited(tracker, event_time=NOON + 3 * DAY) == "gp_new"


async def test_an_event_that_is_dropped_makes_no_session_known(make: Make) -> None:
    tracker = make(before_send=lambda event: None)
    assert await tracker.track("REG", telegram_id=7, bot_id=42, session_id="gp_named") is None
    assert await tracker.session(7, 42) is None


async def test_a_bot_of_its_own_has_sessions_of_its_own(make: Make) -> None:
    tracker = make()
    await touched(tracker, ("gp_start", "start", 1))
    assert await credited(tracker, bot_id=43) is None
    assert await credited(tracker, bot_id=43, session_id="gp_other") == "gp_other"
    assert await credited(tracker) == "gp_start"
    assert await credited(tracker, bot_id=43, event_time=NOON + DAY) == "gp_other"


async def test_a_mark_may_name_the_session(
    dp: Dispatcher, feed: Feed, recorded: Callable[[], Any]
) -> None:
    @dp.message()
    @track("REG", session_id=lambda message: message.text)
    async def handler(message: Message, gp: UserTracker) -> None: ...

    await feed(updates.message("gp_named"))
    events: list[Event] = await recorded()
    assert [event.session_id for event in events] == ["gp_named"]
