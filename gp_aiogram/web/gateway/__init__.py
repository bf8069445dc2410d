"""Serves the two documented APIs with your own tracker."""

from __future__ import annotations

from gp_aiogram.web.gateway.gateway import Gateway
from gp_aiogram.web.gateway.limits import GatewayLimits

__all__ = ["Gateway", "GatewayLimits"]
