"""A bot that takes deposits, and the stores that decide which of them are first."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiogram import Dispatcher, F
from aiogram.types import CallbackQuery, Message

import updates
from gp_aiogram import MemoryStore, SQLiteStore, Store, track

#: One more line makes another store pass the same tests.
STORES: dict[str, Callable[[Path], Store]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": lambda folder: SQLiteStore(folder / "gp.sqlite3"),
}


def bank(dp: Dispatcher, **arguments: Any) -> None:
    """Take deposits by buttons and by payments.

    :param arguments: of ``@track.deposit``.
    """

    @dp.callback_query(F.data.startswith("deposit:"))
    @track.deposit(value=F.data[8:].cast(Decimal), currency="EUR", **arguments)
    async def button(call: CallbackQuery) -> None: ...

    @dp.message(F.successful_payment)
    @track.deposit(**arguments)
    async def payment(message: Message) -> None: ...


def payment(charge_id: str = "charge", **changes: Any) -> dict[str, Any]:
    """A payment in an update of its own."""
    number = updates.message()["update_id"]
    paid = {"telegram_payment_charge_id": charge_id}
    return updates.raw(
        "successful_payment_eur", update_id=number, successful_payment=paid, **changes
    )
