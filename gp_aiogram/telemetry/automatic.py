"""Finds out which telemetry needs no word of the user."""

from __future__ import annotations

import logging
from importlib.util import find_spec

from gp_aiogram.telemetry.observer import Observer

logger = logging.getLogger("gp_aiogram.telemetry")


def automatic_observers() -> list[Observer]:
    """Return what traces to OpenTelemetry, where its API is installed."""
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.trace") is None:
        return []
    try:
        from gp_aiogram.telemetry.tracing import Tracing  # noqa: PLC0415 - an optional package
    except Exception as error:  # noqa: BLE001 - a broken installation must not stop a bot
        logger.warning("no traces: opentelemetry cannot be imported: %s", error)
        return []
    return [Tracing()]
