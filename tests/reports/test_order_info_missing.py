"""The buyer's own name, e-mail address, phone number and address become traits when asked for.

Payments bring the best match keys that a bot ever gets (ps_facebook and facebook-for-woocommerce
send the billing data of an order).
"""

from __future__ import annotations

from aiogram.types import OrderInfo

from gp_aiogram import Tracker
from gp_aiogram.identity import hashed

ORDER = OrderInfo(name="Ada Byron", phone_number="441234567890", email="ada@example.com")


async def test_an_order_form_identifies_the_buyer(tracker: Tracker) -> None:
    await tracker.identify(7, order_info=ORDER)
    event = await tracker.track("REG", telegram_id=7)
    assert event is not None
    known = {"em": "ada@example.com", "ph": "+441234567890", "fn": "Ada", "ln": "Byron"}
    for platform in ("meta", "tiktok"):
        assert event.traits[platform] == {
            field: hashed(field, value, platform=platform) for field, value in known.items()
        }
