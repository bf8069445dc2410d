"""What is known of a user, as each ad platform wants it: normalised, then hashed."""

from __future__ import annotations

from gp_aiogram.identity.fields import FIELDS, PLATFORMS, TIKTOK_PLAIN, hashed, normalize

__all__ = ["FIELDS", "PLATFORMS", "TIKTOK_PLAIN", "hashed", "normalize"]
