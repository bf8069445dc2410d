from __future__ import annotations

import asyncio
import sqlite3
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fixtures.recorder import Recorder
from gp_aiogram import (
    Attribution,
    ConfigurationError,
    Event,
    EventError,
    EventRejected,
    MemoryStore,
    Session,
    SessionStore,
    SQLiteStore,
    Store,
    Tracker,
)
from gp_aiogram.stores.memory.sessions import MemorySessions
from gp_aiogram.testing import ManualClock

NOW = datetime.now(timezone.utc)


async def deliver(tracker: Tracker) -> None:
    await tracker.start()
    assert await tracker.flush(5)


async def test_an_event_from_a_webhook_is_joined_with_the_session(
    tracker: Tracker,
    recorder: Recorder,
) -> None:
    await tracker.capture(7, "gp_a", bot_id=42)
    event = await tracker.track("FTD", telegram_id=7, value="99.90", currency="eur")
    assert event is not None
    assert (event.session_id, event.bot_id) == ("gp_a", 42)
    assert (event.value, event.currency) == (Decimal("99.90"), "EUR")
    await deliver(tracker)
    assert recorder.events == [event]


async def test_an_organic_user_is_tracked_too(tracker: Tracker) -> None:
    event = await tracker.track("REG", telegram_id=7)
    assert event is not None
    assert (event.session_id, event.bot_id, event.currency) == (None, None, None)


async def test_a_value_without_currency_is_in_dollars(tracker: Tracker) -> None:
    event = await tracker.track("DEP", telegram_id=7, value=1)
    assert event is not None
    assert event.currency == "USD"


@pytest.mark.parametrize("name", ["FTD", "DEP", "Purchase"])
async def test_an_event_that_needs_a_value_is_refused_without(
    tracker: Tracker,
    name: str,
) -> None:
    with pytest.raises(EventError, match=f"{name} needs a value"):
        await tracker.track(name, telegram_id=7)


@pytest.mark.parametrize(
    "arguments",
    [
        {"telegram_id": "7"},
        {"telegram_id": 0},
        {"telegram_id": True},
        {"telegram_id": 2**63},
        {"name": ""},
        {"name": None},
        {"name": "x" * 101},
        {"value": -1},
        {"value": -1, "currency": "XTR"},
        {"event_time": datetime(2026, 1, 1)},  # noqa: DTZ001 - the point
        {"user_data": []},
        {"session_id": ""},
        {"event_id": ""},
        {"once": True},
        {"once": ""},
        {"once": "\ud800"},
        {"event_id": "\ud800"},
        {"once": 1.5},
        {"to": "nowhere"},
        {"to": ["recorder", "nowhere"]},
    ],
    ids=str,
)
async def test_bad_input_is_refused_and_stores_nothing(
    tracker: Tracker,
    recorder: Recorder,
    arguments: dict[str, Any],
) -> None:
    with pytest.raises(EventError):
        await tracker.track(**{"name": "Lead", "telegram_id": 7, **arguments})
    await deliver(tracker)
    assert recorder.events == []
    assert (await tracker.stats()).counts.get("tracked", 0) == 0


async def test_the_same_event_id_is_recorded_once(tracker: Tracker) -> None:
    events = await asyncio.gather(
        *(tracker.track("REG", telegram_id=7, event_id="order 15") for _ in range(50)),
    )
    assert sum(event is not None for event in events) == 1
    assert (await tracker.stats()).counts == {"tracked": 1, "duplicates": 49}


async def test_once_per_user_is_per_user_bot_and_name(tracker: Tracker) -> None:
    async def recorded(**arguments: Any) -> bool:
        defaults = {"name": "REG", "telegram_id": 7, "bot_id": 42, "once": "user"}
        return await tracker.track(**{**defaults, **arguments}) is not None

    assert await recorded()
    assert not await recorded()
    assert await recorded(telegram_id=8)
    assert await recorded(bot_id=43)
    assert await recorded(name="TRIAL")


async def test_once_with_a_key_is_for_everybody_but_per_name(tracker: Tracker) -> None:
    async def recorded(**arguments: Any) -> bool:
        defaults = {"name": "REG", "telegram_id": 7, "once": "order 15"}
        return await tracker.track(**{**defaults, **arguments}) is not None

    assert await recorded()
    assert not await recorded(telegram_id=8)
    assert await recorded(name="TRIAL")
    assert await recorded(once=15)
    assert not await recorded(once="15")


