"""Serving from the bot's own process: real sockets, and clients who mean no good."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientConnectorError, ClientSession, web

from fixtures.landing import BROWSER
from gp_aiogram import ConfigurationError, MemoryStore, Tracker
from gp_aiogram.web import Landing, serve

HALF_A_HEAD = b"GET /go?fbclid=x HTTP/1.1\r\nHost: x\r\nUser-Agent: B"
HALF_A_BODY = b"POST /click HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
REQUEST = b"GET /go HTTP/1.1\r\nHost: x\r\nUser-Agent: Browser\r\n\r\n"
CLOSED = 5.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def app() -> web.Application:
    app = web.Application()
    Landing(Tracker([], store=MemoryStore()), "my_bot").setup(app)
    return app


@asynccontextmanager
async def connected(url: str, sent: bytes = b"") -> AsyncIterator[Streams]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    try:
        yield reader, writer
    finally:
        writer.close()


async def redirects(url: str) -> bool:
    async with (
        ClientSession(headers={"User-Agent": BROWSER}) as http,
        http.get(f"{url}/go", allow_redirects=False) as answer,
    ):
        return "?start=gp_" in answer.headers["Location"]


async def is_closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), CLOSED) is not None
    except ConnectionError:
        return True
    except asyncio.TimeoutError:
        return False


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def test_an_application_is_served_on_a_port_that_is_free() -> None:
    async with serve(app(), port=0) as url:
        assert url.startswith("http://127.0.0.1:")
        assert await redirects(url)
    with pytest.raises(ClientConnectorError):
        await redirects(url)


async def test_the_application_starts_and_ends_with_it() -> None:
    seen = []

    async def lives(_: web.Application) -> AsyncIterator[None]:
        seen.append("started")
        yield
        seen.append("ended")

    application = app()
    application.cleanup_ctx.append(lives)
    async with serve(application, "localhost", 0) as url:
        assert seen == ["started"]
        assert await redirects(url)
    assert seen == ["started", "ended"]


async def test_a_port_that_is_taken_is_told() -> None:
    async with serve(app(), port=0) as url:
        with pytest.raises(OSError, match=r"[Aa]ddress"):
            async with serve(app(), port=int(url.rpartition(":")[2])):
                pass


@pytest.mark.parametrize("sent", [b"", HALF_A_HEAD, HALF_A_BODY])
async def test_half_open_connections_leave_room_for_people_and_for_delivery(sent: bytes) -> None:
    many, most = 300, 50
    async with serve(app(), port=0, max_connections=most) as url, AsyncExitStack() as stack:
        assert await redirects(url)
        before = descriptors()
        for _ in range(many):
            await stack.enter_async_context(connected(url, sent))
        await asyncio.sleep(0.1)
        assert descriptors() - before - many <= most
        started = time.monotonic()
        assert await redirects(url)
        assert time.monotonic() - started < 1
        assert descriptors() - before - many <= most


async def test_people_who_were_served_are_not_pushed_out_by_half_open_connections() -> None:
    async with serve(app(), port=0, max_connections=5) as url, AsyncExitStack() as stack:
        reader, writer = await stack.enter_async_context(connected(url, REQUEST))
        assert b" 302 " in await reader.readuntil(b"\r\n\r\n")
        for _ in range(20):
            await stack.enter_async_context(connected(url, HALF_A_HEAD))
        await asyncio.sleep(0.1)
        writer.write(REQUEST)
        assert b" 302 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), CLOSED)


async def test_where_all_were_served_the_one_that_was_silent_longest_makes_room() -> None:
    async with serve(app(), port=0, max_connections=3) as url, AsyncExitStack() as stack:
        opened = []
        for _ in range(3):
            streams = await stack.enter_async_context(connected(url, REQUEST))
            await streams[0].readuntil(b"\r\n\r\n")
            opened.append(streams)
        (first, speaks), (second, _), _ = opened
        speaks.write(REQUEST)
        await first.readuntil(b"\r\n\r\n")
        assert await redirects(url)
        assert await is_closed(second)
        speaks.write(REQUEST)
        assert b" 302 " in await asyncio.wait_for(first.readuntil(b"\r\n\r\n"), CLOSED)


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n", HALF_A_HEAD])
async def test_who_does_not_ask_in_time_is_closed(sent: bytes) -> None:
    async with (
        serve(app(), port=0, header_timeout=0.3) as url,
        connected(url, sent) as (reader, _),
    ):
        started = time.monotonic()
        assert await is_closed(reader)
        assert 0.2 < time.monotonic() - started < 2


async def test_a_head_that_comes_drop_by_drop_has_no_longer() -> None:
    async with serve(app(), port=0, header_timeout=0.3) as url, connected(url) as (reader, writer):
        started = time.monotonic()
        closed = asyncio.ensure_future(is_closed(reader))
        for drop in range(len(HALF_A_HEAD)):
            writer.write(HALF_A_HEAD[drop : drop + 1])
            await asyncio.sleep(0.05)
            if closed.done():
                break
        assert await closed
        assert time.monotonic() - started < 2


async def test_a_head_in_parts_is_no_half_open_one() -> None:
    async with serve(app(), port=0, header_timeout=0.3) as url, connected(url) as (reader, writer):
        for part in (REQUEST[:30], REQUEST[30:-3], REQUEST[-3:-2], REQUEST[-2:]):
            writer.write(part)
            await asyncio.sleep(0.02)
        assert b" 302 " in await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.5)
        writer.write(REQUEST)
        assert b" 302 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), CLOSED)


async def test_a_second_request_that_does_not_come_to_its_end_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gp_aiogram.web.serving._KEEP_ALIVE", 0.3)
    async with serve(app(), port=0) as url, connected(url, REQUEST) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HALF_A_HEAD)
        assert await is_closed(reader)


async def test_a_request_under_way_gets_its_answer_when_serving_ends() -> None:
    entered = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        entered.set()
        await asyncio.sleep(0.3)
        return web.Response(text="done")

    application = app()
    application.router.add_get("/slow", slow)
    async with ClientSession() as http:
        async with serve(application, port=0) as url:
            asking = asyncio.ensure_future(http.get(f"{url}/slow"))
            await entered.wait()
        async with await asking as answer:
            assert await answer.text() == "done"


@pytest.mark.parametrize("wrong", [{"max_connections": 0}, {"header_timeout": -1.0}])
async def test_wrong_limits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(wrong))}=...\\) must be positive"):
        async with serve(app(), port=0, **wrong):
            pass
