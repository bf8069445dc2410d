"""Runs a gateway with its own tracker, as ``gp-aiogram serve`` does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from gp_aiogram.settings import Settings
from gp_aiogram.settings.groups import GatewayGroup, InspectorGroup
from gp_aiogram.tracker import Tracker
from gp_aiogram.web.gateway.gateway import Gateway
from gp_aiogram.web.gateway.limits import GatewayLimits
from gp_aiogram.web.gateway.log import logger
from gp_aiogram.web.inspector import Inspector
from gp_aiogram.web.serving import serve


@asynccontextmanager
async def running_gateway(settings: Settings, group: GatewayGroup) -> AsyncIterator[str]:
    """Run a gateway and its tracker for the length of an ``async with``; yields its address.

    :param settings: of the tracker.
    :param group: of the gateway.
    :raises ConfigurationError: when no destination is configured, or nobody could look at the
        inspector.
    :raises StoreError: when the store cannot be used as it is configured.
    :raises OSError: when nobody may listen there.
    """
    tracker = Tracker.from_settings(settings)
    tracker.announce_emission()  # there is no bot here, whose decorators need an emitter
    app = web.Application()
    _gateway(tracker, group).setup(app)
    if settings.inspector is not None:
        _inspector(tracker, settings.inspector).setup(app, settings.inspector.path)
    async with (
        tracker,
        serve(app, group.host, group.port, max_connections=group.max_connections) as url,
    ):
        logger.info("the gateway listens at %s", url)
        if settings.inspector is not None:
            logger.info("the inspector is at %s%s/", url, settings.inspector.path.rstrip("/"))
        yield url


def _gateway(tracker: Tracker, group: GatewayGroup) -> Gateway:
    limits = GatewayLimits(
        max_body=group.max_body,
        max_batch=group.max_batch,
        per_minute=group.per_minute,
        body_timeout=group.body_timeout,
        store_timeout=group.store_timeout,
    )
    return Gateway(tracker, group.plain_keys, limits=limits, bot_id=group.bot_id)


def _inspector(tracker: Tracker, group: InspectorGroup) -> Inspector:
    return Inspector(
        tracker,
        token=group.plain_token,
        open_on_loopback=group.open_on_loopback,
        trusted_proxies=group.trusted_proxies,
    )
