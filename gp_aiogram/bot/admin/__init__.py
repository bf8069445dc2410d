"""What those who run a bot see and do in Telegram itself: figures, alerts and buttons."""

from gp_aiogram.bot.admin.router import admin_router

__all__ = ["admin_router"]
