"""What would be sent of an event is shown to people: exactly, but for secrets, and not sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from fixtures.ad_platforms import CLICK, digest, event, purchase
from gp_aiogram import (
    Click,
    ClickHouse,
    Destination,
    Event,
    EventSkipped,
    GramPixel,
    HTTPDestination,
    LeadSail,
    MetaCAPI,
    Postback,
    Snapchat,
    TikTokEvents,
    Webhook,
    YandexMetrica,
)

WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"
SECRET = "s3cret+of/the==house"
WEBHOOK_SECRET = "whsec_" + "bm90IGEgc2VjcmV0IG9mIGFueWJvZHkgYXQgYWxs"

Make = Callable[[httpx.AsyncBaseTransport], HTTPDestination]

MAKERS: dict[str, Make] = {
    "grampixel": lambda over: GramPixel(SECRET, WORKSPACE, transport=over),
    "leadsail": lambda over: LeadSail(
        SECRET, "1234567890123456", "facebook", lead_id="lead_1", transport=over
    ),
    "meta": lambda over: MetaCAPI(
        "1234567890123456", SECRET, app_secret="5d41402abc4b2a76", transport=over
    ),
    "tiktok": lambda over: TikTokEvents(
        "C4A1B2C3D4E5F6G7H8I9", SECRET, page_url="https://a.example/", transport=over
    ),
    "snapchat": lambda over: Snapchat(
        "2f7a9b7e-6b52-4a3c-9c1f-0d6a3a0c1c11", SECRET, transport=over
    ),
    "postback": lambda over: Postback(
        "https://t.example/{key}/pb?id={fbclid}&v={value}&c={currency}",
        key=SECRET,
        transport=over,
    ),
    "webhook": lambda over: Webhook(
        f"https://hook.example/{'k' * 20}?token=abcdefghijkl", WEBHOOK_SECRET, transport=over
    ),
    "clickhouse": lambda over: ClickHouse(
        "https://ch.example:8443", password=SECRET, create=True, transport=over
    ),
    "metrica": lambda over: YandexMetrica("12345678", SECRET, currency="EUR", transport=over),
}

SECRETS = (SECRET, "5d41402abc4b2a76", WEBHOOK_SECRET[6:], "k" * 20, "abcdefghijkl")

SUBJECT = purchase(
    click=Click(**{**vars(CLICK), "ids": {"yclid": "15238965409398325247"}}),
    traits={"meta": {"em": digest("a@b.c")}, "tiktok": {"em": digest("a@b.c")}},
    user_data={"order_id": "o-1"},
    session_id="gp_a",
)


class Wire:
    """Answers as every platform likes it, and keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return httpx.Response(200)


@pytest.mark.parametrize("name", MAKERS)
async def test_it_is_what_is_sent_and_nothing_is_sent(name: str) -> None:
    wire = Wire()
    destination = MAKERS[name](httpx.MockTransport(wire))
    preview = await destination.preview(SUBJECT)
    assert wire.sent == []
    assert preview.refusal is None
    with suppress(Exception):  # an empty answer pleases some of them only
        await destination.send([destination.prepare(SUBJECT)])
    # A retry of what an answer complained about is not foreseen.
    sent = wire.sent[: len(preview.requests)]
    assert [each.method for each in preview.requests] == [each.method for each in sent]
    for shown, real in zip(preview.requests, sent, strict=True):
        assert urlsplit(shown.url).netloc == real.url.netloc.decode()
        body = real.content.decode()
        if isinstance(shown.body, dict):
            masked = json.loads(body)
            if "appsecret_proof" in masked:
                assert shown.body.pop("appsecret_proof") == "***"
                del masked["appsecret_proof"]
            assert shown.body == masked
        elif shown.body and name not in {"clickhouse", "metrica"}:
            assert shown.body == body
    await destination.close()


@pytest.mark.parametrize("name", MAKERS)
async def test_no_secret_is_shown(name: str) -> None:
    preview = await MAKERS[name](httpx.MockTransport(Wire())).preview(SUBJECT)
    assert preview.requests
    told = repr(preview)
    for secret in SECRETS:
        assert secret not in told
    for request in preview.requests:
        for header in ("authorization", "x-api-key", "access-token", "webhook-signature"):
            assert request.headers.get(header, "***") == "***"


async def test_personal_data_is_shown_as_digests() -> None:
    preview = await MAKERS["meta"](httpx.MockTransport(Wire())).preview(SUBJECT)
    (item,) = preview.requests[0].body["data"]
    assert item["user_data"]["em"] == digest("a@b.c")
    assert item["user_data"]["fbc"].endswith("IwAR_AbC")


async def test_a_long_payload_is_shown_whole() -> None:
    long = event(user_data={"story": "x" * 40_000})
    preview = await MAKERS["grampixel"](httpx.MockTransport(Wire())).preview(long)
    assert preview.requests[0].body["user_data"]["story"] == "x" * 40_000


async def test_the_key_of_a_postback_is_masked_in_its_address() -> None:
    preview = await MAKERS["postback"](httpx.MockTransport(Wire())).preview(SUBJECT)
    address = urlsplit(preview.requests[0].url)
    assert address.path == "/***/pb"
    assert parse_qs(address.query) == {"id": ["IwAR_AbC"], "v": ["49.90"], "c": ["EUR"]}


async def test_why_nothing_is_sent_is_told() -> None:
    preview = await MAKERS["postback"](httpx.MockTransport(Wire())).preview(event())
    assert list(preview.requests) == []
    assert "fbclid" in (preview.refusal or "")
    no_value = event(name="Purchase")
    preview = await MAKERS["meta"](httpx.MockTransport(Wire())).preview(no_value)
    assert (preview.refusal or "").startswith("Meta takes no Purchase without a value")


class Own(Destination):
    name = "own"

    def prepare(self, event: Event) -> Any:
        if event.name == "Skip":
            msg = "not for us"
            raise EventSkipped(msg)
        return (event.event_id, {"at": event.event_time, "raw": b"abc"})

    async def send(self, batch: Any) -> None:
        pytest.fail("it was sent")


async def test_a_destination_of_ones_own_shows_what_it_prepares() -> None:
    preview = await Own().preview(event())
    assert preview.item == ["e1", {"at": "2026-01-01 12:00:00+00:00", "raw": "abc"}]
    assert (await Own().preview(event(name="Skip"))).refusal == "not for us"


async def test_a_send_of_ones_own_is_not_run() -> None:
    class OwnHTTP(HTTPDestination):
        def prepare(self, event: Event) -> Any:
            return {"id": event.event_id, "key": SECRET}

        async def send(self, batch: Any) -> None:
            pytest.fail("it was sent")

    own = OwnHTTP(name="own", base_url="https://a.example", secrets=[SECRET])
    assert (await own.preview(event())).item == {"id": "e1", "key": "***"}


async def test_a_preview_disturbs_no_delivery() -> None:
    wire = Wire()
    destination = MAKERS["clickhouse"](httpx.MockTransport(wire))
    await asyncio.gather(*(destination.preview(SUBJECT) for _ in range(5)))
    await destination.send([destination.prepare(SUBJECT)])
    # The table is still made before the first row.
    assert len(wire.sent) == 2
    assert b"CREATE TABLE" in wire.sent[0].url.query.replace(b"%20", b" ").replace(b"+", b" ")