async def test_a_refund_gives_back_all_of_the_payment_unless_told_otherwise(
    tracker: Tracker,
    recorder: Recorder,
) -> None:
    for order in ("whole", "part"):
        await tracker.deposit(telegram_id=7, value="19.99", currency="EUR", once=order)
    await deliver(tracker)
    whole = await tracker.refund("whole", telegram_id=7)
    part = await tracker.refund("part", telegram_id=7, value=5, currency="USD")
    unknown = await tracker.refund("unknown", telegram_id=7)
    await deliver(tracker)
    assert recorder.events[2:] == [whole, part, unknown]
    told = [(event.name, event.value, event.currency) for event in recorder.events[2:]]
    assert told == [
        ("Refund", Decimal("19.99"), "EUR"),
        ("Refund", Decimal(5), "USD"),
        ("Refund", None, None),
    ]


async def test_once_is_decided_atomically(tmp_path: Path, recorder: Recorder) -> None:
    async with Tracker([recorder], store=SQLiteStore(tmp_path / "gp.sqlite3")) as tracker:
        events = await asyncio.gather(
            *(tracker.track("REG", telegram_id=7, once="user") for _ in range(100)),
        )
        assert sum(event is not None for event in events) == 1
        assert await tracker.flush(5)
    assert len(recorder.events) == 1


async def test_the_event_is_on_disk_when_track_returns(tmp_path: Path) -> None:
    tracker = Tracker([], store=SQLiteStore(tmp_path / "gp.sqlite3"))
    event = await tracker.track("REG", telegram_id=7)
    assert event is not None
    # The write-ahead log is read here by a connection of its own, as after a crash.
    reader = sqlite3.connect(f"file:{tmp_path / 'gp.sqlite3'}?mode=ro", uri=True)
    assert reader.execute("SELECT event_id FROM event").fetchall() == [(event.event_id,)]
    reader.close()
    await tracker.close()


async def test_the_bot_is_found_by_a_touch_then_by_an_event_then_because_it_is_the_only(
    tracker: Tracker,
) -> None:
    tracker.meet_bot(40)
    assert (await tracker.track("A", telegram_id=7)).bot_id == 40
    tracker.meet_bot(41)
    assert (await tracker.track("A", telegram_id=7)).bot_id == 40
    assert (await tracker.track("A", telegram_id=8)).bot_id is None
    await tracker.track("A", telegram_id=8, bot_id=43)
    assert (await tracker.track("A", telegram_id=8)).bot_id == 43
    await tracker.capture(8, "gp_a", bot_id=44)
    assert (await tracker.track("A", telegram_id=8)).bot_id == 44
    assert (await tracker.capture(8, "gp_b")).bot_id == 44


async def test_a_session_of_another_bot_is_not_used(tracker: Tracker) -> None:
    await tracker.capture(7, "gp_a", bot_id=42)
    assert (await tracker.track("A", telegram_id=7, bot_id=43)).session_id is None
    assert await tracker.session(7, 43) is None
    assert (await tracker.session(7)).session_id == "gp_a"


async def test_a_click_after_the_event_is_not_credited(tracker: Tracker) -> None:
    for days, payload in ((5, "gp_before"), (1, "gp_after")):
        await tracker.capture(7, payload, bot_id=42, at=NOW - timedelta(days=days))
    event = await tracker.track("A", telegram_id=7, event_time=NOW - timedelta(days=3))
    assert event.session_id == "gp_before"
    assert (await tracker.track("A", telegram_id=7)).session_id == "gp_after"


async def test_telegrams_clock_may_be_ahead_of_ours(tracker: Tracker) -> None:
    await tracker.capture(7, "gp_a", bot_id=42, at=NOW + timedelta(minutes=3))
    assert (await tracker.track("A", telegram_id=7)).session_id == "gp_a"


@pytest.mark.parametrize(
    ("touch", "window", "expected"),
    [("last", 30, "gp_1"), ("first", 30, "gp_20"), ("first", 50, "gp_40"), ("last", 0.5, None)],
)
async def test_the_attribution_policy_decides(
    recorder: Recorder,
    touch: Any,
    window: float,
    expected: str | None,
) -> None:
    attribution = Attribution(touch, timedelta(days=window))
    tracker = Tracker([recorder], store=MemoryStore(), attribution=attribution)
    for days in (40, 20, 1):
        await tracker.capture(7, f"gp_{days}", bot_id=42, at=NOW - timedelta(days=days))
    assert (await tracker.track("A", telegram_id=7)).session_id == expected


async def test_an_explicit_session_wins(tracker: Tracker) -> None:
    await tracker.capture(7, "gp_a", bot_id=42)
    event = await tracker.track("A", telegram_id=7, session_id="gp_b")
    assert event.session_id == "gp_b"


async def test_capture_ignores_what_is_no_session_and_refuses_nonsense(tracker: Tracker) -> None:
    assert await tracker.capture(7, "ref_1") is None
    with pytest.raises(EventError, match="source must be one of"):
        await tracker.capture(7, "gp_a", source="magic")
    with pytest.raises(EventError, match="telegram_id"):
        await tracker.capture(0, "gp_a")
    with pytest.raises(EventError, match="time zone"):
        await tracker.capture(7, "gp_a", at=datetime(2026, 1, 1))  # noqa: DTZ001 - the point


