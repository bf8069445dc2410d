"""Payments in the Telegram stand-in: a real aiogram bot sells, people buy, subscribe, go back."""

import asyncio
import time

import pytest
from aiogram import Dispatcher, F
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import LabeledPrice, Update

from fixtures.sandbox_bots import call, keyboard, polling
from gp_aiogram.sandbox import RefusedError, SandboxButton

MONTH = 2_592_000
EUR = {
    "title": "Course",
    "description": "Twelve lessons",
    "payload": "course:1",
    "currency": "EUR",
    "prices": [LabeledPrice(label="Course", amount=1499), LabeledPrice(label="Tax", amount=500)],
    "provider_token": "284685063:TEST:x",
}
STARS = {
    **EUR,
    "currency": "XTR",
    "prices": [LabeledPrice(label="Course", amount=250)],
    "provider_token": "",
}


def shop():
    """A dispatcher that lets everybody buy but those who want ``sold:out``."""
    dp = Dispatcher()

    @dp.pre_checkout_query(F.invoice_payload == "sold:out")
    async def refuse(query):
        await query.answer(ok=False, error_message="Sold out")

    @dp.pre_checkout_query()
    async def accept(query):
        await query.answer(ok=True)

    @dp.message(F.successful_payment)
    async def paid(message):
        payment = message.successful_payment
        await message.answer(f"{payment.total_amount} {payment.currency}")

    @dp.message(F.refunded_payment)
    async def refunded(message):
        await message.answer(f"back: {message.refunded_payment.total_amount}")

    return dp


# Paying


async def test_a_provider_payment_goes_through(telegram, bot):
    user = telegram.user(7, username="ada7")
    sent = await bot.send_invoice(7, **EUR, need_email=True, start_parameter="buy")
    assert (sent.invoice.total_amount, sent.invoice.start_parameter) == (1999, "buy")
    assert user.messages[0].buttons == (SandboxButton("Pay", pay=True),)
    async with polling(shop(), bot):
        payment = await user.pay()
    assert payment.reply.text == "1999 EUR"
    query, message = (Update.model_validate(update) for update in telegram.updates)
    asked, paid = query.pre_checkout_query, message.message.successful_payment
    assert (asked.from_user.id, asked.currency, asked.total_amount) == (7, "EUR", 1999)
    assert asked.invoice_payload == paid.invoice_payload == "course:1"
    assert asked.order_info.email == paid.order_info.email == "user7@example.org"
    assert asked.order_info.name is None
    assert paid.model_dump(exclude_none=True, exclude={"order_info"}) == {
        "currency": "EUR",
        "total_amount": 1999,
        "invoice_payload": "course:1",
        "telegram_payment_charge_id": payment.charge_id,
        "provider_payment_charge_id": paid.provider_payment_charge_id,
    }


async def test_a_payment_in_stars_goes_through(telegram, bot):
    user = telegram.user(7)
    await bot.send_invoice(7, **STARS, need_email=True)
    async with polling(shop(), bot):
        first = await user.pay("Course")
        second = await user.pay("Course", order_info={"email": "ada@example.org"})
    assert first.reply.text == "250 XTR"
    assert first.charge_id != second.charge_id
    assert first.charge_id.startswith("stx")
    assert len(first.charge_id) > 128
    assert "is_recurring" not in first.raw
    assert second.raw["order_info"] == {"email": "ada@example.org"}


async def test_invoices_are_found_by_title_and_by_link(telegram, bot):
    user, other = telegram.user(7), telegram.user(8)
    await bot.send_invoice(7, **EUR)
    await bot.send_invoice(7, **{**STARS, "title": "Talk"})
    link = await bot.create_invoice_link(**{**STARS, "payload": "by:link"})
    async with polling(shop(), bot):
        assert (await user.pay()).raw["currency"] == "XTR"
        assert (await user.pay("Course")).raw["currency"] == "EUR"
        assert (await other.pay(link)).raw["invoice_payload"] == "by:link"
    with pytest.raises(LookupError, match=r"no invoice 'Book' from bot 42; .*: 'Talk', 'Course'"):
        await user.pay("Book")
    with pytest.raises(LookupError, match=r"user 8 has no invoice from bot 42; .*: none"):
        await other.pay()


async def test_a_bot_may_refuse_to_sell(telegram, bot):
    user = telegram.user(7)
    await bot.send_invoice(7, **{**EUR, "payload": "sold:out"})
    async with polling(shop(), bot):
        with pytest.raises(RefusedError, match=r"^Sold out$"):
            await user.pay()
    assert [key for update in telegram.updates for key in update if key != "update_id"] == [
        "pre_checkout_query"
    ]


