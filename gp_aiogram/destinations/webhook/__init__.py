"""Signed webhooks for one's own receivers."""

from gp_aiogram.destinations.webhook.destination import Webhook

__all__ = ["Webhook"]
