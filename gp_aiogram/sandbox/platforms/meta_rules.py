"""What Meta's Conversions API requires of an event: its fields, and the rules between them."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gp_aiogram.sandbox.platforms.meta_errors import Body, flawed, invalid
from gp_aiogram.sandbox.platforms.schema import (
    BOOLEAN,
    CURRENCIES,
    DIGEST,
    INTEGER,
    NUMBER,
    STRING,
    Check,
    Flaw,
    array,
    choice,
    leaf,
    one_or_many,
    record,
    text,
)

Event = Mapping[str, Any]

MAX_EVENTS = 1000
DAY = 24 * 3600.0
MAX_AGE = 7 * DAY
MAX_AGE_IN_STORES = 62 * DAY
#: How far a client's clock may be ahead; Meta documents no limit, this one is RudderStack's.
MAX_LEAD = 60.0

ACTION_SOURCES = (
    "email",
    "website",
    "app",
    "phone_call",
    "chat",
    "physical_store",
    "system_generated",
    "business_messaging",
    "other",
)
MESSAGING_EVENTS = frozenset(
    """
    Purchase LeadSubmitted InitiateCheckout AddToCart ViewContent OrderCreated OrderShipped
    OrderDelivered OrderCanceled OrderReturned CartAbandoned QualifiedLead RatingProvided
    ReviewProvided
    """.split()  # noqa: SIM905 - a table to read
)
#: "Customer information parameters": user data with no keys but those of one line is refused.
TOO_LITTLE = (
    frozenset({"ct", "country", "st", "zp", "ge", "client_user_agent"}),
    frozenset({"db", "client_user_agent"}),
    frozenset({"fn", "ge"}),
    frozenset({"ln", "ge"}),
)
_EXTINFO_LENGTH = 16


def _is_address(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(ipaddress.ip_address(value))
    except ValueError:
        return False


def _number_of(*numbers: int) -> Check:
    wanted = f"value ({', '.join(map(str, numbers))})"
    return leaf(wanted, lambda value: type(value) is int and value in numbers)


#: "ClickID and the fbp and fbc parameters"; the time is in milliseconds.
_COOKIE = text("fb.<subdomain index>.<milliseconds>.<id>", r"fb\.\d\.\d{13}\.[\w.-]+")
_CURRENCY = leaf("ISO 4217 code", lambda v: isinstance(v, str) and v.upper() in CURRENCIES)
_DELIVERY = choice("in_store", "curbside", "home_delivery")
_SEGMENT = choice(
    *(
        f"{kind}_customer_to_{what}"
        for kind in ("new", "existing")
        for what in ("business", "business_line", "product_area", "medium")
    ),
    "customer_in_loyalty_program",
)

USER_DATA = record(
    {
        **dict.fromkeys(
            ("em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country"),
            one_or_many(DIGEST),
        ),
        "external_id": one_or_many(STRING),
        "client_ip_address": leaf("IP address", _is_address),
        "client_user_agent": STRING,
        "fbc": _COOKIE,
        "fbp": _COOKIE,
        "fb_login_id": INTEGER,
        "lead_id": INTEGER,
        **dict.fromkeys(
            (
                "subscription_id",
                "anon_id",
                "madid",
                "page_id",
                "page_scoped_user_id",
                "ctwa_clid",
                "ig_account_id",
                "ig_sid",
                "whatsapp_business_account_id",
                "instagram_business_account_id",
            ),
            STRING,
        ),
    }
)

CUSTOM_DATA = record(
    {
        "value": NUMBER,
        "currency": _CURRENCY,
        "content_ids": array(STRING),
        "contents": array(
            record(
                {
                    "id": STRING,
                    "quantity": INTEGER,
                    "item_price": NUMBER,
                    "title": STRING,
                    "description": STRING,
                    "brand": STRING,
                    "category": STRING,
                    "delivery_category": _DELIVERY,
                }
            )
        ),
        "content_type": choice("product", "product_group"),
        "content_name": STRING,
        "content_category": STRING,
        "order_id": STRING,
        "num_items": INTEGER,
        "search_string": STRING,
        "status": STRING,
        "delivery_category": _DELIVERY,
        "predicted_ltv": NUMBER,
        "net_revenue": NUMBER,
        "item_number": STRING,
        "customer_segmentation": _SEGMENT,
    },
    others=True,
)

EVENT = record(
    {
        "event_name": STRING,
        "event_time": INTEGER,
        "user_data": USER_DATA,
        "action_source": choice(*ACTION_SOURCES),
        "event_source_url": text("http(s) URL", r"https?://\S+"),
        "event_id": STRING,
        "custom_data": CUSTOM_DATA,
        "opt_out": BOOLEAN,
        "data_processing_options": leaf('value ([] or ["LDU"])', lambda v: v in ([], ["LDU"])),
        "data_processing_options_country": _number_of(0, 1),
        "data_processing_options_state": _number_of(0, 1000),
        "referrer_url": STRING,
        "app_data": record(
            {
                "extinfo": leaf(
                    f"array of {_EXTINFO_LENGTH} strings, the first of them a2 or i2",
                    lambda v: (
                        isinstance(v, list)
                        and len(v) == _EXTINFO_LENGTH
                        and all(isinstance(item, str) for item in v)
                        and v[0] in ("a2", "i2")
                    ),
                )
            },
            required=("extinfo",),
            others=True,
        ),
        "messaging_channel": choice("messenger", "whatsapp", "instagram"),
        "original_event_data": record(
            {
                "event_name": STRING,
                "event_time": INTEGER,
                "order_id": STRING,
                "event_id": STRING,
            }
        ),
        "customer_segmentation": _SEGMENT,
        "attribution_data": record({}, others=True),
        "advanced_measurement_table": STRING,
    },
    required=("event_name", "event_time", "user_data", "action_source"),
)

REQUEST = record(
    {
        "data": lambda _: (),
        **dict.fromkeys(
            (
                "access_token",
                "appsecret_proof",
                "test_event_code",
                "partner_agent",
                "namespace_id",
                "upload_id",
                "upload_tag",
                "upload_source",
            ),
            STRING,
        ),
    }
)


def _conditional(event: Event, now: float) -> Iterator[Flaw]:
    """Check the fields that other fields require ("Server event parameters").

    :param event: an event whose fields are valid.
    :param now: unix seconds.
    """
    source = event["action_source"]
    if event["event_time"] > now + MAX_LEAD:
        yield Flaw("wrong", ("event_time",), "time in seconds that is not in the future")
    if source == "website":
        if "event_source_url" not in event:
            yield Flaw("missing", ("event_source_url",))
        if "client_user_agent" not in event["user_data"]:
            yield Flaw("missing", ("user_data", "client_user_agent"))
    if source == "app" and "app_data" not in event:
        yield Flaw("missing", ("app_data",))
    country, state = "data_processing_options_country", "data_processing_options_state"
    if event.get("data_processing_options") and country not in event:
        yield Flaw("missing", (country,))
    if country in event and state not in event:
        yield Flaw("missing", (state,))


def _too_old(event: Event, now: float) -> Body | None:
    # "Server event parameters", event_time: 7 days, or 62 for a physical store.
    in_store = event["action_source"] == "physical_store"
    if now - event["event_time"] <= (MAX_AGE_IN_STORES if in_store else MAX_AGE):
        return None
    message = (
        "The timestamp for this event is too far in the past. Events need to be sent from your "
        "server within 7 days of when they occurred. Enter a timestamp that has occurred within "
        "the last 7 days."
    )
    return invalid(2804003, "Event Timestamp Too Old", message)


def _too_little(event: Event, _: float) -> Body | None:
    # "Customer information parameters": the combinations that are refused.
    if not any(event["user_data"].keys() <= keys for keys in TOO_LITTLE):
        return None
    title = "You haven't added sufficient customer information parameter data for this event"
    message = (
        "This event doesn't have any customer information parameters, or it has a combination of "
        "them that is too broad to match a person. Add more of them."
    )
    return invalid(2804050, title, message)


def _incomplete_purchase(event: Event, _: float) -> Body | None:
    # "Custom data parameters": a Purchase has a value and a currency.
    custom_data = event.get("custom_data", {})
    if event["event_name"] != "Purchase":
        return None
    if "value" not in custom_data:
        message = (
            "Your purchase event doesn’t include a value parameter. "  # noqa: RUF001 - Meta's
            "Enter a value. For example: 1.99"
        )
        return invalid(2804009, "Missing Value for Purchase Event", message)
    if "currency" not in custom_data:
        message = (
            "Your purchase event doesn’t include a currency parameter. "  # noqa: RUF001 - Meta's
            "Enter a currency parameter. For example: USD"
        )
        return invalid(2804010, "Missing Currency for Purchase Event", message)
    return None


def _wrong_messaging(event: Event, _: float) -> Body | None:
    # "Conversions API for business messaging": its channels and its events.
    if event["action_source"] != "business_messaging":
        return None
    if "messaging_channel" not in event:
        message = (
            "A messaging channel parameter is required when provided action source is "
            "business_messaging. Valid value could be messenger, whatsapp and instagram."
        )
        return invalid(2804063, "Missing Messaging Channel Parameter", message)
    if event["event_name"] not in MESSAGING_EVENTS:
        message = f"{event['event_name']} cannot be sent with action source business_messaging."
        return invalid(2804066, "Invalid Event Type For Messaging", message)
    return None


#: The titles and texts of 2804009, 2804010, 2804063 and the titles of 2804003 and 2804050 are
#: recorded from Meta; the others are this stand-in's own, so do not rely on them.
RULES: tuple[Callable[[Event, float], Body | None], ...] = (
    _too_old,
    _too_little,
    _incomplete_purchase,
    _wrong_messaging,
)


def refusal(data: list[Any], now: float) -> Body | None:
    """Find the first rule that a batch breaks.

    :param data: the events.
    :param now: unix seconds.
    :return: the body that refuses the whole batch; ``None`` when every event is valid.
    """
    for index, event in enumerate(data):
        body = next(_refusals(event, index, now), None)
        if body is not None:
            return body
    return None


def _refusals(event: Any, index: int, now: float) -> Iterator[Body]:
    for flaw in EVENT(event):
        yield flawed(flaw.within("data", index))
    for rule in RULES:
        body = rule(event, now)
        if body is not None:
            yield body
    for flaw in _conditional(event, now):
        yield flawed(flaw.within("data", index))
