"""What a payment says becomes an event, exactly, without an argument."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.types import Message, TelegramObject, Update

from fixtures import updates
from fixtures.recorder import Feed, Recorder
from gp_aiogram import Event, EventError, MemoryStore, Stars, Tracker, UserTracker, track
from gp_aiogram.bot.payments import Payment, payment_of

Recorded = Callable[[], Awaitable[list[Event]]]

CURRENCIES: dict[str, int] = json.loads(
    (Path(__file__).parents[1] / "data" / "telegram_currencies.json").read_text("utf-8")
)["exponents"]

#: Codes that ISO 4217 has withdrawn, and what one euro is worth in them for ever.
PER_EURO = {"BGN": Decimal("1.95583"), "HRK": Decimal("7.53450")}

EUR_CHARGE = "8215734_7_318822_7362150094718302208"


def paid(total: int, currency: str, charge_id: str = "charge", **changes: Any) -> dict[str, Any]:
    """A payment as Telegram reports it."""
    payment = {
        "total_amount": total,
        "currency": currency,
        "telegram_payment_charge_id": charge_id,
        **changes,
    }
    number = updates.message()["update_id"]
    return updates.raw("successful_payment_eur", update_id=number, successful_payment=payment)


def sell(dp: Dispatcher, *decorators: Callable[[Any], Any]) -> None:
    """Have payments handled by a marked handler."""

    async def handler(message: Message) -> None: ...

    for decorator in decorators:
        handler = decorator(handler)
    dp.message.register(handler, F.successful_payment)


def expected(total: int, currency: str) -> tuple[Decimal, str]:
    """What a payment is worth, by arithmetic of this test's own."""
    units = Decimal(total) / 10 ** CURRENCIES[currency]
    if currency == "XTR":
        return (units * Decimal("0.013")).quantize(Decimal("0.01"), ROUND_HALF_UP), "USD"
    if currency in PER_EURO:
        euros = units / PER_EURO[currency]
        return euros.quantize(Decimal("0.01"), ROUND_HALF_UP), "EUR"
    return units, currency


@pytest.mark.parametrize("currency", CURRENCIES)
async def test_a_payment_in_any_currency_needs_no_arguments(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    currency: str,
) -> None:
    sell(dp, track("Purchase"))
    totals = [1, 9, 10, 99, 100, 145, 1999, 100_050, 123_456_789]
    for total in totals:
        await feed(paid(total, currency, f"charge-{total}"))
    events = {event.user_data["order_id"]: event for event in await recorded()}
    for total in totals:
        event = events.pop(f"charge-{total}")
        assert (event.value, event.currency) == expected(total, currency)
        assert event.name == "Purchase"
    assert events == {}


