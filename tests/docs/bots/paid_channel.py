"""A paid channel on webhooks: ads lead to a landing endpoint, events go to Meta and TikTok."""

from __future__ import annotations

from functools import partial

from aiogram import Bot, Dispatcher, F, Router
from aiogram.filters import CommandStart
from aiogram.types import LabeledPrice, Message, PreCheckoutQuery
from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application
from aiohttp import web

from gp_aiogram import Tracker, UserTracker, track
from gp_aiogram.web import Landing


def create_router() -> Router:
    """What the bot says, and sells."""
    router = Router()

    @router.message(CommandStart())
    @track("REG", once="user")
    async def start(message: Message, gp: UserTracker) -> None:
        await gp.identify(user=message.from_user)
        await message.answer_invoice(
            title="The channel",
            description="A month of news",
            payload="month",
            currency="XTR",
            prices=[LabeledPrice(label="A month", amount=1000)],
        )

    @router.pre_checkout_query()
    @track("InitiateCheckout")
    async def checkout(query: PreCheckoutQuery) -> None:
        await query.answer(ok=True)

    @router.message(F.successful_payment)
    @track("Purchase")
    async def paid(message: Message) -> None:
        await message.answer("Welcome!")

    return router


def create_app(tracker: Tracker, dp: Dispatcher, bot: Bot, channel_id: int) -> web.Application:
    """Telegram's webhook; ``/go`` for ads that lead to the bot, ``/channel/go`` to the channel."""
    app = web.Application()
    Landing(tracker, "sandbox_bot").setup(app)
    invite_link = partial(tracker.invites.create, bot, channel_id)
    Landing(tracker, "sandbox_bot", invite_link=invite_link).setup(app, "/channel")
    SimpleRequestHandler(dp, bot, handle_in_background=False).register(app, path="/webhook")
    setup_application(app, dp, bot=bot)
    return app
