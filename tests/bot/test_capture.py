from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from aiogram import BaseMiddleware, Bot, Dispatcher, F, Router
from aiogram.filters import CommandStart
from aiogram.types import Message, User

from fixtures import updates
from fixtures.recorder import Feed, Recorder
from gp_aiogram import Attribution, MemoryStore, Session, Tracker, UserTracker
from gp_aiogram.bot import CaptureMiddleware, EmitMiddleware
from gp_aiogram.model.session import SESSION_PATTERN, SessionQuery

NOW = datetime.fromtimestamp(updates.DATE, timezone.utc)


async def touch(store: MemoryStore, user_id: int = 7, bot_id: int | None = 42) -> Session | None:
    return await store.find_session(SessionQuery(user_id, bot_id))


async def test_a_start_link_becomes_a_session(feed: Feed, store: MemoryStore) -> None:
    await feed(updates.start("gp_a1b2c3"))
    assert await touch(store) == Session(42, 7, "gp_a1b2c3", "start", NOW, "gp_a1b2c3")


@pytest.mark.parametrize(
    "text",
    [
        "/start gp_a1b2c3",
        "/start   gp_a1b2c3",
        "/start gp_a1b2c3  ",
        " /start gp_a1b2c3",
        "/start\ngp_a1b2c3",
        "/start\tgp_a1b2c3\n",
        "/start\u00a0gp_a1b2c3",
        "/start@my_bot gp_a1b2c3",
    ],
)
async def test_spelling_of_the_command_does_not_matter(
    feed: Feed,
    store: MemoryStore,
    text: str,
) -> None:
    await feed(updates.message(text))
    session = await touch(store)
    assert session is not None
    assert session.session_id == "gp_a1b2c3"


@pytest.mark.parametrize(
    "text",
    [
        "/start",
        "/start gp_",
        "/start ref_a1b2c3",
        "/start gp_a b",
        "/start gp_a1b2c3 and more",
        "/start gp_ünïcode",
        "/start gp_а1",  # noqa: RUF001 - a Cyrillic letter is the point
        "/start gp_" + "a" * 62,
        "/start gp_a=b",
        "/startgp_a1b2c3",
        "/starts gp_a1b2c3",
        "start gp_a1b2c3",
        "hi /start gp_a1b2c3",
        "/start xgp_a1b2c3",
        "/start GP_a1b2c3",
        "gp_a1b2c3",
    ],
)
async def test_rubbish_is_ignored(
    feed: Feed,
    store: MemoryStore,
    tracker: Tracker,
    text: str,
) -> None:
    await feed(updates.message(text))
    assert await touch(store) is None
    assert tracker.counts["capture_errors"] == 0


async def test_a_payload_of_64_characters_is_taken(feed: Feed, store: MemoryStore) -> None:
    payload = "gp_" + "a" * 61
    await feed(updates.start(payload))
    assert (await touch(store)).session_id == payload


async def test_start_in_a_group_is_a_startgroup_touch(feed: Feed, store: MemoryStore) -> None:
    await feed(updates.message("/start@my_bot gp_g", chat=updates.GROUP))
    assert (await touch(store)).source == "startgroup"


async def test_start_for_another_bot_is_not_ours(
    feed: Feed,
    store: MemoryStore,
    bot: Bot,
) -> None:
    bot._me = User(id=42, is_bot=True, first_name="Bot", username="My_Bot")
    await feed(updates.message("/start@other_bot gp_other", chat=updates.GROUP))
    assert await touch(store) is None
    await feed(updates.message("/start@my_bot gp_mine", chat=updates.GROUP))
    assert (await touch(store)).session_id == "gp_mine"


@pytest.mark.parametrize(
    "raw",
    [
        updates.update(
            "edited_message", updates.raw_message("/start gp_x", edit_date=updates.DATE)
        ),
        updates.update(
            "business_message",
            updates.raw_message("/start gp_x", business_connection_id="b"),
        ),
        updates.update(
            "channel_post",
            {
                "message_id": 1,
                "date": updates.DATE,
                "chat": {"id": -1002, "type": "channel", "title": "News"},
                "sender_chat": {"id": -1002, "type": "channel", "title": "News"},
                "text": "/start gp_x",
            },
        ),
        updates.message(
            "/start gp_x",
            forward_origin={"type": "hidden_user", "sender_user_name": "Eve", "date": 1},
        ),
        updates.message("/start gp_x", **{"from": updates.person(is_bot=True)}),
        updates.message(None, caption="/start gp_x"),
        updates.message(None),
        updates.click("/start gp_x"),
    ],
    ids=["edited", "business", "channel", "forwarded", "bot", "caption", "empty", "callback"],
)
async def test_only_a_message_that_a_person_wrote_counts(
    feed: Feed,
    store: MemoryStore,
    tracker: Tracker,
    raw: dict[str, Any],
) -> None:
    await feed(raw)
    assert await touch(store, bot_id=None) is None
    assert tracker.counts["capture_errors"] == 0


