"""An update for each event that is recorded without a handler, and what the event says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from aiogram.enums import UpdateType

import updates

CHANNEL = {"chat_id": -1002233445566}

#: An update of each event, and the fields of the event that are not as in all of them.
TOLD: dict[str, tuple[str, dict[str, Any]]] = {
    "Blocked": ("my_chat_member_blocked", {}),
    "JoinRequest": ("chat_join_request", {"session_id": "gp_a1b2c3", "user_data": CHANNEL}),
    "Leave": ("chat_member_left", {"user_data": CHANNEL}),
    "Purchase": (
        "successful_payment_eur",
        {
            "value": Decimal("19.99"),
            "currency": "EUR",
            "user_data": {
                "order_id": "8215734_7_318822_7362150094718302208",
                "invoice_payload": "course:basic",
                "telegram_payment_charge_id": "8215734_7_318822_7362150094718302208",
                "provider_payment_charge_id": "ch_3PzAdaLovelace1999",
            },
        },
    ),
    "Refund": ("refunded_payment_stars", {"value": Decimal("3.25"), "currency": "USD"}),
    "Start": ("start", {"session_id": "gp_a1b2c3"}),
    "Subscribe": ("chat_member_approved", {"session_id": "gp_a1b2c3", "user_data": CHANNEL}),
    "Subscription": (
        "subscription_active",
        {"user_data": {"state": "active", "invoice_payload": "club:monthly"}},
    ),
}

#: What this version of aiogram can ask for: the youngest are not there before 3.31.
NAMES = sorted(name for name, (file, _) in TOLD.items() if file != "subscription_active")
if "subscription" in set(UpdateType):
    NAMES.append("Subscription")
AUTO = frozenset(NAMES)

each = pytest.mark.parametrize("name", NAMES)


def told(name: str, update_id: int | None = None) -> dict[str, Any]:
    return updates.raw(TOLD[name][0], update_id=update_id)


def kind_of(name: str) -> str:
    _, kind = told(name)
    return str(kind)
