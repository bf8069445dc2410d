"""``before_send``: the owner of a bot changes or drops an event before it is stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import Message

from fixtures import updates
from fixtures.recorder import Recorder
from gp_aiogram import Event, EventError, MemoryStore, SQLiteStore, Tracker, track
from gp_aiogram.tracker.before_send import BeforeSend

Make = Callable[[BeforeSend], Tracker]


@pytest.fixture
async def make(recorder: Recorder) -> AsyncIterator[Make]:
    made: list[Tracker] = []

    def make(before_send: BeforeSend) -> Tracker:
        made.append(Tracker([recorder], store=MemoryStore(), before_send=before_send))
        return made[-1]

    yield make
    for tracker in made:
        await tracker.close(grace=0)


async def test_it_sees_the_event_complete_and_its_change_is_what_counts(
    make: Make, recorder: Recorder
) -> None:
    seen: list[Event] = []

    def halve(event: Event) -> Event:
        seen.append(event)
        assert event.value is not None
        return replace(event, value=event.value / 2, user_data={**event.user_data, "a": 1})

    tracker = make(halve)
    await tracker.capture(7, "gp_a", bot_id=42)
    await tracker.identify(7, email="ada@example.org")
    async with tracker:
        kept = await tracker.track("DEP", telegram_id=7, value="9.99", currency="EUR")
        assert await tracker.flush()
    (event,) = seen
    assert (event.session_id, event.bot_id) == ("gp_a", 42)
    assert set(event.traits["meta"]) == {"em"}
    assert kept is not None
    assert (kept.value, kept.currency, kept.user_data) == (Decimal("5.00"), "EUR", {"a": 1})
    assert recorder.events == [kept]
    assert kept.traits == event.traits


async def test_it_may_be_async_and_others_go_on_meanwhile(make: Make) -> None:
    may_go_on = asyncio.Event()

    async def slow(event: Event) -> Event:
        if event.name == "slow":
            await may_go_on.wait()
        return event

    tracker = make(slow)
    waiting = asyncio.create_task(tracker.track("slow", telegram_id=7))
    assert await tracker.track("quick", telegram_id=7) is not None
    assert not waiting.done()
    may_go_on.set()
    assert await waiting is not None


async def test_what_is_dropped_is_counted_and_uses_nothing_up(
    make: Make, recorder: Recorder
) -> None:
    drops = True
    tracker = make(lambda event: None if drops else event)
    async with tracker:
        assert await tracker.track("Purchase", telegram_id=7, value=5, once="o1") is None
        assert await tracker.deposit(telegram_id=7, value=5) is None
        assert await tracker.refund("o1", telegram_id=7) is None
        assert (tracker.counts["dropped"], tracker.counts["duplicates"]) == (3, 0)
        drops = False
        assert await tracker.track("Purchase", telegram_id=7, value=5, once="o1") is not None
        first = await tracker.deposit(telegram_id=7, value=5)
        assert await tracker.flush()
    assert first is not None
    assert first.name == "FTD"
    assert [event.name for event in recorder.events] == ["Purchase", "FTD"]


async def test_the_name_it_gives_decides_who_gets_the_event() -> None:
    some, all_of_them = Recorder("some"), Recorder("all")
    some.only = {"Lead"}

    def rename(event: Event) -> Event:
        return replace(event, name="Lead")

    tracker = Tracker([some, all_of_them], store=MemoryStore(), before_send=rename)
    async with tracker:
        await tracker.track("REG", telegram_id=7)
        assert await tracker.flush()
    assert [len(some.events), len(all_of_them.events)] == [1, 1]


def fail(event: Event) -> Event:
    msg = "ada@example.org"
    raise ValueError(msg)


async def fail_later(event: Event) -> Event:
    await asyncio.sleep(0)
    return fail(event)


@pytest.mark.parametrize(
    ("before_send", "complaint"),
    [
        (fail, "before_send failed, so REG was not recorded: ValueError"),
        (fail_later, "before_send failed, so REG was not recorded: ValueError"),
        (lambda: None, "before_send failed, so REG was not recorded: TypeError"),
        (lambda event: True, "before_send must return an Event or None, not bool"),
        (lambda event: {"name": "REG"}, "before_send must return an Event or None, not dict"),
        (lambda event: replace(event, name="FTD"), "FTD needs a value"),
        (lambda event: replace(event, name=""), "name must be"),
        (lambda event: replace(event, telegram_id="7"), "telegram_id must be"),
        (lambda event: replace(event, value=-1), "value must not be negative"),
        (lambda event: replace(event, event_time=None), "event_time must be"),
        (lambda event: replace(event, user_data=["a"]), "user_data must be"),
        (lambda event: replace(event, click={"fbclid": "a"}), "click"),
        (lambda event: replace(event, traits={"meta": {"em": "ada@example.org"}}), "traits"),
        (lambda event: replace(event, traits={"meta": {"ph": "16505551212"}}), "traits"),
        (lambda event: replace(event, traits={"meta": ["em"]}), "traits"),
        (lambda event: replace(event, traits=None), "traits"),
    ],
)
async def test_what_it_does_wrong_is_an_error_that_records_nothing(
    make: Make, before_send: Any, complaint: str
) -> None:
    tracker = make(before_send)
    with pytest.raises(EventError, match=complaint) as caught:
        await tracker.track("REG", telegram_id=7)
    assert "ada@example.org" not in str(caught.value)
    assert tracker.counts["tracked"] == 0


async def test_on_a_handler_its_errors_are_counted_and_not_raised(
    make: Make, bot: Bot, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    tracker, dispatcher, handled = make(fail), Dispatcher(), []
    tracker.setup(dispatcher)

    @dispatcher.message()
    @track("REG")
    @track.deposit(value=5)
    async def handler(message: Message) -> None:
        handled.append(message)

    with caplog.at_level(logging.ERROR):
        await dispatcher.feed_raw_update(bot, updates.message())
    assert len(handled) == 1
    assert tracker.counts["decorator_errors"] == 2
    assert "before_send failed" in caplog.text


async def test_it_may_take_out_what_is_known_of_the_user(make: Make) -> None:
    def less(event: Event) -> Event:
        meta = {name: one for name, one in event.traits["meta"].items() if name != "ph"}
        return replace(event, traits={"meta": meta}, click=None, session_id=None)

    tracker = make(less)
    await tracker.identify(7, email="ada@example.org", phone="+16505551212")
    event = await tracker.track("REG", telegram_id=7, session_id="gp_a")
    assert event is not None
    assert event.traits == {"meta": {"em": sha256(b"ada@example.org").hexdigest()}}
    assert event.session_id is None
    assert await tracker.session(7) is None


def put_in(event: Event) -> Event:
    """Return another event."""
    return replace(event, user_data={**event.user_data, **CONTACTS})


def put_among_digests(event: Event) -> Event:
    """Change what is known of the user, in place."""
    meta: Any = event.traits["meta"]
    meta["ph"] = "16505551212"
    return event


async def test_contacts_do_not_get_among_the_digests(make: Make) -> None:
    tracker = make(put_among_digests)
    await tracker.identify(7, email="ada@example.org")
    with pytest.raises(EventError, match="puts none in"):
        await tracker.track("REG", telegram_id=7)


def put_in_place(event: Event) -> Event:
    """Change the event that was given, as many libraries want it."""
    user_data: Any = event.user_data
    user_data.update(CONTACTS)
    return event


CONTACTS: Mapping[str, Any] = {
    "email": "Ada.Lovelace@Example.org",
    "note": "write to ada.lovelace@example.org",
    "nested": {"list": ["+1 650 555 1212"]},
}


@pytest.mark.parametrize("before_send", [put_in, put_in_place])
async def test_contacts_that_it_puts_in_never_reach_the_store(
    tmp_path: Path, before_send: BeforeSend
) -> None:
    path = tmp_path / "gp.sqlite3"
    async with Tracker([], store=SQLiteStore(path), before_send=before_send) as tracker:
        event = await tracker.track("REG", telegram_id=7)
        deposit = await tracker.deposit(telegram_id=7, value=5)
        assert event is not None
        assert deposit is not None
        assert event.traits["meta"]["em"] == sha256(b"ada.lovelace@example.org").hexdigest()
        running = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    at_rest = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for raw in (running, at_rest):
        assert event.event_id.encode() in raw
        assert b"lovelace" not in raw.lower()
        assert b"650 555 1212" not in raw
