"""What reaches the platforms of a payment, to the letter, at stand-ins that check it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.types import Message

from fixtures import updates
from fixtures.platforms import Platforms, platforms
from gp_aiogram import track

USER_DIGEST = sha256(b"7").hexdigest()


@pytest.fixture
async def there() -> AsyncIterator[Platforms]:
    async with platforms() as running:
        yield running


async def pay(there: Platforms, bot: Bot, kept: str, mark: Any, **changes: Any) -> int:
    """Have a marked handler deal with a payment of now, and have the event delivered."""
    dispatcher, now = Dispatcher(), int(time.time())
    there.tracker.setup(dispatcher)

    @dispatcher.message(F.successful_payment)
    @mark
    async def handler(message: Message) -> None: ...

    await dispatcher.feed_raw_update(bot, updates.raw(kept, date=now, **changes))
    await there.tracker.start()
    assert await there.tracker.flush()
    return now


async def test_a_payment_in_euros(there: Platforms, bot: Bot) -> None:
    now = await pay(there, bot, "successful_payment_eur", track("Purchase"))
    charge_id = "8215734_7_318822_7362150094718302208"
    user_data = {
        "order_id": charge_id,
        "invoice_payload": "course:basic",
        "telegram_payment_charge_id": charge_id,
        "provider_payment_charge_id": "ch_3PzAdaLovelace1999",
    }
    (counted,) = there.grampixel.events
    assert counted.body == {
        "event_name": "Purchase",
        "telegram_id": 7,
        "workspace_id": there.grampixel.workspace_id,
        "value": 19.99,
        "currency": "EUR",
        "user_data": user_data,
    }
    event_id = counted.idempotency_key
    (at_meta,) = there.meta.events
    assert at_meta.body == {
        "event_name": "Purchase",
        "event_time": now,
        "event_id": event_id,
        "action_source": "chat",
        "user_data": {"external_id": USER_DIGEST},
        # Of the ids of a charge an ad platform gets one, as the order's.
        "custom_data": {
            "order_id": charge_id,
            "invoice_payload": "course:basic",
            "value": 19.99,
            "currency": "EUR",
        },
    }
    (at_tiktok,) = there.tiktok.events
    assert at_tiktok.body == {
        "event": "CompletePayment",
        "event_time": now,
        "event_id": event_id,
        "user": {"external_id": USER_DIGEST},
        "properties": {"order_id": charge_id, "value": 19.99, "currency": "EUR"},
        "page": {"url": "https://shop.example/"},
    }


async def test_the_first_payment_of_a_subscription_in_stars(there: Platforms, bot: Bot) -> None:
    await pay(there, bot, "successful_payment_stars_recurring_first", track.deposit())
    (counted,) = there.grampixel.events
    charge_id = counted.body["user_data"]["order_id"]
    assert counted.body == {
        "event_name": "FTD",
        "telegram_id": 7,
        "workspace_id": there.grampixel.workspace_id,
        "value": 6.5,
        "currency": "USD",
        "user_data": {
            "telegram_stars": 500,
            "order_id": charge_id,
            "invoice_payload": "club:monthly",
            "telegram_payment_charge_id": charge_id,
            "provider_payment_charge_id": "7_1",
            "subscription_expiration_date": 1_792_592_000,
            "is_recurring": True,
            "is_first_recurring": True,
        },
    }
    (at_meta,) = there.meta.events
    assert (at_meta.body["event_name"], at_meta.body["action_source"]) == ("Purchase", "chat")
    assert at_meta.body["custom_data"]["value"] == 6.5
    assert at_meta.body["custom_data"]["order_id"] == charge_id
    (at_tiktok,) = there.tiktok.events
    assert at_tiktok.body["properties"] == {
        "order_id": charge_id,
        "value": 6.5,
        "currency": "USD",
    }


@pytest.mark.parametrize(
    ("mark", "name"),
    [(track("Purchase"), "Purchase"), (track.deposit(), "DEP")],
    ids=["track", "deposit"],
)
async def test_a_renewal_is_nobodys_decision(
    there: Platforms, bot: Bot, mark: Any, name: str
) -> None:
    await pay(there, bot, "successful_payment_stars_recurring_renewal", mark)
    (counted,) = there.grampixel.events
    assert counted.body["event_name"] == name
    assert counted.body["user_data"]["is_recurring"] is True
    assert "is_first_recurring" not in counted.body["user_data"]
    (at_meta,) = there.meta.events
    assert at_meta.body["action_source"] == "system_generated"
    assert at_meta.body["event_name"] == "Purchase"
    assert [event.body["event"] for event in there.tiktok.events] == ["CompletePayment"]


async def test_a_renewal_is_never_a_first_deposit(
    there: Platforms, bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gp_aiogram")
    await pay(there, bot, "successful_payment_stars_recurring_renewal", track("FTD"))
    assert there.names == {"grampixel": [], "meta": [], "tiktok": []}
    assert there.tracker.counts["decorator_errors"] == 0
    assert "a renewal is no first deposit" in caplog.text


@pytest.mark.parametrize("total", [1, 1999])
async def test_a_currency_without_minor_units(there: Platforms, bot: Bot, total: int) -> None:
    payment = {"total_amount": total}
    await pay(there, bot, "successful_payment_jpy", track("Purchase"), successful_payment=payment)
    (counted,) = there.grampixel.events
    (at_meta,) = there.meta.events
    (at_tiktok,) = there.tiktok.events
    for body in (counted.body, at_meta.body["custom_data"], at_tiktok.body["properties"]):
        assert (body["value"], body["currency"]) == (total, "JPY")
