"""TikTok: straight to the Events API 2.0, ``POST /open_api/v1.3/event/track/``.

Source of every rule, unless named otherwise: TikTok's "Report App, Web, Offline, or CRM Events".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import httpx

from gp_aiogram.destinations.ads import (
    TEST_CODE,
    AdDestination,
    WarnOnce,
    external_ids,
    hashed_fields,
    map_contents,
    money_fields,
    split_test_code,
    visitor_ip,
)
from gp_aiogram.destinations.answers import json_object
from gp_aiogram.destinations.arguments import (
    validate_choice,
    validate_code,
    validate_event_names,
    validate_secret,
    validate_test_code,
)
from gp_aiogram.destinations.base import Receipt
from gp_aiogram.destinations.privacy import shareable, shareable_url
from gp_aiogram.destinations.schema import is_digest, reader
from gp_aiogram.destinations.tiktok.errors import ACCEPTED, answered_code, tiktok_error
from gp_aiogram.destinations.tiktok.schema import (
    CONTENT_NAMES,
    EVENTS,
    HASHED,
    PLAIN,
    PROPERTIES,
    USERS,
    schema_errors,
)
from gp_aiogram.errors import ConfigurationError, DeliveryFailed, EventRejected, short_repr
from gp_aiogram.model import catalogue
from gp_aiogram.model.click import Click
from gp_aiogram.model.click_ids import click_id
from gp_aiogram.model.event import Event
from gp_aiogram.model.firing import firing_of
from gp_aiogram.model.money import TIKTOK_CURRENCIES, CurrencyConverter, Rates

_PATH = "/open_api/v1.3/event/track/"

_NAMES = {"web": catalogue.TIKTOK_WEB, "app": catalogue.TIKTOK_APP}

#: The page of an event of which nothing else is known: it happened in Telegram.
_TELEGRAM = "https://t.me/"

#: What a receipt keeps of an answer.
_RECEIPT = ("request_id", "message")

_read_properties = reader(PROPERTIES, "user_data")


class TikTokEvents(AdDestination):
    """Sends events to one TikTok pixel, up to 1000 per request.

    What identifies the user: the SHA-256 of the Telegram id, the traits of ``identify()``, and
    ttclid, ttp, address and browser of the click.

    Every web event needs a page: that of the click, else ``page_url``, else the bot's address on
    t.me, else that of Telegram itself, with a warning.

    From ``user_data``, TikTok gets the properties that it documents, such as ``order_id`` and
    ``contents`` (whose fields may have Meta's names), and nothing else. Personal data is left
    out.

    TikTok documents no limit on the age of events, so only ``retry_for`` ends the retries. It
    de-duplicates by name and event id within 48 hours of the first receipt. A repeated request
    has the same ids.

    :param pixel_code: of the pixel; with ``event_source="app"`` the TikTok App ID.
    :param access_token: sent in the ``Access-Token`` header.
    :param event_source: ``"web"``, or ``"app"`` if TikTok allows it for your account.
    :param page_url: the page address to send when the click has none.
    :param test_event_code: shows events under Test Events. TikTok says that they are not counted.
    :param name: of this destination; each destination of a tracker needs its own.
    :param event_names: the platform's names for our events, over those of
        :mod:`gp_aiogram.model.catalogue`; its ``TIKTOK_2025`` has the names of 2025-05.
    :param only: names of the events to send; None sends all.
    :param rates: what one unit of a currency that TikTok refuses is worth in one that it accepts,
        e.g. ``{"GEL": ("USD", Decimal("0.37"))}``. Without a rate, an event in such a currency
        becomes a dead letter.
    :param limited_data_use: for users who opted out under a US state's privacy law; None sends
        nothing.
    :param app_id: for app events, the app's own id; by default, that of TikTok.
    :param proxy: URL of an HTTP proxy; None uses the proxy of the environment, if there is one.
    :param transport: an httpx transport for the requests, such as ``httpx.MockTransport``.
    :raises ConfigurationError: when an argument is invalid.
    """

    #: More than 1000 events make TikTok refuse the request.
    batch_size = 1000
    concurrency = 4

    def __init__(
        self,
        pixel_code: str,
        access_token: str,
        *,
        base_url: str = "https://business-api.tiktok.com",
        event_source: str = "web",
        page_url: str | None = None,
        test_event_code: str | None = None,
        name: str = "tiktok",
        event_names: Mapping[str, str] | None = None,
        only: Collection[str] | None = None,
        rates: Rates | None = None,
        limited_data_use: bool | None = None,
        app_id: str | None = None,
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        token = validate_secret("TikTokEvents(access_token=...)", access_token)
        self.event_source = validate_choice(
            "TikTokEvents(event_source=...)",
            event_source,
            EVENTS,
            advice="; crm events are for TikTok's lead ads, offline ones for e-mail and phone",
        )
        own_names = validate_event_names("TikTokEvents(event_names=...)", event_names)
        super().__init__(
            name=name,
            base_url=base_url,
            headers={"access-token": token},
            secrets=(token,),
            only=only,
            proxy=proxy,
            transport=transport,
            event_names={**_NAMES[self.event_source], **own_names},
            converter=CurrencyConverter("TikTokEvents", rates, supported=TIKTOK_CURRENCIES),
        )
        self.pixel_code = validate_code("TikTokEvents(pixel_code=...)", pixel_code)
        self._page_url = _validate_page(page_url)
        self._app_id = validate_code("TikTokEvents(app_id=...)", app_id or self.pixel_code)
        self._privacy = _limited_use(limited_data_use)
        self._root = {"event_source": self.event_source, "event_source_id": self.pixel_code}
        if test_event_code is not None:
            self._root["test_event_code"] = validate_test_code(
                "TikTokEvents(test_event_code=...)",
                test_event_code,
                self.name,
                "TikTok leaves test events out of its figures",
            )
        self._warn_once = WarnOnce(self.name)

    def __repr__(self) -> str:
        return f"TikTokEvents(pixel_code={self.pixel_code!r}, name={self.name!r})"

    def prepare(self, event: Event) -> dict[str, Any]:
        """Build an item of ``data``.

        :raises EventRejected: when the currency is neither supported nor convertible.
        """
        item = {
            "event": self.platform_name(event),
            "event_time": int(event.event_time.timestamp()),
            "event_id": event.event_id,
            **self._place(event),
            **self._privacy,
        }
        if user := self._user(event):
            item["user"] = user
        if properties := self._properties(event):
            item["properties"] = properties
        if wrong := schema_errors(item, self.event_source):
            msg = f"not sent, by TikTok's tables of fields: {'; '.join(wrong)}"
            raise EventRejected(self.redact(msg))
        if code := firing_of(event).test_event_code:
            item[TEST_CODE] = code
        return item

    def kind_of(self, prepared: Mapping[str, Any]) -> str | None:
        """Return the test code, because all events of a request share one."""
        code: str | None = prepared.get(TEST_CODE)
        return code

    async def send(self, batch: Sequence[Mapping[str, Any]]) -> Sequence[Receipt]:
        """Send events in one request; each receipt holds the ``request_id`` and the ``message``.

        :raises DeliveryError: see :meth:`Destination.send <gp_aiogram.Destination.send>`.
        """
        code, items = split_test_code(batch)
        response = await self.post(_PATH, {**self._root, **code, "data": items})
        return [self._read(response)] * len(batch)

    def _user(self, event: Event) -> dict[str, Any]:
        user = {
            "external_id": external_ids(event, "tiktok"),
            **hashed_fields(event, "tiktok", HASHED),
            **_plain_fields(event.traits.get("tiktok", {})),
        }
        if event.click is not None:
            user |= _browser(event.click)
        return {name: user[name] for name in USERS[self.event_source] if name in user}

    def _properties(self, event: Event) -> dict[str, Any]:
        money = money_fields(event, self._converter)
        if not event.user_data:
            return money
        shared = shareable(map_contents(event.user_data, CONTENT_NAMES))
        known = {key: part for key, part in shared.items() if key in PROPERTIES}
        errors: list[str] = []
        properties: dict[str, Any] = _read_properties(known, errors) or {}
        self._warn_once.left_out(errors)
        return properties | money

    def _place(self, event: Event) -> dict[str, Any]:
        """Return where the event happened: on a page, or in an app."""
        if self.event_source == "app":
            return {"app": {"app_id": self._app_id}}
        click = event.click
        seen = None if click is None else shareable_url(click.url)
        url = seen or self._page_url or self._bot_page(event)
        referrer = None if click is None else shareable_url(click.referrer)
        page = {"url": url, "referrer": referrer} if referrer else {"url": url}
        return {"page": page}

    def _bot_page(self, event: Event) -> str:
        if event.bot_username:
            return f"{_TELEGRAM}{event.bot_username}"
        self._warn_once.warn(
            f"neither the page of a click nor the bot's name is known, so {_TELEGRAM} is named: "
            "set TikTokEvents(page_url=...) to the address of your landing page"
        )
        return _TELEGRAM

    def _read(self, response: httpx.Response) -> Receipt:
        code = answered_code(response)
        if code is None:
            self.raise_for_status(response)
            msg = f"the answer is not TikTok's: HTTP {response.status_code}: {response.text}"
            raise DeliveryFailed(self.redact(msg), ambiguous=True, status=response.status_code)
        if code not in ACCEPTED:
            raise self.redact_error(tiktok_error(response, code))
        answer = json_object(response)
        return self.receipt({key: answer.get(key) for key in _RECEIPT})


def _plain_fields(traits: Mapping[str, str]) -> dict[str, str]:
    """Return the traits that are not hashed, without those that came as a digest."""
    return {
        theirs: text
        for ours, theirs in PLAIN.items()
        if (text := traits.get(ours)) and not is_digest(text)
    }


def _browser(click: Click) -> dict[str, str]:
    """Return what TikTok wants as it is, never hashed; a ttclid is never cut."""
    known = {
        "ttclid": click_id("ttclid", click.ttclid),
        "ttp": click_id("ttp", click.ttp),
        "ip": visitor_ip(click.ip),
        "user_agent": click.user_agent,
    }
    return {name: value for name, value in known.items() if value}


def _validate_page(url: object) -> str | None:
    page = shareable_url(url) if isinstance(url, str) else None
    if url is not None and page is None:
        msg = "TikTokEvents(page_url=...) must be the http or https address of a page"
        raise ConfigurationError(msg)
    return page


def _limited_use(limited: object) -> dict[str, bool]:
    if limited is None:
        return {}
    if not isinstance(limited, bool):
        wrong = short_repr(limited)
        msg = f"TikTokEvents(limited_data_use=...) must be True, False or None: {wrong}"
        raise ConfigurationError(msg)
    return {"limited_data_use": limited}
