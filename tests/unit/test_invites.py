"""Invite links that carry sessions, against the Telegram stand-in and the one of Meta."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import ChatJoinRequest, TelegramObject
from aiohttp import ClientSession, web

from fixtures.recorder import Recorder
from fixtures.sandbox_bots import bot_of, polling
from gp_aiogram import (
    Attribution,
    Click,
    EventError,
    MemoryStore,
    MetaCAPI,
    Session,
    StoreError,
    Tracker,
    UserTracker,
)
from gp_aiogram.sandbox import MetaSandbox, RefusedError, TelegramSandbox
from gp_aiogram.sandbox.telegram.chats import SandboxChat
from gp_aiogram.stores.memory.profiles import MemoryProfiles
from gp_aiogram.web import Landing

CHANNEL = -1001234567890
LONG = "gp_" + "x" * 61
FBCLID = "IwAR0aBcDeFgHiJkLmNoPqRsTuVwXyZ-_0123456789"
BROWSER = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36"


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramSandbox]:
    async with TelegramSandbox(timeout=2.0) as sandbox:
        yield sandbox


@pytest.fixture
async def bot(telegram: TelegramSandbox) -> AsyncIterator[Bot]:
    async with bot_of(telegram) as bot:
        yield bot


@pytest.fixture
def channel(telegram: TelegramSandbox) -> SandboxChat:
    return telegram.channel(CHANNEL, "Notes")


@pytest.fixture
async def tracker(recorder: Recorder, store: MemoryStore) -> AsyncIterator[Tracker]:
    auto = {"JoinRequest", "Subscribe"}
    async with Tracker([recorder], store=store, auto=auto) as tracker:
        yield tracker


async def catch_up(telegram: TelegramSandbox, dp: Dispatcher, bot: Bot) -> None:
    """Feed the bot all that has happened."""
    for update in await bot.get_updates(allowed_updates=dp.resolve_used_update_types()):
        await dp.feed_update(bot, update)
    await bot.get_updates(offset=telegram.updates[-1]["update_id"] + 1)


# Links that the bot makes


async def test_a_link_says_its_session_and_lets_one_person_in_for_a_day(
    telegram: TelegramSandbox, channel: SandboxChat, bot: Bot, tracker: Tracker
) -> None:
    link = await tracker.invites.create(bot, CHANNEL, "gp_a1b2c3")
    terms = channel.links[link].terms
    assert (terms.name, terms.member_limit, terms.creates_join_request) == ("gp_a1b2c3", 1, False)
    assert terms.expire_date == pytest.approx(time.time() + 86_400, abs=5)
    await telegram.user(7).join(channel, link)
    with pytest.raises(RefusedError):
        await telegram.user(8).join(channel, link)


async def test_a_link_may_let_more_people_in_for_longer(
    channel: SandboxChat, bot: Bot, tracker: Tracker
) -> None:
    link = await tracker.invites.create(
        bot, CHANNEL, "gp_a1b2c3", expires=timedelta(days=9), member_limit=50
    )
    assert channel.links[link].terms.member_limit == 50
    assert channel.links[link].terms.expire_date == pytest.approx(time.time() + 9 * 86_400, abs=5)


async def test_a_link_may_make_join_requests(
    channel: SandboxChat, bot: Bot, tracker: Tracker
) -> None:
    link = await tracker.invites.create(bot, CHANNEL, "gp_a1b2c3", join_request=True)
    terms = channel.links[link].terms
    assert (terms.name, terms.member_limit, terms.creates_join_request) == ("gp_a1b2c3", 0, True)


async def test_a_link_to_a_paid_channel_brings_session_and_value(
    telegram: TelegramSandbox,
    channel: SandboxChat,
    dp: Dispatcher,
    bot: Bot,
    tracker: Tracker,
    recorder: Recorder,
) -> None:
    for user_id, session_id in ((7, "gp_a1b2c3"), (8, LONG)):
        link = await tracker.invites.create(bot, CHANNEL, session_id, subscription_price=200)
        terms = channel.links[link].terms
        assert (terms.subscription_period, terms.subscription_price) == (2_592_000, 200)
        assert (terms.expire_date, terms.member_limit) == (0, 0)
        await telegram.user(user_id).join(channel, link)
    await catch_up(telegram, dp, bot)
    assert await tracker.flush(5)
    for event, session_id in zip(recorder.events, ("gp_a1b2c3", LONG), strict=True):
        assert (event.name, event.session_id) == ("Subscribe", session_id)
        assert (event.value, event.currency) == (Decimal("2.60"), "USD")


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"subscription_price": 0}, "subscription_price must be a number of Telegram Stars"),
        ({"subscription_price": "5"}, "subscription_price must be a number of Telegram Stars"),
        ({"subscription_price": True}, "subscription_price must be a number of Telegram Stars"),
        ({"subscription_price": 5, "join_request": True}, "both pay and must be approved"),
    ],
)
async def test_a_price_that_makes_no_sense(
    channel: SandboxChat, bot: Bot, tracker: Tracker, terms: dict[str, Any], says: str
) -> None:
    with pytest.raises(EventError, match=says):
        await tracker.invites.create(bot, CHANNEL, "gp_a", **terms)
    assert not channel.links


@pytest.mark.parametrize(
    ("session_id", "name"),
    [
        ("gp_" + "x" * 29, "gp_" + "x" * 29),
        # Telegram would cut these without a word.
        ("gp_" + "x" * 30, ""),
        (LONG, ""),
        # No deep link, so the name alone would not be believed.
        ("lead 4711", "lead 4711"),
        (" gp_a ", "gp_a"),
        ("сессия", "сессия"),
        ("💥" * 33, ""),
    ],
)
async def test_each_session_comes_in_by_its_link(
    telegram: TelegramSandbox,
    channel: SandboxChat,
    dp: Dispatcher,
    bot: Bot,
    tracker: Tracker,
    recorder: Recorder,
    session_id: str,
    name: str,
) -> None:
    link = await tracker.invites.create(bot, CHANNEL, session_id)
    assert channel.links[link].terms.name == name
    await telegram.user(7).join(channel, link)
    await catch_up(telegram, dp, bot)
    assert await tracker.flush(5)
    assert [(e.name, e.session_id) for e in recorder.events] == [("Subscribe", session_id)]


@pytest.mark.parametrize("session_id", ["", "  ", None, 7, "\ud800", "x" * 129])
async def test_no_link_is_made_for_what_is_no_session(
    channel: SandboxChat, bot: Bot, tracker: Tracker, session_id: Any
) -> None:
    with pytest.raises(EventError, match="a session id must be a text of 1 to 128 characters"):
        await tracker.invites.create(bot, CHANNEL, session_id)
    with pytest.raises(EventError, match="a session id must be"):
        await tracker.invites.bind("https://t.me/+a", session_id)
    assert not channel.links


async def test_what_telegram_refuses_is_raised(bot: Bot, tracker: Tracker) -> None:
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await tracker.invites.create(bot, -100999, "gp_a1b2c3")


# Links made elsewhere


@pytest.mark.parametrize("cut", ["", "https://", "http://"])
async def test_a_link_made_elsewhere_stands_for_what_it_is_bound_to(
    telegram: TelegramSandbox,
    channel: SandboxChat,
    dp: Dispatcher,
    bot: Bot,
    tracker: Tracker,
    cut: str,
) -> None:
    made = await bot.create_chat_invite_link(CHANNEL, name="gp_of_the_name")
    for session_id in ("gp_first", "gp_bound"):
        await tracker.invites.bind(cut + made.invite_link.removeprefix("https://"), session_id)
    await telegram.user(7).join(channel, made.invite_link)
    await catch_up(telegram, dp, bot)
    session = await tracker.session(7, 42)
    assert session is not None
    assert (session.session_id, session.source) == ("gp_bound", "invite")
    assert session.payload == "gp_of_the_name"


@pytest.mark.parametrize(
    ("name", "session_id"), [("gp_by_name", "gp_by_name"), ("Autumn", None), ("", None)]
)
async def test_a_link_of_another_administrator_is_known_by_its_name(
    telegram: TelegramSandbox,
    dp: Dispatcher,
    bot: Bot,
    tracker: Tracker,
    recorder: Recorder,
    name: str,
    session_id: str | None,
) -> None:
    channel = telegram.channel(CHANNEL, "Notes", admins=[42, 43])
    async with bot_of(telegram, "43:OTHER") as other:
        made = await other.create_chat_invite_link(CHANNEL, name=name)
    await tracker.invites.bind(made.invite_link, "gp_never_seen")
    await telegram.user(7).join(channel, made.invite_link)
    await catch_up(telegram, dp, bot)
    assert await tracker.flush(5)
    assert [event.session_id for event in recorder.events] == [session_id]


@pytest.mark.parametrize("link", ["", " ", None, "https://t.me/+Kq3vT9xW…", "t.me/+Kq3… "])
async def test_what_is_no_whole_link_cannot_be_bound(tracker: Tracker, link: Any) -> None:
    with pytest.raises(EventError, match="an invite link must be a whole one"):
        await tracker.invites.bind(link, "gp_a")


# The whole way


class NoInvites(MemoryProfiles):
    async def add_invite(self, link: str, session_id: str) -> None:
        msg = "the disk is full"
        raise StoreError(msg)

    async def invited(self, link: str) -> str | None:
        msg = "the disk is full"
        raise StoreError(msg)


def without_invites() -> MemoryStore:
    store = MemoryStore()
    store.profiles = NoInvites()
    return store


@asynccontextmanager
async def landing(tracker: Tracker, bot: Bot, **terms: Any) -> AsyncIterator[str]:
    app = web.Application()
    Landing(
        tracker,
        "my_bot",
        invite_link=lambda session_id: tracker.invites.create(bot, CHANNEL, session_id, **terms),
    ).setup(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    try:
        yield f"http://{host}:{port}/go?fbclid={FBCLID}"
    finally:
        await runner.cleanup()


async def clicked(url: str) -> str:
    headers = {"User-Agent": BROWSER}
    async with ClientSession(headers=headers) as http, http.get(url, allow_redirects=False) as got:
        return got.headers["Location"]


async def test_from_the_ad_into_the_channel(
    telegram: TelegramSandbox, channel: SandboxChat, bot: Bot, store: MemoryStore
) -> None:
    async with MetaSandbox() as meta:
        destination = MetaCAPI(meta.pixel_id, meta.access_token, base_url=meta.url)
        tracker, dp = Tracker([destination], store=store, auto="Subscribe"), Dispatcher()
        tracker.setup(dp)
        async with polling(dp, bot), landing(tracker, bot) as url:
            link = await clicked(url)
            assert link in channel.links
            await telegram.user(7).join(channel, link)
            (event,) = await meta.wait_for(1)
    assert event.body["event_name"] == "Lead"
    assert event.body["user_data"]["fbc"].endswith(f".{FBCLID}")
    assert event.body["user_data"]["client_user_agent"] == BROWSER


async def test_from_the_ad_through_a_request_that_an_administrator_approves(
    telegram: TelegramSandbox,
    channel: SandboxChat,
    bot: Bot,
    dp: Dispatcher,
    tracker: Tracker,
    recorder: Recorder,
) -> None:
    ada, charles = telegram.user(7), telegram.user(11, "Charles")
    seen: list[Session | None] = []

    @dp.chat_join_request()
    async def asked(request: ChatJoinRequest, gp: UserTracker) -> None:
        seen.append(gp.session)

    async with polling(dp, bot), landing(tracker, bot, join_request=True) as url:
        await ada.join(channel, await clicked(url))
        await telegram.wait_until(lambda: recorder.events)
        await channel.approve(ada, by=charles)
        await telegram.wait_until(lambda: len(recorder.events) == 2)
    (session,) = seen
    assert session is not None
    assert session.source == "join_request"
    for event, name in zip(recorder.events, ["JoinRequest", "Subscribe"], strict=True):
        assert (event.name, event.telegram_id) == (name, 7)
        assert event.session_id == session.session_id
        assert event.click is not None
        assert event.click.fbclid == FBCLID


async def test_a_failing_store_costs_the_session_and_not_the_join(
    telegram: TelegramSandbox,
    channel: SandboxChat,
    bot: Bot,
    recorder: Recorder,
) -> None:
    tracker = Tracker([recorder], store=without_invites(), auto="Subscribe")
    dp, calls = Dispatcher(), []
    tracker.setup(dp)

    @dp.chat_member()
    async def joined(change: Any) -> None:
        calls.append(change)

    async with tracker:
        link = await tracker.invites.create(bot, CHANNEL, "gp_a1b2c3")
        with pytest.raises(StoreError):
            await tracker.invites.create(bot, CHANNEL, LONG)
        await telegram.user(7).join(channel, link)
        await catch_up(telegram, dp, bot)
        assert await tracker.flush(5)
    assert len(calls) == 1
    assert [(event.name, event.session_id) for event in recorder.events] == [("Subscribe", None)]
    assert tracker.counts["journaled"] == 1


# Which session counts


async def ignore(event: TelegramObject) -> None: ...


@pytest.mark.parametrize(
    ("invites_first", "named", "expected"),
    [
        (True, None, "gp_invited"),
        (False, None, "gp_started"),
        (True, "gp_named", "gp_named"),
        (False, "gp_named", "gp_named"),
    ],
)
@pytest.mark.parametrize("join_request", [True, False])
async def test_the_order_in_which_sessions_count(
    telegram: TelegramSandbox,
    channel: SandboxChat,
    bot: Bot,
    recorder: Recorder,
    *,
    invites_first: bool,
    join_request: bool,
    named: str | None,
    expected: str,
) -> None:
    """GramPixel's: the one that is named, then invites, then the history and the last one."""
    attribution = Attribution(invites_first=invites_first)
    tracker = Tracker([recorder], store=MemoryStore(), attribution=attribution)
    dp = Dispatcher()
    tracker.setup(dp)
    for kind in ("message", "chat_member", "chat_join_request"):
        dp.observers[kind].register(ignore)
    link = await tracker.invites.create(bot, CHANNEL, "gp_invited", join_request=join_request)
    ada = telegram.user(7)
    async with tracker:
        await ada.start("gp_first", expect_reply=False)
        await ada.join(channel, link)
        await ada.start("gp_started", expect_reply=False)
        await catch_up(telegram, dp, bot)
        deposit = await tracker.deposit(telegram_id=7, value=Decimal(50), session_id=named)
        later = await tracker.track("REG", telegram_id=7)
    assert deposit is not None
    assert (deposit.name, deposit.session_id) == ("FTD", expected)
    # A session that was named once is a touch like any other.
    assert later is not None
    assert later.session_id == ("gp_invited" if invites_first else expected)