async def test_a_bot_that_does_not_answer_in_time_sells_nothing(telegram, bot):
    telegram.checkout_timeout = 0.05
    user = telegram.user(7)
    await bot.send_invoice(7, **EUR)
    with pytest.raises(TimeoutError, match=r"pre-checkout query within 0.05 s: .*has not asked"):
        await user.pay()
    query_id = telegram.updates[0]["pre_checkout_query"]["id"]
    with pytest.raises(TelegramBadRequest, match="query is too old and response timeout expired"):
        await bot.answer_pre_checkout_query(query_id, ok=True)


async def test_a_checkout_is_answered_once_and_refused_with_a_reason(telegram, bot):
    user = telegram.user(7)
    await bot.send_invoice(7, **EUR)
    paying = asyncio.create_task(user.pay(expect_reply=False))
    await telegram.wait_until(lambda: telegram.updates)
    query_id = telegram.updates[0]["pre_checkout_query"]["id"]
    with pytest.raises(TelegramBadRequest, match='parameter "error_message" is required'):
        await bot.answer_pre_checkout_query(query_id, ok=False)
    await bot.answer_pre_checkout_query(query_id, ok=True)
    assert (await paying).reply is None
    with pytest.raises(TelegramBadRequest, match="query ID is invalid"):
        await bot.answer_pre_checkout_query(query_id, ok=True)


async def test_a_bot_that_ignores_the_payment_is_told_apart(telegram, bot):
    telegram.timeout = 0.1
    dp = Dispatcher()

    @dp.pre_checkout_query()
    async def accept(query):
        await query.answer(ok=True)

    user = telegram.user(7)
    await bot.send_invoice(7, **EUR)
    async with polling(dp, bot):
        with pytest.raises(TimeoutError, match="sent nothing to user 7"):
            await user.pay()


# Invoices


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({"title": ""}, 'parameter "title" is required'),
        ({"title": "x" * 33}, "title is too long"),
        ({"description": "x" * 256}, "description is too long"),
        ({"payload": "ä" * 65}, "INVOICE_PAYLOAD_INVALID"),
        ({"currency": "eur"}, "CURRENCY_INVALID"),
        ({"prices": []}, "CURRENCY_TOTAL_AMOUNT_INVALID"),
        ({"provider_token": None}, "PAYMENT_PROVIDER_INVALID"),
        ({"currency": "XTR"}, "STARS_INVOICE_INVALID"),
        ({"currency": "XTR", "provider_token": ""}, "STARS_INVOICE_INVALID"),
        ({"reply_markup": keyboard(("Buy", {"callback_data": "x"}))}, "REPLY_MARKUP_BUY_EMPTY"),
        (
            {"reply_markup": keyboard(("No", {"callback_data": "x"}), ("Buy", {"pay": True}))},
            "BUTTON_POS_INVALID",
        ),
    ],
)
async def test_a_bad_invoice_is_refused(telegram, bot, changes, description):
    user = telegram.user(7)
    with pytest.raises(TelegramBadRequest, match=f"Bad Request: {description}"):
        await bot.send_invoice(7, **{**EUR, **changes})
    assert user.messages == []


async def test_an_invoice_may_have_its_own_buttons(telegram, bot):
    user = telegram.user(7)
    buttons = keyboard(("Pay 19.99", {"pay": True}), ("Ask", {"callback_data": "ask"}))
    await bot.send_invoice(7, **EUR, reply_markup=buttons)
    assert user.messages[0].buttons == (
        SandboxButton("Pay 19.99", pay=True),
        SandboxButton("Ask", "ask"),
    )
    assert user.messages[0].text == ""


@pytest.mark.parametrize("prices", ["x", ["x"], [{"label": "x"}]])
async def test_prices_that_cannot_be_read_are_refused(telegram, prices):
    telegram.user(7)
    sent = {**EUR, "chat_id": 7, "prices": prices}
    status, answer = await call(telegram, "sendInvoice", json=sent)
    assert (status, answer["description"][:24]) == (400, "Bad Request: can't parse")


async def test_a_subscription_is_sold_by_link_only(telegram):
    telegram.user(7)
    prices = [{"label": "x", "amount": 5}]
    sent = {**STARS, "chat_id": 7, "prices": prices, "subscription_period": MONTH}
    _, answer = await call(telegram, "sendInvoice", json=sent)
    assert answer["description"] == "Bad Request: SUBSCRIPTION_EXPORT_MISSING"


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({"subscription_period": 3600}, "SUBSCRIPTION_PERIOD_INVALID"),
        (
            {"prices": [LabeledPrice(label="x", amount=10_001)], "subscription_period": MONTH},
            "CURRENCY_TOTAL_AMOUNT_INVALID",
        ),
        ({**EUR, "subscription_period": MONTH}, "SUBSCRIPTION_PERIOD_INVALID"),
    ],
)
async def test_a_bad_subscription_is_refused(bot, changes, description):
    with pytest.raises(TelegramBadRequest, match=description):
        await bot.create_invoice_link(**{**STARS, **changes})


