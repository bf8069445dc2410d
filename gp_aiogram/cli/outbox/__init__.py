"""``gp-aiogram outbox``: deliveries that wait, failed or were given up."""

from gp_aiogram.cli.outbox.app import app

__all__ = ["app"]
