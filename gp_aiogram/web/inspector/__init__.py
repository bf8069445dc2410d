"""The inspector: a page that shows what a tracker's store holds and what becomes of it."""

from __future__ import annotations

from gp_aiogram.web.inspector.inspector import Inspector

__all__ = ["Inspector"]
