"""Checks what a tracker is built of."""

from __future__ import annotations

from collections.abc import Sequence

from gp_aiogram.destinations.base import Destination
from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.model.money import Stars, is_iso
from gp_aiogram.stores.contract import SessionStore, Store, UserStore
from gp_aiogram.stores.sqlite import SQLiteStore

#: Seconds that events may wait for a batch: an ad platform that hears later has no use for them.
LONGEST_GATHERING = 3600.0

DEFAULT_STORE = "gp.sqlite3"


def whole_store(store: UserStore | SessionStore | None) -> Store:
    """Return the store that ``Tracker(store=...)`` means.

    :raises ConfigurationError: when it is none.
    """
    if store is None:
        return SQLiteStore(DEFAULT_STORE)
    if isinstance(store, Store):
        return store
    if isinstance(store, (SessionStore, UserStore)):
        return Store.of(store, SQLiteStore(DEFAULT_STORE))
    msg = f"store=... must be a Store such as SQLiteStore('gp.sqlite3'), not {short_repr(store)}"
    raise ConfigurationError(msg)


def coins_of(destinations: Sequence[Destination]) -> frozenset[str]:
    """Return the codes that are none of ISO 4217, and that some destination converts."""
    codes = {code for one in destinations for code in one.convertible_currencies}
    return frozenset(code for code in codes if not is_iso(code))


def validate_arguments(destinations: object, stars: Stars | None, before_send: object) -> None:
    """Check what a tracker is built of.

    :raises ConfigurationError: when a part cannot work; the text says what to write.
    """
    if isinstance(destinations, Destination):
        name = type(destinations).__name__
        msg = f"Tracker takes a list of destinations: write Tracker([{name}(...)])"
        raise ConfigurationError(msg)
    if not isinstance(destinations, (list, tuple)):
        msg = f"Tracker takes a list of destinations, not {short_repr(destinations)}"
        raise ConfigurationError(msg)
    if before_send is not None and not callable(before_send):
        msg = f"before_send=... must be a function of an event, not {short_repr(before_send)}"
        raise ConfigurationError(msg)
    for destination in destinations:
        _validate_destination(destination, stars)
    names = [destination.name for destination in destinations]
    if len(names) != len(set(names)):
        msg = f"two destinations share a name, give one name=...: {', '.join(sorted(names))}"
        raise ConfigurationError(msg)


def _validate_destination(destination: object, stars: Stars | None) -> None:
    if not isinstance(destination, Destination):
        msg = f"Tracker takes destinations such as GramPixel(...), not {short_repr(destination)}"
        raise ConfigurationError(msg)
    timeout: object = destination.send_timeout
    if not isinstance(timeout, (int, float)) or not timeout > 0:
        msg = f"{destination.name}.send_timeout must be seconds, not {short_repr(timeout)}"
        raise ConfigurationError(msg)
    gather_for: object = destination.gather_for
    if not isinstance(gather_for, (int, float)) or not 0 <= gather_for <= LONGEST_GATHERING:
        msg = (
            f"{destination.name}.gather_for must be seconds, 0 to {LONGEST_GATHERING:g}, "
            f"not {short_repr(gather_for)}"
        )
        raise ConfigurationError(msg)
    if stars is not None and not destination.knows_currency(stars.currency):
        msg = (
            f"{destination.name} does not take {stars.currency}, which stars are converted "
            "to: choose another Tracker(stars=Stars(currency=...)), or give it a rate"
        )
        raise ConfigurationError(msg)
