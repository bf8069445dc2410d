"""Checks decorators, destinations and store when the bot starts, and reports what cannot work."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timezone
from itertools import combinations

from aiogram import Dispatcher
from aiogram.dispatcher.event.handler import HandlerObject

from gp_aiogram.bot._aiogram_internals import observers, takes_text_only
from gp_aiogram.bot.handlers import specs_of
from gp_aiogram.bot.mark_checks import ConstantsCheck, is_constant
from gp_aiogram.bot.platform_names import accepts, own_names, platform_name
from gp_aiogram.bot.spelling import meant_name
from gp_aiogram.decorators import TrackSpec, specs_on
from gp_aiogram.destinations.base import Destination
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.model.event import (
    FIRST_DEPOSIT,
    LATER_DEPOSIT,
    REFUND,
    STANDARD_NAMES,
    UPDATE_TYPES,
    VALUED_NAMES,
    Event,
    new_event,
)
from gp_aiogram.model.money import amount, currency_code, is_stars
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.journal_queue import PATIENCE
from gp_aiogram.tracker.user_tracker import conversion_of

logger = logging.getLogger("gp_aiogram")

#: Updates that never tell of a payment's amount.
_WITHOUT_AMOUNT = frozenset(
    {
        "business_connection",
        "callback_query",
        "chat_boost",
        "chat_join_request",
        "chosen_inline_result",
        "deleted_business_messages",
        "inline_query",
        "message_reaction",
        "message_reaction_count",
        "my_chat_member",
        "poll",
        "poll_answer",
        "purchased_paid_media",
        "removed_chat_boost",
        "shipping_query",
        "subscription",
    }
)


def check_decorators(dispatcher: Dispatcher, tracker: Tracker) -> None:
    """Refuse decorators that can never work, and report those that look like a mistake.

    :raises ConfigurationError: when a decorator says what can make no event; the text names the
        handler.
    """
    constants = ConstantsCheck(tracker)
    recorded = set(tracker.auto)
    for _, observer in observers(dispatcher):
        for handler in observer.handlers:
            specs = specs_of(handler)
            _report_unseen(handler, specs)
            for spec in specs:
                recorded.update(_names(spec))
                constants.check(spec)
                _check_value(spec, observer.event_name, handler)
                _check_currency(spec, tracker, constants.coins)
                _report_name(spec)
            _report_doubles(specs, tracker)
            _report_doubles_of_auto(specs, observer.event_name, tracker)
    for destination in tracker.destinations:
        _report_names_of(destination, recorded)


async def check_pending(tracker: Tracker) -> None:
    """Report events that wait for a destination which this tracker does not have."""
    try:
        stats = await asyncio.wait_for(tracker.stats(), PATIENCE)
    except Exception:  # the store is away, which the tracker has reported
        logger.debug("the store does not tell what is pending", exc_info=True)
        return
    for name, told in stats.destinations.items():
        pending = told.deliveries.get("pending", 0)
        if told.state is None and pending:
            logger.warning(
                "%d events wait in the store for %r, which is no destination of this tracker: "
                "there are %s. A destination with name=%r gets them",
                pending,
                name,
                ", ".join(destination.name for destination in tracker.destinations),
                name,
            )


def _names(spec: TrackSpec) -> Sequence[str]:
    return (FIRST_DEPOSIT, LATER_DEPOSIT) if spec.name is None else (spec.name,)


def _report_unseen(handler: HandlerObject, seen: Collection[TrackSpec]) -> None:
    for spec in specs_on(handler.callback):
        if spec not in seen:
            logger.error("%s does nothing: put it below the router's decorator", spec)


def _check_value(spec: TrackSpec, update_type: str, handler: HandlerObject) -> None:
    if not VALUED_NAMES.intersection(_names(spec)):
        return
    value = spec.arguments.get("value")
    if value is None:
        needed = f"{' or '.join(_names(spec))} needs a value, which only a payment brings along"
        if update_type in _WITHOUT_AMOUNT:
            msg = f"{spec}: {needed}; a {update_type} is none, so give it value=..."
            raise ConfigurationError(msg)
        if takes_text_only(handler):
            logger.warning("%s: %s; a text is none, so give it value=...", spec, needed)
    elif is_constant(value) and not amount(value, "USD"):
        logger.warning(
            "%s: ad platforms learn from it that such users are worth nothing",
            spec.described(value=value),
        )


def _check_currency(spec: TrackSpec, tracker: Tracker, coins: Collection[str]) -> None:
    currency = spec.arguments.get("currency")
    if not isinstance(currency, str) or (tracker.stars is not None and is_stars(currency)):
        return
    code = currency_code(currency, coins)
    for destination in _receivers(spec, code, tracker, coins):
        if code not in destination.convertible_currencies and not destination.knows_currency(code):
            msg = (
                f"{spec.described(currency=currency)}: {destination.name} does not take {code}; "
                f"give it rates={{'{code}': ('USD', Decimal(...))}}, or leave it out with to=..."
            )
            raise ConfigurationError(msg)


def _report_name(spec: TrackSpec) -> None:
    if spec.name is not None and (meant := meant_name(spec.name)):
        logger.warning(
            "%s: to platforms %r is an event of your own; is %r meant?", spec, spec.name, meant
        )


def _report_doubles(specs: Sequence[TrackSpec], tracker: Tracker) -> None:
    """Report two decorators of one handler that a platform takes for the same event."""
    # Those with a condition may exclude each other.
    certain = [spec for spec in reversed(specs) if spec.when is None]
    for one, other in combinations(certain, 2):
        if one.name == other.name:
            continue
        shared = _shared_names(one, other, tracker)
        if shared:
            remedy = "; use @track.deposit" if VALUED_NAMES.intersection(_names(one)) else ""
            logger.warning(
                "%s and %s on %s are %s: each counts twice%s",
                one.name or "@track.deposit",
                other.name or "@track.deposit",
                one.handler,
                _told(shared),
                remedy,
            )


def _shared_names(one: TrackSpec, other: TrackSpec, tracker: Tracker) -> dict[str, list[str]]:
    """Return what destinations call both alike: the name, and the destinations' own."""
    shared: dict[str, list[str]] = defaultdict(list)
    for destination in _receivers(one, "USD", tracker):
        if destination in _receivers(other, "USD", tracker):
            both = _platform_names(one, destination) & _platform_names(other, destination)
            if both:
                shared[min(both)].append(destination.name)
    return shared


