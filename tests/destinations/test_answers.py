"""Answers of any length, packing and charset: what is read of them, and what they mean."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain, repeat
from typing import Any

import httpx
import pytest
from typing_extensions import Self

from fixtures.ad_platforms import deliver, event, failure
from gp_aiogram import (
    DeliveryFailed,
    Destination,
    DestinationMisconfigured,
    Event,
    EventRejected,
    GramPixel,
    HTTPDestination,
    LeadSail,
    MetaCAPI,
    TikTokEvents,
)
from gp_aiogram.destinations.answers import LONGEST_ANSWER

KEY = "key-5d41402abc4b"
WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"

#: Seconds of real time within which an endless answer is dealt with, on a slow machine too.
SOON = 5.0

#: Bytes that an answer may take in memory, whatever is sent.
LITTLE = 8 * LONGEST_ANSWER

#: Much in little: 64 MiB of zeros.
BOMB = gzip.compress(bytes(2**26))


class Server:
    """Answers with a head and parts, the last one for ever if told; no length is announced."""

    def __init__(self, head: str, *parts: bytes, endless: bool = False) -> None:
        self.sent = 0
        self._head = head
        self._parts = parts
        self._endless = endless
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 {self._head}\r\n\r\n".encode("latin-1"))
            await self._send(writer)
        writer.close()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        for part in chain(self._parts, repeat(self._parts[-1]) if self._endless else ()):
            writer.write(part)
            await writer.drain()
            self.sent += len(part)


class Own(HTTPDestination):
    """Believes the status."""

    async def send(self, batch: Sequence[Event]) -> None:
        self.raise_for_status(await self.post("/", {"id": batch[0].event_id}))


async def told(head: str, *parts: bytes, endless: bool = False) -> Any:
    """Return what a destination makes of an answer: None for a success, else the error."""
    async with Server(head, *parts, endless=endless) as server:
        own = Own(name="own", base_url=server.url)
        tracemalloc.start()
        started = time.monotonic()
        try:
            return await failure(own) if "200" not in head else await deliver(own, event())
        finally:
            assert time.monotonic() - started < SOON
            assert tracemalloc.get_traced_memory()[1] < LITTLE
            tracemalloc.stop()
            # What a socket holds is sent, whether it is read or not.
            assert server.sent < 32 * LONGEST_ANSWER
            await own.close()


# Too much


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("401 Unauthorized", DestinationMisconfigured),
        ("422 Unprocessable", EventRejected),
        ("500 Internal Server Error", DeliveryFailed),
    ],
)
async def test_an_endless_answer_is_cut_off_and_judged_by_its_status(status, kind):
    error = await told(status, b"x" * 2**16, endless=True)
    assert type(error) is kind
    assert error.reason == f"HTTP {status[:3]}: ".ljust(500, "x")


async def test_an_endless_success_is_a_success():
    assert await told("200 OK", b"x" * 2**16, endless=True) is None


async def test_a_bomb_is_unpacked_up_to_the_same_limit():
    error = await told("500 Oh\r\ncontent-encoding: gzip", BOMB)
    assert error.reason == "HTTP 500: " + "\\x00" * 122 + "\\x"
    assert await told("200 OK\r\ncontent-encoding: gzip", BOMB) is None


async def test_packed_nothing_without_end_is_cut_off():
    packing = zlib.compressobj(wbits=31)
    head = packing.compress(b"") + packing.flush(zlib.Z_SYNC_FLUSH)
    nothing = b"\x00\x00\x00\xff\xff" * 10_000  # empty blocks
    assert await told("200 OK\r\ncontent-encoding: gzip", head, nothing, endless=True) is None


async def test_what_was_packed_without_being_asked_for_is_read():
    for packing, packed in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        error = await told(f"422 No\r\ncontent-encoding: {packing}", packed(b"why"))
        assert error.reason == "HTTP 422: why"


async def test_what_cannot_be_unpacked_leaves_the_status():
    error = await told("401 No\r\ncontent-encoding: gzip", b"why")
    assert type(error) is DestinationMisconfigured
    assert await told("200 OK\r\ncontent-encoding: gzip", gzip.compress(b"x" * 999)[:20]) is None


async def test_no_answer_is_asked_to_be_packed_and_no_cookie_is_kept():
    seen: list[httpx.Headers] = []

    def backend(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, headers={"set-cookie": "a=b"})

    own = Own(name="own", base_url="https://x", transport=httpx.MockTransport(backend))
    await deliver(own, event())
    await deliver(own, event())
    assert [headers.get("accept-encoding") for headers in seen] == ["identity"] * 2
    assert not any("cookie" in headers for headers in seen)


# Odd charsets


GOOD: dict[str, dict[str, Any]] = {
    "grampixel": {"ok": True, "data": {"event_id": "evt_1", "status": "prêt"}},
    "leadsail": {"success": True, "data": {"success": True, "eventName": "prêt"}},
    "meta": {"events_received": 1, "fbtrace_id": "prêt"},
    "tiktok": {"code": 0, "message": "prêt"},
}

BUILD: dict[str, Callable[..., Destination]] = {
    "grampixel": lambda **o: GramPixel(KEY, WORKSPACE, **o),
    "leadsail": lambda **o: LeadSail(KEY, "1", "tiktok", lead_id="lead_1", **o),
    "meta": lambda **o: MetaCAPI("1", KEY, **o),
    "tiktok": lambda **o: TikTokEvents("C", KEY, page_url="https://shop.example/", **o),
}

each = pytest.mark.parametrize("name", BUILD)


def answering(content: bytes, charset: str, status: int = 200) -> httpx.MockTransport:
    headers = {b"content-type": f"application/json; charset={charset}".encode("latin-1")}
    return httpx.MockTransport(lambda _: httpx.Response(status, headers=headers, content=content))


@each
@pytest.mark.parametrize(
    "charset",
    [
        *("utf-7x", "hex", "base64", "rot13", "zlib", "bz2", "idna", "punycode", "undefined"),
        *("unicode_escape", "", '"', "'", "none", "utf-8; charset=hex", "\x7f", "é", "x" * 5000),
        *("utf-16", "cp037", "iso-8859-1", "utf8", "UTF-8", "mbcs", "..", "utf-7"),
    ],
)
async def test_a_success_in_any_charset_is_a_success(name, charset):
    content = json.dumps(GOOD[name], ensure_ascii=False).encode()
    destination = BUILD[name](transport=answering(content, charset))
    (receipt,) = await deliver(destination, event())
    assert "prêt" in receipt.values()


@each
@pytest.mark.parametrize(
    "charset", ["iso-8859-1", "windows-1252", "utf-16", "utf-16-le", "utf-32", "utf-8-sig"]
)
async def test_a_success_that_is_really_in_its_charset_is_read(name, charset):
    content = json.dumps(GOOD[name], ensure_ascii=False).encode(charset)
    (receipt,) = await deliver(BUILD[name](transport=answering(content, charset)), event())
    assert "prêt" in receipt.values()


@each
@pytest.mark.parametrize("charset", ["utf-8", "hex", "shift_jis", "ascii"])
async def test_what_cannot_be_decoded_hides_no_success(name, charset):
    content = json.dumps(GOOD[name], ensure_ascii=False).encode("windows-1252")
    (receipt,) = await deliver(BUILD[name](transport=answering(content, charset)), event())
    assert receipt


@each
@pytest.mark.parametrize("charset", ["utf-7x", "hex", "idna", "punycode", "undefined", "\x7f"])
async def test_an_error_in_an_odd_charset_is_read_by_its_status(name, charset):
    content = "<html>не найдено ".encode() * 10_000
    error = await failure(BUILD[name](transport=answering(content, charset, 401)))
    assert type(error) is DestinationMisconfigured
    assert "не найдено" in error.reason


async def test_a_page_in_a_charset_of_its_own_is_legible():
    page = "<p>Счёт не оплачен".encode("windows-1251")
    error = await failure(BUILD["grampixel"](transport=answering(page, "windows-1251", 402)))
    assert error.reason == "HTTP 402: <p>Счёт не оплачен"


async def test_reading_a_megabyte_of_anything_is_quick():
    for content in (b"\xff" * 2**20, b"[" * 2**20, b"9" * 2**20, b"%25" * 2**19, b'"' * 2**20):
        destination = GramPixel("K" * 200, WORKSPACE, transport=answering(content, "utf-8", 500))
        started = time.monotonic()
        await failure(destination)
        assert time.monotonic() - started < 0.5
