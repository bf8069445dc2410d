"""Clicks and traits: what is known of a user travels with his events, and nothing of it is raw."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.types import Contact, Message, User

from fixtures import updates
from fixtures.recorder import Feed, Recorder
from gp_aiogram import (
    Attribution,
    Click,
    EventError,
    MemoryStore,
    SQLiteStore,
    Tracker,
    UserTracker,
    track,
)

AT = datetime(2026, 11, 1, 12, 0, 0, 123_000, tzinfo=timezone.utc)
EMAIL, PHONE = "Ada.Lovelace@Example.com", "+1 (650) 555-1212"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def test_a_click_travels_with_the_events_of_its_session(tracker: Tracker) -> None:
    session_id = await tracker.register_click(Click(at=AT, ttclid="E.C.P", ip="203.0.113.9"))
    await tracker.capture(7, session_id, bot_id=42)
    event = await tracker.track("REG", telegram_id=7)
    assert event.click.ttclid == "E.C.P"
    assert event.click.ip == "203.0.113.9"
    other = await tracker.track("REG", telegram_id=8)
    assert other.click is None


async def test_session_ids_cannot_be_guessed_and_fit_into_a_deep_link(tracker: Tracker) -> None:
    minted = {await tracker.register_click(Click(at=AT)) for _ in range(200)}
    assert len(minted) == 200
    assert all(tracker.attribution.session_id(one) == one for one in minted)
    assert {len(one) for one in minted} == {31}


async def test_minted_session_ids_pass_grammars_of_the_bots_own(store: MemoryStore) -> None:
    attribution = Attribution(
        pattern=r"(gp|ad)_\w+",
        parse=lambda payload: payload.partition("__")[0],
    )
    tracker = Tracker([], store=store, attribution=attribution)
    for _ in range(200):
        session_id = await tracker.register_click(Click(at=AT))
        assert attribution.session_id(session_id) == session_id


async def test_a_session_id_of_the_callers_own_is_taken_once(tracker: Tracker) -> None:
    assert await tracker.register_click(Click(at=AT), "gp_mine") == "gp_mine"
    with pytest.raises(EventError, match="already"):
        await tracker.register_click(Click(at=AT), "gp_mine")
    with pytest.raises(EventError, match="no deep link"):
        await tracker.register_click(Click(at=AT), "mine")


@pytest.mark.parametrize(
    ("click", "fbc"),
    [
        (Click(at=AT), None),
        (Click(at=AT, fbclid="IwAR_Case"), "fb.1.1793534400123.IwAR_Case"),
        (Click(at=AT, fbc="fb.1.1554763741205.Old"), "fb.1.1554763741205.Old"),
        (
            Click(at=AT, fbc="fb.1.1554763741205.Same", fbclid="Same"),
            "fb.1.1554763741205.Same",
        ),
        (
            Click(at=AT, fbc="fb.2.1554763741205.Same.AQ", fbclid="Same"),
            "fb.2.1554763741205.Same.AQ",
        ),
        (Click(at=AT, fbc="fb.1.1554763741205.Old", fbclid="New"), "fb.1.1793534400123.New"),
        (Click(at=AT, fbc="rubbish", fbclid="New"), "fb.1.1793534400123.New"),
        (Click(at=AT, fbc="rubbish"), None),
    ],
)
async def test_fbc_is_what_meta_wants(tracker: Tracker, click: Click, fbc: str | None) -> None:
    session_id = await tracker.register_click(click)
    event = await tracker.track("REG", telegram_id=7, session_id=session_id)
    assert event.click.fbc == fbc


@pytest.mark.parametrize(
    ("fbp", "kept"),
    [("fb.1.1596403881668.1098115397", True), ("fb.1.x.1", False), ("1098115397", False)],
)
async def test_a_malformed_fbp_is_left_out(tracker: Tracker, fbp: str, kept: bool) -> None:
    session_id = await tracker.register_click(Click(at=AT, fbp=fbp))
    event = await tracker.track("REG", telegram_id=7, session_id=session_id)
    assert event.click.fbp == (fbp if kept else None)


async def test_traits_are_hashed_as_each_platform_wants_them(tracker: Tracker) -> None:
    await tracker.identify(7, email=EMAIL, phone=PHONE, city="São Paulo", lead_id="lead_1")
    event = await tracker.track("REG", telegram_id=7)
    meta, tiktok = event.traits["meta"], event.traits["tiktok"]
    assert meta["em"] == tiktok["em"] == sha256("ada.lovelace@example.com")
    assert meta["ph"] == sha256("16505551212")
    assert tiktok["ph"] == sha256("+16505551212")
    assert meta["ct"] == sha256(tiktok["ct"])
    assert event.traits["leadsail"] == {"lead_id": "lead_1"}


async def test_what_cannot_be_used_is_left_out(tracker: Tracker) -> None:
    await tracker.identify(7, email="nobody", phone=None, country=object(), first_name="Ada")
    event = await tracker.track("REG", telegram_id=7)
    assert set(event.traits["meta"]) == {"fn"}


async def test_a_trait_of_another_name_is_refused(tracker: Tracker) -> None:
    with pytest.raises(EventError, match=r"no trait 'mail'; there are: birthday"):
        await tracker.identify(7, mail=EMAIL)


async def test_already_hashed_traits_pass(tracker: Tracker) -> None:
    await tracker.identify(7, email=sha256("a@example.com").upper())
    event = await tracker.track("REG", telegram_id=7)
    assert event.traits["meta"]["em"] == sha256("a@example.com")


async def test_later_traits_complete_earlier_ones(tracker: Tracker) -> None:
    await tracker.identify(7, email=EMAIL, phone=PHONE)
    await tracker.identify(7, phone="+44 20 7946 0018")
    event = await tracker.track("REG", telegram_id=7)
    assert event.traits["meta"]["em"] == sha256(EMAIL.lower())
    assert event.traits["meta"]["ph"] == sha256("442079460018")


async def test_telegrams_own_names_are_used_only_when_asked_for(
    dp: Dispatcher,
    feed: Feed,
    recorded: Any,
) -> None:
    @dp.message()
    @track("A")
    async def handler(message: Message, gp: UserTracker) -> None:
        if message.text == "yes":
            await gp.identify(user=message.from_user)

    await feed(updates.message("no"))
    await feed(updates.message("yes"))
    before, after = await recorded()
    assert before.traits == {}
    assert after.traits["meta"] == {"fn": sha256("ada"), "ln": sha256("lovelace")}
    assert after.traits["tiktok"]["locale"] == "en"


@pytest.mark.parametrize(
    ("owner", "number", "expected"),
    [
        (7, "16505551212", "16505551212"),
        (7, "+16505551212", "16505551212"),
        (8, "16505551212", None),
        (None, "16505551212", None),
    ],
)
async def test_only_the_users_own_contact_is_used(
    tracker: Tracker,
    owner: int | None,
    number: str,
    expected: str | None,
) -> None:
    contact = Contact(phone_number=number, first_name="Ada", user_id=owner)
    await tracker.identify(7, contact=contact)
    event = await tracker.track("REG", telegram_id=7)
    if expected is None:
        assert event.traits == {}
    else:
        assert event.traits["meta"] == {"ph": sha256(expected)}
        assert event.traits["tiktok"] == {"ph": sha256(f"+{expected}")}


async def test_nothing_raw_is_ever_stored_or_logged(
    tmp_path: Path,
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    recorder.max_age = timedelta(days=1)
    async with Tracker([recorder], store=SQLiteStore(tmp_path / "gp.sqlite3")) as tracker:
        await tracker.identify(7, email=EMAIL, phone=PHONE, first_name="Lovelace-Byron")
        event = await tracker.track("REG", telegram_id=7, event_time=AT)
        assert await tracker.flush(5)
        (letter,) = await tracker.dead_letters()
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    shown = f"{caplog.text}{event!r}{letter!r}"
    for raw in (EMAIL, EMAIL.lower(), "16505551212", "555-1212", "Byron", "byron"):
        assert raw.encode() not in stored
        assert raw not in shown


async def test_an_unreadable_profile_does_not_cost_the_event(
    tracker: Tracker,
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: Any) -> None:
        raise OSError

    monkeypatch.setattr(store.profiles, "profile", broken)
    assert await tracker.track("REG", telegram_id=7) is not None
    assert (await tracker.stats()).counts["profile_errors"] == 1


async def test_the_bots_username_travels_once_aiogram_knows_it(
    dp: Dispatcher,
    feed: Feed,
    bot: Any,
    recorded: Any,
) -> None:
    @dp.message()
    @track("A")
    async def handler(message: Message) -> None: ...

    await feed(updates.message())
    bot._me = User(id=42, is_bot=True, first_name="Bot", username="my_bot")
    await feed(updates.message())
    assert [event.bot_username for event in await recorded()] == [None, "my_bot"]
