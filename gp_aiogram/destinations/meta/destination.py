"""Meta: straight to the Conversions API, ``POST /{version}/{pixel}/events``.

Source of every rule, unless named otherwise: Meta's Conversions API documents, "Main Body
Parameters", "Server Event Parameters", "Customer Information Parameters" and "Custom Data".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import httpx

from gp_aiogram.destinations.ads import (
    AdDestination,
    WarnOnce,
    external_ids,
    hashed_fields,
    map_contents,
    money_fields,
    visitor_ip,
)
from gp_aiogram.destinations.answers import json_object, kind_of_status
from gp_aiogram.destinations.arguments import (
    validate_choice,
    validate_code,
    validate_event_names,
    validate_secret,
    validate_test_code,
)
from gp_aiogram.destinations.base import Receipt
from gp_aiogram.destinations.meta.errors import is_bad_click_id, meta_error
from gp_aiogram.destinations.privacy import shareable, shareable_url
from gp_aiogram.destinations.schema import NUMBER, TEXT, WHOLE, Table, one_of, reader
from gp_aiogram.errors import (
    ConfigurationError,
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    short_repr,
)
from gp_aiogram.identity import FIELDS
from gp_aiogram.model import catalogue
from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event
from gp_aiogram.model.money import CurrencyConverter, Rates

#: Where a conversion may have been made. Not here: ``app``, which needs a device, and
#: ``business_messaging``, which is for Messenger, WhatsApp and Instagram alone (error 2804063).
ACTION_SOURCES = (
    "chat",
    "email",
    "other",
    "phone_call",
    "physical_store",
    "system_generated",
    "website",
)

#: Where subscriptions are renewed.
_RENEWAL_SOURCE = "system_generated"

_VERSION = re.compile(r"v[0-9]{1,3}\.[0-9]{1,2}")

#: Traits that are sent hashed; Meta calls them as we do. The user's id is built separately.
_HASHED = {field: field for field in FIELDS if field != "external_id"}

_DELIVERY = one_of("in_store", "curbside", "home_delivery")

_CONTENT: Table = {
    "id": TEXT,
    "quantity": WHOLE,
    "item_price": NUMBER,
    "delivery_category": _DELIVERY,
    "title": TEXT,
    "description": TEXT,
    "brand": TEXT,
    "category": TEXT,
}

#: TikTok's names of the same fields.
_CONTENT_NAMES = {
    "content_id": "id",
    "content_name": "title",
    "content_category": "category",
    "price": "item_price",
}

#: The standard keys of custom_data that ``user_data`` may set.
_STANDARD: Mapping[str, Table] = {
    "content_category": TEXT,
    "content_ids": [TEXT],
    "content_name": TEXT,
    "content_type": one_of("product", "product_group"),
    "contents": [_CONTENT],
    "delivery_category": _DELIVERY,
    "item_number": TEXT,
    "net_revenue": NUMBER,
    "num_items": WHOLE,
    "order_id": TEXT,
    "predicted_ltv": NUMBER,
    "search_string": TEXT,
    "status": TEXT,
}

_read_standard = reader(_STANDARD, "user_data")

#: Taken from the event alone, never from ``user_data``.
_OF_THE_EVENT = frozenset({"value", "currency"})


class MetaCAPI(AdDestination):
    """Sends events to one Meta pixel (dataset), up to 1000 per request.

    What identifies the user: the SHA-256 of the Telegram id, the traits of ``identify()``, and
    fbc, fbp, address and browser of the click. The id alone satisfies Meta's rule on combinations
    (error 2804050), so a first name without anything else is never sent.

    ``user_data`` of an event becomes ``custom_data``: standard keys such as ``order_id`` as Meta
    wants them, other texts, numbers and booleans as custom keys. The fields of ``contents`` may
    have TikTok's names. What names or looks like personal data is left out.

    Meta de-duplicates by name and event id within 48 hours of the first receipt, and promises it
    for browser and server only; a repeated request holds the same ids.

    :param pixel_id: of the pixel or dataset.
    :param access_token: sent in the ``Authorization`` header, never in the URL.
    :param api_version: of the Graph API; each works for two years at least.
    :param action_source: where conversions are made, one of :data:`ACTION_SOURCES`. With
        ``"website"``, an event whose click has no page or no browser, which Meta then demands, is
        sent as ``"chat"``. Renewals of subscriptions are ``"system_generated"`` in any case.
    :param test_event_code: shows events under Test Events; they count all the same.
    :param app_secret: adds ``appsecret_proof`` to each request, which an app may demand.
    :param name: tells this destination from others.
    :param event_names: what to call our events there, over
        :data:`gp_aiogram.model.catalogue.META`.
    :param only: names of the events that go there; None means all.
    :param rates: currencies to convert, e.g. ``{"UZS": ("USD", Decimal("0.00008"))}``: one unit is
        worth so much. Meta takes every code of ISO 4217, so no other needs one.
    :param data_processing_options: ``["LDU"]`` for Limited Data Use, ``[]`` to say that there is
        none; None says nothing.
    :param data_processing_options_country: with LDU: 1 for the USA, 0 to have Meta find out.
    :param data_processing_options_state: with LDU: 1000 for California, 0 to have Meta find out.
    :param proxy: URL of the HTTP proxy that requests go through; None for that of the environment.
    :param transport: what carries the requests, e.g. ``httpx.MockTransport`` in tests.
    :raises ConfigurationError: when one of them cannot work.
    """

    #: "events up to 7 days old"; an older one makes Meta refuse the whole request (2804003).
    max_age = timedelta(days=7)

    #: "up to 1,000 events in data".
    batch_size: ClassVar[int] = 1000
    concurrency: ClassVar[int] = 4

    def __init__(
        self,
        pixel_id: str | int,
        access_token: str,
        *,
        base_url: str = "https://graph.facebook.com",
        api_version: str = "v26.0",
        action_source: str = "chat",
        test_event_code: str | None = None,
        app_secret: str | None = None,
        name: str = "meta",
        event_names: Mapping[str, str] | None = None,
        only: Collection[str] | None = None,
        rates: Rates | None = None,
        data_processing_options: Sequence[str] | None = None,
        data_processing_options_country: int | None = None,
        data_processing_options_state: int | None = None,
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        token = validate_secret("MetaCAPI(access_token=...)", access_token)
        proof = None if app_secret is None else _proof(token, app_secret)
        own_names = validate_event_names("MetaCAPI(event_names=...)", event_names)
        super().__init__(
            name=name,
            base_url=base_url,
            headers={"authorization": f"Bearer {token}"},
            secrets=[secret for secret in (token, app_secret, proof) if secret],
            only=only,
            proxy=proxy,
            transport=transport,
            event_names={**catalogue.META, **own_names},
            converter=CurrencyConverter("MetaCAPI", rates),
        )
        self.pixel_id = validate_code("MetaCAPI(pixel_id=...)", pixel_id)
        self.action_source = validate_choice(
            "MetaCAPI(action_source=...)",
            action_source,
            ACTION_SOURCES,
            advice="; Meta keeps app for apps and business_messaging for its own messengers",
        )
        self._path = f"/{_validate_version(api_version)}/{self.pixel_id}/events"
        self._privacy = _processing(
            data_processing_options,
            data_processing_options_country,
            data_processing_options_state,
        )
        self._main = {} if proof is None else {"appsecret_proof": proof}
        if test_event_code is not None:
            self._main["test_event_code"] = validate_test_code(
                "MetaCAPI(test_event_code=...)",
                test_event_code,
                self.name,
                "Meta uses such events for targeting and measurement like all others",
            )
        self._warn_once = WarnOnce(self.name)

    def __repr__(self) -> str:
        return f"MetaCAPI(pixel_id={self.pixel_id!r}, name={self.name!r})"

    def prepare(self, event: Event) -> dict[str, Any]:
        """Build an item of ``data``.

        :raises EventRejected: when a Purchase has no value, or the currency is neither supported
            nor convertible.
        """
        name = self.platform_name(event)
        custom = self._custom_data(event)
        if name == "Purchase" and "value" not in custom:
            msg = "Meta takes no Purchase without a value (error 2804009): give track() a value"
            raise EventRejected(msg)
        user = {
            "external_id": external_ids(event, "meta"),
            **hashed_fields(event, "meta", _HASHED),
        }
        page: dict[str, str] = {}
        if event.click is not None:
            user |= _browser(event.click)
            page = _page(event.click)
        item = {
            "event_name": name,
            "event_time": int(event.event_time.timestamp()),
            "event_id": event.event_id,
            "action_source": self._action_source(event, user, page),
            "user_data": user,
            **page,
            **self._privacy,
        }
        if custom:
            item["custom_data"] = custom
        return item

    async def send(self, batch: Sequence[Mapping[str, Any]]) -> Sequence[Receipt]:
        """Send events in one request; each receipt holds Meta's ``fbtrace_id`` and ``messages``.

        An answer that counts fewer events than were sent does not tell which: all are sent again.
        An event whose fbc Meta refuses is sent without it; of several events, none is taken, and
        the courier finds which.

        :raises DeliveryError: as the contract says.
        """
        response = await self._post(batch)
        if len(batch) == 1 and "fbc" in batch[0]["user_data"] and is_bad_click_id(response):
            self._warn_once.left_out(["fbc, which Meta refuses as malformed (error 2804001)"])
            response = await self._post([_without_fbc(batch[0])])
        return [self._read(response, len(batch))] * len(batch)

    async def _post(self, batch: Sequence[Mapping[str, Any]]) -> httpx.Response:
        return await self.post(self._path, {"data": list(batch), **self._main})

    def _action_source(
        self,
        event: Event,
        user: Mapping[str, Any],
        page: Mapping[str, str],
    ) -> str:
        if _is_renewal(event):
            return _RENEWAL_SOURCE
        if self.action_source == "website" and _WEBSITE_NEEDS - user.keys() - page.keys():
            return "chat"
        return self.action_source

    def _custom_data(self, event: Event) -> dict[str, Any]:
        if not event.user_data:
            return money_fields(event, self._converter)
        custom: dict[str, Any] = {}
        standard: dict[str, Any] = {}
        given = map_contents(event.user_data, _CONTENT_NAMES)
        for key, part in shareable(given).items():
            if key in _STANDARD:
                standard[key] = part
            elif key not in _OF_THE_EVENT and isinstance(part, (str, int, float)):
                custom[key] = part
        if standard:
            custom |= self._standard(standard)
        return custom | money_fields(event, self._converter)

    def _standard(self, given: Mapping[str, Any]) -> dict[str, Any]:
        errors: list[str] = []
        standard: dict[str, Any] = _read_standard(given, errors) or {}
        self._warn_once.left_out(errors)
        return standard

    def _read(self, response: httpx.Response, sent: int) -> Receipt:
        error = meta_error(response)
        if error is not None:
            raise self.redact_error(error)
        answer = json_object(response)
        received = answer.get("events_received")
        if not response.is_success or isinstance(received, bool) or not isinstance(received, int):
            raise self._not_metas(response)
        if received < sent:
            msg = f"Meta received {received} of {sent} events and does not say which"
            raise DeliveryFailed(msg, ambiguous=True)
        messages = answer.get("messages")
        told = "; ".join(map(str, messages)) if isinstance(messages, list) else None
        return self.receipt({"fbtrace_id": answer.get("fbtrace_id"), "messages": told})

    def _not_metas(self, response: httpx.Response) -> DeliveryError:
        """Return the error for an answer of something in between, such as a page of HTML."""
        status = response.status_code
        if status in _TOLD_BY_STATUS or kind_of_status(status) is DestinationMisconfigured:
            self.raise_for_status(response)
        msg = f"the answer is not Meta's: HTTP {response.status_code}: {response.text}"
        return DeliveryFailed(self.redact(msg), ambiguous=True)


#: Required by Meta when ``action_source`` is ``website``.
_WEBSITE_NEEDS = frozenset({"event_source_url", "client_user_agent"})

#: Statuses that mean the same whoever sends them: too large (a smaller batch helps), slow down,
#: not now.
_TOLD_BY_STATUS = frozenset({413, 429, 503})


def _proof(token: str, app_secret: str) -> str:
    """Return ``appsecret_proof`` (Graph API, "Securing Requests"): HMAC-SHA256 in hex."""
    secret = validate_secret("MetaCAPI(app_secret=...)", app_secret)
    return hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()


def _validate_version(version: object) -> str:
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        msg = f"MetaCAPI(api_version=...) must look like 'v26.0', not {short_repr(version)}"
        raise ConfigurationError(msg)
    return version


def _processing(options: object, country: object, state: object) -> dict[str, Any]:
    """Return what each event says of Meta's "Data Processing Options"."""
    places = {"country": country, "state": state}
    if options is None and country is None and state is None:
        return {}
    if not isinstance(options, (list, tuple)) or list(options) not in ([], ["LDU"]):
        msg = (
            "MetaCAPI(data_processing_options=...) must be ['LDU'] or [], and not be missing "
            f"when country or state is given, not {short_repr(options)}"
        )
        raise ConfigurationError(msg)
    if options and not all(_is_place(place) for place in places.values()):
        msg = (
            "MetaCAPI(data_processing_options=['LDU']) needs data_processing_options_country (1 "
            "is the USA) and data_processing_options_state (1000 is California); 0 and 0 have "
            "Meta find out"
        )
        raise ConfigurationError(msg)
    named = {f"data_processing_options_{key}": place for key, place in places.items()}
    return {"data_processing_options": list(options), **(named if options else {})}


def _is_place(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_renewal(event: Event) -> bool:
    """Tell whether this is a later payment of a subscription (Bot API, SuccessfulPayment)."""
    data = event.user_data
    return data.get("is_recurring") is True and not data.get("is_first_recurring")


def _page(click: Click) -> dict[str, str]:
    pages = {"event_source_url": click.url, "referrer_url": click.referrer}
    return {name: url for name, page in pages.items() if (url := shareable_url(page))}


def _browser(click: Click) -> dict[str, str]:
    """Return what Meta wants as it is, never hashed."""
    fbc, fbp = click.meta_ids()
    known = {
        "fbc": fbc,
        "fbp": fbp,
        "client_ip_address": visitor_ip(click.ip),
        "client_user_agent": click.user_agent,
    }
    return {name: value for name, value in known.items() if value}


def _without_fbc(item: Mapping[str, Any]) -> dict[str, Any]:
    user = {name: value for name, value in item["user_data"].items() if name != "fbc"}
    return {**item, "user_data": user}
