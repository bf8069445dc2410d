"""Events without a handler count once: beside decorators, when delivered again, by one ad."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import TelegramObject

from fixtures import updates
from fixtures.auto_updates import AUTO, NAMES, each, kind_of, told
from fixtures.recorder import Feed, Recorder
from gp_aiogram import (
    Attribution,
    Event,
    EventError,
    MemoryStore,
    Outbox,
    SQLiteStore,
    Tracker,
    UserTracker,
    track,
)
from gp_aiogram.model.event import utc_from_timestamp
from gp_aiogram.stores.records import AcceptResult, Entry

Recorded = Callable[[], Awaitable[list[Event]]]
Handler = Callable[..., Awaitable[None]]

DAY = 86_400
PAYMENT = updates.raw("successful_payment_eur")


@pytest.fixture
async def tracker(recorder: Recorder, store: MemoryStore) -> AsyncIterator[Tracker]:
    async with Tracker([recorder], store=store, auto=AUTO) as tracker:
        yield tracker


async def unmarked(event: TelegramObject) -> None: ...


def marked(name: str, **arguments: Any) -> Handler:
    @track(name, **arguments)
    async def handler(event: TelegramObject) -> None: ...

    return handler


def depositing(**arguments: Any) -> Handler:
    @track.deposit(**arguments)
    async def handler(event: TelegramObject) -> None: ...

    return handler


def calling(name: str, **arguments: Any) -> Handler:
    async def handler(event: TelegramObject, gp: UserTracker) -> None:
        await gp.track(name, **arguments)

    return handler


# Beside the bot's own handlers

#: What handlers of an update record, and what is recorded of it altogether.
BESIDE = [
    ("Purchase", marked("Purchase"), ["Purchase"]),
    ("Purchase", marked("FTD"), ["FTD"]),
    ("Purchase", marked("DEP"), ["DEP"]),
    ("Purchase", depositing(), ["FTD"]),
    ("Purchase", calling("Purchase", value=1), ["Purchase"]),
    ("Purchase", calling("DEP", value=1), ["DEP"]),
    ("Purchase", marked("Lead"), ["Lead", "Purchase"]),
    ("JoinRequest", marked("JoinRequest"), ["JoinRequest"]),
    ("JoinRequest", marked("Subscribe"), ["Subscribe"]),
    ("JoinRequest", marked("REG"), ["JoinRequest", "REG"]),
    ("Subscribe", marked("Subscribe"), ["Subscribe"]),
    ("Subscribe", marked("JoinRequest"), ["JoinRequest"]),
    ("Subscribe", calling("Subscribe", event_id="own"), ["Subscribe"]),
    ("Start", marked("Start", once="user"), ["Start"]),
    ("Start", marked("REG", once="user"), ["REG", "Start"]),
    ("Leave", marked("Leave"), ["Leave"]),
    ("Blocked", calling("Blocked"), ["Blocked"]),
    ("Refund", marked("Refund"), ["Refund"]),
    # Where the handler has recorded nothing, the update is.
    ("Start", marked("Start", when=False), ["Start"]),
    ("Subscribe", marked("Subscribe", when=lambda: False), ["Subscribe"]),
    ("Purchase", depositing(when=False), ["Purchase"]),
    ("Purchase", marked("FTD", value=lambda: 1 / 0), ["Purchase"]),
    ("Purchase", marked("FTD", value="much"), ["Purchase"]),
    ("Purchase", depositing(currency="USD"), ["Purchase"]),
]


@pytest.mark.parametrize(("name", "handler", "expected"), BESIDE)
async def test_never_twice_with_what_a_handler_records(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    name: str,
    handler: Handler,
    expected: list[str],
) -> None:
    dp.observers[kind_of(name)].register(handler)
    await feed(told(name))
    await feed(told(name))
    assert sorted(event.name for event in await recorded()) == expected


async def test_a_renewal_is_a_purchase_where_the_decorator_says_ftd(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    dp.message.register(marked("FTD"))
    await feed(updates.raw("successful_payment_stars_recurring_renewal"))
    (event,) = await recorded()
    assert (event.name, event.user_data["is_recurring"]) == ("Purchase", True)


async def test_a_handler_that_fails_to_record_leaves_it_to_auto(
    dp: Dispatcher, feed: Feed, recorded: Recorded, store: MemoryStore
) -> None:
    async def handler(event: TelegramObject, gp: UserTracker) -> None:
        assert await gp.deposit(value=1) is None

    fail_once(store.outbox)
    dp.message.register(handler)
    await feed(PAYMENT)
    assert [event.name for event in await recorded()] == ["Purchase"]


async def test_a_handler_that_records_later_comes_too_late(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def handler(event: TelegramObject, gp: UserTracker) -> None:
        tasks.append(asyncio.create_task(gp.track("DEP", value=1)))

    dp.message.register(handler)
    await feed(PAYMENT)
    await asyncio.gather(*tasks)
    assert len(await recorded()) == 1


def fail_once(outbox: Outbox) -> None:
    accept = outbox.accept

    async def failing(entry: Entry) -> AcceptResult:
        outbox.accept = accept  # type: ignore[method-assign] - only once
        msg = "no such event"
        raise EventError(msg)

    outbox.accept = failing  # type: ignore[method-assign] - only once


async def test_each_user_of_each_bot_counts(feed: Feed, recorded: Recorded, bot: Bot) -> None:
    other = Bot("43:TEST")
    for update_id, (user_id, via) in enumerate([(7, bot), (8, bot), (7, other), (7, bot)], 1):
        await feed(updates.start("gp_a", user_id=user_id, update_id=update_id), via)
    assert sorted((e.telegram_id, e.bot_id) for e in await recorded()) == [
        (7, 42),
        (7, 43),
        (8, 42),
    ]


@pytest.mark.parametrize("name", ["JoinRequest", "Subscribe", "Leave"])
async def test_what_happens_in_a_chat_counts_once_though_two_bots_are_told(
    feed: Feed, recorded: Recorded, bot: Bot, name: str
) -> None:
    await feed(told(name, 5), bot)
    await feed(told(name, 900), Bot("43:TEST"))
    assert [event.name for event in await recorded()] == [name]


# Delivered again


@each
async def test_delivered_again(
    feed: Feed, recorded: Recorded, tracker: Tracker, name: str
) -> None:
    await feed(told(name))
    await asyncio.gather(*(feed(told(name)) for _ in range(20)))
    assert [event.name for event in await recorded()] == [name]
    assert tracker.counts["duplicates"] == 20


@each
@pytest.mark.parametrize("handler", [None, unmarked, marked])
async def test_delivered_at_once_and_after_a_restart(
    tmp_path: Path, bot: Bot, name: str, handler: Any
) -> None:
    recorders = [Recorder(), Recorder()]
    for recorder in recorders:
        dp = Dispatcher()
        if handler is not None:
            own = marked(name) if handler is marked else handler
            dp.observers[kind_of(name)].register(own)
        tracker = Tracker([recorder], store=SQLiteStore(tmp_path / "gp.sqlite3"), auto=AUTO)
        tracker.setup(dp)
        await dp.emit_startup()
        await asyncio.gather(*(dp.feed_raw_update(bot, told(name)) for _ in range(20)))
        assert await tracker.flush(5)
        await dp.emit_shutdown()
    assert [[event.name for event in recorder.events] for recorder in recorders] == [[name], []]


@pytest.mark.parametrize(
    ("name", "record", "names"),
    [
        *[(name, marked(name), {name}) for name in NAMES],
        ("Purchase", depositing(), {"Purchase", "FTD"}),
        ("Purchase", marked("FTD"), {"Purchase", "FTD"}),
        ("Purchase", calling("DEP", value=Decimal("19.99")), {"Purchase", "DEP"}),
        ("JoinRequest", calling("Subscribe"), {"JoinRequest", "Subscribe"}),
    ],
)
@pytest.mark.parametrize("order", [(True, False), (False, True)])
async def test_a_handler_that_fails_at_one_delivery_of_two(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    name: str,
    record: Handler,
    names: set[str],
    order: tuple[bool, bool],
) -> None:
    """A webhook that answers with an error gets the update again."""
    failing = False

    @dp.observers[kind_of(name)].middleware()
    async def sometimes(handler: Any, event: TelegramObject, data: dict[str, Any]) -> Any:
        if failing:
            raise ZeroDivisionError
        return await handler(event, data)

    dp.observers[kind_of(name)].register(record)
    for failing in order:
        if failing:
            with pytest.raises(ZeroDivisionError):
                await feed(told(name))
        else:
            await feed(told(name))
    (event,) = await recorded()
    assert event.name in names


# By one ad


async def test_the_same_link_again_counts_once_another_ad_again(
    feed: Feed, recorded: Recorded
) -> None:
    for payload in ["gp_a", "gp_a", "gp_b", "gp_b", None]:
        await feed(updates.start(payload))
    assert [event.session_id for event in await recorded()] == ["gp_a", "gp_b"]


@pytest.mark.parametrize(
    "attribution", [Attribution(touch="first"), Attribution(), Attribution(invites_first=False)]
)
async def test_another_ad_counts_again_whichever_it_is_credited_to(
    recorder: Recorder, bot: Bot, attribution: Attribution
) -> None:
    dp = Dispatcher()
    tracker = Tracker([recorder], store=MemoryStore(), attribution=attribution, auto=AUTO)
    tracker.setup(dp)
    async with tracker:
        for number, payload in enumerate(["gp_a", "gp_b", "gp_a", "gp_b"]):
            await dp.feed_raw_update(bot, updates.start(payload, date=moment(number)))
            by_link = {"date": moment(number), "invite_link": {"name": f"{payload}_invite"}}
            joined = updates.raw("chat_member_joined_by_link", update_id=900 + number, **by_link)
            await dp.feed_raw_update(bot, joined)
        assert await tracker.flush(5)
    assert sorted(event.name for event in recorder.events) == ["Start"] * 2 + ["Subscribe"] * 2


async def test_an_organic_user_starts_once(feed: Feed, recorded: Recorded) -> None:
    for _ in range(3):
        await feed(updates.start())
    assert [event.session_id for event in await recorded()] == [None]


async def test_coming_back_by_the_same_link_is_no_new_join_but_leaving_counts(
    feed: Feed, recorded: Recorded
) -> None:
    joined, left = "chat_member_joined_by_link", "chat_member_left"
    other = {"name": "gp_other"}
    visits = [(joined, {}), (left, {}), (joined, {}), (left, {}), (joined, {"invite_link": other})]
    for number, (name, changes) in enumerate(visits):
        await feed(updates.raw(name, update_id=5 + number, date=moment(number), **changes))
    assert [(event.name, event.session_id) for event in await recorded()] == [
        ("Subscribe", "gp_a1b2c3"),
        ("Leave", "gp_a1b2c3"),
        ("Leave", "gp_a1b2c3"),
        ("Subscribe", "gp_other"),
    ]


async def test_another_chat_is_another_join(feed: Feed, recorded: Recorded) -> None:
    await feed(updates.raw("chat_member_joined_by_link"))
    await feed(updates.raw("chat_member_joined_by_link", update_id=5, chat={"id": -1009}))
    assert [event.user_data["chat_id"] for event in await recorded()] == [-1002233445566, -1009]


async def test_what_comes_late_counts_by_when_it_happened(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    """A bot that was down gets old updates; a touch since then has brought about none of them."""
    seen: list[str | None] = []

    @dp.message()
    async def handler(event: TelegramObject, gp: UserTracker) -> None:
        seen.append(gp.session and gp.session.session_id)

    await feed(updates.start("gp_new", date=moment(9)))
    await feed(updates.start("gp_old", date=moment(1)))
    assert [event.session_id for event in await recorded()] == seen == ["gp_new", "gp_old"]


def moment(days: int) -> int:
    return updates.DATE + days * DAY


async def test_sessions_count_at_a_time_of_choice(feed: Feed, tracker: Tracker) -> None:
    def at(days: int) -> datetime:
        return utc_from_timestamp(moment(days))

    await feed(updates.start("gp_old", date=moment(1)))
    await feed(updates.start("gp_new", date=moment(9)))
    sessions = [await tracker.session(7, 42, at=at(days)) for days in (0, 1, 8, 9, 39, 40)]
    found = [session and session.session_id for session in sessions]
    assert found == [None, "gp_old", "gp_old", "gp_new", "gp_new", None]