# Subscriptions and refunds


async def test_a_subscription_renews_until_it_is_canceled(telegram, bot):
    user = telegram.user(7)
    link = await bot.create_invoice_link(**STARS, subscription_period=MONTH)
    async with polling(shop(), bot):
        first = await user.pay(link)
        second = await user.renew(first)
        third = await user.renew(first, expect_reply=False)
        await user.cancel_subscription(third)
        with pytest.raises(RefusedError, match="SUBSCRIPTION_NOT_ACTIVE"):
            await user.renew(first)
        await user.resume_subscription(first)
        assert (await user.renew(third)).reply.text == "250 XTR"
    told = [update["subscription"] for update in telegram.updates if "subscription" in update]
    assert [(each["user"]["id"], each["invoice_payload"], each["state"]) for each in told] == [
        (7, "course:1", "canceled"),
        (7, "course:1", "active"),
    ]
    until = first.raw["subscription_expiration_date"]
    assert until == pytest.approx(time.time() + MONTH, abs=2)
    assert (first.raw["is_recurring"], first.raw["is_first_recurring"]) == (True, True)
    assert second.raw["is_recurring"] is True
    assert "is_first_recurring" not in second.raw
    assert second.raw["subscription_expiration_date"] == until + MONTH
    assert second.raw["invoice_payload"] == "course:1"
    assert len({payment.charge_id for payment in (first, second, third)}) == 3


async def test_a_bot_may_end_a_subscription(telegram, bot):
    user = telegram.user(7)
    link = await bot.create_invoice_link(**STARS, subscription_period=MONTH)
    async with polling(shop(), bot):
        payment = await user.pay(link)
        await bot.edit_user_star_subscription(7, payment.charge_id, is_canceled=True)
        for act in (user.renew, user.resume_subscription):
            with pytest.raises(RefusedError, match="SUBSCRIPTION_NOT_ACTIVE"):
                await act(payment)
        await bot.edit_user_star_subscription(7, payment.charge_id, is_canceled=False)
        assert (await user.renew(payment)).reply.text == "250 XTR"


async def test_a_single_payment_is_no_subscription(telegram, bot):
    user = telegram.user(7)
    await bot.send_invoice(7, **STARS)
    async with polling(shop(), bot):
        payment = await user.pay()
    for act in (user.renew, user.cancel_subscription, user.resume_subscription):
        with pytest.raises(ValueError, match="single payment"):
            await act(payment)
    with pytest.raises(TelegramBadRequest, match="CHARGE_NOT_FOUND"):
        await bot.edit_user_star_subscription(7, payment.charge_id, is_canceled=True)


async def test_stars_are_refunded_once(telegram, bot):
    user = telegram.user(7)
    await bot.send_invoice(7, **STARS)
    async with polling(shop(), bot):
        payment = await user.pay()
        assert await bot.refund_star_payment(7, payment.charge_id) is True
        await telegram.wait_until(lambda: user.messages[-1].text == "back: 250")
    message = Update.model_validate(telegram.updates[-1]).message
    assert (message.from_user.id, message.chat.id) == (7, 7)
    assert message.refunded_payment.model_dump() == {
        "currency": "XTR",
        "total_amount": 250,
        "invoice_payload": "course:1",
        "telegram_payment_charge_id": payment.charge_id,
        "provider_payment_charge_id": payment.raw["provider_payment_charge_id"],
    }
    with pytest.raises(TelegramBadRequest, match="CHARGE_ALREADY_REFUNDED"):
        await bot.refund_star_payment(7, payment.charge_id)


async def test_only_the_payers_stars_are_refunded(telegram, bot):
    user, _ = telegram.user(7), telegram.user(8)
    await bot.send_invoice(7, **EUR)
    await bot.send_invoice(7, **{**STARS, "title": "Talk"})
    async with polling(shop(), bot):
        euros, stars = await user.pay("Course"), await user.pay("Talk")
    for user_id, charge_id in ((7, euros.charge_id), (8, stars.charge_id), (7, "x")):
        with pytest.raises(TelegramBadRequest, match="CHARGE_NOT_FOUND"):
            await bot.refund_star_payment(user_id, charge_id)
    with pytest.raises(TelegramBadRequest, match="invalid user_id specified"):
        await bot.refund_star_payment(0, stars.charge_id)
