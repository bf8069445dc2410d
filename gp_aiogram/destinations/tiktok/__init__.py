"""TikTok's Events API."""

from gp_aiogram.destinations.tiktok.destination import TikTokEvents

__all__ = ["TikTokEvents"]
