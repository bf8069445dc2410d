"""Events without a handler in a bot that polls: Telegram delivers all it takes, and it is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.types import CallbackQuery, LabeledPrice, Message, PreCheckoutQuery, TelegramObject

from fixtures.auto_updates import AUTO
from fixtures.recorder import Recorder
from fixtures.sandbox_bots import bot_of, polling
from gp_aiogram import MemoryStore, Tracker, track
from gp_aiogram.sandbox import TelegramSandbox

CHANNEL = -1001234567890
MONTH = 2_592_000
CLUB = {
    "title": "Club",
    "description": "A month in the club",
    "payload": "club:monthly",
    "currency": "XTR",
    "prices": [LabeledPrice(label="Club", amount=250)],
    "provider_token": "",
    "subscription_period": MONTH,
}


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramSandbox]:
    async with TelegramSandbox(timeout=2.0) as sandbox:
        yield sandbox


@pytest.fixture
async def bot(telegram: TelegramSandbox) -> AsyncIterator[Bot]:
    async with bot_of(telegram) as bot:
        yield bot


@pytest.fixture
def dp(recorder: Recorder, store: MemoryStore) -> Dispatcher:
    """A dispatcher of a bot that has handlers only where it must answer."""
    dp = Dispatcher()
    Tracker([recorder], store=store, auto=AUTO).setup(dp)

    @dp.pre_checkout_query()
    async def accept(query: PreCheckoutQuery) -> None:
        await query.answer(ok=True)

    return dp


async def test_everything_is_delivered_and_recorded_once(
    telegram: TelegramSandbox, bot: Bot, dp: Dispatcher, recorder: Recorder
) -> None:
    ada, charles = telegram.user(7), telegram.user(11, "Charles")
    channel = telegram.channel(CHANNEL, "Notes", username="notes")
    asking = await bot.create_chat_invite_link(CHANNEL, name="gp_ask", creates_join_request=True)
    club = await bot.create_invoice_link(**CLUB)
    # One after the other: all of it happens within a second.
    async with polling(dp, bot, handle_as_tasks=False):
        await ada.start("gp_ad", expect_reply=False)
        await ada.join(channel, asking.invite_link)
        await channel.approve(ada, by=charles)
        await ada.leave(channel)
        await ada.join(channel)
        payment = await ada.pay(club, expect_reply=False)
        await ada.cancel_subscription(payment)
        await telegram.wait_until(lambda: "Purchase" in names(recorder))
        await bot.refund_star_payment(7, payment.charge_id)
        await ada.block()
        await telegram.wait_until(lambda: len(recorder.events) == 7 + ("Subscription" in AUTO))
    assert all(event.telegram_id == 7 for event in recorder.events)
    told = sorted((event.name, event.session_id) for event in recorder.events)
    expected = [
        ("Blocked", "gp_ask"),
        ("JoinRequest", "gp_ask"),
        ("Leave", "gp_ask"),
        ("Purchase", "gp_ask"),
        ("Refund", "gp_ask"),
        ("Start", "gp_ad"),
        # Once: the second time she came back by herself, still thanks to the same ad.
        ("Subscribe", "gp_ask"),
        ("Subscription", "gp_ask"),
    ]
    assert told == [row for row in expected if row[0] in AUTO]
    asked = {tuple(call.params["allowed_updates"]) for call in polls(telegram)}
    assert asked == {tuple(sorted(dp.resolve_used_update_types()))}


def names(recorder: Recorder) -> list[str]:
    return sorted(event.name for event in recorder.events)


def polls(telegram: TelegramSandbox) -> list[Any]:
    return [call for call in telegram.calls if call.method == "getUpdates"]


async def test_without_auto_nothing_more_is_asked_for(
    telegram: TelegramSandbox, bot: Bot, recorder: Recorder, store: MemoryStore
) -> None:
    dp = Dispatcher()
    Tracker([recorder], store=store).setup(dp)

    @dp.callback_query()
    async def clicked(query: CallbackQuery) -> None: ...

    async with polling(dp, bot):
        await telegram.wait_until(lambda: polls(telegram))
    assert {tuple(call.params["allowed_updates"]) for call in polls(telegram)} == {
        ("callback_query",)
    }


@pytest.mark.parametrize("as_tasks", [True, False])
async def test_the_bots_own_handlers_are_called_once(
    telegram: TelegramSandbox, bot: Bot, dp: Dispatcher, recorder: Recorder, *, as_tasks: bool
) -> None:
    calls: list[str] = []

    @dp.chat_member(F.new_chat_member.status == "left")
    async def left(event: TelegramObject) -> None:
        calls.append("left")

    @dp.chat_member()
    async def joined(event: TelegramObject) -> None:
        calls.append("joined")

    @dp.chat_join_request()
    async def approve(event: TelegramObject) -> None:
        calls.append("asked")
        await event.approve()

    @dp.message(F.text)
    async def echo(message: Message) -> None:
        calls.append("text")
        await message.answer(message.text)

    @dp.message(F.successful_payment)
    @track.deposit()
    async def paid(message: Message) -> None:
        calls.append("paid")

    ada, channel = telegram.user(7), telegram.channel(CHANNEL, "Notes")
    asking = await bot.create_chat_invite_link(CHANNEL, name="gp_ask", creates_join_request=True)
    club = await bot.create_invoice_link(**CLUB)
    async with polling(dp, bot, handle_as_tasks=as_tasks):
        await ada.start("gp_ad")
        await ada.join(channel, asking.invite_link)
        await telegram.wait_until(lambda: "joined" in calls)
        await ada.leave(channel)
        await ada.pay(club, expect_reply=False)
        await telegram.wait_until(lambda: len(recorder.events) == 5)
        # Whatever would be recorded too often comes a little later.
        await asyncio.sleep(0.05)
    assert sorted(calls) == ["asked", "joined", "left", "paid", "text"]
    assert names(recorder) == [
        "FTD",
        "JoinRequest",
        "Leave",
        "Start",
        "Subscribe",
    ]


async def test_what_telegram_hands_out_again_counts_once(
    telegram: TelegramSandbox, bot: Bot, dp: Dispatcher, recorder: Recorder
) -> None:
    ada, channel = telegram.user(7), telegram.channel(CHANNEL, "Notes")
    link = await bot.create_chat_invite_link(CHANNEL, name="gp_ad")
    await ada.join(channel, link.invite_link)
    (joined,) = telegram.updates
    async with polling(dp, bot):
        await telegram.wait_until(lambda: recorder.events)
    await telegram.push(joined)
    async with polling(dp, bot):
        await ada.block()
        await telegram.wait_until(lambda: len(recorder.events) == 2)
    assert names(recorder) == ["Blocked", "Subscribe"]
