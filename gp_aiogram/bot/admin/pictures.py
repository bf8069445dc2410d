"""Makes a picture of an overview, where Pillow is installed."""

from __future__ import annotations

import asyncio
import logging
from importlib.util import find_spec

from gp_aiogram.bot.admin.overview import Overview

logger = logging.getLogger("gp_aiogram.admin")


async def picture_of(overview: Overview) -> bytes | None:
    """Return a picture as PNG, drawn beside the event loop; None where it cannot be drawn."""
    if find_spec("PIL") is None:
        return None
    try:
        from gp_aiogram.bot.admin.chart import draw  # noqa: PLC0415 - an optional package

        return await asyncio.to_thread(draw, overview)
    except Exception:
        logger.exception("the chart cannot be drawn, so the figures go without it")
        return None
