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
from typing import Any

import httpx

from gp_aiogram.destinations.ads import (
    TEST_CODE,
    AdDestination,
    WarnOnce,
    external_ids,
    hashed_fields,
    split_test_code,
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
from gp_aiogram.destinations.meta.body import HASHED, CustomData, browser, pages
from gp_aiogram.destinations.meta.errors import is_bad_click_id, meta_error
from gp_aiogram.destinations.meta.quality import FIELDS, EventQuality, read_quality
from gp_aiogram.errors import (
    ConfigurationError,
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    short_repr,
)
from gp_aiogram.model import catalogue
from gp_aiogram.model.event import Event
from gp_aiogram.model.firing import firing_of
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


class MetaCAPI(AdDestination):
    """Sends events to one Meta pixel (dataset), up to 1000 per request.

    What identifies the user: the SHA-256 of the Telegram id, the traits of ``identify()``, and
    fbc, fbp, address and browser of the click. The id alone satisfies Meta's rule on combinations
    (error 2804050), so a first name without anything else is never sent.

    ``user_data`` of an event becomes ``custom_data``: standard keys such as ``order_id`` as Meta
    requires, other texts, numbers and booleans as custom keys. The fields of ``contents`` may
    have TikTok's names. What names or looks like personal data is left out.

    Meta de-duplicates by name and event id within 48 hours of the first receipt. It promises this
    between browser and server only. A repeated request has the same ids.

    :param pixel_id: of the pixel or dataset.
    :param access_token: sent in the ``Authorization`` header, never in the URL.
    :param api_version: of the Graph API; each version works for at least two years.
    :param action_source: where conversions are made, one of
        :data:`~gp_aiogram.destinations.meta.destination.ACTION_SOURCES`. With ``"website"``, an
        event whose click has no page or no browser is sent as ``"chat"``, because Meta requires
        both. Renewals of subscriptions are always ``"system_generated"``.
    :param test_event_code: shows events under Test Events; they still count.
    :param app_secret: adds ``appsecret_proof`` to each request, which an app may require.
    :param name: of this destination; each destination of a tracker needs its own.
    :param event_names: the platform's names for our events, over
        :data:`gp_aiogram.model.catalogue.META`.
    :param only: names of the events to send; None sends all.
    :param rates: currencies to convert, with the worth of one unit, e.g.
        ``{"UZS": ("USD", Decimal("0.00008"))}``. Meta accepts every ISO 4217 code, so you need no
        rates for those.
    :param data_processing_options: ``["LDU"]`` for Limited Data Use, ``[]`` to declare that there
        is none; None sends nothing.
    :param data_processing_options_country: with LDU: 1 for the USA, 0 to have Meta find out.
    :param data_processing_options_state: with LDU: 1000 for California, 0 to have Meta find out.
    :param proxy: URL of an HTTP proxy; None uses the proxy of the environment, if there is one.
    :param transport: an httpx transport for the requests, such as ``httpx.MockTransport``.
    :raises ConfigurationError: when an argument is invalid.
    """

    #: "events up to 7 days old"; an older one makes Meta refuse the whole request (2804003).
    max_age = timedelta(days=7)

    #: "up to 1,000 events in data".
    batch_size = 1000
    concurrency = 4

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
        self._version = _validate_version(api_version)
        self._path = f"/{self._version}/{self.pixel_id}/events"
        self._privacy = _processing(
            data_processing_options,
            data_processing_options_country,
            data_processing_options_state,
        )
        self._proof = {} if proof is None else {"appsecret_proof": proof}
        self._main = {**self._proof}
        if test_event_code is not None:
            self._main["test_event_code"] = validate_test_code(
                "MetaCAPI(test_event_code=...)",
                test_event_code,
                self.name,
                "Meta uses such events for targeting and measurement like all others",
            )
        self._warn_once = WarnOnce(self.name)
        self._custom = CustomData(self._converter, self._warn_once)

    def __repr__(self) -> str:
        return f"MetaCAPI(pixel_id={self.pixel_id!r}, name={self.name!r})"

    def prepare(self, event: Event) -> dict[str, Any]:
        """Build an item of ``data``.

        :raises EventRejected: when a Purchase has no value, or the currency is neither supported
            nor convertible.
        """
        name = self.platform_name(event)
        custom = self._custom.read(event)
        if name == "Purchase" and "value" not in custom:
            msg = "Meta takes no Purchase without a value (error 2804009): give track() a value"
            raise EventRejected(msg)
        user = {
            "external_id": external_ids(event, "meta"),
            **hashed_fields(event, "meta", HASHED),
        }
        page: dict[str, str] = {}
        if event.click is not None:
            user |= browser(event.click)
            page = pages(event.click)
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
        if code := firing_of(event).test_event_code:
            item[TEST_CODE] = code
        return item

    def kind_of(self, prepared: Mapping[str, Any]) -> str | None:
        """Return the test code, because all events of a request share one."""
        code: str | None = prepared.get(TEST_CODE)
        return code

    async def send(self, batch: Sequence[Mapping[str, Any]]) -> Sequence[Receipt]:
        """Send events in one request; each receipt holds Meta's ``fbtrace_id`` and ``messages``.

        If the answer counts fewer events than were sent, it does not say which, so all are sent
        again. If Meta refuses the fbc of an event, the event is sent without it; in a batch, the
        courier first finds which event it is.

        :raises DeliveryError: see :meth:`Destination.send <gp_aiogram.Destination.send>`.
        """
        response = await self._post(batch)
        if len(batch) == 1 and "fbc" in batch[0]["user_data"] and is_bad_click_id(response):
            self._warn_once.left_out(["fbc, which Meta refuses as malformed (error 2804001)"])
            response = await self._post([_without_fbc(batch[0])])
        return [self._read(response, len(batch))] * len(batch)

    async def dataset_quality(self) -> list[EventQuality]:
        """Ask Meta how well this pixel's events match people, by event name.

        The token needs a further permission for it. Meta answers for website events only.

        :raises DestinationMisconfigured: when the token may not read it.
        :raises DeliveryError: when Meta does not answer.
        """
        query = {"dataset_id": self.pixel_id, "fields": FIELDS, **self._proof}
        response = await self.get(f"/{self._version}/dataset_quality", query)
        error = meta_error(response)
        if error is not None:
            raise self.redact_error(error)
        self.raise_for_status(response)
        return read_quality(json_object(response))

    async def _post(self, batch: Sequence[Mapping[str, Any]]) -> httpx.Response:
        code, items = split_test_code(batch)
        return await self.post(self._path, {"data": items, **self._main, **code})

    def _action_source(
        self,
        event: Event,
        user: Mapping[str, Any],
        page: Mapping[str, str],
    ) -> str:
        if _is_renewal(event):
            return _RENEWAL_SOURCE
        source = firing_of(event).action_source or self.action_source
        if source == "website" and _WEBSITE_NEEDS - user.keys() - page.keys():
            return "chat"
        return source

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
            raise DeliveryFailed(msg, ambiguous=True, status=response.status_code)
        messages = answer.get("messages")
        told = "; ".join(map(str, messages)) if isinstance(messages, list) else None
        return self.receipt({"fbtrace_id": answer.get("fbtrace_id"), "messages": told})

    def _not_metas(self, response: httpx.Response) -> DeliveryError:
        """Return the error for an answer of something in between, such as a page of HTML."""
        status = response.status_code
        if status in _TOLD_BY_STATUS or kind_of_status(status) is DestinationMisconfigured:
            self.raise_for_status(response)
        msg = f"the answer is not Meta's: HTTP {response.status_code}: {response.text}"
        return DeliveryFailed(self.redact(msg), ambiguous=True, status=status)


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
    """Return whether this is a later payment of a subscription (Bot API, SuccessfulPayment)."""
    data = event.user_data
    return data.get("is_recurring") is True and not data.get("is_first_recurring")


def _without_fbc(item: Mapping[str, Any]) -> dict[str, Any]:
    user = {name: value for name, value in item["user_data"].items() if name != "fbc"}
    return {**item, "user_data": user}
