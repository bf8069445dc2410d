"""What is kept too long is erased, by age; what was counted stays counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from fixtures.recorder import Recorder
from gp_aiogram import (
    Attribution,
    Click,
    ConfigurationError,
    Destination,
    Event,
    EventRejected,
    MemoryStore,
    Retention,
    SQLiteStore,
    Store,
    StoreError,
    Tracker,
)
from gp_aiogram.model.session import SessionQuery
from gp_aiogram.testing import ManualClock

DAY = timedelta(days=1)

#: Each store with a clock that can be turned; one line makes another one pass the same tests.
STORES: dict[str, Callable[[Path, ManualClock], Store]] = {
    "memory": lambda _, clock: MemoryStore(clock=clock),
    "sqlite": lambda folder, clock: SQLiteStore(folder / "gp.sqlite3", clock=clock),
}


class Choosy(Destination):
    """Takes some events, and refuses those that say so."""

    name = "choosy"

    async def send(self, events: Sequence[Event]) -> None:
        if any(event.name == "bad" for event in events):
            reason = "bad"
            raise EventRejected(reason)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Store:
    return STORES[request.param](tmp_path, clock)


def now(clock: ManualClock) -> datetime:
    return datetime.fromtimestamp(clock.time(), timezone.utc)


def turn(clock: ManualClock, age: timedelta) -> None:
    clock.advance(age.total_seconds())


async def test_touches_clicks_and_links_go_after_90_days(store: Store, clock: ManualClock) -> None:
    async with Tracker([], store=store, clock=clock) as tracker:
        for day in range(3):
            session_id = await tracker.register_click(Click(at=now(clock)), f"gp_{day}")
            await tracker.capture(7, session_id, bot_id=42)
            await tracker.invites.bind(f"t.me/+{day}", session_id)
            turn(clock, DAY)
        await tracker.identify(7, email="ada@example.org")
        turn(clock, 87 * DAY)
        assert await tracker.prune() == 0
        turn(clock, timedelta(milliseconds=1))
        assert await tracker.prune() == 2
        assert await store.profiles.invited("t.me/+0") is None
        assert await store.profiles.invited("t.me/+1") == "gp_1"
        first = await store.find_session(SessionQuery(7, 42, first=True))
        assert first is not None
        assert first.session_id == "gp_1"
        assert (await store.profiles.profile(7, "gp_0")).click is None
        profile = await store.profiles.profile(7, "gp_1")
        assert profile.click is not None
        assert profile.traits
        assert await tracker.prune() == 0


async def test_events_go_once_they_are_settled_and_dead_letters_after_them(
    store: Store, clock: ManualClock
) -> None:
    retention = Retention(events=10 * DAY, dead_letters=20 * DAY)
    choosy, absent = Choosy(), Recorder("absent")
    async with Tracker([choosy], store=store, retention=retention, clock=clock) as tracker:
        for name in ("good", "bad"):
            await tracker.track(name, telegram_id=7, event_id=name)
        assert await tracker.flush()
    waiting = Tracker([absent], store=store, retention=retention, clock=clock)
    await waiting.track("waits", telegram_id=7, event_id="waits")

    async def left() -> set[str]:
        found = [await tracker.deliveries(event_id) for event_id in ("good", "bad", "waits")]
        return {one.event.event_id for deliveries in found for one in deliveries}

    turn(clock, 10 * DAY)
    assert await tracker.prune() == 0
    turn(clock, timedelta(seconds=1))
    assert await tracker.prune() == 1
    assert await left() == {"bad", "waits"}
    turn(clock, 10 * DAY)
    assert await tracker.prune() == 1
    assert await left() == {"waits"}
    turn(clock, 1000 * DAY)
    assert await tracker.prune() == 0
    await store.close()


async def test_what_was_counted_stays_counted(store: Store, clock: ManualClock) -> None:
    async with Tracker([Choosy()], store=store, clock=clock) as tracker:
        assert await tracker.deposit(telegram_id=7, value=5, once="o1", event_id="e1")
        assert await tracker.track("REG", telegram_id=7, once="user")
        await tracker.opt_out(8)
        assert await tracker.flush()
        turn(clock, 400 * DAY)
        assert await tracker.prune() == 2
        assert await tracker.deposit(telegram_id=7, value=5, once="o1") is None
        assert await tracker.deposit(telegram_id=7, value=5, event_id="e1") is None
        assert await tracker.track("REG", telegram_id=7, once="user") is None
        assert await tracker.track("REG", telegram_id=8) is None
        later = await tracker.deposit(telegram_id=7, value=5)
        assert later is not None
        assert later.name == "DEP"


async def test_a_refund_of_what_was_erased_is_told_to_all_that_know_refunds(
    store: Store, clock: ManualClock
) -> None:
    async with Tracker([Choosy()], store=store, clock=clock) as tracker:
        await tracker.track("Purchase", telegram_id=7, value=5, once="o1")
        assert await tracker.flush()
        turn(clock, 40 * DAY)
        assert await tracker.prune() == 1
        refund = await tracker.refund("o1", telegram_id=7)
        assert refund is not None
        assert len(await tracker.deliveries(refund.event_id)) == 1


async def test_there_may_be_thousands_of_rows(store: Store, clock: ManualClock) -> None:
    async with Tracker([Choosy()], store=store, clock=clock) as tracker:
        await asyncio.gather(
            *(tracker.track("REG", telegram_id=number) for number in range(1, 1301)),
            *(tracker.capture(number, f"gp_{number}", bot_id=42) for number in range(1, 1301)),
        )
        assert await tracker.flush()
        turn(clock, 100 * DAY)
        assert await tracker.prune() == 2600
        assert (await tracker.stats()).destinations["choosy"].deliveries == {}


async def test_pruning_does_not_disturb_deliveries(store: Store, clock: ManualClock) -> None:
    recorder = Recorder()
    async with Tracker([recorder], store=store, clock=clock) as tracker:
        for number in range(1, 301):
            await tracker.track("REG", telegram_id=number, event_id=f"old{number}")
        assert await tracker.flush()
        turn(clock, 31 * DAY)

        async def track() -> None:
            for number in range(1, 301):
                await tracker.track("REG", telegram_id=number, event_id=f"new{number}")

        _, pruned = await asyncio.gather(track(), tracker.prune())
        assert await tracker.flush()
        stats = await tracker.stats()
    assert pruned == 300
    assert len({event.event_id for event in recorder.events}) == 600
    assert stats.destinations["recorder"].deliveries == {"delivered": 300}


async def test_touches_that_still_count_are_kept(clock: ManualClock) -> None:
    policy = Attribution(window=365 * DAY)
    retention = Retention(sessions=30 * DAY)
    store = MemoryStore(clock=clock)
    tracker = Tracker([], store=store, attribution=policy, retention=retention, clock=clock)
    await tracker.capture(7, "gp_a", bot_id=42)
    turn(clock, 365 * DAY)
    assert await tracker.prune() == 0
    session = await tracker.session(7, 42)
    assert session is not None
    turn(clock, timedelta(seconds=1))
    assert await tracker.prune() == 1


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prune a hundred times a second instead of every hour."""
    monkeypatch.setattr("gp_aiogram.tracker.pruning._FIRST_ROUND", 0.01)
    monkeypatch.setattr("gp_aiogram.tracker.pruning._ROUNDS", 0.01)


