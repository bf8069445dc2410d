"""Which parameters and words the postbacks of an affiliate network are made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import unquote

from gp_aiogram.model.click_ids import holds_macro, is_no_value, stands_for_nothing, usable_id
from gp_aiogram.model.conversion import PAYMENTS, REJECTED, Conversion
from gp_aiogram.model.wording import describe, shown_name
from gp_aiogram.web.network_checks import APPROVED, IGNORED, check_network, sum_of


class BadPostback(Exception):  # noqa: N818 - reads as what happened
    """A postback that cannot be read.

    :param reason: for whoever set the network's postback up.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Ignored(NamedTuple):
    """A postback that tells of nothing to record."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Network:
    """How to read the postbacks of a network.

    Networks and their customers choose the names of parameters. Start from a ready-made network
    and change what differs: ``dataclasses.replace(KEITARO, name="casino", amount=["revenue"])``.
    Names of parameters and statuses are not case-sensitive. Where you give several parameters, the
    first one that the postback has is used.

    :param name: identifies this network's transactions. Do not change it later.
    :param click_id: parameters that hold the click id that the network was given.
    :param status: parameters that hold the status, the network's word for what happened.
    :param statuses: what each status means: ``"REG"``; ``"deposit"``, where the store decides
        whether it is the user's first; ``"FTD"``, a first deposit, which still counts once per
        user; ``"DEP"``, a later deposit; any other event name; ``"rejected"``, which takes an
        earlier payment back; or ``"ignored"``.
    :param declared: parameters in which a postback itself lists statuses, such as ``sale_status``
        of Keitaro, and the key of ``statuses`` that each stands for.
    :param default_status: the status of a postback without one; None refuses it.
    :param approval: parameters that say whether the conversion is approved.
    :param approvals: what their values mean: ``"approved"``, ``"rejected"`` or ``"ignored"``.
    :param transaction_id: parameters that hold the network's own id of the conversion.
    :param amount: parameters that hold an amount, in units of the currency. Check what it is: many
        networks send your commission, not the deposit.
    :param valued: events that get the amount.
    :param default_amount: used if a postback has no amount; None refuses deposits without one.
    :param currency: parameters that hold its ISO 4217 code.
    :param default_currency: used if a postback has no currency.
    :raises ConfigurationError: when an argument is invalid.
    """

    name: str
    statuses: Mapping[str, str]
    click_id: Collection[str] = ("subid",)
    status: Collection[str] = ("status",)
    declared: Mapping[str, str] = field(default_factory=dict)
    default_status: str | None = None
    approval: Collection[str] = ()
    approvals: Mapping[str, str] = field(default_factory=dict)
    transaction_id: Collection[str] = ("tid",)
    amount: Collection[str] = ()
    valued: Collection[str] = PAYMENTS
    default_amount: Decimal | int | str | None = 0
    currency: Collection[str] = ("currency",)
    default_currency: str = "USD"
    _words: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_words", check_network(self))

    def read(self, parameters: Mapping[str, str], at: datetime) -> Conversion | Ignored:
        """Read a postback.

        :param parameters: by name in lower case.
        :param at: when it came.
        :raises BadPostback: when it cannot be read; the text says what to change.
        """
        click_id = self._click_id(parameters)
        status = self._status(parameters)
        event = self._words[status]
        approval = self._approval(parameters)
        if approval == REJECTED:
            payments: tuple[str, ...] = (status,)
            event = REJECTED
        else:
            payments = tuple(word for word, name in self._words.items() if name in PAYMENTS)
        if IGNORED in {event, approval}:
            return Ignored("it is not to be recorded by the words that you have chosen")
        value, currency = self._money(event, parameters)
        return Conversion(
            network=self.name,
            click_id=click_id,
            status=status,
            event=event,
            at=at,
            transaction_id=self._transaction_id(parameters),
            value=value,
            currency=currency,
            payments=payments if event == REJECTED else (),
        )

    def _click_id(self, parameters: Mapping[str, str]) -> str:
        found = _found(self.click_id, parameters)
        if found is None:
            names = " or ".join(self.click_id)
            msg = f"the click id is missing or empty: the network must send it as {names}"
            raise BadPostback(msg)
        name, click_id = found
        if usable_id(click_id) is None or stands_for_nothing(click_id):
            msg = f"{name} holds {describe(click_id)}, which is no click id"
            raise BadPostback(msg)
        return click_id

    def _status(self, parameters: Mapping[str, str]) -> str:
        """Return the word for what happened, as ``statuses`` has it."""
        found = _found(self.status, parameters)
        if found is None:
            if self.default_status is None:
                names = " or ".join(self.status)
                msg = f"the status is missing: the network must send it as {names}"
                raise BadPostback(msg)
            return self.default_status.lower()
        name, word = found[0], found[1].lower()
        for parameter, meaning in self.declared.items():
            declared = parameters.get(parameter.lower(), "").lower().split(",")
            if word in map(str.strip, declared):
                return meaning.lower()
        if word not in self._words:
            known = ", ".join(sorted(self._words))
            declaring = "".join(f", or declare it by {one}=" for one in [*self.declared][:1])
            msg = f"{name}={shown_name(word)} is no status that is known here: {known}{declaring}"
            raise BadPostback(msg)
        return word

    def _approval(self, parameters: Mapping[str, str]) -> str:
        found = _found(self.approval, parameters)
        if found is None:
            return APPROVED
        meanings = {word.lower(): meaning for word, meaning in self.approvals.items()}
        if found[1].lower() not in meanings:
            known = ", ".join(sorted(meanings))
            msg = f"{found[0]}={shown_name(found[1])} is not known here: {known}"
            raise BadPostback(msg)
        return meanings[found[1].lower()]

    def _transaction_id(self, parameters: Mapping[str, str]) -> str | None:
        found = _found(self.transaction_id, parameters)
        if found is None:
            return None
        name, transaction_id = found
        if usable_id(transaction_id) is None:
            msg = f"{name} holds {describe(transaction_id)}, which is no transaction id"
            raise BadPostback(msg)
        return transaction_id

    def _money(
        self,
        event: str,
        parameters: Mapping[str, str],
    ) -> tuple[Decimal | None, str | None]:
        if event not in self.valued:
            return None, None
        found = _found(self.amount, parameters)
        if found is not None:
            value = _amount(*found)
        elif self.default_amount is not None:
            value = Decimal(str(self.default_amount))
        else:
            names = " or ".join(self.amount) or "a parameter that Network(amount=...) names"
            msg = f"{event} needs an amount: the network must send it as {names}"
            raise BadPostback(msg)
        currency = _found(self.currency, parameters)
        return value, self.default_currency if currency is None else currency[1].upper()


def _found(names: Collection[str], parameters: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the first of these parameters that is there, with its value.

    :raises BadPostback: when it holds a macro that the network did not replace.
    """
    for name in names:
        value = parameters.get(name.lower(), "").strip()
        if not value or is_no_value(value):
            continue
        if holds_macro(unquote(value)):
            msg = (
                f"{name}={_shown_macro(value)} is a macro that the network did not replace: look "
                "up how it spells this macro, and correct the postback in its settings"
            )
            raise BadPostback(msg)
        return name, value
    return None


def _shown_macro(value: str) -> str:
    return value if len(value) <= _SHOWN and value.isprintable() else describe(value)


#: No macro that people write is longer.
_SHOWN = 40


def _amount(parameter: str, text: str) -> Decimal:
    try:
        return sum_of(text)
    except ValueError as error:
        msg = f"{parameter} {error}"
        raise BadPostback(msg) from None
