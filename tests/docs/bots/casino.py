"""A casino: the bot registers, a payment provider's webhook tells of deposits, by GramPixel."""

from __future__ import annotations

import logging
from decimal import Decimal

from aiogram import F, Router
from aiogram.filters import CommandStart
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from gp_aiogram import EventError, StoreError, Tracker, UserTracker, track

REGISTER = InlineKeyboardMarkup(
    inline_keyboard=[[InlineKeyboardButton(text="Register", callback_data="register")]],
)


def create_router() -> Router:
    """What the bot says."""
    router = Router()

    @router.message(CommandStart())
    async def start(message: Message, gp: UserTracker) -> None:
        came_from = gp.session.session_id if gp.session else "nowhere"
        await message.answer(f"Welcome from {came_from}", reply_markup=REGISTER)

    @router.callback_query(F.data == "register")
    @track("REG", once="user")
    async def register(call: CallbackQuery) -> None:
        await call.answer("You are in")

    return router


class Payment(BaseModel):
    """What the payment provider tells of a deposit."""

    user: int
    amount: Decimal
    currency: str
    order: str


class Refund(BaseModel):
    """What it tells of a deposit that was given back."""

    user: int
    order: str


def create_app(tracker: Tracker) -> FastAPI:
    """Where the payment provider calls; the bot starts the tracker."""
    app = FastAPI()

    @app.post("/payment")
    async def payment(paid: Payment) -> None:
        try:
            await tracker.deposit(
                telegram_id=paid.user,
                value=paid.amount,
                currency=paid.currency,
                once=paid.order,
            )
        except EventError as error:
            raise HTTPException(422, str(error)) from error
        except StoreError as error:
            logging.getLogger("casino").exception("a payment could not be recorded")
            raise HTTPException(500) from error

    @app.post("/refund")
    async def refund(refunded: Refund) -> None:
        await tracker.refund(refunded.order, telegram_id=refunded.user)

    return app