async def test_an_approval_without_its_link_is_credited_to_the_request(
    telegram: TelegramSandbox,
    channel: SandboxChat,
    dp: Dispatcher,
    bot: Bot,
    tracker: Tracker,
    recorder: Recorder,
) -> None:
    link = await tracker.invites.create(bot, CHANNEL, LONG, join_request=True)
    await telegram.user(7).join(channel, link)
    await channel.approve(telegram.user(7))
    for raw in telegram.updates:
        raw.get("chat_member", {}).pop("invite_link", None)
        await dp.feed_raw_update(bot, raw)
    assert await tracker.flush(5)
    told = [(event.name, event.session_id) for event in recorder.events]
    assert told == [("JoinRequest", LONG), ("Subscribe", LONG)]


async def test_who_is_forgotten_leaves_no_link_behind(
    telegram: TelegramSandbox, channel: SandboxChat, dp: Dispatcher, bot: Bot, tracker: Tracker
) -> None:
    await tracker.register_click(Click(at=datetime.now(timezone.utc)), LONG)
    link = await tracker.invites.create(bot, CHANNEL, LONG)
    await telegram.user(7).join(channel, link)
    await catch_up(telegram, dp, bot)
    assert await tracker.invites.session_id(link, None) == LONG
    await tracker.forget(7)
    assert await tracker.invites.session_id(link, None) is None
    assert await tracker.session(7, 42) is None


async def test_of_who_opted_out_no_invite_is_kept(
    telegram: TelegramSandbox, channel: SandboxChat, dp: Dispatcher, bot: Bot, tracker: Tracker
) -> None:
    await tracker.opt_out(7)
    await telegram.user(7).join(channel, await tracker.invites.create(bot, CHANNEL, "gp_a"))
    await catch_up(telegram, dp, bot)
    assert await tracker.session(7, 42) is None
