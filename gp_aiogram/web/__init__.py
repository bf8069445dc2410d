"""What gp_aiogram serves over HTTP: landing, gateway, inspector, postbacks, health checks."""

from __future__ import annotations

from gp_aiogram.web.gateway import Gateway, GatewayLimits
from gp_aiogram.web.health import Health
from gp_aiogram.web.inspector import Inspector
from gp_aiogram.web.landing import Landing
from gp_aiogram.web.networks import Network
from gp_aiogram.web.postbacks import Postbacks
from gp_aiogram.web.ready_networks import CPA, KEITARO, KUKURUKU
from gp_aiogram.web.serving import serve

__all__ = [
    "CPA",
    "KEITARO",
    "KUKURUKU",
    "Gateway",
    "GatewayLimits",
    "Health",
    "Inspector",
    "Landing",
    "Network",
    "Postbacks",
    "serve",
]