async def test_an_event_keeps_what_tells_of_the_payment_and_nothing_of_the_person(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    sell(dp, track("Purchase"))
    await feed(updates.raw("successful_payment_eur"))
    (event,) = await recorded()
    assert (event.value, event.currency) == (Decimal("19.99"), "EUR")
    assert event.user_data == {
        "order_id": EUR_CHARGE,
        "invoice_payload": "course:basic",
        "telegram_payment_charge_id": EUR_CHARGE,
        "provider_payment_charge_id": "ch_3PzAdaLovelace1999",
    }
    assert event.event_time.timestamp() == updates.DATE


async def test_a_payload_with_an_email_address_never_gets_into_the_store(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
) -> None:
    sell(dp, track("Purchase"))
    await feed(paid(100, "EUR", invoice_payload="for ada@example.org"))
    (event,) = await recorded()
    assert "ada@example.org" not in event.to_json()


async def test_stars_are_worth_what_the_owner_says(recorder: Recorder) -> None:
    tracker = Tracker([recorder], store=MemoryStore(), stars=Stars(Decimal("0.0125"), "gel"))
    event = await tracker.track("Purchase", telegram_id=7, value=250, currency="xtr")
    assert event is not None
    assert (event.value, event.currency) == (Decimal("3.13"), "GEL")
    assert event.user_data == {"telegram_stars": 250}


async def test_the_number_of_stars_is_kept(dp: Dispatcher, feed: Feed, recorded: Recorded) -> None:
    sell(dp, track("Purchase", user_data={"plan": "gold"}))
    await feed(updates.raw("successful_payment_stars"))
    (event,) = await recorded()
    assert (event.value, event.currency) == (Decimal("3.25"), "USD")
    assert event.user_data["telegram_stars"] == 250
    assert event.user_data["plan"] == "gold"
    assert event.user_data["invoice_payload"] == "course:stars"


@pytest.mark.parametrize("user_data", [["list"], "text", 5])
async def test_wrong_user_data_beside_stars_is_an_error_like_any_other(
    tracker: Tracker,
    user_data: Any,
) -> None:
    with pytest.raises(EventError, match="user_data must be a mapping"):
        await tracker.track(
            "Purchase", telegram_id=7, value=1, currency="XTR", user_data=user_data
        )


@pytest.fixture
async def starless(recorder: Recorder, bot: Bot) -> AsyncIterator[tuple[Tracker, Feed]]:
    """A tracker that takes no stars, on a dispatcher of its own."""
    tracker, dispatcher = Tracker([recorder], store=MemoryStore(), stars=None), Dispatcher()
    tracker.setup(dispatcher)
    sell(dispatcher, track("Purchase"))

    async def feed(update: dict[str, Any]) -> Any:
        return await dispatcher.feed_raw_update(bot, update)

    yield tracker, feed
    await tracker.close(grace=0)


async def test_stars_that_are_worth_nothing_known_are_refused_and_counted(
    starless: tuple[Tracker, Feed],
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracker, feed = starless
    await feed(updates.raw("successful_payment_stars"))
    assert tracker.counts["decorator_errors"] == 1
    assert "Tracker(stars=Stars(" in caplog.text
    with pytest.raises(EventError, match="Telegram Stars"):
        await tracker.track("Purchase", telegram_id=7, value=1, currency="XTR")
    await feed(updates.raw("successful_payment_eur"))
    await tracker.start()
    assert await tracker.flush()
    assert [event.currency for event in recorder.events] == ["EUR"]


@pytest.mark.parametrize(
    ("arguments", "value", "currency"),
    [
        ({"value": 5, "currency": "USD"}, "5.00", "USD"),
        ({"value": F.successful_payment.total_amount / 50}, "39.98", "EUR"),
        ({"value": 5}, "5.00", "EUR"),
        ({"currency": "EUR"}, "19.99", "EUR"),
        ({"currency": " eur"}, "19.99", "EUR"),
        ({"currency": F.successful_payment.currency.lower()}, "19.99", "EUR"),
    ],
    ids=str,
)
async def test_what_the_decorator_says_wins(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    arguments: dict[str, Any],
    value: str,
    currency: str,
) -> None:
    sell(dp, track("Purchase", **arguments))
    await feed(updates.raw("successful_payment_eur"))
    (event,) = await recorded()
    assert (str(event.value), event.currency) == (value, currency)


async def test_a_value_in_stars_is_a_number_of_stars(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    sell(dp, track("Purchase", value=F.successful_payment.total_amount))
    await feed(updates.raw("successful_payment_stars"))
    (event,) = await recorded()
    assert (event.value, event.currency) == (Decimal("3.25"), "USD")


async def test_once_and_user_data_of_the_decorator_win(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    sell(
        dp,
        track(
            "Purchase",
            once=F.successful_payment.invoice_payload,
            user_data={"order_id": "mine", "plan": "gold"},
        ),
    )
    for charge_id in ("a", "b"):
        await feed(paid(100, "EUR", charge_id, invoice_payload="order-1"))
    (event,) = await recorded()
    assert event.user_data["order_id"] == "mine"
    assert event.user_data["plan"] == "gold"
    assert event.user_data["telegram_payment_charge_id"] == "a"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"currency": "USD"}, "the payment is in EUR, not in 'USD'"),
        ({"currency": 5}, "the payment is in EUR, not in 5"),
        ({"value": F.nothing}, "value= came to nothing"),
        ({"user_data": lambda: "text"}, "user_data must be a mapping"),
    ],
    ids=str,
)
async def test_arguments_that_make_no_sense_are_counted_and_not_raised(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    tracker: Tracker,
    caplog: pytest.LogCaptureFixture,
    arguments: dict[str, Any],
    complaint: str,
) -> None:
    sell(dp, track("Purchase", **arguments))
    await feed(updates.raw("successful_payment_eur"))
    assert await recorded() == []
    assert tracker.counts["decorator_errors"] == 1
    assert complaint in caplog.text


async def test_a_currency_that_nobody_knows_is_counted_and_not_raised(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    tracker: Tracker,
) -> None:
    sell(dp, track("Purchase"))
    await feed(paid(100, "ZZZ"))
    assert await recorded() == []
    assert tracker.counts["decorator_errors"] == 1


