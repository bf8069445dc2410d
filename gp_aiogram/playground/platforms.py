"""The platforms of a playground: the stand-in of each, its destination, and its switch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gp_aiogram import HTTPDestination, Tracker
from gp_aiogram.delivery.stats import DestinationStats
from gp_aiogram.playground.breaking import Switch
from gp_aiogram.playground.stand_ins import StandIns
from gp_aiogram.sandbox import DestinationSandbox


@dataclass(frozen=True)
class Platform:
    """One platform.

    :param title: what people call it.
    """

    title: str
    stand_in: DestinationSandbox[Any]
    switch: Switch


def platforms_of(tracker: Tracker, stand_ins: StandIns) -> dict[str, Platform]:
    """Return the platforms that a tracker sends to, by the names of its destinations.

    Two destinations of one stand-in share its switch.
    """
    switches = {
        stand_in.url: Platform(title, stand_in, Switch(stand_in))
        for title, stand_in in stand_ins.platforms.items()
    }
    return {
        destination.name: switches[destination.base_url]
        for destination in tracker.destinations
        if isinstance(destination, HTTPDestination) and destination.base_url in switches
    }


def shown(name: str, platform: Platform, stats: DestinationStats) -> dict[str, Any]:
    """Return how a platform is doing, as JSON values."""
    return {
        "name": name,
        "title": platform.title,
        "switch": platform.switch.position,
        "state": stats.state,
        "deliveries": stats.deliveries,
    }
