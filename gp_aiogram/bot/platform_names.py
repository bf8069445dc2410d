"""Which destinations take an event, and what they call it."""

from __future__ import annotations

import logging
from collections.abc import Collection

from gp_aiogram.destinations.ads import AdDestination
from gp_aiogram.destinations.base import Destination
from gp_aiogram.destinations.grampixel import GramPixel
from gp_aiogram.destinations.webhook import Webhook
from gp_aiogram.model.event import Event

logger = logging.getLogger("gp_aiogram")


def accepts(destination: Destination, event: Event) -> bool:
    """Ask a destination; one that fails to answer gets the event, as it does in earnest."""
    try:
        return destination.accepts(event)
    except Exception:
        logger.exception("%s: accepts() failed for %s", destination.name, event.name)
        return True


def platform_name(destination: Destination, event: Event) -> str:
    """Return what the platform behind a destination calls an event."""
    if isinstance(destination, AdDestination):
        return destination.platform_name(event)
    return event.name


def own_names(destination: Destination) -> Collection[str]:
    """Return the events for which a destination has another name than ours."""
    if isinstance(destination, AdDestination | GramPixel | Webhook):
        return destination.event_names
    return ()
