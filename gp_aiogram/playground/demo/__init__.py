"""The echo bot played through by six users, and a check of what every destination received."""

from __future__ import annotations

from gp_aiogram.playground.demo.play import demo

__all__ = ["demo"]
