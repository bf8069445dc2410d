"""Meta's Conversions API."""

from gp_aiogram.destinations.meta.destination import MetaCAPI

__all__ = ["MetaCAPI"]
