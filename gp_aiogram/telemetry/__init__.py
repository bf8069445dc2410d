"""What happens to events, told to metrics and traces through one seam."""

from __future__ import annotations

from gp_aiogram.telemetry.observer import Observer

__all__ = ["Observer"]
