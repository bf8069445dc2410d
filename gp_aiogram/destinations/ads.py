"""What the destinations that talk to ad platforms have in common."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import Any

import httpx

from gp_aiogram.destinations.http import HTTPDestination
from gp_aiogram.destinations.schema import is_digest
from gp_aiogram.errors import EventError, EventRejected
from gp_aiogram.identity.net import public_address, read_address
from gp_aiogram.model.event import REFUND, Event
from gp_aiogram.model.firing import firing_of
from gp_aiogram.model.money import CurrencyConverter, json_number

logger = logging.getLogger("gp_aiogram.destinations")


#: Where a prepared item has a test code of its own; it is taken out before it is sent.
TEST_CODE = "gp_test_event_code"


class AdDestination(HTTPDestination):
    """A destination that has its own names for events and takes some currencies only.

    :param event_names: what the platform calls our events; others go out under their own names.
    :param converter: tells which currencies the platform takes, and converts others.

    The other parameters are those of :class:`HTTPDestination`.
    """

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        headers: Mapping[str, str],
        secrets: Collection[str],
        only: Collection[str] | None,
        proxy: str | None,
        transport: httpx.AsyncBaseTransport | None,
        event_names: Mapping[str, str],
        converter: CurrencyConverter,
    ) -> None:
        super().__init__(
            name=name,
            base_url=base_url,
            headers=headers,
            secrets=secrets,
            only=only,
            proxy=proxy,
            transport=transport,
        )
        self.event_names = event_names
        self._converter = converter
        self.convertible_currencies = converter.convertible

    def accepts(self, event: Event) -> bool:
        """Leave out refunds, unless ``event_names`` has a name for them.

        No platform has one of its own: what it has counted stays counted.
        """
        return super().accepts(event) and (event.name != REFUND or REFUND in self.event_names)

    def knows_currency(self, currency: str) -> bool:
        """Return whether the platform takes a currency, or a rate converts it."""
        return self._converter.supports(currency)

    def platform_name(self, event: Event) -> str:
        """Return what the platform calls an event, or what the caller has the platform call it."""
        return firing_of(event).event_name or self.event_names.get(event.name, event.name)


def split_test_code(
    batch: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, str], list[Mapping[str, Any]]]:
    """Return what a request says of a batch's test code, which it has once, and the plain items.

    :param batch: prepared items of one code, which is under :data:`TEST_CODE`, or of none.
    """
    code = batch[0].get(TEST_CODE)
    if code is None:
        return {}, list(batch)
    plain: list[Mapping[str, Any]] = [
        {key: part for key, part in item.items() if key != TEST_CODE} for item in batch
    ]
    return {"test_event_code": code}, plain


def external_ids(event: Event, platform: str) -> str | list[str]:
    """Return the digest of the user's Telegram id, and that of the advertiser's own id if known.

    The same user has the same id in every bot and on every channel that hashes the decimal text.
    """
    telegram = sha256(str(event.telegram_id).encode()).hexdigest()
    own = event.traits.get(platform, {}).get("external_id")
    return [telegram, own] if own and own != telegram and is_digest(own) else telegram


def hashed_fields(event: Event, platform: str, names: Mapping[str, str]) -> dict[str, str]:
    """Return the traits that are hashed, under the platform's names.

    What is no digest is left out: a raw e-mail address would spoil a whole batch, and worse.

    :param names: our field and the platform's.
    """
    traits = event.traits.get(platform)
    if not traits:
        return {}
    return {
        theirs: digest
        for ours, theirs in names.items()
        if (digest := traits.get(ours)) and is_digest(digest)
    }


def map_contents(user_data: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """Return ``user_data`` with the fields of ``contents`` under this platform's names.

    The platforms describe the same goods in different words, and a bot describes them once.

    :param names: the other platform's field and this one's, which wins where both are given.
    """
    contents = user_data.get("contents")
    if not isinstance(contents, list):
        return user_data
    return {**user_data, "contents": [_renamed(item, names) for item in contents]}


def _renamed(item: object, names: Mapping[str, str]) -> object:
    if not isinstance(item, Mapping):
        return item
    foreign = {names[key]: value for key, value in item.items() if key in names}
    return {**foreign, **{key: value for key, value in item.items() if key not in names}}


def money_fields(event: Event, converter: CurrencyConverter) -> dict[str, int | float | str]:
    """Return value and currency as the platform takes them; nothing without a value.

    :raises EventRejected: when the currency is neither supported nor convertible.
    """
    if event.value is None:
        return {}
    try:
        value, currency = _converted(converter, event.value, event.currency)
    except EventError as error:
        raise EventRejected(str(error)) from None
    return {"value": value, "currency": currency}


@lru_cache(maxsize=1024, typed=True)  # a bot has few prices
def _converted(
    converter: CurrencyConverter,
    value: Decimal,
    currency: str | None,
) -> tuple[int | float, str]:
    converted, code = converter.convert(value, currency)
    return json_number(converted), code


@lru_cache(maxsize=1024)
def visitor_ip(ip: str | None) -> str | None:
    """Return a visitor's address as a platform takes it; None when it cannot be a visitor's.

    :param ip: an address with or without port, or a list of hops, the visitor first.
    """
    address = read_address((ip or "").partition(",")[0])
    public = None if address is None else public_address(address)
    return None if public is None else str(public)


class WarnOnce:
    """Logs the same warning once, so that a mistake in a bot's code does not flood the log.

    :param destination: its name.
    """

    _MOST = 100

    def __init__(self, destination: str) -> None:
        self._destination = destination
        self._logged: set[str] = set()

    def warn(self, message: str) -> None:
        """Log a message, unless it has been logged before."""
        if message not in self._logged and len(self._logged) < self._MOST:
            self._logged.add(message)
            logger.warning("%s: %s", self._destination, message)

    def left_out(self, errors: Collection[str]) -> None:
        """Log what does not go out with an event, and why."""
        for error in errors:
            self.warn(f"left out of events: {error}")