async def test_to_selects_destinations(store: MemoryStore) -> None:
    one, two = Recorder("one"), Recorder("two")
    async with Tracker([one, two], store=store) as tracker:
        await tracker.track("all", telegram_id=7)
        await tracker.track("one", telegram_id=7, to="one")
        await tracker.track("two", telegram_id=7, to=["two"])
        assert await tracker.flush(5)
    assert sorted(event.name for event in one.events) == ["all", "one"]
    assert sorted(event.name for event in two.events) == ["all", "two"]


async def test_a_destination_gets_only_the_events_that_it_wants(store: MemoryStore) -> None:
    everything, money = Recorder("everything"), Recorder("money")
    money.only = {"FTD", "DEP"}
    async with Tracker([everything, money], store=store) as tracker:
        await tracker.track("REG", telegram_id=7)
        await tracker.track("FTD", telegram_id=7, value=1)
        await tracker.track("TRIAL", telegram_id=7, to=["money"])
        assert await tracker.flush(5)
    assert sorted(event.name for event in everything.events) == ["FTD", "REG"]
    assert sorted(event.name for event in money.events) == ["FTD", "TRIAL"]


async def test_each_destination_has_its_own_fate(store: MemoryStore) -> None:
    """Two pixels of one platform are two destinations."""
    one, two = Recorder("meta"), Recorder("meta 2")

    async def refuse(_: list[Event]) -> None:
        msg = "bad"
        raise EventRejected(msg)

    two.send = refuse
    async with Tracker([one, two], store=store) as tracker:
        event = await tracker.track("REG", telegram_id=7)
        assert await tracker.flush(5)
        states = {
            each.destination: each.state for each in await tracker.deliveries(event.event_id)
        }
    assert states == {"meta": "delivered", "meta 2": "dead"}


def test_two_destinations_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="share a name"):
        Tracker([Recorder(), Recorder()], store=MemoryStore())


def test_a_store_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be a Store"):
        Tracker([], store="sqlite:///gp.sqlite3")


