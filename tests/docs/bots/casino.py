"""A casino: the bot registers, a payment provider's webhook tells of deposits, by GramPixel."""

from __future__ import annotations

import logging
from decimal import Decimal

from aiogram import F, Router
from aiogram.filters import CommandStart
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message
from aiohttp import web

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


def create_app(tracker: Tracker) -> web.Application:
    """Where the payment provider calls."""

    async def payment(request: web.Request) -> web.Response:
        paid = await request.json()
        try:
            await tracker.deposit(
                telegram_id=paid["user"],
                value=Decimal(paid["amount"]),
                currency=paid["currency"],
                once=paid["order"],
            )
        except EventError as error:
            return web.Response(status=422, text=str(error))
        except StoreError:
            logging.getLogger("casino").exception("a payment could not be recorded")
            return web.Response(status=500)
        return web.Response()

    async def refund(request: web.Request) -> web.Response:
        refunded = await request.json()
        await tracker.refund(refunded["order"], telegram_id=refunded["user"])
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/payment", payment), web.post("/refund", refund)])
    return app