async def test_the_bots_own_start_handler_still_runs(dp: Dispatcher, feed: Feed) -> None:
    seen: list[str | None] = []

    @dp.message(CommandStart(deep_link=True))
    async def start(message: Message) -> None:
        seen.append(message.text)

    await feed(updates.start("gp_a"))
    assert seen == ["/start gp_a"]


class Throttle(BaseMiddleware):
    """Drops everything."""

    async def __call__(self, handler: Any, event: Any, data: dict[str, Any]) -> None:
        return None


async def test_a_throttle_of_the_bot_cannot_hide_a_click(
    tracker: Tracker,
    store: MemoryStore,
    bot: Bot,
) -> None:
    dp = Dispatcher()
    dp.update.outer_middleware(Throttle())
    dp.message.outer_middleware(Throttle())
    tracker.setup(dp)
    await dp.feed_raw_update(bot, updates.start("gp_a"))
    assert await touch(store) is not None


async def test_a_root_filter_or_an_earlier_router_cannot_hide_a_click(
    dp: Dispatcher,
    feed: Feed,
    store: MemoryStore,
) -> None:
    dp.message.filter(F.text == "never")
    await feed(updates.start("gp_a"))
    assert await touch(store) is not None


async def test_an_order_of_middlewares_is_kept(tracker: Tracker) -> None:
    dp = Dispatcher()
    before = [type(middleware) for middleware in dp.update.outer_middleware]
    mine = Throttle()
    dp.update.outer_middleware(mine)
    tracker.setup(dp)
    after = list(dp.update.outer_middleware)
    others = [one for one in after if not isinstance(one, CaptureMiddleware)]
    assert [type(one) for one in others] == [*before, Throttle]
    assert len(after) == len(others) + 1
    assert after.index(mine) > next(
        place for place, one in enumerate(after) if isinstance(one, CaptureMiddleware)
    )


