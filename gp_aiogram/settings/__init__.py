"""Everything that can be set from outside: ``GP_*`` environment variables and ``.env``."""

from gp_aiogram.settings.settings import Settings

__all__ = ["Settings"]
