"""What gp_aiogram serves over HTTP: the landing endpoint that turns an ad click into a session."""

from __future__ import annotations

from gp_aiogram.web.landing import Landing
from gp_aiogram.web.serving import serve

__all__ = ["Landing", "serve"]
