"""A conversion, as an affiliate network tells of it: of a click, not of a user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from gp_aiogram.model.event import VALUED_NAMES

#: What a conversion may be beside an event: one that takes an earlier one back, and a deposit of
#: which nobody says whether it is the first.
REJECTED, DEPOSIT = "rejected", "deposit"

#: What has a sum and can be taken back.
PAYMENTS = VALUED_NAMES | {DEPOSIT}


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What a network tells of a click that it was given.

    :param network: its name.
    :param click_id: a session id, or any id of a session's click.
    :param status: the network's word for what happened.
    :param event: name of the event that it is, :data:`DEPOSIT` or :data:`REJECTED`.
    :param at: when it was told, or happened, in UTC.
    :param transaction_id: the network's own id of it; None where it has none.
    :param value: in units of the currency.
    :param payments: words of payments, which a rejection without a transaction id takes back.
    """

    network: str
    click_id: str
    status: str
    event: str
    at: datetime
    transaction_id: str | None = None
    value: Decimal | None = None
    currency: str | None = None
    payments: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What tells it from all others before its user is known."""
        parts = (self.network, self.transaction_id or "", self.click_id, self.status, self.event)
        return sha256("\n".join(f"{len(part)} {part}" for part in parts).encode()).hexdigest()

    def order(self, session_id: str) -> str:
        """Return under which order it is recorded: its transaction, else session and status."""
        return self._order(session_id, self.status)

    def rejected_orders(self, session_id: str) -> list[str]:
        """Return the orders that a rejection may mean."""
        if self.transaction_id is not None:
            return [self.order(session_id)]
        return [self._order(session_id, status) for status in self.payments]

    def _order(self, session_id: str, status: str) -> str:
        if self.transaction_id is not None:
            return f"{self.network} transaction {self.transaction_id}"
        return f"{self.network} session {session_id} {status}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; :meth:`from_dict` reads it back."""
        value = None if self.value is None else str(self.value)
        at, payments = self.at.isoformat(), list(self.payments)
        return {**vars(self), "at": at, "value": value, "payments": payments}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Conversion:
        """Read what :meth:`to_dict` returned."""
        value, at = fields["value"], datetime.fromisoformat(fields["at"])
        exact = None if value is None else Decimal(value)
        return cls(**{**fields, "at": at, "value": exact, "payments": (*fields["payments"],)})
