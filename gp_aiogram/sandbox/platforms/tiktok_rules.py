"""What TikTok's Events API requires of a request: its fields, and the rules between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gp_aiogram.sandbox.platforms.schema import (
    BOOLEAN,
    DIGEST,
    INTEGER,
    NUMBER,
    SECONDS,
    STRING,
    Flaw,
    array,
    choice,
    leaf,
    one_or_many,
    record,
)

MAX_EVENTS = 1000
MAX_TTCLID = 1000

#: The object that an event of each source must have ("Report App, Web, Offline, or CRM Events").
REQUIRED = {"web": "page", "app": "app", "offline": None, "crm": "lead"}

CURRENCIES = frozenset(
    """
    AED ARS AUD BDT BHD BIF BOB BRL CAD CHF CLP CNY COP CRC CZK DKK DZD EGP EUR GBP GTQ HKD HNL
    HUF IDR ILS INR ISK JPY KES KHR KRW KWD KZT MAD MOP MXN MYR NGN NIO NOK NZD OMR PEN PHP PKR
    PLN PYG QAR RON RUB SAR SEK SGD THB TRY TWD UAH USD VES VND ZAR
    """.split()  # noqa: SIM905 - a table to read
)
STANDARD_EVENTS = frozenset(
    """
    AddPaymentInfo AddToCart AddToWishlist ApplicationApproval CompleteRegistration Contact
    CustomizeProduct Download FindLocation InitiateCheckout Lead Purchase Schedule Search
    StartTrial SubmitApplication Subscribe ViewContent
    CompletePayment SubmitForm ClickButton PlaceAnOrder
    """.split()  # noqa: SIM905 - a table to read; the last line has older names that are still accepted
)
CURRENCY_WANTED = "currency code of TikTok's list"

_DIGESTS = one_or_many(DIGEST)

USER = record(
    {
        **dict.fromkeys(("email", "phone", "external_id"), _DIGESTS),
        **dict.fromkeys(("first_name", "last_name", "zip_code"), DIGEST),
        **dict.fromkeys(("city", "state", "country"), STRING),
        "ttclid": leaf(
            f"string of at most {MAX_TTCLID} characters",
            lambda value: isinstance(value, str) and 0 < len(value) <= MAX_TTCLID,
        ),
        **dict.fromkeys(("ttp", "ip", "user_agent", "locale", "idfa", "idfv", "gaid"), STRING),
        "att_status": choice(
            "AUTHORIZED", "DENIED", "NOT_DETERMINED", "RESTRICTED", "NOT_APPLICABLE"
        ),
    }
)

PROPERTIES = record(
    {
        "content_ids": array(STRING),
        "contents": array(
            record(
                {
                    "price": NUMBER,
                    "quantity": INTEGER,  # in every official example, not in the table
                    "content_id": STRING,
                    "content_category": STRING,
                    "content_name": STRING,
                    "brand": STRING,
                }
            )
        ),
        "content_type": choice("product", "product_group"),
        "currency": leaf(CURRENCY_WANTED, lambda v: isinstance(v, str) and v in CURRENCIES),
        "value": NUMBER,
        "num_items": INTEGER,
        "search_string": STRING,
        "description": STRING,
        "order_id": STRING,
        "shop_id": STRING,
        "customer_type": choice("new", "returning"),
    }
)

EVENT = record(
    {
        "event": STRING,
        "event_time": SECONDS,
        "event_id": STRING,
        "user": USER,
        "properties": PROPERTIES,
        "page": record({"url": STRING, "referrer": STRING}, required=("url",)),
        "app": record(
            dict.fromkeys(("app_id", "app_name", "app_version"), STRING), required=("app_id",)
        ),
        "ad": record(
            {
                **dict.fromkeys(
                    (
                        "callback",
                        "campaign_id",
                        "ad_id",
                        "creative_id",
                        "attribution_type",
                        "attribution_provider",
                    ),
                    STRING,
                ),
                "is_retargeting": BOOLEAN,
                "attributed": BOOLEAN,
                "attribution_share": NUMBER,
            }
        ),
        "limited_data_use": BOOLEAN,
        "lead": record(
            dict.fromkeys(("lead_id", "lead_event_source"), STRING), required=("lead_id",)
        ),
    },
    required=("event", "event_time"),
)

REQUEST = record(
    {
        "event_source": choice(*REQUIRED),
        "event_source_id": STRING,
        "data": leaf(
            f"array of 1 to {MAX_EVENTS} events",
            lambda value: isinstance(value, list) and 1 <= len(value) <= MAX_EVENTS,
        ),
        "test_event_code": STRING,
    },
    required=("event_source", "event_source_id", "data"),
)


def flaws_of(event: Any, event_source: str) -> Iterator[Flaw]:
    """Yield the flaws of an event; the later checks rely on the types, so stop at a wrong one.

    :param event: what was sent as an event.
    :param event_source: that of its request.
    """
    yield from EVENT(event)
    needed = REQUIRED[event_source]
    if needed is not None and needed not in event:
        yield Flaw("missing", (needed,))
    if event_source == "offline" and event["event"] not in STANDARD_EVENTS:
        yield Flaw("wrong", ("event",), "standard event")


def is_strict_only(flaw: Flaw) -> bool:
    """Return whether only a strict stand-in refuses a flaw.

    TikTok accepts unknown fields silently; how it treats currencies outside its list is unknown.

    :param flaw: a flaw of a request or an event.
    """
    return flaw.kind == "unknown" or flaw.wanted == CURRENCY_WANTED
