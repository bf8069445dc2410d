"""The Telegram stand-in sends the fields that Telegram sends: its updates beside the kept ones."""

import time

import pytest
from aiogram import Dispatcher
from aiogram.types import LabeledPrice

from fixtures import updates
from fixtures.sandbox_bots import keyboard, polling

CHANNEL, GROUP = -1002233445566, -1002233445588


@pytest.fixture
def ada(telegram):
    return telegram.user(7, "Ada", "ada7", last_name="Lovelace", is_premium=True)


@pytest.fixture
def admin(telegram):
    return telegram.user(11, "Charles", "babbage11", last_name="Babbage")


def shape(value):
    """What an update looks like apart from what it says; some fields are for old bots only."""
    if isinstance(value, dict):
        described = {key: item for key, item in value.items() if key != "can_manage_voice_chats"}
        return {key: shape(item) for key, item in described.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value)


def like(sent, *names):
    """Check that updates look like those kept under these names."""
    assert [shape(update) for update in sent] == [shape(updates.raw(name)) for name in names]


def seller():
    dp = Dispatcher()

    @dp.pre_checkout_query()
    async def accept(query):
        await query.answer(ok=True)

    return dp


async def test_messages_and_presses(telegram, bot, ada):
    await ada.start("gp_a1b2c3", expect_reply=False)
    await ada.start(expect_reply=False)
    await ada.send("hi", expect_reply=False)
    await ada.send_web_app_data("{}", expect_reply=False)
    buttons = keyboard(("Deposit 10", {"callback_data": "deposit:10"}))
    await bot.send_message(7, "choose", reply_markup=buttons)
    await ada.click("Deposit 10", expect_reply=False)
    names = ("start", "start_organic", "message_text", "web_app_data", "callback_query")
    like(telegram.updates, *names)


async def test_payments(telegram, bot, ada):
    offer = {"title": "Course", "description": "Twelve lessons", "payload": "course:basic"}
    asks = ("need_name", "need_phone_number", "need_email", "need_shipping_address")
    euros = {"currency": "EUR", "prices": [LabeledPrice(label="Course", amount=1999)]}
    stars = {"currency": "XTR", "prices": [LabeledPrice(label="Course", amount=250)]}
    await bot.send_invoice(
        7, **offer, **euros, provider_token="1:TEST:x", **dict.fromkeys(asks, True)
    )
    async with polling(seller(), bot):
        await ada.pay(expect_reply=False)
        await bot.send_invoice(7, **offer, **stars)
        payment = await ada.pay(expect_reply=False)
        await bot.refund_star_payment(7, payment.charge_id)
    like(
        telegram.updates,
        "pre_checkout_query_eur",
        "successful_payment_eur",
        "pre_checkout_query_stars",
        "successful_payment_stars",
        "refunded_payment_stars",
    )


async def test_subscriptions(telegram, bot, ada):
    link = await bot.create_invoice_link(
        "Club",
        "Every month",
        "club:monthly",
        "XTR",
        [LabeledPrice(label="Club", amount=500)],
        subscription_period=2_592_000,
    )
    async with polling(seller(), bot):
        payment = await ada.pay(link, expect_reply=False)
    await ada.renew(payment, expect_reply=False)
    await ada.cancel_subscription(payment)
    await ada.resume_subscription(payment)
    like(
        telegram.updates,
        "pre_checkout_query_stars",
        "successful_payment_stars_recurring_first",
        "successful_payment_stars_recurring_renewal",
        "subscription_canceled",
        "subscription_active",
    )


async def test_joins(telegram, bot, ada, admin):
    channel = telegram.channel(CHANNEL, "Notes on the Engine")
    terms = {"name": "gp_a1b2c3", "member_limit": 1, "expire_date": int(time.time()) + 3600}
    await ada.join(channel, (await bot.create_chat_invite_link(CHANNEL, **terms)).invite_link)
    await channel.ban(ada, by=admin)
    await channel.unban(ada, by=admin)
    request = await bot.create_chat_invite_link(
        CHANNEL, name="gp_a1b2c3", creates_join_request=True
    )
    await ada.join(channel, request.invite_link)
    telegram.updates[-1]["chat_join_request"]["bio"] = "not known to the stand-in"
    await channel.approve(ada, by=admin)
    await channel.promote(ada, by=admin)
    await channel.demote(ada, by=admin)
    await ada.leave(channel)
    public = telegram.channel(-1002233445577, "Engine News", username="engine_news")
    await ada.join(public)
    like(
        telegram.updates,
        "chat_member_joined_by_link",
        "chat_member_kicked",
        "chat_member_unbanned",
        "chat_join_request",
        "chat_member_approved",
        "chat_member_promoted",
        "chat_member_demoted",
        "chat_member_left",
        "chat_member_joined_public",
    )


async def test_the_bot_itself(telegram, bot, ada):
    await ada.block()
    await ada.unblock()
    group = telegram.group(GROUP, "Analysts", admins=[])
    await group.add_bot(42, admin=False, by=ada)
    like(
        telegram.updates,
        "my_chat_member_blocked",
        "my_chat_member_unblocked",
        "my_chat_member_added_to_group",
    )
