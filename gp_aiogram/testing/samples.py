"""What the contracts put into an outbox, and short ways to do so."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.keys import OnceKey, order_key
from gp_aiogram.stores.records import Delivery, DeliveryFilter, Entry

USER, OTHER_USER = 2**52 - 1, 43
BOT, OTHER_BOT = 7_000_000_001, 7_000_000_002
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)

#: Seconds that the contracts claim deliveries for.
LEASE = 60.0

#: Seconds by which a time may be off, since a server's clock does not stand still during a test.
TOLERANCE = 2.0


def sample(event_id: str = "e1", **fields: Any) -> Event:
    """Make an event."""
    defaults: dict[str, Any] = {"name": "REG", "event_time": NOON, "telegram_id": USER}
    return Event(event_id, **(defaults | fields))


CLICKED_AT = NOON + timedelta(milliseconds=123)

CLICK = Click(
    at=CLICKED_AT,
    fbclid="IwAR0aBcD_-e",
    fbc="fb.1.1767268800123.IwAR0aBcD_-e",
    fbp="fb.1.1767268800000.1098115397",
    ttclid="E.C.P." + "x" * 990,
    ttp="2ODUc3zZhXMkUjUsLfRhbdmOn6V",
    gclid="Cj0KCQ",
    utm={"utm_source": "tiktok", "utm_campaign": "été 😀"},
    ip="2001:db8::1",
    user_agent='Mozilla/5.0 (iPhone; "quoted")',
    url="https://example.com/?utm_source=tiktok&b=%20#c",
    referrer="https://example.org/",
    ids={"subid": "1a2b3c4d5e6f7g8h9i0j", "yclid": "15238965409398325247"},
)

#: Events whose fields are hard to keep.
HARD_EVENTS = {
    "only what is needed": sample(),
    "every field": sample(
        name="FTD",
        event_time=NOON + timedelta(microseconds=123_456),
        bot_id=BOT,
        session_id="gp_a-Z_9",
        value=Decimal("49.90"),
        currency="EUR",
        user_data={"plan": "gold"},
    ),
    "what is known of the user": sample(
        bot_username="shop_bot",
        click=CLICK,
        traits={"meta": {"em": "a" * 64}, "tiktok": {"ph": "b" * 64}},
    ),
    "zeros at the end of an amount": sample(value=Decimal("10.000"), currency="KWD"),
    "amount with an exponent": sample(value=Decimal("1E+3"), currency="JPY"),
    "amount of no money": sample(value=Decimal("0.00"), currency="USD"),
    "amount beyond a float": sample(value=Decimal("99999999999999.99"), currency="USD"),
    "largest ids": sample(telegram_id=2**63 - 1, bot_id=2**63 - 1),
    "another time zone": sample(event_time=NOON.astimezone(timezone(timedelta(hours=5.5)))),
    "text of every kind": sample(
        "'\"%_\\;-- ✓ " + "x" * 100,
        name="Покупка 🎉",
        user_data={
            "": "",
            "emoji": "🎉",
            "half an emoji": "\ud83c",
            "nul": "a\0b",
            "é": "e\u0301",
        },
    ),
    "numbers of every kind": sample(
        user_data={"beyond 53 bits": 2**53 + 1, "huge": -(2**70), "small": 0.1, "large": 1e300},
    ),
    "nested data": sample(user_data={"a": [{"b": [None, True, False, [], {}]}]}),
}


#: More than any test stores.
ALL = 99


def entry(
    event: Event | str = "e1",
    to: Collection[str] = ("a",),
    *,
    once: Collection[OnceKey] = (),
    order: str | None = None,
    unless: Collection[OnceKey] = (),
    marks: Collection[OnceKey] = (),
) -> Entry:
    """Make an entry of an event, or of the sample with this id."""
    if isinstance(event, str):
        event = sample(event)
    return Entry(event, to, once, order, unless, marks)


def key(value: str) -> OnceKey:
    """Make a once-key of which only the value matters."""
    return order_key(BOT, value, "Purchase")


async def fill(outbox: Outbox, *event_ids: str, to: Collection[str] = ("a",)) -> None:
    """Have the outbox accept an event for each id."""
    for event_id in event_ids:
        await outbox.accept(entry(event_id, to))


async def claim_one(outbox: Outbox, destination: str = "a", *, lease: float = LEASE) -> Delivery:
    """Claim the delivery that is known to be due."""
    claim = await outbox.claim(destination, 1, lease=lease)
    (delivery,) = claim.deliveries
    return delivery


async def claim_all(
    outbox: Outbox,
    destination: str = "a",
    limit: int = ALL,
    *,
    capped: bool = False,
) -> Sequence[Delivery]:
    """Claim whatever is due."""
    claim = await outbox.claim(destination, limit, lease=LEASE, capped=capped)
    return claim.deliveries


async def deliveries_of(outbox: Outbox, event_id: str) -> list[Delivery]:
    """Look at the deliveries of an event."""
    return await outbox.select(DeliveryFilter(event_id=event_id))


async def dead_letters(outbox: Outbox) -> list[Delivery]:
    """Look at what was given up."""
    return await outbox.select(DeliveryFilter(states=frozenset({"dead"})))


def ids(deliveries: Iterable[Delivery]) -> list[str]:
    """Return the event ids."""
    return [delivery.event.event_id for delivery in deliveries]
