"""Snapchat: straight to the Conversions API v3, ``POST /v3/{pixel}/events``.

Source of every rule, unless named otherwise: Snap's Conversions API documents, "Using the API",
"Parameters" and "Verify Set Up". The body is Meta's.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx

from gp_aiogram.destinations.ads import AdDestination, WarnOnce, external_ids, hashed_fields
from gp_aiogram.destinations.answers import json_object
from gp_aiogram.destinations.arguments import (
    validate_batch_size,
    validate_code,
    validate_event_names,
    validate_flag,
    validate_secret,
)
from gp_aiogram.destinations.base import Receipt
from gp_aiogram.destinations.meta.body import CustomData, browser
from gp_aiogram.destinations.privacy import shareable_url
from gp_aiogram.errors import (
    ConfigurationError,
    DeliveryFailed,
    EventRejected,
    EventSkipped,
    short_repr,
)
from gp_aiogram.model import catalogue
from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event
from gp_aiogram.model.money import CurrencyConverter, Rates

logger = logging.getLogger("gp_aiogram.destinations")

#: Traits that are sent hashed, under the same names. Their normal forms are Meta's: a phone number
#: is its digits, with the country's code.
_HASHED = {field: field for field in ("em", "ph", "fn", "ln", "ge", "ct", "st", "zp", "country")}

#: Of what the browser tells, Snapchat takes the same as Meta, but for Meta's own ids.
_BROWSER = ("client_ip_address", "client_user_agent")

#: Names under which a click may carry Snapchat's ids, in this order: the parameter of its ads,
#: and the cookie of its pixel.
_CLICK_ID = ("ScCid", "sccid", "sc_click_id")
_COOKIE = ("_scid", "scid", "sc_cookie1")

_PURCHASE = "PURCHASE"

#: How an answer says that all events were taken.
_VALID = "VALID"

#: Snapchat documents no number. This one is small, so that one bad event is found soon.
BATCH_SIZE = 100

_MOST_EVENTS = 2000

#: ``MOBILE_APP`` needs the data of an app, which a bot does not have.
_ACTION_SOURCE = re.compile(r"(?!MOBILE_APP$)[A-Za-z_]{1,40}")

_TELEGRAM = "https://t.me/"


class Snapchat(AdDestination):
    """Sends events to one Snap pixel, several per request.

    What identifies the user: e-mail and phone as digests, or the address and the browser of the
    click together. Snapchat refuses events without any of these, so they are skipped. Also sent:
    names, gender, place, the SHA-256 of the Telegram id, and ``sc_click_id``, which the click has
    as its id ``ScCid``, Snapchat's own parameter.

    ``user_data`` of an event becomes ``custom_data``, as for Meta, with the documented keys only.

    Every web event needs a page: that of the click, else ``page_url``, else the bot's address on
    t.me.

    Snapchat accepts the token only in the URL. The URL is never shown. Snapchat de-duplicates by
    event id within 48 hours.

    :param pixel_id: of the pixel.
    :param access_token: the long-lived token of the Conversions API.
    :param action_source: where conversions are made. Sources differ: ``"WEB"`` in Snap's tables,
        ``"website"`` in Meta's form.
    :param page_url: the page address to send when the click has none.
    :param validate_only: send to ``/events/validate``, which checks events without counting them.
    :param batch_size: events per request; Snapchat documents no limit.
    :param name: of this destination; each destination of a tracker needs its own.
    :param event_names: the platform's names for our events, over
        :data:`gp_aiogram.model.catalogue.SNAPCHAT`; names go out in capitals.
    :param only: names of the events to send; None sends all.
    :param rates: currencies to convert, e.g. ``{"UZS": ("USD", Decimal("0.00008"))}``.
    :param proxy: URL of an HTTP proxy; None uses the proxy of the environment, if there is one.
    :param transport: an httpx transport for the requests, such as ``httpx.MockTransport``.
    :raises ConfigurationError: when an argument is invalid.
    """

    #: "maximum 37 days back".
    max_age = timedelta(days=37)

    concurrency = 4

    def __init__(
        self,
        pixel_id: str,
        access_token: str,
        *,
        base_url: str = "https://tr.snapchat.com",
        action_source: str = "WEB",
        page_url: str | None = None,
        validate_only: bool = False,
        batch_size: int = BATCH_SIZE,
        name: str = "snapchat",
        event_names: Mapping[str, str] | None = None,
        only: Collection[str] | None = None,
        rates: Rates | None = None,
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        token = validate_secret("Snapchat(access_token=...)", access_token)
        own_names = validate_event_names("Snapchat(event_names=...)", event_names)
        super().__init__(
            name=name,
            base_url=base_url,
            headers={},
            secrets=(token,),
            only=only,
            proxy=proxy,
            transport=transport,
            event_names={**catalogue.SNAPCHAT, **own_names},
            converter=CurrencyConverter("Snapchat", rates),
        )
        self.pixel_id = validate_code("Snapchat(pixel_id=...)", pixel_id)
        self.action_source = _validate_source(action_source)
        self.batch_size = validate_batch_size("Snapchat(batch_size=...)", batch_size, _MOST_EVENTS)
        self._page_url = _validate_page(page_url)
        validating = validate_flag("Snapchat(validate_only=...)", validate_only)
        check = "/validate" if validating else ""
        self._path = f"/v3/{self.pixel_id}/events{check}?access_token={quote(token, safe='')}"
        self._custom = CustomData(self._converter, WarnOnce(self.name), custom_keys=False)
        if validating:
            logger.warning(
                "%s: validate_only is set, and Snapchat counts no event: remove it when the test "
                "is over",
                self.name,
            )

    def __repr__(self) -> str:
        return f"Snapchat(pixel_id={self.pixel_id!r}, name={self.name!r})"

    def platform_name(self, event: Event) -> str:
        """Return what Snapchat calls an event: in capitals."""
        return super().platform_name(event).upper()

    def prepare(self, event: Event) -> dict[str, Any]:
        """Build an item of ``data``.

        :raises EventSkipped: when nothing is known by which Snapchat could match the user.
        :raises EventRejected: when a PURCHASE has no value, or the currency is neither supported
            nor convertible.
        """
        user = _user(event)
        if not ("em" in user or "ph" in user or user.keys() >= set(_BROWSER)):
            msg = (
                "Snapchat finds people by e-mail, phone, or address and browser together, and "
                "none of these is known: use Landing for the click, or identify()"
            )
            raise EventSkipped(msg)
        name = self.platform_name(event)
        custom = self._custom.read(event)
        if name == _PURCHASE and "value" not in custom:
            msg = "Snapchat takes no PURCHASE without a value: give track() a value"
            raise EventRejected(msg)
        item = {
            "event_name": name,
            "event_time": int(event.event_time.timestamp()),
            "event_id": event.event_id,
            "action_source": self.action_source,
            "event_source_url": self._page(event),
            "user_data": user,
        }
        if custom:
            item["custom_data"] = custom
        return item

    async def send(self, batch: Sequence[Mapping[str, Any]]) -> Sequence[Receipt]:
        """Send events in one request; each receipt holds Snapchat's ``status`` and ``reason``.

        :raises DeliveryError: see :meth:`Destination.send <gp_aiogram.Destination.send>`.
        """
        response = await self.post(self._path, {"data": list(batch)})
        return [self._read(response)] * len(batch)

    def _page(self, event: Event) -> str:
        seen = None if event.click is None else shareable_url(event.click.url)
        return seen or self._page_url or f"{_TELEGRAM}{event.bot_username or ''}"

    def _read(self, response: httpx.Response) -> Receipt:
        """Read an answer; what went wrong may come with 200, so the ``status`` in it decides."""
        self.raise_for_status(response)
        answer = json_object(response)
        status = answer.get("status")
        if not isinstance(status, str):
            msg = f"the answer is not Snapchat's: HTTP {response.status_code}: {response.text}"
            raise DeliveryFailed(self.redact(msg), ambiguous=True, status=response.status_code)
        if status != _VALID:
            msg = f"HTTP {response.status_code}: {response.text}"
            raise EventRejected(self.redact(msg), status=response.status_code)
        return self.receipt({"status": status, "reason": answer.get("reason")})


def _user(event: Event) -> dict[str, Any]:
    user: dict[str, Any] = {
        "external_id": _listed(external_ids(event, "meta")),
        **{name: [value] for name, value in hashed_fields(event, "meta", _HASHED).items()},
    }
    if event.click is None:
        return user
    seen = browser(event.click)
    user |= {name: seen[name] for name in _BROWSER if name in seen}
    own = {"sc_click_id": _id(event.click, _CLICK_ID), "sc_cookie1": _id(event.click, _COOKIE)}
    return user | {name: value for name, value in own.items() if value}


def _listed(ids: str | list[str]) -> list[str]:
    return [ids] if isinstance(ids, str) else ids


def _id(click: Click, names: Collection[str]) -> str | None:
    return next((click.ids[name] for name in names if name in click.ids), None)


def _validate_source(source: object) -> str:
    if not isinstance(source, str) or not _ACTION_SOURCE.fullmatch(source):
        msg = (
            "Snapchat(action_source=...) must be 'WEB', 'OFFLINE' or another word of letters, "
            f"such as 'website'; MOBILE_APP is for apps, not {short_repr(source)}"
        )
        raise ConfigurationError(msg)
    return source


def _validate_page(url: object) -> str | None:
    page = shareable_url(url) if isinstance(url, str) else None
    if url is not None and page is None:
        msg = "Snapchat(page_url=...) must be the http or https address of a page"
        raise ConfigurationError(msg)
    return page