async def test_every_mark_on_a_payment_knows_it(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    sell(dp, track("Purchase"), track("Premium"), track("REG", when=F.text), track.deposit())
    await feed(updates.raw("successful_payment_eur"))
    events = {event.name: event for event in await recorded()}
    assert set(events) == {"Purchase", "Premium", "FTD"}
    assert {str(event.value) for event in events.values()} == {"19.99"}


async def test_the_same_payment_in_two_updates_counts_once(
    dp: Dispatcher, feed: Feed, recorded: Recorded, tracker: Tracker
) -> None:
    sell(dp, track("Purchase"))
    for _ in range(2):
        await feed(paid(100, "EUR", "charge-1"))
    await feed(paid(100, "EUR", "charge-2"))
    assert sorted(event.user_data["order_id"] for event in await recorded()) == [
        "charge-1",
        "charge-2",
    ]
    assert tracker.counts["duplicates"] == 1


@pytest.mark.parametrize("webhook_first", [False, True])
async def test_a_payment_that_a_webhook_reports_as_well_counts_once(
    dp: Dispatcher,
    feed: Feed,
    recorded: Recorded,
    tracker: Tracker,
    webhook_first: bool,
) -> None:
    sell(dp, track("Purchase"))

    async def webhook() -> None:
        await tracker.track("Purchase", telegram_id=7, value="19.99", once=EUR_CHARGE)

    if webhook_first:
        await webhook()
    await feed(updates.raw("successful_payment_eur"))
    await webhook()
    assert len(await recorded()) == 1


async def test_paid_media_needs_a_price_and_gets_its_event(
    dp: Dispatcher, feed: Feed, recorded: Recorded, tracker: Tracker
) -> None:
    @dp.purchased_paid_media(F.paid_media_payload == "photos")
    @track("Purchase", value=50, currency="XTR", once=F.paid_media_payload)
    async def bought(event: TelegramObject) -> None: ...

    @dp.purchased_paid_media()
    @track("Purchase")
    async def priceless(event: TelegramObject) -> None: ...

    await feed(updates.raw("purchased_paid_media", paid_media_payload="photos"))
    await feed(updates.raw("purchased_paid_media", update_id=5, paid_media_payload="other"))
    (event,) = await recorded()
    assert (event.telegram_id, event.value, event.currency) == (7, Decimal("0.65"), "USD")
    assert tracker.counts["decorator_errors"] == 1


async def test_the_numbers_are_there_for_the_handler(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    @dp.message(F.successful_payment)
    async def handler(message: Message, gp: UserTracker) -> None:
        payment = payment_of(message)
        assert payment is not None
        await gp.track("Purchase", value=payment.value / 2, currency=payment.currency)

    await feed(paid(200, "KWD"))
    (event,) = await recorded()
    assert (event.value, event.currency) == (Decimal("0.100"), "KWD")


def said(name: str, **changes: Any) -> Payment | None:
    update = Update.model_validate(updates.raw(name, **changes))
    return payment_of(update.event)


@pytest.mark.parametrize(
    ("name", "value", "currency", "charge_start", "is_renewal"),
    [
        ("successful_payment_eur", "19.99", "EUR", "8215734_7", False),
        ("successful_payment_jpy", "1999", "JPY", "8215734_7", False),
        ("successful_payment_stars", "250", "XTR", "stx", False),
        ("successful_payment_stars_recurring_first", "500", "XTR", "stx", False),
        ("successful_payment_stars_recurring_renewal", "500", "XTR", "stx", True),
        ("refunded_payment_stars", "250", "XTR", "stx", False),
        ("pre_checkout_query_eur", "19.99", "EUR", None, False),
        ("pre_checkout_query_stars", "250", "XTR", None, False),
    ],
)
def test_payment_of_reads_every_kind(
    name: str, value: str, currency: str, charge_start: str | None, is_renewal: bool
) -> None:
    payment = said(name)
    assert payment is not None
    assert (str(payment.value), payment.currency) == (value, currency)
    assert payment.is_renewal is is_renewal
    assert payment.payload.split(":")[0] in {"course", "club"}
    if charge_start is None:
        assert payment.charge_id is None
        assert "order_id" not in payment.user_data
    else:
        assert payment.charge_id is not None
        assert payment.charge_id.startswith(charge_start)
        assert payment.user_data["order_id"] == payment.charge_id


@pytest.mark.parametrize(
    "name", ["message_text", "callback_query", "purchased_paid_media", "chat_join_request"]
)
def test_payment_of_anything_else_is_nothing(name: str) -> None:
    assert said(name) is None
    assert payment_of(None) is None
    assert payment_of("19.99 EUR") is None
