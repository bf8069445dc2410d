"""What gp_aiogram serves over HTTP: the landing endpoint that turns an ad click into a session."""

from __future__ import annotations

from gp_aiogram.web.landing import Landing

__all__ = ["Landing"]
