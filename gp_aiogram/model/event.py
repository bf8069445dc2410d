"""One conversion: what it is made of, what makes it valid, and how it is told from others."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal, TypeGuard, Union, get_args

from gp_aiogram.errors import ConfigurationError, EventError, short_repr
from gp_aiogram.model import codec
from gp_aiogram.model.click import Click
from gp_aiogram.model.clock import from_ms
from gp_aiogram.model.money import DEFAULT_CURRENCY, amount, currency_code
from gp_aiogram.model.user_data import validate_user_data
from gp_aiogram.model.wording import describe

#: The event keys of the GramPixel document ("Send Custom Event"); any other name is custom.
StandardName = Literal[
    "FTD", "DEP", "REG", "Subscribe", "JoinRequest", "Purchase", "INSTALL", "TRIAL"
]

STANDARD_NAMES: frozenset[str] = frozenset(get_args(StandardName))

#: Any text is a name; an editor completes those that mean something to us.
EventName = Union[StandardName, Literal["Refund"], str]  # noqa: PYI051, UP007 - for editors

#: Events that are worthless to an ad platform without their amount (same document: "Required for
#: FTD, DEP, Purchase events for ROAS tracking").
VALUED_NAMES = frozenset({"FTD", "DEP", "Purchase"})

#: A payment that was given back.
REFUND = "Refund"

#: What a user's first deposit is called, and every later one.
FIRST_DEPOSIT, LATER_DEPOSIT = "FTD", "DEP"

#: What Telegram's own updates are called as events, for ``Tracker(auto=...)``.
AutoName = Literal[
    "Blocked",
    "JoinRequest",
    "Leave",
    "Purchase",
    "Refund",
    "Start",
    "Subscribe",
    "Subscription",
]

AUTO_NAMES: frozenset[str] = frozenset(get_args(AutoName))

#: The type of update that each of them is made of; Telegram must be asked to deliver it.
UPDATE_TYPES: Mapping[str, str] = {
    "Blocked": "my_chat_member",
    "JoinRequest": "chat_join_request",
    "Leave": "chat_member",
    "Purchase": "message",
    "Refund": "message",
    "Start": "message",
    "Subscribe": "chat_member",
    "Subscription": "subscription",
}

#: What is known of a user: platform -> field -> value.
Traits = Mapping[str, Mapping[str, str]]

MAX_NAME_LENGTH = 100
MAX_ID_LENGTH = 128

#: Telegram: "at most 52 significant bits"; everything we store ids in takes 63.
_MAX_TELEGRAM_ID = 2**63 - 1


#: Stands for a mapping that was not given: each event gets one of its own.
_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, init=False)
class Event:
    """One conversion of one user. Build it with :func:`~gp_aiogram.model.event.new_event`.

    :param event_id: the same for every attempt and every destination; up to 128 characters.
    :param name: event key, e.g. ``FTD``.
    :param event_time: when it happened, in UTC.
    :param telegram_id: the user.
    :param bot_id: the bot that the user talks to; None when unknown.
    :param session_id: the click it is credited to; None when unknown.
    :param value: units of the currency, never minor units; None if there is no amount.
    :param currency: ISO 4217 code, or another that a destination has a rate for; None when the
        event has no amount.
    :param user_data: further data to send; JSON values only.
    :param click: the ad click of the session; None if none was registered.
    :param traits: what you told ``identify()``, by platform and field, normalised and hashed as
        that platform requires.
    :param bot_username: of the bot, without ``@``; None when unknown.
    """

    event_id: str
    name: str
    event_time: datetime
    telegram_id: int
    bot_id: int | None
    session_id: str | None
    value: Decimal | None
    currency: str | None
    user_data: Mapping[str, Any]
    click: Click | None
    traits: Traits
    bot_username: str | None

    # What dataclass makes for a frozen class sets field by field: six times slower.
    def __init__(  # noqa: PLR0917 - the fields in their order
        self,
        event_id: str,
        name: str,
        event_time: datetime,
        telegram_id: int,
        bot_id: int | None = None,
        session_id: str | None = None,
        value: Decimal | None = None,
        currency: str | None = None,
        user_data: Mapping[str, Any] = _NONE,
        click: Click | None = None,
        traits: Traits = _NONE,
        bot_username: str | None = None,
    ) -> None:
        self.__dict__.update(
            event_id=event_id,
            name=name,
            event_time=event_time,
            telegram_id=telegram_id,
            bot_id=bot_id,
            session_id=session_id,
            value=value,
            currency=currency,
            user_data={} if user_data is _NONE else user_data,
            click=click,
            traits={} if traits is _NONE else traits,
            bot_username=bot_username,
        )

    def to_json(self) -> str:
        """Serialise for a store; :meth:`from_json` reads it back."""
        fields: dict[str, Any] = {
            "event_id": self.event_id,
            "name": self.name,
            "event_time": self.event_time.isoformat(),
            "telegram_id": self.telegram_id,
            "bot_id": self.bot_id,
            "session_id": self.session_id,
            "value": None if self.value is None else str(self.value),
            "currency": self.currency,
            "user_data": self.user_data,
        }
        if self.click is not None:
            fields["click"] = self.click.to_dict()
        if self.traits:
            fields["traits"] = self.traits
        if self.bot_username is not None:
            fields["bot_username"] = self.bot_username
        return codec.encode(fields).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Event:
        """Read what :meth:`to_json` wrote."""
        fields = codec.decode(text)
        value, click = fields["value"], fields.get("click")
        return cls(
            event_id=fields["event_id"],
            name=fields["name"],
            event_time=datetime.fromisoformat(fields["event_time"]),
            telegram_id=fields["telegram_id"],
            bot_id=fields["bot_id"],
            session_id=fields["session_id"],
            value=None if value is None else Decimal(value),
            currency=fields["currency"],
            user_data=fields["user_data"],
            click=None if click is None else Click.from_dict(click),
            traits=fields.get("traits", {}),
            bot_username=fields.get("bot_username"),
        )


def validate_auto(names: Collection[str]) -> frozenset[str]:
    """Return what ``Tracker(auto=...)`` names.

    :raises ConfigurationError: when a name is none of :data:`AUTO_NAMES`.
    """
    given = frozenset({names} if isinstance(names, str) else names)
    if unknown := given - AUTO_NAMES:
        known = ", ".join(sorted(AUTO_NAMES))
        msg = f"auto=... may name {known}, not {short_repr(min(unknown, key=str))}"
        raise ConfigurationError(msg)
    return given


def new_event(
    name: str,
    *,
    telegram_id: int,
    event_time: datetime,
    event_id: str | None = None,
    bot_id: int | None = None,
    session_id: str | None = None,
    value: object = None,
    currency: object = None,
    user_data: Mapping[str, Any] | None = None,
    convertible: Collection[str] = (),
) -> Event:
    """Check everything a caller may give and build the event.

    :param event_time: when it happened; must know its time zone.
    :param event_id: None draws a new one.
    :param value: int, float, Decimal or numeric string, in units of the currency.
    :param currency: ISO 4217 code; USD when a value comes without one, as GramPixel assumes.
    :param user_data: what else to send; see ``validate_user_data``.
    :param convertible: codes of no ISO 4217 that ``currency`` may be, in upper case, because a
        destination has a rate for them: ``USDT``.
    :raises EventError: the text names the rule that was broken, and shows nothing personal.
    """
    name = validate_text("name", name, MAX_NAME_LENGTH)
    if value is None and name in VALUED_NAMES:
        msg = f"{name} needs a value: ad platforms optimise for the amount (FTD, DEP, Purchase)"
        raise EventError(msg)
    if value is not None and currency is None:
        currency = DEFAULT_CURRENCY
    code = None if currency is None else currency_code(currency, convertible)
    moment = validate_moment("event_time", event_time)
    return Event(
        event_id=time_ordered_id(moment)
        if event_id is None
        else validate_text("event_id", event_id),
        name=name,
        event_time=moment,
        telegram_id=validate_telegram_id(telegram_id),
        bot_id=bot_id,
        session_id=None if session_id is None else validate_text("session_id", session_id),
        value=None if value is None or code is None else amount(value, code, convertible),
        currency=code,
        user_data=validate_user_data(user_data),
    )


def time_ordered_id(moment: datetime) -> str:
    """Draw an id that no other event has and that sorts by time, so that an index stays local."""
    return f"{_sortable(int(moment.timestamp() * 1000))}{secrets.token_hex(10)}"


def update_event_id(bot_id: int, update_id: int, rule: str, name: str) -> str:
    """Return the id of what a rule makes of an update: the same each time Telegram delivers it.

    :param update_id: Telegram's number of the update; it grows, so the ids sort by it.
    :param rule: what tells this place in the code from others.
    :param name: event key.
    """
    seed = f"{bot_id}\0{update_id}\0{rule}\0{name}"
    digest = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_sortable(update_id)}{digest[:20]}"


def _sortable(number: int) -> str:
    return f"{number & 0xFFFFFFFFFFFF:012x}"


def utc_from_timestamp(seconds: float) -> datetime:
    """Seconds since the Unix epoch as a datetime, to the millisecond that stores keep."""
    return from_ms(int(seconds * 1000))


def validate_moment(what: str, moment: object) -> datetime:
    """Return a moment in UTC.

    :raises EventError: when it is none, or knows no time zone.
    """
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        shown = short_repr(moment) if isinstance(moment, date) else describe(moment)
        msg = f"{what} must be a datetime with a time zone, not {shown}"
        raise EventError(msg)
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:
        msg = f"{what} is no moment in UTC: {moment.isoformat()}"
        raise EventError(msg) from None


def validate_text(what: str, value: object, longest: int = MAX_ID_LENGTH) -> str:
    """Return a text that is not blank and not too long.

    :raises EventError: when it is none.
    """
    if not is_text(value) or not value.strip() or len(value) > longest:
        msg = f"{what} must be a text of 1 to {longest} characters, not {describe(value)}"
        raise EventError(msg)
    return value


def is_text(value: object) -> TypeGuard[str]:
    """Return whether a value is a text that every database can keep (no lone surrogates)."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def validate_telegram_id(value: object) -> int:
    """Return a user's id.

    :raises EventError: when it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MAX_TELEGRAM_ID:
        msg = f"telegram_id must be a user's positive integer id, not {describe(value)}"
        raise EventError(msg)
    return value
