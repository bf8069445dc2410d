"""Yandex Metrica: conversions of visitors that its counter has seen, for reports and for Direct.

Source of every rule, unless named otherwise: Metrica's "Offline data" and "Measurement Protocol".
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, get_args

import httpx

from gp_aiogram.destinations.ads import AdDestination
from gp_aiogram.destinations.answers import json_object
from gp_aiogram.destinations.arguments import (
    validate_choice,
    validate_event_names,
    validate_secret,
    validate_url,
)
from gp_aiogram.destinations.base import Ambiguous, Processing, Receipt, SendOutcome
from gp_aiogram.destinations.metrica.errors import metrica_error
from gp_aiogram.destinations.metrica.measurement import LONGEST, Hits, Money, encoded, hits
from gp_aiogram.destinations.metrica.offline import (
    CHECKED_AT_ONCE,
    MOST_CHECKS,
    Conversion,
    is_final,
    told_of,
    upload_file,
    went_wrong,
)
from gp_aiogram.destinations.metrica.options import (
    validate_ambiguous,
    validate_counter,
    validate_counter_currency,
    validate_gathering,
    validate_status_after,
)
from gp_aiogram.destinations.metrica.visitors import VisitorIds, no_id, validate_id_names
from gp_aiogram.destinations.privacy import shareable
from gp_aiogram.errors import (
    DeliveryError,
    DeliveryFailed,
    EventError,
    EventRejected,
    EventSkipped,
)
from gp_aiogram.model.event import Event
from gp_aiogram.model.money import CurrencyConverter, Rates

logger = logging.getLogger("gp_aiogram.destinations")

Mode = Literal["offline", "measurement"]

_URLS: Mapping[str, str] = {
    "offline": "https://api-metrika.yandex.net",
    "measurement": "https://mc.yandex.ru",
}

#: "Processed within two hours".
_STATUS_AFTER = 7200.0

#: Seconds until uploads are asked about that there was no room for.
_NO_ROOM = 60.0


class YandexMetrica(AdDestination):
    """Sends conversions to one Metrica counter.

    Metrica recognises a visitor by the ``yclid`` of a click on Yandex Direct or by the ClientID of
    the browser. Both come from ``Click.ids``, so a landing page must have stored one of them.
    Events of users without either are skipped. Events with a value are sent with the yclid if it
    is known, because with the ClientID Direct gets credit for the first purchase only. Other
    events are sent with the ClientID if it is known.

    ``mode="offline"`` uploads CSV files. Events gather for a minute or until there are 1000,
    because Metrica allows 5000 requests a day. It processes an upload within two hours. Until then
    its events are pending; afterwards their receipts hold the upload's status and errors. There is
    no idempotency key, so an upload may be counted twice if its answer was lost and it is
    repeated. ``ambiguous`` says what to do then.

    ``mode="measurement"`` sends one event per request by the Measurement Protocol, for events that
    are younger than 12 hours and should show up at once. It needs the ClientID. If the click is
    not a visit to which an event can be added, a page view is sent first. Metrica does not report
    the outcome.

    :param counter_id: the number of the counter.
    :param token: in offline mode an OAuth token with ``metrika:write`` or
        ``metrika:offline_data``, sent in the ``Authorization`` header; in measurement mode the
        token of the counter's settings, sent in the body as ``ms``.
    :param currency: of the counter. Metrica drops amounts in other currencies, so they are
        converted by ``rates``, or the event becomes a dead letter.
    :param rates: what one unit of another currency is worth, e.g.
        ``{"USD": ("RUB", Decimal(90))}``.
    :param event_names: the ids of the counter's goals for our events, e.g. ``{"FTD": "deposit"}``;
        others go out under their own names.
    :param yclid: the name or names of the yclid in ``Click.ids``.
    :param client_id: the name or names of the ClientID in ``Click.ids``; the first match counts.
    :param batch_size: offline: rows that fill an upload, up to 100 000.
    :param gather_for: offline: the most seconds that an event waits for others, up to 3600.
    :param status_after: offline: seconds between requests for an upload's status, 60 to 7200; None
        does not ask, and an accepted upload counts as delivered.
    :param page_url: measurement: the page to send when the click has none.
    :param name: of this destination; each destination of a tracker needs its own.
    :param only: names of the events to send; None sends all.
    :param ambiguous: ``"retry"`` sends again after a lost answer; ``"hold"`` keeps the events as
        dead letters, and you decide.
    :param proxy: URL of an HTTP proxy; None uses the proxy of the environment, if there is one.
    :param transport: an httpx transport for the requests, such as ``httpx.MockTransport``.
    :raises ConfigurationError: when an argument is invalid.
    """

    #: "3 parallel requests".
    concurrency = 3

    def __init__(
        self,
        counter_id: str | int,
        token: str,
        *,
        mode: Mode = "offline",
        currency: str = "RUB",
        rates: Rates | None = None,
        event_names: Mapping[str, str] | None = None,
        yclid: str | Sequence[str] = ("yclid",),
        client_id: str | Sequence[str] = ("ClientID", "client_id", "_ym_uid", "ym_uid"),
        batch_size: int | None = None,
        gather_for: float | None = None,
        status_after: float | None = _STATUS_AFTER,
        page_url: str | None = None,
        base_url: str | None = None,
        name: str = "metrica",
        only: Collection[str] | None = None,
        ambiguous: Ambiguous = "retry",
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        secret = validate_secret("YandexMetrica(token=...)", token)
        self.mode = validate_choice("YandexMetrica(mode=...)", mode, get_args(Mode))
        is_offline = self.mode == "offline"
        self.currency = validate_counter_currency(currency)
        super().__init__(
            name=name,
            base_url=_URLS[self.mode] if base_url is None else base_url,
            headers={"authorization": f"OAuth {secret}"} if is_offline else {},
            secrets=(secret,),
            only=only,
            proxy=proxy,
            transport=transport,
            event_names=validate_event_names("YandexMetrica(event_names=...)", event_names),
            converter=CurrencyConverter("YandexMetrica", rates, frozenset({self.currency})),
        )
        self.counter_id = validate_counter(counter_id)
        self.ambiguous = validate_ambiguous(ambiguous)
        self.batch_size, self.gather_for = validate_gathering(
            batch_size, gather_for, is_offline=is_offline
        )
        self.max_age = timedelta(days=21) if is_offline else LONGEST
        self._token = secret
        self._ids = VisitorIds(
            validate_id_names("YandexMetrica(yclid=...)", yclid),
            validate_id_names("YandexMetrica(client_id=...)", client_id),
        )
        self._status_after = validate_status_after(status_after)
        self._page_url = (
            None if page_url is None else validate_url("YandexMetrica(page_url=...)", page_url)
        )
        self._path = f"/management/v1/counter/{self.counter_id}/offline_conversions"

    def __repr__(self) -> str:
        return (
            f"YandexMetrica(counter_id={self.counter_id!r}, mode={self.mode!r}, "
            f"name={self.name!r})"
        )

    def prepare(self, event: Event) -> Conversion | Hits:
        """Build a line of an upload, or the forms of the Measurement Protocol.

        :raises EventSkipped: when Metrica cannot recognise the visitor.
        :raises EventRejected: when the amount is in another currency, without a rate.
        """
        return self._conversion(event) if self.mode == "offline" else self._hits(event)

    def kind_of(self, prepared: Conversion | Hits) -> str | None:
        """Return which id names the visitor: an upload holds one kind of ids."""
        return prepared.visitor.kind if isinstance(prepared, Conversion) else None

    async def send(self, batch: Sequence[Any]) -> Sequence[SendOutcome]:
        """Upload conversions in one file, or send one event.

        :raises DeliveryError: see :meth:`Destination.send <gp_aiogram.Destination.send>`.
        """
        if self.mode == "offline":
            return [await self._upload(batch)] * len(batch)
        (prepared,) = batch
        for form in prepared.forms:
            await self._collect(form)
        return [{}]

    async def follow_up(self, receipts: Sequence[Receipt]) -> Sequence[SendOutcome]:
        """Ask for the status of uploads; the receipt keeps Metrica's answer.

        :raises DeliveryError: see :meth:`Destination.send <gp_aiogram.Destination.send>`.
        """
        uploads = list(dict.fromkeys(str(receipt["uploading"]) for receipt in receipts))
        told: dict[str, SendOutcome] = {}
        for upload in uploads[:CHECKED_AT_ONCE]:
            receipt = next(each for each in receipts if str(each["uploading"]) == upload)
            told[upload] = await self._status(receipt)
        return [
            told.get(str(receipt["uploading"]), Processing(receipt, _NO_ROOM))
            for receipt in receipts
        ]

    def _conversion(self, event: Event) -> Conversion:
        yclid, client = self._ids.yclid(event.click), self._ids.client_id(event.click)
        visitor = (yclid or client) if event.value is not None else (client or yclid)
        if visitor is None:
            raise EventSkipped(no_id("yclid", "ClientID"))
        price, currency = self._money(event)
        at = int(event.event_time.timestamp())
        return Conversion(visitor, self.platform_name(event), at, price, currency)

    def _hits(self, event: Event) -> Hits:
        client = self._ids.client_id(event.click)
        if client is None:
            raise EventSkipped(no_id("ClientID"))
        price, _ = self._money(event)
        order = shareable(event.user_data).get("order_id", event.event_id)
        return hits(
            event,
            client_id=client.id,
            target=self.platform_name(event),
            money=Money(price, str(order)) if price else None,
            page_url=self._page_url,
        )

    def _money(self, event: Event) -> tuple[str, str]:
        """Return price and currency as texts; both are empty without a value."""
        if event.value is None:
            return "", ""
        try:
            value, currency = self._converter.convert(event.value, event.currency)
        except EventError as error:
            raise EventRejected(str(error)) from None
        return _plain(value), currency

    async def _upload(self, conversions: Sequence[Conversion]) -> SendOutcome:
        file = upload_file(conversions, time.time())
        path, query = f"{self._path}/upload", {"type": "BASIC"}
        response = await self.post_content(path, *file, query)
        self._raise_for(response)
        told = told_of(json_object(response))
        if not told.get("uploading"):
            msg = f"the answer is not Metrica's: HTTP {response.status_code}: {response.text}"
            raise DeliveryFailed(self.redact(msg), ambiguous=True, status=response.status_code)
        receipt = self.receipt(told)
        return receipt if self._status_after is None else Processing(receipt, self._status_after)

    async def _status(self, receipt: Receipt) -> SendOutcome:
        """Return what became of an upload, or the error that concerns this question alone."""
        upload = receipt["uploading"]
        try:
            response = await self.get(f"{self._path}/uploading/{upload}", {})
            if response.status_code == httpx.codes.NOT_FOUND:
                return {**receipt, "status": "Metrica does not know the upload any more"}
            self._raise_for(response)
        except EventRejected as error:
            return {**receipt, "status": error.reason}
        except DeliveryFailed as error:
            return error
        told = told_of(json_object(response))
        checks = int(receipt.get("checks", 0)) + 1
        known = {**receipt, **self.receipt(told), "checks": checks}
        if not is_final(told) and not went_wrong(told) and checks < MOST_CHECKS:
            return Processing(known, self._status_after or _STATUS_AFTER)
        if went_wrong(told):
            logger.warning("%s: upload %s went wrong: %s", self.name, upload, known)
        return known

    async def _collect(self, form: Mapping[str, str]) -> None:
        content = encoded(form, counter_id=self.counter_id, token=self._token)
        response = await self.post_content(
            "/collect", content, "application/x-www-form-urlencoded"
        )
        self._raise_for(response)

    def _raise_for(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        error: DeliveryError | None = metrica_error(response)
        if error is not None:
            raise self.redact_error(error)
        self.raise_for_status(response)


def _plain(value: Decimal) -> str:
    """Return an amount as a number without an exponent."""
    return f"{value:f}"
