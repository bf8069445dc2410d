"""Checks the arguments of one decorator that are the same for every update."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from magic_filter import MagicFilter

from gp_aiogram.decorators import TrackSpec
from gp_aiogram.errors import ConfigurationError, EventError, short_repr
from gp_aiogram.model.event import MAX_NAME_LENGTH, validate_text
from gp_aiogram.model.money import DEFAULT_CURRENCY, amount, currency_code, is_stars
from gp_aiogram.model.user_data import validate_user_data
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.request import PER_USER, validate_once


def is_constant(argument: object) -> bool:
    """Return whether an argument of a decorator is the same for every update."""
    if isinstance(argument, Mapping):
        return all(is_constant(item) for item in argument.values())
    return not isinstance(argument, MagicFilter) and not callable(argument)


class ConstantsCheck:
    """Checks constants by the rules that each event is checked by.

    :param tracker: knows destinations, their currencies and what stars are worth.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._stars = tracker.stars
        self._names = [destination.name for destination in tracker.destinations]
        coins = (destination.convertible_currencies for destination in tracker.destinations)
        #: Codes that are no ISO 4217, which some destination converts.
        self.coins = frozenset[str]().union(*coins)

    def check(self, spec: TrackSpec) -> None:
        """Check what one decorator says.

        :raises ConfigurationError: when a constant can make no event; the text names decorator,
            handler and rule.
        """
        self._check_name(spec)
        # The currency before the value, which is checked in it.
        for name, argument in sorted(spec.arguments.items()):
            if not is_constant(argument):
                continue
            try:
                self._check_argument(spec, name, argument)
            except EventError as error:
                msg = f"{spec.described(**{name: argument})}: {error}"
                raise ConfigurationError(msg) from None

    def _check_name(self, spec: TrackSpec) -> None:
        try:
            if spec.name is not None:
                validate_text("name", spec.name, MAX_NAME_LENGTH)
        except EventError as error:
            msg = f"{spec}: {error}"
            raise ConfigurationError(msg) from None

    def _check_argument(self, spec: TrackSpec, name: str, argument: Any) -> None:
        if name == "value":
            self._check_value(argument, spec.arguments.get("currency"))
        elif name == "currency":
            self._check_currency(argument)
        elif name == "once":
            _check_once(argument, is_deposit=spec.name is None)
        elif name == "to":
            self._check_to(argument)
        elif name == "user_data":
            validate_user_data(argument)
        elif name in {"session_id", "event_id"}:
            validate_text(name, argument)
        elif name == "ftd_within":
            _check_within(argument)

    def _check_value(self, value: object, currency: object) -> None:
        if self._stars is not None and is_stars(currency):
            self._stars.worth(value)
            return
        is_told = isinstance(currency, str) and not is_stars(currency)
        code = currency_code(currency, self.coins) if is_told else DEFAULT_CURRENCY
        amount(value, code, self.coins)

    def _check_currency(self, currency: object) -> None:
        if self._stars is None or not is_stars(currency):
            currency_code(currency, self.coins)

    def _check_to(self, to: object) -> None:
        known = ", ".join(self._names)
        if not isinstance(to, Collection):
            msg = f"to= must name destinations, not {short_repr(to)}; there are {known}"
            raise EventError(msg)
        named = [to] if isinstance(to, str) else list(to)
        if not named:
            msg = f"to= names no destination, so nothing would get there; there are {known}"
            raise EventError(msg)
        if unknown := [name for name in named if name not in self._names]:
            msg = f"to= names no destination: {short_repr(unknown[0])}; there are {known}"
            raise EventError(msg)


def _check_once(once: object, *, is_deposit: bool) -> None:
    key = validate_once(once)
    if is_deposit and key == PER_USER:
        msg = "once='user' would let one deposit through: give the order's id, or nothing"
        raise EventError(msg)
    if key != PER_USER:
        msg = (
            "this constant lets one event through for all users together; once='user' lets one "
            "through for each, and a key of each order's is a filter: once=F.data"
        )
        raise EventError(msg)


def _check_within(within: object) -> None:
    if not isinstance(within, timedelta) or within <= timedelta(0):
        msg = f"ftd_within must be a positive timedelta, not {short_repr(within)}"
        raise EventError(msg)
