"""LeadSail (Vayaflow): fires a pixel for a lead whose contact and click data it knows itself.

Source of every rule: the LeadSail document "Fire a conversion pixel event"
(``POST /api/v1/pixels/fire``).
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, get_args

import httpx

from gp_aiogram.destinations.ads import AdDestination, money_fields
from gp_aiogram.destinations.answers import json_object
from gp_aiogram.destinations.arguments import (
    validate_choice,
    validate_code,
    validate_event_names,
    validate_secret,
    validate_test_code,
)
from gp_aiogram.destinations.base import Ambiguous, Receipt
from gp_aiogram.errors import (
    ConfigurationError,
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    EventSkipped,
)
from gp_aiogram.model import catalogue
from gp_aiogram.model.event import Event
from gp_aiogram.model.money import TIKTOK_CURRENCIES, CurrencyConverter, Rates

logger = logging.getLogger("gp_aiogram.destinations")

#: Finds the lead of an event; None when the user is no lead.
FindLead = Callable[[Event], str | Awaitable[str | None] | None]

_PATH = "/api/v1/pixels/fire"

#: "Where the conversion occurred".
ACTION_SOURCES = ("website", "phone_call", "chat", "system_generated")

#: "Ad platform to send the event to": what it calls our events, and the currencies that it takes.
_PLATFORMS: Mapping[str, tuple[Mapping[str, str], frozenset[str] | None]] = {
    "facebook": (catalogue.META, None),
    "tiktok": (catalogue.TIKTOK_WEB, TIKTOK_CURRENCIES),
}

#: How the document's ids of leads begin; a deep link may carry one as its session.
_LEAD_PREFIX = "lead_"

_ERRORS: Mapping[str, type[DeliveryError]] = {
    "VALIDATION_ERROR": EventRejected,
    "UNAUTHORIZED": DestinationMisconfigured,
    "NOT_FOUND": EventRejected,
}

#: What a receipt keeps of an answer.
_RECEIPT = ("leadId", "pixelId", "platform", "eventName")


class _Pixel(NamedTuple):
    """A pixel to fire.

    :param body: everything but the lead.
    :param lead_id: whose pixel it is unless ``lead_id=`` knows better; None when unknown.
    """

    event: Event
    body: Mapping[str, Any]
    lead_id: str | None


class LeadSail(AdDestination):
    """Fires one pixel through LeadSail, one event per request.

    The lead of an event comes from ``lead_id``, else from ``identify(lead_id=...)``, else from the
    session, if it begins with ``lead_``. An event without a lead is skipped.

    LeadSail documents no idempotency, so an event may be counted twice if its answer was lost and
    it is sent again. ``ambiguous`` says what to do then. Each request carries
    ``Idempotency-Key: <event_id>`` anyway.

    :param api_key: sent as ``X-API-Key``.
    :param pixel_id: of the ad platform.
    :param platform: ``"facebook"`` or ``"tiktok"``; events go out under its names.
    :param action_source: where conversions are made, one of
        :data:`~gp_aiogram.destinations.leadsail.ACTION_SOURCES`.
    :param test_event_code: of the ad platform. According to LeadSail, test events do not count.
    :param lead_id: a function of the event, which may be async and return None; or one lead for
        all events, in tests.
    :param name: of this destination; each destination of a tracker needs its own.
    :param event_names: the platform's names for our events, over those of
        :mod:`gp_aiogram.model.catalogue`.
    :param only: names of the events to send; None sends all.
    :param rates: what one unit of a currency that the platform refuses is worth in one that it
        accepts, e.g. ``{"GEL": ("USD", Decimal("0.37"))}``.
    :param ambiguous: ``"retry"`` sends again after a lost answer; ``"hold"`` makes the event a
        dead letter, and you decide.
    :param proxy: URL of an HTTP proxy; None uses the proxy of the environment, if there is one.
    :param transport: an httpx transport for the requests, such as ``httpx.MockTransport``.
    :raises ConfigurationError: when an argument is invalid.
    """

    #: Of what you gave ``identify()``, LeadSail gets the ``lead_id`` only.
    uses_traits: ClassVar[bool] = False

    def __init__(
        self,
        api_key: str,
        pixel_id: str | int,
        platform: str,
        *,
        base_url: str = "https://api.leadsail.app",
        action_source: str = "system_generated",
        test_event_code: str | None = None,
        lead_id: str | FindLead | None = None,
        name: str = "leadsail",
        event_names: Mapping[str, str] | None = None,
        only: Collection[str] | None = None,
        rates: Rates | None = None,
        ambiguous: Ambiguous = "retry",
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        key = validate_secret("LeadSail(api_key=...)", api_key)
        self.platform = validate_choice("LeadSail(platform=...)", platform, _PLATFORMS)
        names, currencies = _PLATFORMS[self.platform]
        own_names = validate_event_names("LeadSail(event_names=...)", event_names)
        super().__init__(
            name=name,
            base_url=base_url,
            headers={"x-api-key": key},
            secrets=(key,),
            only=only,
            proxy=proxy,
            transport=transport,
            event_names={**names, **own_names},
            converter=CurrencyConverter("LeadSail", rates, supported=currencies),
        )
        self.pixel_id = validate_code("LeadSail(pixel_id=...)", pixel_id)
        self.action_source = validate_choice(
            "LeadSail(action_source=...)",
            action_source,
            ACTION_SOURCES,
        )
        validate_choice("LeadSail(ambiguous=...)", ambiguous, get_args(Ambiguous))
        self.ambiguous = ambiguous
        _validate_lead(lead_id)
        self._lead_id = lead_id if isinstance(lead_id, str) else None
        self._find_lead = None if isinstance(lead_id, str) else lead_id
        self._test = {}
        if test_event_code is not None:
            code = validate_test_code(
                "LeadSail(test_event_code=...)",
                test_event_code,
                self.name,
                "LeadSail fires pixels in test mode only",
            )
            self._test = {"testEventCode": code}

    def __repr__(self) -> str:
        return (
            f"LeadSail(pixel_id={self.pixel_id!r}, platform={self.platform!r}, name={self.name!r})"
        )

    def prepare(self, event: Event) -> _Pixel:
        """Build a request, except for a lead that ``lead_id=...`` has to find.

        :raises EventSkipped: when the user is not a lead.
        :raises EventRejected: when the currency is neither supported nor convertible.
        """
        lead_id = self._lead_id or _lead_of(event)
        if self._find_lead is None:
            _require_lead(lead_id)
        body: dict[str, Any] = {
            "pixelId": self.pixel_id,
            "platform": self.platform,
            "eventName": self.platform_name(event),
            "actionSource": self.action_source,
            **self._test,
        }
        if money := money_fields(event, self._converter):
            body |= {"eventValue": money["value"], "currency": money["currency"]}
        return _Pixel(event, body, lead_id)

    async def send(self, batch: Sequence[_Pixel]) -> Sequence[Receipt]:
        """Send one event; the receipt holds lead, pixel and event name from the answer.

        :raises EventSkipped: when the user is not a lead.
        :raises DeliveryError: see :meth:`Destination.send <gp_aiogram.Destination.send>`.
        """
        ((event, body, lead_id),) = batch
        if self._find_lead is not None:
            lead_id = await self._ask(self._find_lead, event) or lead_id
            _require_lead(lead_id)
        whole = {"leadId": lead_id, **body}
        return [self._read(await self.post(_PATH, whole, idempotency_key=event.event_id))]

    async def _ask(self, find_lead: FindLead, event: Event) -> str | None:
        """Return what ``lead_id=`` says; its failures are not LeadSail's, and nothing was sent."""
        try:
            found = find_lead(event)
            lead_id = await found if inspect.isawaitable(found) else found
        except Exception as error:
            logger.exception("%s: lead_id=... failed", self.name)
            msg = f"{type(error).__name__} in lead_id=..., see the log"
            raise DeliveryFailed(msg) from error
        if lead_id is not None and not isinstance(lead_id, (str, int)):
            msg = f"lead_id=... must return a text or None, not {type(lead_id).__name__}"
            raise EventRejected(msg)
        return None if lead_id is None else str(lead_id)

    def _read(self, response: httpx.Response) -> Receipt:
        """Read an answer: the code of an error, else its status; a success says so twice."""
        answer = json_object(response)
        error = answer.get("error")
        if isinstance(error, dict) and str(error.get("code")) in _ERRORS:
            told = self.redact(_explain(response, error))
            raise _ERRORS[error["code"]](told, status=response.status_code)
        self.raise_for_status(response)
        data = answer.get("data")
        fired = data if isinstance(data, dict) else {}
        flags = (answer.get("success"), fired.get("success"))
        if any(flag is False for flag in flags):
            msg = f"HTTP {response.status_code}: {response.text}"
            raise EventRejected(self.redact(msg), status=response.status_code)
        if not all(flag is True for flag in flags):
            msg = f"the answer is not LeadSail's: HTTP {response.status_code}: {response.text}"
            raise DeliveryFailed(self.redact(msg), ambiguous=True, status=response.status_code)
        return self.receipt({key: fired.get(key) for key in _RECEIPT})


def _lead_of(event: Event) -> str | None:
    """Return the lead that the event itself names."""
    told = event.traits.get("leadsail", {}).get("lead_id")
    session_id = event.session_id or ""
    return told or (session_id if session_id.startswith(_LEAD_PREFIX) else None)


def _require_lead(lead_id: str | None) -> None:
    if not lead_id:
        msg = (
            "the user is no lead of LeadSail: name the lead by LeadSail(lead_id=...) or "
            "identify(lead_id=...), or let the deep link carry lead_..."
        )
        raise EventSkipped(msg)


def _explain(response: httpx.Response, error: Mapping[str, Any]) -> str:
    """Return what LeadSail said, with the details that a VALIDATION_ERROR has."""
    details = error.get("details")
    listed = "; ".join(map(str, details)) if isinstance(details, list) else ""
    told = [f"{error.get('code')} (HTTP {response.status_code})", error.get("message"), listed]
    return ": ".join(str(text) for text in told if text)


def _validate_lead(lead_id: object) -> None:
    is_text = isinstance(lead_id, str) and lead_id.strip()
    if lead_id is not None and not callable(lead_id) and not is_text:
        msg = "LeadSail(lead_id=...) must be a function of the event, a lead's id or None"
        raise ConfigurationError(msg)
