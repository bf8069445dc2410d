"""What lives inside an aiogram bot; no other room imports aiogram."""

from gp_aiogram.bot.admin import admin_router
from gp_aiogram.bot.auto import AutoMiddleware
from gp_aiogram.bot.capture import CaptureMiddleware
from gp_aiogram.bot.dialogs import tracked
from gp_aiogram.bot.emit import EmitMiddleware
from gp_aiogram.bot.payments import Payment, payment_of
from gp_aiogram.bot.setup import setup

__all__ = [
    "AutoMiddleware",
    "CaptureMiddleware",
    "EmitMiddleware",
    "Payment",
    "admin_router",
    "payment_of",
    "setup",
    "tracked",
]
