"""A bot that greets, registers, takes deposits and echoes; gp_aiogram tells the ads about it."""

from __future__ import annotations

from decimal import Decimal

from aiogram import Bot, Dispatcher, F, Router
from aiogram.filters import Command, CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message

from gp_aiogram import Attribution, Settings, Tracker, UserTracker, track
from gp_aiogram.playground.echo_bot import shop

KEYBOARD = InlineKeyboardMarkup(
    inline_keyboard=[
        [InlineKeyboardButton(text="Register", callback_data="register")],
        [InlineKeyboardButton(text="Deposit 150 EUR", callback_data="deposit:150.00")],
        [InlineKeyboardButton(text="Shop", callback_data="shop")],
    ],
)

#: Links of our own landing, and those of a tracker that carry its click id: ``kt-{subid}``.
ATTRIBUTION = Attribution(
    pattern=r"(gp_|kt-)[A-Za-z0-9_-]+",
    parse=lambda text: (text, {"subid": text[3:]}) if text.startswith("kt-") else text,
)

#: Refunds in Stars and new members of the channel need no handlers of their own.
AUTO = {"Refund", "Subscribe"}

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
@track.deposit(value=F.data[8:].cast(Decimal), currency="EUR")
async def deposit(call: CallbackQuery, bot: Bot) -> None:
    await call.answer("Paid")
    await bot.send_message(call.from_user.id, "Your deposit has arrived.")


@router.message(Command("forget"))
async def forget(message: Message, state: FSMContext, gp: UserTracker) -> None:
    await gp.forget()
    await state.clear()
    await message.answer("What was known of you is erased.")


@router.message(F.text)
async def echo(message: Message) -> None:
    await message.answer(message.text or "")


def create_tracker(settings: Settings | None = None) -> Tracker:
    return Tracker.from_settings(settings, attribution=ATTRIBUTION, auto=AUTO)


def create_dispatcher(tracker: Tracker, provider_token: str | None = None) -> Dispatcher:
    dispatcher = Dispatcher(provider_token=provider_token)
    dispatcher.include_routers(shop.router, router)
    tracker.setup(dispatcher)
    return dispatcher