async def erased(store: MemoryStore) -> None:
    """Wait until the touch of the user is gone."""
    for _ in range(500):
        if await store.find_session(SessionQuery(7)) is None:
            return
        await asyncio.sleep(0.01)
    pytest.fail("nothing was erased")


@pytest.mark.usefixtures("quick")
async def test_a_started_tracker_prunes_by_itself_until_it_is_closed(clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    async with Tracker([], store=store, clock=clock) as tracker:
        await tracker.start()
        for _ in range(2):
            await tracker.capture(7, "gp_a")
            turn(clock, 91 * DAY)
            await erased(store)
        jobs = [task for task in asyncio.all_tasks() if task.get_name() == "gp_aiogram prunes"]
        assert len(jobs) == 1
    assert jobs[0].done()


@pytest.mark.usefixtures("quick")
async def test_a_store_that_fails_does_not_end_the_job(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore(clock=clock)
    works, failures = store.sessions.prune, iter([StoreError("disk full"), OSError()])

    async def fail_twice(*args: Any) -> int:
        for failure in failures:
            raise failure
        return await works(*args)

    monkeypatch.setattr(store.sessions, "prune", fail_twice)
    async with Tracker([], store=store, clock=clock) as tracker:
        await tracker.capture(7, "gp_a")
        turn(clock, 91 * DAY)
        await erased(store)
    assert caplog.text.count("could not be erased, trying again later") == 2


@pytest.mark.parametrize("field", ["sessions", "events", "dead_letters"])
@pytest.mark.parametrize("age", [timedelta(0), -DAY, 30, None, timedelta.max, 36_501 * DAY])
def test_an_age_that_makes_no_sense_is_refused(field: str, age: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"Retention\({field}=...\) must be"):
        Retention(**{field: age})


async def test_the_longest_age_keeps_everything(clock: ManualClock) -> None:
    longest = 36_500 * DAY
    tracker = Tracker(
        [],
        store=MemoryStore(clock=clock),
        clock=clock,
        retention=Retention(sessions=longest, events=longest, dead_letters=longest),
    )
    await tracker.capture(7, "gp_a")
    turn(clock, 1000 * DAY)
    assert await tracker.prune() == 0


async def test_nothing_of_a_once_key_can_be_read_from_the_files(tmp_path: Path) -> None:
    path = tmp_path / "gp.sqlite3"
    async with Tracker([], store=SQLiteStore(path)) as tracker:
        await tracker.mark_deposited([5_557_123_456])
        await tracker.opt_out(5_557_123_457)
        for once in ("user", "order-secret-1"):
            await tracker.track("REG", telegram_id=5_557_123_458, bot_id=42, once=once)
        await tracker.deposit(telegram_id=5_557_123_458, value=5, once="order-secret-2")
        running = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    raw = running + b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"5557123458" in raw  # of the events themselves
    for key in (b"5557123456", b"5557123457", b"secret", b"opted", b"user:", b"key:"):
        assert key not in raw
