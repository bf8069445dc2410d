"""Looks at the decorators when the bot starts, and says which of them cannot work."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from datetime import datetime, timezone

from aiogram import Dispatcher, Router
from aiogram.dispatcher.event.telegram import TelegramEventObserver
from aiogram.dispatcher.router import INTERNAL_UPDATE_TYPES

from gp_aiogram.bot.handlers import marks_of
from gp_aiogram.decorators import DEPOSIT, TrackSpec, marks_on
from gp_aiogram.destinations.base import Destination
from gp_aiogram.errors import ConfigurationError, EventError
from gp_aiogram.model.event import FIRST_DEPOSIT, LATER_DEPOSIT, new_event
from gp_aiogram.model.money import currency_code, is_stars
from gp_aiogram.tracker import Tracker

logger = logging.getLogger("gp_aiogram")


def observers(dispatcher: Dispatcher) -> Iterator[tuple[Router, TelegramEventObserver]]:
    """Yield every observer of a bot's updates, with its router; aiogram's own are left out."""
    for router in dispatcher.chain_tail:
        for name, observer in router.observers.items():
            if name not in INTERNAL_UPDATE_TYPES:
                yield router, observer


def check_decorators(dispatcher: Dispatcher, tracker: Tracker) -> None:
    """Report decorators that aiogram does not see, and refuse currencies that nobody takes.

    :raises ConfigurationError: when a decorator names a currency that one of its destinations
        neither takes nor can convert.
    """
    for _, observer in observers(dispatcher):
        for handler in observer.handlers:
            seen = marks_of(handler)
            for mark in marks_on(handler.callback):
                if mark not in seen:
                    logger.error(
                        "@track(%r) on %s does nothing: put it below the router's decorator",
                        mark.name,
                        mark.handler,
                    )
            for mark in seen:
                _check_currency(mark, tracker)


def _check_currency(mark: TrackSpec, tracker: Tracker) -> None:
    currency = mark.arguments.get("currency")
    if not isinstance(currency, str) or (tracker.stars is not None and is_stars(currency)):
        return
    where = f"@track({mark.name!r}, currency={currency!r}) on {mark.handler}"
    try:
        code = currency_code(currency)
    except EventError as error:
        msg = f"{where}: {error}"
        raise ConfigurationError(msg) from None
    for destination in _receivers(mark, code, tracker):
        if not destination.knows_currency(code):
            msg = (
                f"{where}: {destination.name} does not take {code}; give it "
                f"rates={{'{code}': ('USD', Decimal(...))}}, or leave it out with to=..."
            )
            raise ConfigurationError(msg)


def _receivers(mark: TrackSpec, currency: str, tracker: Tracker) -> list[Destination]:
    """Return the destinations that surely get what a mark records."""
    to = mark.arguments.get("to")
    if to is None:
        names = (FIRST_DEPOSIT, LATER_DEPOSIT) if mark.name == DEPOSIT else (mark.name,)
        now = datetime.now(timezone.utc)
        told = [
            new_event(name, telegram_id=1, event_time=now, value=1, currency=currency)
            for name in names
        ]
        return [one for one in tracker.destinations if any(map(one.wants, told))]
    named = [to] if isinstance(to, str) else to
    if not isinstance(named, Collection):  # found out when it happens
        return []
    return [one for one in tracker.destinations if one.name in named]
