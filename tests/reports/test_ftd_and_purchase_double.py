"""FTD over Purchase on one payment handler doubled each payment in silence: the start says so.

"2 Purchases per order, value inflated" (facebook-for-woocommerce#3971) is the same mistake.
"""

from __future__ import annotations

import httpx
import pytest
from aiogram import Dispatcher, F
from aiogram.types import Message

from gp_aiogram import MemoryStore, MetaCAPI, Tracker, track


async def test_one_payment_that_counts_twice_is_told_at_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(500))
    meta = MetaCAPI("1", "token", transport=transport)
    tracker, dp = Tracker([meta], store=MemoryStore()), Dispatcher()
    tracker.setup(dp)

    @dp.message(F.successful_payment)
    @track("FTD", once="user")
    @track("Purchase")
    async def paid(message: Message) -> None: ...

    await dp.emit_startup()
    await dp.emit_shutdown()
    assert "paid are one Purchase to meta: each counts twice; use @track.deposit" in caplog.text
