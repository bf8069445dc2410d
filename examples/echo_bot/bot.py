"""A bot that greets, registers, takes a deposit and echoes; gp_aiogram tells the ads about it."""

from __future__ import annotations

from decimal import Decimal

from aiogram import Bot, Dispatcher, F, Router
from aiogram.filters import CommandStart
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message

from gp_aiogram import Tracker, UserTracker, track

KEYBOARD = InlineKeyboardMarkup(
    inline_keyboard=[
        [InlineKeyboardButton(text="Register", callback_data="register")],
        [InlineKeyboardButton(text="Deposit 150 EUR", callback_data="deposit:150.00")],
    ],
)

router = Router()


@router.message(CommandStart())
async def start(message: Message, gp: UserTracker) -> None:
    came_from = f"from {gp.session.session_id}" if gp.session else "on your own"
    await message.answer(f"Hello! You came {came_from}.", reply_markup=KEYBOARD)


@router.callback_query(F.data == "register")
@track("REG", once="user")
async def register(call: CallbackQuery, bot: Bot) -> None:
    await call.answer("Registered")
    await bot.send_message(call.from_user.id, "Welcome aboard!")


@router.callback_query(F.data.startswith("deposit:"))
@track("FTD", value=F.data[8:].cast(Decimal), currency="EUR", once="user")
async def deposit(call: CallbackQuery, bot: Bot) -> None:
    await call.answer("Paid")
    await bot.send_message(call.from_user.id, "Your deposit has arrived.")


@router.message(F.text)
async def echo(message: Message) -> None:
    await message.answer(message.text or "")


def create_dispatcher(tracker: Tracker) -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    tracker.setup(dispatcher)
    return dispatcher
