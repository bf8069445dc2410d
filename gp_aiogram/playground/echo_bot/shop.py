"""The bot's shop: one product for Telegram Stars, one for euros; what is bought can go back."""

from __future__ import annotations

from aiogram import Bot, F, Router
from aiogram.filters import Command, MagicData
from aiogram.fsm.context import FSMContext
from aiogram.types import (
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LabeledPrice,
    Message,
    PreCheckoutQuery,
    SuccessfulPayment,
)

from gp_aiogram import UserTracker, track

STICKERS = [InlineKeyboardButton(text="Stickers: 250 Stars", callback_data="stickers")]
COURSE = [InlineKeyboardButton(text="Course: 19.99 EUR", callback_data="course")]

router = Router()


@router.callback_query(F.data == "shop")
async def show(call: CallbackQuery, bot: Bot, provider_token: str | None) -> None:
    await call.answer()
    rows = [STICKERS, COURSE] if provider_token else [STICKERS]
    keyboard = InlineKeyboardMarkup(inline_keyboard=rows)
    await bot.send_message(call.from_user.id, "What shall it be?", reply_markup=keyboard)


@router.callback_query(F.data == "stickers")
async def sell_stickers(call: CallbackQuery, bot: Bot) -> None:
    await call.answer()
    await bot.send_invoice(
        call.from_user.id,
        title="Stickers",
        description="Twelve stickers of an echo",
        payload="stickers",
        currency="XTR",
        prices=[LabeledPrice(label="Stickers", amount=250)],
    )


@router.callback_query(F.data == "course", MagicData(F.provider_token))
async def sell_course(call: CallbackQuery, bot: Bot, provider_token: str) -> None:
    await call.answer()
    await bot.send_invoice(
        call.from_user.id,
        title="Course",
        description="How to echo, in twelve lessons",
        payload="course",
        provider_token=provider_token,
        currency="EUR",
        prices=[LabeledPrice(label="Course", amount=1999)],  # cents
    )


@router.pre_checkout_query()
@track("InitiateCheckout")
async def check_out(query: PreCheckoutQuery) -> None:
    await query.answer(ok=True)


@router.message(F.successful_payment.as_("payment"))
@track("Purchase")
async def paid(message: Message, payment: SuccessfulPayment, state: FSMContext) -> None:
    order = payment.telegram_payment_charge_id
    await state.update_data(order=order, in_stars=payment.currency == "XTR")
    await message.answer("Thank you! /refund if you think better of it.")


@router.message(Command("refund"))
async def refund(message: Message, bot: Bot, state: FSMContext, gp: UserTracker) -> None:
    bought = await state.get_data()
    if "order" not in bought:
        await message.answer("There is nothing to give back.")
        return
    if bought["in_stars"]:
        await bot.refund_star_payment(gp.telegram_id, bought["order"])
    else:
        # Telegram gives back nothing but Stars: here belongs the call to your payment provider.
        await gp.refund(bought["order"])
    await state.clear()
    await message.answer("Your money is on its way back.")
