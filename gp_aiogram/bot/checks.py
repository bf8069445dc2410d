"""Checks the decorators when the bot starts, and reports those that cannot work."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timezone

from aiogram import Dispatcher

from gp_aiogram.bot._aiogram_internals import observers
from gp_aiogram.bot.handlers import specs_of
from gp_aiogram.decorators import TrackSpec, specs_on
from gp_aiogram.destinations.base import Destination
from gp_aiogram.errors import ConfigurationError, EventError
from gp_aiogram.model.event import FIRST_DEPOSIT, LATER_DEPOSIT, Event, new_event
from gp_aiogram.model.money import currency_code, is_stars
from gp_aiogram.tracker import Tracker

logger = logging.getLogger("gp_aiogram")


def check_decorators(dispatcher: Dispatcher, tracker: Tracker) -> None:
    """Report decorators that aiogram does not see, and refuse currencies that nobody takes.

    :raises ConfigurationError: when a decorator names a currency that one of its destinations
        neither takes nor can convert.
    """
    for _, observer in observers(dispatcher):
        for handler in observer.handlers:
            seen = specs_of(handler)
            for spec in specs_on(handler.callback):
                if spec not in seen:
                    logger.error("%s does nothing: put it below the router's decorator", spec)
            for spec in seen:
                _check_currency(spec, tracker)


def _check_currency(spec: TrackSpec, tracker: Tracker) -> None:
    currency = spec.arguments.get("currency")
    if not isinstance(currency, str) or (tracker.stars is not None and is_stars(currency)):
        return
    decorator = spec.described(currency=currency)
    try:
        code = currency_code(currency)
    except EventError as error:
        msg = f"{decorator}: {error}"
        raise ConfigurationError(msg) from None
    for destination in _receivers(spec, code, tracker):
        if not destination.knows_currency(code):
            msg = (
                f"{decorator}: {destination.name} does not take {code}; give it "
                f"rates={{'{code}': ('USD', Decimal(...))}}, or leave it out with to=..."
            )
            raise ConfigurationError(msg)


def _receivers(spec: TrackSpec, currency: str, tracker: Tracker) -> list[Destination]:
    """Return the destinations that are sure to get what a spec records."""
    to = spec.arguments.get("to")
    if to is None:
        names = (FIRST_DEPOSIT, LATER_DEPOSIT) if spec.name is None else (spec.name,)
        now = datetime.now(timezone.utc)
        samples = [
            new_event(name, telegram_id=1, event_time=now, value=1, currency=currency)
            for name in names
        ]
        return [
            destination
            for destination in tracker.destinations
            if any(_accepts(destination, sample) for sample in samples)
        ]
    named = [to] if isinstance(to, str) else to
    if not isinstance(named, Collection):  # a MagicFilter or callable: known for each update only
        return []
    return [destination for destination in tracker.destinations if destination.name in named]


def _accepts(destination: Destination, sample: Event) -> bool:
    try:
        return destination.accepts(sample)
    except Exception:
        # As for a real event, which is delivered then.
        logger.exception("%s: accepts() failed for %s", destination.name, sample.name)
        return True