class OwnSessions(SessionStore):
    """A user's session store over a plain list."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []

    async def add(self, session: Session) -> None:
        self.sessions.append(session)

    async def history(self, telegram_id: int, **_: Any) -> list[Session]:
        return [one for one in self.sessions if one.telegram_id == telegram_id]

    async def erase(self, telegram_id: int) -> set[str]:
        gone = [one for one in self.sessions if one.telegram_id == telegram_id]
        self.sessions = [one for one in self.sessions if one not in gone]
        return {one.session_id for one in gone}

    async def prune(self, before: datetime, limit: int) -> int:
        gone = [one for one in self.sessions if one.at < before][:limit]
        self.sessions = [one for one in self.sessions if one not in gone]
        return len(gone)


async def test_a_session_store_alone_keeps_the_default_outbox(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recorder: Recorder,
) -> None:
    monkeypatch.chdir(tmp_path)
    sessions = OwnSessions()
    async with Tracker([recorder], store=sessions) as tracker:
        await tracker.capture(7, "gp_a", bot_id=42)
        await tracker.track("REG", telegram_id=7)
        assert await tracker.flush(5)
    assert len(sessions.sessions) == 1
    assert [event.session_id for event in recorder.events] == ["gp_a"]
    assert (tmp_path / "gp.sqlite3").exists()


async def test_sessions_and_outbox_may_be_given_apart(recorder: Recorder) -> None:
    store = Store.of(OwnSessions(), MemoryStore())
    async with Tracker([recorder], store=store) as tracker:
        await tracker.capture(7, "gp_a", bot_id=42)
        assert (await tracker.track("REG", telegram_id=7)).session_id == "gp_a"


async def test_the_default_store_is_a_file_here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    async with Tracker([]):
        assert (tmp_path / "gp.sqlite3").exists()


async def test_what_became_of_an_event_can_be_seen(
    tracker: Tracker,
    recorder: Recorder,
) -> None:
    event = await tracker.track("REG", telegram_id=7)
    (delivery,) = await tracker.deliveries(event.event_id)
    assert (delivery.state, delivery.destination) == ("pending", "recorder")
    await deliver(tracker)
    (delivery,) = await tracker.deliveries(event.event_id)
    assert delivery.state == "delivered"
    stats = await tracker.stats()
    assert stats.destinations["recorder"].deliveries == {"delivered": 1}
    assert stats.destinations["recorder"].state == "healthy"


async def test_dead_letters_can_be_seen_and_replayed() -> None:
    clock = ManualClock()
    recorder = Recorder()
    recorder.max_age = timedelta(days=7)
    async with Tracker([recorder], store=MemoryStore(clock=clock), clock=clock) as tracker:
        old = datetime.fromtimestamp(clock.time(), timezone.utc) - timedelta(days=8)
        event = await tracker.track("REG", telegram_id=7, event_time=old)
        assert await tracker.flush(5)
        (letter,) = await tracker.dead_letters()
        assert letter.event == event
        assert "7 days" in letter.reason
        recorder.max_age = None
        assert await tracker.replay("nowhere") == 0
        assert await tracker.replay(event_id=event.event_id) == 1
        assert await tracker.flush(5)
        assert await tracker.dead_letters() == []
    assert recorder.events == [event]


async def test_events_tracked_while_closed_are_delivered_after_the_next_start(
    tmp_path: Path,
    recorder: Recorder,
) -> None:
    tracker = Tracker([recorder], store=SQLiteStore(tmp_path / "gp.sqlite3"))
    await tracker.start()
    closing = asyncio.create_task(tracker.close())
    during = [await tracker.track("during", telegram_id=7) for _ in range(5)]
    await closing
    after = await tracker.track("after", telegram_id=7)
    assert all(during)
    assert after is not None
    await tracker.close()
    async with Tracker([recorder], store=SQLiteStore(tmp_path / "gp.sqlite3")) as again:
        assert await again.flush(5)
    assert sorted(event.name for event in recorder.events) == ["after", *["during"] * 5]


async def test_close_may_be_repeated_and_needs_no_start(tracker: Tracker) -> None:
    await tracker.close()
    await tracker.start()
    await tracker.close()
    await tracker.close()


class Hanging(Recorder):
    """Never answers, and does not even let itself be cancelled."""

    async def send(self, events: list[Event]) -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
                self.stubborn -= 1

    stubborn = 0


@pytest.mark.parametrize("stubborn", [0, 1])
async def test_close_never_hangs(
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    stubborn: int,
) -> None:
    monkeypatch.setattr("gp_aiogram.delivery.courier._CLOSING", 0.05)
    hanging = Hanging()
    hanging.stubborn = stubborn
    tracker = Tracker([hanging], store=store)
    await tracker.start()
    await tracker.track("REG", telegram_id=7)
    await asyncio.sleep(0)
    started = asyncio.get_running_loop().time()
    await tracker.close(grace=0.05)
    assert asyncio.get_running_loop().time() - started < 1


async def test_a_tracker_without_destinations_keeps_history(
    store: MemoryStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Tracker([], store=store) as tracker:
        event = await tracker.track("REG", telegram_id=7)
        assert await tracker.flush(5)
        assert await tracker.deliveries(event.event_id) == []
    assert "start the tracker" not in caplog.text


async def test_a_warning_says_that_nobody_delivers(
    tracker: Tracker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await tracker.track("REG", telegram_id=7)
    await tracker.track("REG", telegram_id=7)
    warnings = [one.message for one in caplog.records if "start the tracker" in one.message]
    assert len(warnings) == 1


class SlowSessions(MemorySessions):
    """Takes touches once it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.takes = asyncio.Event()

    async def add(self, session: Session) -> None:
        await self.takes.wait()
        await super().add(session)


@pytest.mark.parametrize("apart", [False, True], ids=["whole store", "split store"])
async def test_an_event_waits_for_the_touch_that_is_being_kept(
    recorder: Recorder,
    apart: bool,
) -> None:
    sessions, store = SlowSessions(), MemoryStore()
    store.sessions = sessions
    tracker = Tracker([recorder], store=Store.of(sessions, MemoryStore()) if apart else store)
    captured = asyncio.create_task(tracker.capture(7, "gp_a", bot_id=42))
    await asyncio.sleep(0)
    tracked = asyncio.create_task(tracker.track("REG", telegram_id=7, bot_id=42))
    await asyncio.wait([tracked], timeout=0.05)
    sessions.takes.set()
    await captured
    event = await tracked
    assert event is not None
    assert event.session_id == "gp_a"


@pytest.mark.parametrize("bot_id", ["42", 0, -5, True, 2**63, 42.0])
async def test_a_bot_has_an_id(tracker: Tracker, bot_id: Any) -> None:
    for wrong in (
        tracker.track("REG", telegram_id=7, bot_id=bot_id),
        tracker.deposit(telegram_id=7, value=5, bot_id=bot_id),
        tracker.capture(7, "gp_a", bot_id=bot_id),
        tracker.mark_deposited(7, bot_id=bot_id),
    ):
        with pytest.raises(EventError, match="bot_id must be a bot's positive integer id"):
            await wrong
    assert await tracker.session(7) is None
