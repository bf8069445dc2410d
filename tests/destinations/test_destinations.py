"""What all destinations have in common: which events they get, and how, in two steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from fixtures.ad_platforms import CLICK, Backend, deliver, event, failure, purchase
from gp_aiogram import (
    ConfigurationError,
    DeliveryFailed,
    Destination,
    Event,
    EventRejected,
    EventSkipped,
    GramPixel,
    HTTPDestination,
    LeadSail,
    MetaCAPI,
    Postback,
    Snapchat,
    TikTokEvents,
    Webhook,
)
from gp_aiogram.destinations.http import TOTAL_TIMEOUT

WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"

#: An answer that each of them takes for a success.
SUCCESS = {
    "ok": True,
    "success": True,
    "data": {"success": True},
    "events_received": 1000,
    "code": 0,
    "status": "VALID",
}

Build = Callable[..., Destination]


def grampixel(**options: Any) -> Destination:
    return GramPixel("k", WORKSPACE, **options)


def leadsail(**options: Any) -> Destination:
    return LeadSail("k", "1", "tiktok", **{"lead_id": "lead_1"} | options)


def meta(**options: Any) -> Destination:
    return MetaCAPI("1", "t", **options)


def tiktok(**options: Any) -> Destination:
    return TikTokEvents("C", "t", page_url="https://shop.example/", **options)


def snapchat(**options: Any) -> Destination:
    return Snapchat("1", "t", **options)


def webhook(**options: Any) -> Destination:
    return Webhook("https://hooks.example.com/", Webhook.new_secret(), **options)


def postback(**options: Any) -> Destination:
    return Postback("https://t.example.com/?id={tid}&sum={value}&cur={currency}", **options)


each = pytest.mark.parametrize(
    "build", [grampixel, leadsail, meta, tiktok, snapchat, webhook, postback]
)
each_ad_platform = pytest.mark.parametrize("build", [leadsail, meta, tiktok, snapchat])


# Which events


@each
@pytest.mark.parametrize(
    "only", [{"FTD", "DEP"}, ["FTD", "DEP"], ("DEP", "FTD"), {"FTD": 1, "DEP": 2}]
)
def test_only_names_the_events_that_a_destination_gets(build: Build, only: Any) -> None:
    destination = build(only=only)
    accepted = [
        name for name in ("FTD", "DEP", "REG", "F") if destination.accepts(event(name=name))
    ]
    assert accepted == ["FTD", "DEP"]


@each
def test_without_only_a_destination_gets_every_event(build: Build) -> None:
    assert build().accepts(event(name="Anything"))
    assert build(only=None).accepts(event(name="Anything"))


@each
def test_an_empty_only_leaves_what_names_the_destination(build: Build) -> None:
    assert not build(only=()).accepts(event())


@each
@pytest.mark.parametrize("only", [5, ["FTD", 5], [""], [None], b"FTD", iter(["FTD"]), True])
def test_only_is_a_collection_of_event_names(build: Build, only: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"\(only=\.\.\.\) must be .*such as \{'FTD', 'DEP'\}"
    ):
        build(only=only)


@each
def test_a_single_text_is_no_collection_and_the_message_says_what_to_write(build: Build) -> None:
    with pytest.raises(ConfigurationError, match=r"\(only=\.\.\.\) must be .*write \{'FTD'\}"):
        build(only="FTD")


async def test_only_may_be_set_for_a_whole_class() -> None:
    class Own(HTTPDestination):
        only = ("FTD",)

        async def send(self, batch: Sequence[Event]) -> None: ...

    own = Own(name="own", base_url="https://example.com")
    assert own.accepts(event(name="FTD"))
    assert not own.accepts(event(name="REG"))
    Own.only = "FTD"  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match=r"Own\(only=\.\.\.\)"):
        Own(name="own", base_url="https://example.com")


@each_ad_platform
def test_a_refund_is_left_out_unless_it_has_a_name_there(build: Build) -> None:
    refund = event(name="Refund")
    assert not build().accepts(refund)
    assert not build(only={"Refund"}).accepts(refund)
    named = {"event_names": {"Refund": "Refunded"}}
    assert build(**named).accepts(refund)
    assert build(**named, only={"Refund"}).accepts(refund)
    assert not build(**named, only={"REG"}).accepts(refund)


@each_ad_platform
def test_a_rate_makes_a_currency_known(build: Build) -> None:
    rates = {"XTR": ("USD", Decimal("0.013"))}
    assert not build().knows_currency("XTR")
    assert build(rates=rates).knows_currency("xtr")
    assert build().knows_currency("EUR")


# In two steps


@each
async def test_preparing_sends_nothing_and_is_the_same_each_time(build: Build) -> None:
    backend = Backend(SUCCESS)
    destination = build(transport=httpx.MockTransport(backend))
    whole = purchase(click=CLICK, user_data={"order_id": "17", "contents": [{"id": "1"}]})
    prepared = destination.prepare(whole)
    assert destination.prepare(replace(whole)) == prepared
    assert backend.requests == []
    await destination.send([prepared])
    await destination.send([prepared])
    first, second = backend.requests
    assert first.content == second.content


@each_ad_platform
def test_what_can_never_be_sent_is_rejected_before_any_request(build: Build) -> None:
    with pytest.raises(EventRejected, match=r"\(rates="):
        build().prepare(purchase(currency="XTR", click=CLICK))


async def test_a_lead_that_must_be_looked_for_is_not_looked_for_while_preparing() -> None:
    asked: list[str] = []

    async def find(one: Event) -> str | None:
        asked.append(one.event_id)
        await asyncio.sleep(0)
        return None

    backend = Backend(SUCCESS)
    destination = leadsail(lead_id=find, transport=httpx.MockTransport(backend))
    prepared = destination.prepare(event())
    assert asked == []
    with pytest.raises(EventSkipped):
        await destination.send([prepared])
    assert asked == ["e1"]
    assert backend.requests == []


def test_a_user_who_is_known_to_be_no_lead_is_skipped_while_preparing() -> None:
    with pytest.raises(EventSkipped):
        leadsail(lead_id=None).prepare(event())
    with pytest.raises(EventSkipped):  # whatever else is wrong with the event
        leadsail(lead_id=None).prepare(purchase(currency="XTR"))


async def test_a_destination_of_ones_own_gets_the_events_themselves() -> None:
    class Own(HTTPDestination):
        async def send(self, batch: Sequence[Event]) -> None:
            for one in batch:
                await self.post("/", {"id": one.event_id}, idempotency_key=one.event_id)

    backend = Backend({})
    transport = httpx.MockTransport(backend)
    own = Own(name="own", base_url="https://example.com", transport=transport)
    await deliver(own, event(event_id="é 17"))
    (request,) = backend.requests
    assert backend.bodies == [{"id": "é 17"}]
    assert unquote(request.headers["idempotency-key"]) == "é 17"


async def test_a_body_may_hold_what_json_can_and_utf_8_cannot() -> None:
    class Own(HTTPDestination):
        async def send(self, batch: Sequence[Event]) -> None:
            await self.post("/", {"half": "\ud83c", "large": 2**70})

    backend = Backend({})
    transport = httpx.MockTransport(backend)
    await deliver(Own(name="own", base_url="https://example.com", transport=transport), event())
    assert backend.bodies == [{"half": "\ud83c", "large": 2**70}]


def test_two_requests_fit_into_one_try() -> None:
    assert Destination.send_timeout > 2 * TOTAL_TIMEOUT


async def test_connections_that_could_not_be_opened_are_opened_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = grampixel(base_url="http://127.0.0.1:1")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    with pytest.raises(OSError, match="No such file"):
        await deliver(own, event())
    monkeypatch.delenv("SSL_CERT_FILE")
    assert isinstance(await failure(own), DeliveryFailed)
    await own.close()


def test_a_header_of_a_request_replaces_that_of_the_destination() -> None:
    class Own(HTTPDestination):
        async def send(self, batch: Sequence[Event]) -> None:
            await self.post("x", {}, {"Content-Type": "text/json", "X-API-Key": "2"})

    backend = Backend({})
    transport = httpx.MockTransport(backend)
    headers = {"x-api-key": "1"}
    own = Own(name="own", base_url="https://x.example/y/", headers=headers, transport=transport)
    asyncio.run(deliver(own, event()))
    (request,) = backend.requests
    assert request.headers.get_list("content-type") == ["text/json"]
    assert request.headers.get_list("x-api-key") == ["2"]
    assert str(request.url) == "https://x.example/y/x"
