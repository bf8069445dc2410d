"""A user who is forgotten: nothing of him is left in the files, and nothing counts twice."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher

from fixtures import updates
from fixtures.banks import STORES, bank, payment
from fixtures.recorder import Recorder
from gp_aiogram import (
    Click,
    DeliveryFailed,
    Destination,
    Event,
    MemoryStore,
    SQLiteStore,
    Store,
    StoreError,
    Tracker,
)
from gp_aiogram.stores.sqlite.schema import APPLICATION_ID, MIGRATIONS
from gp_aiogram.testing import ManualClock

ADA, BOB = 5_557_123_456, 6_667_123_456
AT = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)


def named(name: str) -> dict[str, str]:
    """What is unmistakable about a user in a file."""
    return {
        "session": f"gp_session-of-{name}",
        "manual": f"gp_manual-of-{name}",
        "invite": f"gp_invite-of-{name}",
        "link": f"t.me/+LinkFor{name}",
        "fbclid": f"IwAR_{name}",
        "ip": {"ada": "198.51.100.77", "bob": "198.51.100.88"}[name],
        "browser": f"Browser of {name}",
        "email": sha256(f"{name}@example.org".encode()).hexdigest(),
        "note": f"note on {name}",
        "order": f"order-of-{name}",
        "reason": f"refused {name}",
        "event": f"event-of-{name}",
    }


class Fussy(Destination):
    """Gives receipts and reasons that name a person."""

    name = "fussy"

    async def send(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        (event,) = events
        if "reason" in event.user_data:
            raise DeliveryFailed(event.user_data["reason"])
        return [{"receipt for": event.user_data.get("note")}]


async def live(tracker: Tracker, telegram_id: int, name: str) -> None:
    """Have a user do all that leaves something in the store."""
    known = named(name)
    click = Click(at=AT, fbclid=known["fbclid"], ip=known["ip"], user_agent=known["browser"])
    await tracker.register_click(click, known["session"])
    await tracker.register_click(click, known["invite"])
    await tracker.invites.bind(known["link"], known["invite"])
    await tracker.capture(telegram_id, known["session"], bot_id=42)
    await tracker.capture_invite(telegram_id, known["link"], bot_id=42)
    await tracker.identify(telegram_id, email=f"{name}@example.org")
    note = {"note": known["note"]}
    await tracker.deposit(telegram_id=telegram_id, value=5, once=known["order"], user_data=note)
    await tracker.track(
        "REG",
        telegram_id=telegram_id,
        event_id=known["event"],
        session_id=known["manual"],
        user_data=note,
        once="user",
    )
    await tracker.track("Lead", telegram_id=telegram_id, user_data={"reason": known["reason"]})
    for number in range(200):  # more than one page of each table
        await tracker.track("Level", telegram_id=telegram_id, user_data={**note, "n": number})
        await tracker.capture(telegram_id, f"{known['session']}{number}", bot_id=42)


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def found(telegram_id: int, name: str, raw: bytes) -> set[str]:
    """What of a user is in the bytes of files."""
    texts = {key: text.encode() for key, text in named(name).items()}
    texts["telegram id"] = str(telegram_id).encode()
    return {key for key, text in texts.items() if text in raw}


@pytest.mark.parametrize("closed_before", [False, True])
async def test_nothing_is_left_in_the_files(tmp_path: Path, closed_before: bool) -> None:
    path = tmp_path / "gp.sqlite3"
    async with Tracker([Fussy()], store=SQLiteStore(path)) as tracker:
        await live(tracker, ADA, "ada")
        await live(tracker, BOB, "bob")
        assert await tracker.flush()
        if not closed_before:
            await tracker.forget(ADA)
    if closed_before:
        # Once-keys, the order among them, were never there to be read.
        assert found(ADA, "ada", on_disk(tmp_path)) == {*all_of("ada")} - {"order"}
        async with Tracker([Fussy()], store=SQLiteStore(path)) as tracker:
            await tracker.forget(ADA)
    assert found(ADA, "ada", on_disk(tmp_path)) == set()
    assert found(BOB, "bob", on_disk(tmp_path)) == {*all_of("bob")} - {"order"}


def all_of(name: str) -> list[str]:
    return [*named(name), "telegram id"]


async def test_raw_keys_of_an_older_file_are_gone_once_it_is_brought_up_to_date(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gp.sqlite3"
    old = sqlite3.connect(path)
    old.executescript(
        f"{MIGRATIONS[0]} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;"
    )
    keys = [(f"user:42:{ADA}:FTD", 0), *((f"key:Purchase:secret-{n}", 0) for n in range(500))]
    old.executemany("INSERT INTO once VALUES (?, ?)", keys)
    old.commit()
    old.close()
    assert b"secret-499" in on_disk(tmp_path)
    async with Tracker([], store=SQLiteStore(path)) as tracker:
        deposit = await tracker.deposit(telegram_id=ADA, bot_id=42, value=5)
        assert deposit is not None
        assert deposit.name == "DEP"
        await tracker.forget(ADA)
    assert b"secret-" not in on_disk(tmp_path)
    assert found(ADA, "ada", on_disk(tmp_path)) == set()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return STORES[request.param](tmp_path)


async def test_who_is_forgotten_is_as_if_he_had_never_been(tracker: Tracker, store: Store) -> None:
    await live(tracker, ADA, "ada")
    await live(tracker, BOB, "bob")
    await tracker.forget(ADA)
    assert await tracker.session(ADA) is None
    event = await tracker.track("Lead", telegram_id=ADA)
    assert event is not None
    assert (event.bot_id, event.session_id, event.click, event.traits) == (None, None, None, {})
    other = await tracker.track("Lead", telegram_id=BOB)
    assert other is not None
    assert (other.bot_id, other.session_id) == (42, named("bob")["invite"])
    assert other.traits["meta"]["em"] == named("bob")["email"]
    assert len(await tracker.deliveries(named("bob")["event"])) == 1
    assert await tracker.deliveries(named("ada")["event"]) == []


async def test_what_has_counted_does_not_count_again(tmp_path: Path, bot: Bot) -> None:
    path = tmp_path / "gp.sqlite3"
    reports = [updates.click("deposit:5"), payment("charge-1")]
    for expected in (["FTD", "DEP"], []):
        recorder, dispatcher = Recorder(), Dispatcher()
        async with Tracker([recorder], store=SQLiteStore(path)) as tracker:
            tracker.setup(dispatcher)
            bank(dispatcher)
            for report in reports:
                await dispatcher.feed_raw_update(bot, report)
            await dispatcher.feed_raw_update(bot, payment("charge-1"))
            assert await tracker.flush()
            assert [event.name for event in recorder.events] == expected
            await tracker.forget(7)
            again = await tracker.deposit(telegram_id=7, bot_id=42, value=5)
            assert again is not None
            assert again.name == "DEP"
            await tracker.forget(7)


async def test_forgetting_again_or_a_stranger_is_harmless(tracker: Tracker) -> None:
    await tracker.forget(ADA)
    await live(tracker, ADA, "ada")
    await asyncio.gather(*(tracker.forget(ADA) for _ in range(5)))
    assert await tracker.session(ADA) is None


class Slow(Destination):
    """Waits before it takes an event or fails."""

    name = "slow"

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.busy, self.go_on = asyncio.Event(), asyncio.Event()
        self.events: list[Event] = []

    async def send(self, events: Sequence[Event]) -> None:
        self.busy.set()
        await self.go_on.wait()
        self.events += events
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [None, DeliveryFailed("down")], ids=["taken", "fails"])
@pytest.mark.parametrize("in_file", [False, True], ids=["memory", "sqlite"])
async def test_what_is_under_way_ends_and_is_not_tried_again(
    tmp_path: Path, error: Exception | None, in_file: bool
) -> None:
    slow, clock = Slow(error), ManualClock()
    path = tmp_path / "gp.sqlite3"
    store = SQLiteStore(path, clock=clock) if in_file else MemoryStore(clock=clock)
    async with Tracker([slow], store=store, clock=clock) as tracker:
        await tracker.track("REG", telegram_id=ADA)
        await slow.busy.wait()
        await tracker.forget(ADA)
        slow.go_on.set()
        assert await tracker.flush()
        clock.advance(3600)
        slow.error = None
        await tracker.track("REG", telegram_id=BOB)
        assert await tracker.flush()
        stats = await tracker.stats()
    assert [event.telegram_id for event in slow.events] == [ADA, BOB]
    assert stats.destinations["slow"].deliveries == {"delivered": 1}


async def test_what_a_failing_store_left_is_erased_when_the_user_is_forgotten_again(
    tracker: Tracker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(tracker, ADA, "ada")
    works, failures = store.profiles.erase, iter([StoreError("disk full")])

    async def fail_once(*args: Any) -> None:
        for failure in failures:
            raise failure
        await works(*args)

    monkeypatch.setattr(store.profiles, "erase", fail_once)
    with pytest.raises(StoreError):
        await tracker.forget(ADA)
    await tracker.forget(ADA)
    profile = await store.profiles.profile(ADA, named("ada")["session"])
    assert profile == await store.profiles.profile(1, None)
    assert await store.profiles.invited(named("ada")["link"]) is None


async def test_what_happens_while_a_user_is_being_forgotten_is_forgotten_too(
    tracker: Tracker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(tracker, ADA, "ada")
    forget_sessions, meanwhile = store.sessions.erase, []

    async def after_one_more_event(telegram_id: int) -> set[str]:
        meanwhile.append(await tracker.track("REG", telegram_id=telegram_id))
        return await forget_sessions(telegram_id)

    monkeypatch.setattr(store.sessions, "erase", after_one_more_event)
    await tracker.forget(ADA)
    (event,) = meanwhile
    assert event.session_id is not None
    assert await tracker.deliveries(event.event_id) == []


async def test_a_click_goes_with_its_last_user(tracker: Tracker, store: Store) -> None:
    session_id = await tracker.register_click(Click(fbclid="IwAR0aBcDeFgHiJkLmNoPqRsTuVwXyZ"))
    for user in (ADA, BOB):
        await tracker.capture(user, session_id, bot_id=42)
    await tracker.forget(BOB)
    assert (await store.profiles.profile(ADA, session_id)).click is not None
    await tracker.forget(ADA)
    assert (await store.profiles.profile(ADA, session_id)).click is None