async def test_a_failing_store_never_reaches_the_bot(
    dp: Dispatcher,
    feed: Feed,
    store: MemoryStore,
    tracker: Tracker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        msg = "disk on fire"
        raise OSError(msg)

    monkeypatch.setattr(store.sessions, "add", broken)
    monkeypatch.setattr(store.sessions, "history", broken)
    sessions: list[Session | None] = []

    @dp.message()
    async def start(message: Message, gp: UserTracker) -> None:
        sessions.append(gp.session)

    await feed(updates.start("gp_a"))
    assert [session and session.session_id for session in sessions] == ["gp_a"]
    assert tracker.counts["journaled"] == 1
    assert (await tracker.stats()).waiting == 1
    assert "disk on fire" in caplog.text


async def test_a_failing_parse_never_reaches_the_bot(
    store: MemoryStore,
    bot: Bot,
    recorder: Recorder,
) -> None:
    def parse(payload: str) -> str:
        raise KeyError(payload)

    tracker = Tracker([recorder], store=store, attribution=Attribution(parse=parse))
    dp = Dispatcher()
    tracker.setup(dp)
    await dp.feed_raw_update(bot, updates.start("gp_a"))
    assert tracker.counts["capture_errors"] == 1


async def test_a_composite_payload_is_parsed_and_kept(store: MemoryStore, bot: Bot) -> None:
    def parse(payload: str) -> str | None:
        session_id, _, _ref = payload.partition("__")
        return session_id

    dp = Dispatcher()
    Tracker([], store=store, attribution=Attribution(parse=parse)).setup(dp)
    await dp.feed_raw_update(bot, updates.start("gp_a1b2c3__ref42"))
    session = await touch(store)
    assert (session.session_id, session.payload) == ("gp_a1b2c3", "gp_a1b2c3__ref42")


async def test_a_pattern_of_the_users_own_decides(store: MemoryStore, bot: Bot) -> None:
    dp = Dispatcher()
    pattern = rf"{SESSION_PATTERN}|lead_\d+"
    Tracker([], store=store, attribution=Attribution(pattern=pattern)).setup(dp)
    await dp.feed_raw_update(bot, updates.start("lead_15"))
    await dp.feed_raw_update(bot, updates.start("lead_x", user_id=8))
    assert (await touch(store)).session_id == "lead_15"
    assert await touch(store, 8) is None


async def test_two_bots_never_see_each_others_sessions(
    feed: Feed,
    store: MemoryStore,
) -> None:
    for token in ("42:TEST", "43:TEST"):
        await feed(updates.start(f"gp_{token[:2]}", update_id=1), Bot(token))
    assert (await touch(store, bot_id=42)).session_id == "gp_42"
    assert (await touch(store, bot_id=43)).session_id == "gp_43"
    assert await touch(store, bot_id=44) is None


async def test_every_touch_is_kept_and_the_policy_decides(store: MemoryStore, bot: Bot) -> None:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    ages = {"gp_old": 40, "gp_first": 20, "gp_last": 1}
    dp = Dispatcher()
    last = Tracker([], store=store)
    last.setup(dp)
    for payload, days in ages.items():
        date = int((now - timedelta(days=days)).timestamp())
        await dp.feed_raw_update(bot, updates.start(payload, date=date))
    first = Tracker([], store=store, attribution=Attribution(touch="first"))
    long = Tracker([], store=store, attribution=Attribution("first", timedelta(days=50)))
    none = Tracker([], store=store, attribution=Attribution(window=timedelta(hours=1)))
    found = [await tracker.session(7, 42) for tracker in (last, first, long, none)]
    assert [one and one.session_id for one in found] == ["gp_last", "gp_first", "gp_old", None]


async def test_gp_is_offered_to_filters_and_outer_middlewares(
    dp: Dispatcher,
    feed: Feed,
) -> None:
    seen: list[Any] = []

    async def from_an_ad(message: Message, gp: UserTracker) -> bool:
        with pytest.raises(RuntimeError, match=r"await gp\.load\(\)"):
            _ = gp.session
        return await gp.load() is not None

    @dp.message(from_an_ad)
    async def handler(message: Message, gp: UserTracker) -> None:
        seen.append(gp.session)

    date = int(datetime.now(timezone.utc).timestamp())
    await feed(updates.message("hi"))
    assert seen == []
    await feed(updates.start("gp_a", date=date))
    assert [session.session_id for session in seen] == ["gp_a"]


async def test_gp_is_ours_whatever_the_bot_calls_so(dp: Dispatcher, feed: Feed) -> None:
    seen: list[object] = []
    dp["gp"] = "something else"

    @dp.message()
    async def handler(message: Message, gp: object) -> None:
        seen.append(gp)

    await feed(updates.message())
    assert [type(gp) for gp in seen] == [UserTracker]


async def test_gp_is_about_the_member_and_not_the_admin(dp: Dispatcher, feed: Feed) -> None:
    seen: list[int] = []

    @dp.chat_member()
    async def joined(event: Any, gp: UserTracker) -> None:
        seen.append(gp.telegram_id)

    member = {"user": updates.person(8), "status": "member"}
    await feed(
        updates.update(
            "chat_member",
            {
                "chat": updates.GROUP,
                "from": updates.person(1),
                "date": updates.DATE,
                "old_chat_member": {**member, "status": "left"},
                "new_chat_member": member,
            },
        ),
    )
    assert seen == [8]


async def test_a_handler_that_takes_the_whole_context_has_the_session(
    dp: Dispatcher, feed: Feed
) -> None:
    seen: list[Session | None] = []

    @dp.message()
    async def handler(message: Message, **data: Any) -> None:
        seen.append(data["gp"].session)

    await feed(updates.start("gp_a1b2c3"))
    await feed(updates.start(user_id=8))
    assert [session and session.session_id for session in seen] == ["gp_a1b2c3", None]


async def test_an_update_without_a_user_passes(dp: Dispatcher, feed: Feed) -> None:
    seen: list[dict[str, Any]] = []

    @dp.poll()
    async def poll(event: Any, **data: Any) -> None:
        seen.append(data)

    await feed(
        updates.update(
            "poll",
            {
                "id": "1",
                "question": "?",
                "options": [],
                "total_voter_count": 0,
                "is_closed": False,
                "is_anonymous": True,
                "type": "regular",
                "allows_multiple_answers": False,
                "allows_revoting": False,
                "members_only": False,
            },
        ),
    )
    assert len(seen) == 1
    assert seen[0]["gp"] is None


async def test_middlewares_may_be_added_by_hand(
    tracker: Tracker,
    store: MemoryStore,
    bot: Bot,
) -> None:
    dp = Dispatcher()
    dp.update.outer_middleware(CaptureMiddleware(tracker))
    router = Router()
    router.message.middleware(EmitMiddleware(tracker))
    dp.include_router(router)
    seen: list[str] = []

    @router.message()
    async def start(message: Message, gp: UserTracker) -> None:
        seen.append(gp.session.session_id)

    date = int(datetime.now(timezone.utc).timestamp())
    await dp.feed_raw_update(bot, updates.start("gp_a", date=date))
    assert seen == ["gp_a"]


async def test_capture_is_not_logged_as_an_error(
    feed: Feed,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        await feed(updates.start("gp_a"))
    assert caplog.records == []