def _platform_names(spec: TrackSpec, destination: Destination) -> set[str]:
    return {platform_name(destination, _sample(name, "USD")) for name in _names(spec)}


def _told(shared: dict[str, list[str]]) -> str:
    return " and ".join(f"one {name} to {', '.join(to)}" for name, to in shared.items())


def _report_doubles_of_auto(
    specs: Iterable[TrackSpec],
    update_type: str,
    tracker: Tracker,
) -> None:
    """Report a decorator beside ``auto`` that a platform takes for the same event.

    Messages tell of too many things for that.
    """
    same = [name for name in tracker.auto if UPDATE_TYPES[name] == update_type != "message"]
    for spec in specs:
        for name in sorted(same):
            if spec.name is None or conversion_of(spec.name) == conversion_of(name):
                continue  # counted once
            shared: dict[str, list[str]] = defaultdict(list)
            for destination in _receivers(spec, "USD", tracker):
                theirs = platform_name(destination, _sample(name, "USD"))
                if theirs in _platform_names(spec, destination):
                    shared[theirs].append(destination.name)
            if shared:
                logger.warning(
                    "%s and auto's %s are %s: each counts twice; leave one of them out",
                    spec,
                    name,
                    _told(shared),
                )


def _report_names_of(destination: Destination, recorded: Collection[str]) -> None:
    """Report names in a destination's ``only`` and ``event_names`` that nothing has."""
    only = destination.only
    for where, names in (("only", only or ()), ("event_names", own_names(destination))):
        for name in sorted(names):
            if meant := meant_name(name):
                logger.warning(
                    "%s: %s=... names %r; is %r meant?", destination.name, where, name, meant
                )
    if only is not None and not {*recorded, *STANDARD_NAMES, REFUND}.intersection(only):
        logger.warning(
            "%s: only=... names %s, and no decorator or auto records such an event",
            destination.name,
            ", ".join(sorted(only)) or "nothing",
        )


def _receivers(
    spec: TrackSpec,
    currency: str,
    tracker: Tracker,
    coins: Collection[str] = (),
) -> list[Destination]:
    """Return the destinations that are sure to get what a spec records."""
    to = spec.arguments.get("to")
    if to is None:
        samples = [_sample(name, currency, coins) for name in _names(spec)]
        return [
            destination
            for destination in tracker.destinations
            if any(accepts(destination, sample) for sample in samples)
        ]
    named = [to] if isinstance(to, str) else to
    if not isinstance(named, Collection):  # a MagicFilter or callable: known for each update only
        return []
    return [destination for destination in tracker.destinations if destination.name in named]


def _sample(name: str, currency: str, coins: Collection[str] = ()) -> Event:
    return new_event(
        name,
        telegram_id=1,
        event_time=datetime.now(timezone.utc),
        value=1,
        currency=currency,
        convertible=coins,
    )
