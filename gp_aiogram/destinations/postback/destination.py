"""Tells a tracker or an ad network of conversions by a URL that is made of a template.

Sources: what the trackers' documents print, see :mod:`gp_aiogram.destinations.postback.presets`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, TypedDict, get_args

import httpx

from gp_aiogram.destinations.ads import AdDestination
from gp_aiogram.destinations.arguments import validate_choice
from gp_aiogram.destinations.base import Ambiguous, Receipt
from gp_aiogram.destinations.postback.arguments import (
    OwnValue,
    host_of,
    placeholder_of,
    require_kept,
    require_use,
    validate_currency,
    validate_http_statuses,
    validate_secrets,
    validate_statuses,
    validate_values,
    why_skipped,
)
from gp_aiogram.destinations.postback.fields import (
    CURRENCY,
    STATUS,
    VALUE,
    is_optional,
    validate_names,
    value_of,
)
from gp_aiogram.destinations.postback.presets import PRESETS
from gp_aiogram.destinations.postback.template import MissingValue, Rendered, Template
from gp_aiogram.errors import EventError, EventRejected, EventSkipped
from gp_aiogram.model.event import Event
from gp_aiogram.model.money import CurrencyConverter, Rates

if TYPE_CHECKING:
    from typing_extensions import Unpack

_METHODS = ("GET", "POST")


class PostbackOptions(TypedDict, total=False):
    """What the ready trackers leave to their callers; see :class:`Postback`."""

    name: str
    click_id: str
    statuses: Mapping[str, str]
    params: Mapping[str, str | None]
    values: Mapping[str, OwnValue]
    method: str
    rejected_by: Collection[int]
    currency: str
    only: Collection[str]
    rates: Rates
    ambiguous: Ambiguous
    proxy: str
    transport: httpx.AsyncBaseTransport


class Postback(AdDestination):
    """Sends a postback for each conversion whose click carries the tracker's click id.

    The URL is a template. Its placeholders are the ids of the click (``{subid}``, ``{cid}``,
    ``{fbclid}`` …, ``{ids.NAME}`` for any other), ``{status}``, ``{value}``, ``{currency}``,
    ``{event_id}``, ``{name}``, ``{tid}``, ``{order_id}``, ``{session_id}``, ``{telegram_id}``,
    ``{bot_id}``, ``{bot_username}``, ``{event_time}`` (Unix seconds), ``{event_time_ms}``,
    ``{event_time_iso}`` (UTC), ``{utm.NAME}``, ``{user_data.NAME}``, ``{key}`` and your own
    names. Values are percent-encoded.

    ``{tid}`` identifies a conversion among those of one click. It is the payment's ``order_id``,
    by which a refund finds its payment, or else the event's id.

    An event is skipped, with the reason, when it has no status, or lacks an id that the URL
    needs. Values that only some events have (money, ``order_id``, the bot, utm, ``user_data``) are
    left out of the query with their parameter. Write ``{fbclid?}`` to make another one optional.

    A tracker that recognises a repeated ``tid`` counts a repeated postback once. For one that does
    not, ``ambiguous`` says what to do after a lost answer.

    :param url: http or https, e.g.
        ``"https://tracker.example.com/{key}/postback?subid={subid}&status={status}"``.
        Messages show its host and nothing else.
    :param name: of this destination; each destination of a tracker needs its own.
    :param key: the value of ``{key}``; it is never shown.
    :param secrets: values of other placeholders that must never be shown.
    :param statuses: the tracker's statuses by event name. Other events are skipped.
    :param values: your own placeholders: a text, or a function of the event.
    :param params: query parameters to add or replace; None removes one.
    :param method: ``"POST"`` sends the query as a form instead.
    :param rejected_by: HTTP statuses with which this tracker refuses one event, e.g. ``{404}`` if
        it means an unknown click. Without it, 404 pauses the destination.
    :param currency: the only currency that the tracker takes. A URL with ``{value}`` and without
        ``{currency}`` needs it. Other amounts are converted by ``rates``.
    :param only: names of the events to send; None sends all.
    :param rates: currencies to convert, e.g. ``{"EUR": ("USD", Decimal("1.08"))}``.
    :param ambiguous: ``"retry"`` sends again after a lost answer; ``"hold"`` makes the event a
        dead letter, and you decide.
    :param proxy: URL of an HTTP proxy; None uses the proxy of the environment, if there is one.
    :param transport: an httpx transport for the requests, such as ``httpx.MockTransport``.
    :raises ConfigurationError: when an argument is invalid.
    """

    #: Trackers know no people.
    uses_traits: ClassVar[bool] = False

    address_argument: ClassVar[str] = "url"

    def __init__(
        self,
        url: str,
        *,
        name: str = "postback",
        key: str | None = None,
        secrets: Mapping[str, str] | None = None,
        statuses: Mapping[str, str] | None = None,
        values: Mapping[str, OwnValue] | None = None,
        params: Mapping[str, str | None] | None = None,
        method: str = "GET",
        rejected_by: Collection[int] = (),
        currency: str | None = None,
        only: Collection[str] | None = None,
        rates: Rates | None = None,
        ambiguous: Ambiguous = "retry",
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        template = Template("Postback(url=...)", url, params=params, is_optional=is_optional)
        hidden = validate_secrets(key, secrets)
        own = validate_values(values)
        validate_names("Postback(url=...)", template.names, [*hidden, *own])
        require_use(template, [*hidden, *own])
        words = validate_statuses(template, statuses)
        taken = validate_currency(template, currency)
        super().__init__(
            name=name,
            base_url=template.origin,
            headers={},
            secrets=[*hidden.values(), *template.secrets],
            only=only,
            proxy=proxy,
            transport=transport,
            event_names=words or {},
            converter=CurrencyConverter("Postback", rates, supported=taken),
        )
        validate_choice("Postback(ambiguous=...)", ambiguous, get_args(Ambiguous))
        self.ambiguous = ambiguous
        self.method = validate_choice("Postback(method=...)", method, _METHODS)
        self._rejected_by = validate_http_statuses(rejected_by)
        self._template = template
        self._statuses = words
        self._hidden = hidden
        self._own = own
        self._tells_money = not {VALUE, CURRENCY}.isdisjoint(template.names)

    def __repr__(self) -> str:
        return f"Postback({self.base_url!r}, name={self.name!r})"

    def knows_currency(self, currency: str) -> bool:
        """Return whether the tracker takes a currency, a rate converts it, or none is sent."""
        return not self._tells_money or super().knows_currency(currency)

    def prepare(self, event: Event) -> Rendered:
        """Build the URL of one event.

        :raises EventSkipped: when the event has no status, or its click has no id.
        :raises EventRejected: when the currency is neither taken nor convertible.
        """
        values = dict(self._hidden)
        if self._statuses is not None:
            values[STATUS] = self._status_of(event)
        for name in self._template.names:
            value = self._value_of(event, name)
            if value is not None:
                values[name] = value
        if event.value is not None and self._tells_money:
            values |= self._money_of(event)
        try:
            return self._template.render(values)
        except MissingValue as missing:
            raise EventSkipped(why_skipped(missing.name)) from None

    async def send(self, batch: Sequence[Rendered]) -> Sequence[Receipt]:
        """Send one postback; the receipt holds the answer.

        :raises DeliveryError: see :meth:`Destination.send <gp_aiogram.Destination.send>`.
        """
        ((path, query),) = batch
        if self.method == "POST":
            form = {"content-type": "application/x-www-form-urlencoded"}
            response = await self.request("POST", path, content=query.encode(), headers=form)
        else:
            response = await self.request("GET", f"{path}?{query}" if query else path)
        if response.status_code in self._rejected_by:
            reason = f"HTTP {response.status_code}: {response.text}"
            raise EventRejected(self.redact(reason), status=response.status_code)
        self.raise_for_status(response)
        return [self.receipt({"answer": response.text})]

    def _status_of(self, event: Event) -> str:
        status = self.event_names.get(event.name)
        if status is None:
            msg = (
                f"no status for {event.name}: name one with Postback(statuses={{"
                f"{event.name!r}: ...}}) if the tracker shall hear of it"
            )
            raise EventSkipped(msg)
        return status

    def _value_of(self, event: Event, name: str) -> str | None:
        own = self._own.get(name)
        if own is None:
            return value_of(event, name)
        value = own(event) if callable(own) else own
        if isinstance(value, bool):
            return "true" if value else "false"
        return None if value is None else str(value)

    def _money_of(self, event: Event) -> dict[str, str]:
        try:
            value, currency = self._converter.convert(event.value, event.currency)
        except EventError as error:
            raise EventRejected(str(error)) from None
        return {VALUE: f"{value:f}", CURRENCY: currency}

    # Ready trackers: what each wants is in presets.py.

    @classmethod
    def keitaro(cls, host: str, key: str, **options: Unpack[PostbackOptions]) -> Postback:
        """Keitaro: ``{subid}``; lead, sale, rebill and rejected.

        :param host: of the tracker, e.g. ``"tracker.example.com"``.
        :param key: the part of the postback URL between host and ``/postback``.
        """
        return cls._ready("keitaro", host, options, key=key)

    @classmethod
    def binom(cls, host: str, **options: Unpack[PostbackOptions]) -> Postback:
        """Binom 1: ``{clickid}``, with our event names as its statuses."""
        return cls._ready("binom", host, options)

    @classmethod
    def binom_v2(cls, host: str, **options: Unpack[PostbackOptions]) -> Postback:
        """Binom 2, whose parameters vary by version: compare them with its panel."""
        return cls._ready("binom_v2", host, options)

    @classmethod
    def voluum(cls, host: str, **options: Unpack[PostbackOptions]) -> Postback:
        """Voluum: ``{cid}``; set up custom conversions with our names, or name yours."""
        return cls._ready("voluum", host, options)

    @classmethod
    def redtrack(cls, host: str, **options: Unpack[PostbackOptions]) -> Postback:
        """RedTrack: ``{clickid}``; the names of sum and type are not documented."""
        return cls._ready("redtrack", host, options)

    @classmethod
    def peerclick(
        cls,
        host: str = "pstb.peerclick.com",
        **options: Unpack[PostbackOptions],
    ) -> Postback:
        """PeerClick: ``{cid}``, with our event names as its statuses."""
        return cls._ready("peerclick", host, options)

    @classmethod
    def adness(
        cls,
        host: str = "s2s.adness.co",
        **options: Unpack[PostbackOptions],
    ) -> Postback:
        """Adness: ``{clickid}``, with our event names as its types."""
        return cls._ready("adness", host, options)

    @classmethod
    def adsgram(
        cls,
        token: str,
        *,
        host: str = "api.adsgram.ai",
        **options: Unpack[PostbackOptions],
    ) -> Postback:
        """AdsGram, for links to Telegram: uses the user's id, so it needs no click id."""
        return cls._ready("adsgram", host, options, key=token)

    @classmethod
    def adsgram_web(
        cls,
        token: str,
        *,
        host: str = "api.adsgram.ai",
        **options: Unpack[PostbackOptions],
    ) -> Postback:
        """AdsGram, for links to a web page: ``{record}``, its ``{record_data}``."""
        return cls._ready("adsgram_web", host, options, key=token)

    @classmethod
    def richads(
        cls,
        host: str = "us.ahows.co",
        **options: Unpack[PostbackOptions],
    ) -> Postback:
        """RichAds: ``{clickid}``. It has one kind of conversion, for which we send ``REG``."""
        return cls._ready("richads", host, options)

    @classmethod
    def tappads(
        cls,
        advert_id: str,
        offer_id: str,
        *,
        is_old: bool | Callable[[Event], object],
        host: str = "wallapi.tappads.io",
        **options: Unpack[PostbackOptions],
    ) -> Postback:
        """Tappads: ``{publisher}`` and ``{clickid}`` from its link.

        :param is_old: whether the user was in the bot before this click. Events do not say so:
            pass a function of the event, or False if only new users have such events.
        """
        own = {"advert_id": advert_id, "offer_id": offer_id, "is_old": is_old}
        values = {**own, **options.get("values", {})}
        return cls._ready("tappads", host, {**options, "values": values})

    @classmethod
    def _ready(
        cls,
        tracker: str,
        host: str,
        options: PostbackOptions,
        key: str | None = None,
    ) -> Postback:
        preset = PRESETS[tracker]
        where = f"Postback.{tracker}"
        origin = host_of(f"{where}(host=...)", host)
        click_id = placeholder_of(where, options.get("click_id", preset.click_id))
        params = options.get("params")
        require_kept(where, preset, params)
        url = preset.url.replace("{host}", origin).replace("{click_id}", f"{{{click_id}}}")
        return cls(
            url,
            name=options.get("name", tracker),
            key=key,
            statuses=options.get("statuses", preset.statuses),
            values=options.get("values"),
            params=params,
            method=options.get("method", "GET"),
            rejected_by=options.get("rejected_by", ()),
            currency=options.get("currency", preset.currency),
            only=options.get("only", preset.only),
            rates=options.get("rates"),
            ambiguous=options.get("ambiguous", "retry"),
            proxy=options.get("proxy"),
            transport=options.get("transport"),
        )
