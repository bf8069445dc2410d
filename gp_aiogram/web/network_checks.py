"""Checks how an owner describes the postbacks of a network."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from gp_aiogram.errors import ConfigurationError, EventError, short_repr
from gp_aiogram.model.conversion import REJECTED
from gp_aiogram.model.event import validate_text
from gp_aiogram.model.money import currency_code
from gp_aiogram.model.wording import describe

#: What a word means that lets a conversion stand, and one that tells of nothing to record, such as
#: a conversion that is still checked.
APPROVED, IGNORED = "approved", "ignored"

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

#: Arguments that list names.
_LISTS = ("click_id", "status", "approval", "transaction_id", "amount", "currency", "valued")


class Described(Protocol):
    """What is checked: a :class:`~gp_aiogram.web.Network` under construction."""

    @property
    def name(self) -> str: ...
    @property
    def click_id(self) -> Collection[str]: ...
    @property
    def statuses(self) -> Mapping[str, str]: ...
    @property
    def declared(self) -> Mapping[str, str]: ...
    @property
    def default_status(self) -> str | None: ...
    @property
    def approvals(self) -> Mapping[str, str]: ...
    @property
    def default_amount(self) -> Decimal | int | str | None: ...
    @property
    def default_currency(self) -> str: ...


def check_network(network: Described) -> dict[str, str]:
    """Check a network, and return its statuses by their words in lower case.

    :raises ConfigurationError: when an argument is invalid.
    """
    _require(_is_name(network.name), "name", "a name such as 'casino'", network.name)
    for argument in _LISTS:
        _check_names(argument, getattr(network, argument))
    _check_names("declared", network.declared)
    _require(bool(network.click_id), "click_id", "at least one parameter", network.click_id)
    words = _lowered("statuses", network.statuses)
    _require(bool(words), "statuses", "at least one word", network.statuses)
    for event in words.values():
        _check_event(event)
    referred: list[object] = [
        *network.declared.values(),
        network.default_status or next(iter(words)),
    ]
    for word in referred:
        known = isinstance(word, str) and word.lower() in words
        _require(known, "declared and default_status", "words of statuses", word)
    for meaning in _lowered("approvals", network.approvals).values():
        known = meaning in {APPROVED, REJECTED, IGNORED}
        _require(known, "approvals", "'approved', 'rejected' or 'ignored'", meaning)
    _check_default_money(network)
    return words


def sum_of(text: str) -> Decimal:
    """Read a sum of money.

    :raises ValueError: when it is none; the text says so of "it".
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        msg = f"must be a number such as 12.50, not {describe(text)}"
        raise ValueError(msg)
    if value < 0:
        msg = "is negative: what is taken back is told by a status such as rejected"
        raise ValueError(msg)
    return value


def _check_default_money(network: Described) -> None:
    if network.default_amount is not None:
        try:
            sum_of(str(network.default_amount))
        except ValueError as error:
            msg = f"Network(default_amount=...) {error}"
            raise ConfigurationError(msg) from None
    try:
        currency_code(network.default_currency)
    except EventError as error:
        msg = f"Network(default_currency=...) must be an ISO 4217 code: {error}"
        raise ConfigurationError(msg) from None


def _check_event(event: object) -> None:
    try:
        validate_text("an event of Network(statuses=...)", event)
    except EventError as error:
        raise ConfigurationError(str(error)) from None


def _check_names(argument: str, names: Any) -> None:
    is_list = isinstance(names, Collection) and not isinstance(names, (str, bytes))
    _require(is_list, argument, "a list of names", names)
    for name in names:
        _require(_is_name(name), argument, "names such as 'sub_id'", name)


def _lowered(argument: str, words: Mapping[str, str]) -> dict[str, str]:
    given: object = words
    is_mapping = isinstance(given, Mapping) and all(isinstance(word, str) for word in given)
    _require(is_mapping, argument, "a mapping of words", words)
    return {word.strip().lower(): meaning for word, meaning in words.items()}


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _require(fulfilled: bool, argument: str, wanted: str, given: object) -> None:
    if not fulfilled:
        msg = f"Network({argument}=...) must be {wanted}, not {short_repr(given)}"
        raise ConfigurationError(msg)
