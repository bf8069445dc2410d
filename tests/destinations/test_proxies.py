"""Requests through a real proxy: which, when, with what password, and what is told of it."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
import trustme
from aiohttp import web
from typing_extensions import Self

from fixtures.ad_platforms import deliver, event, failure
from gp_aiogram import (
    ConfigurationError,
    DeliveryFailed,
    Destination,
    DestinationMisconfigured,
    GramPixel,
    HTTPDestination,
    LeadSail,
    MemoryStore,
    MetaCAPI,
    TikTokEvents,
    Tracker,
)

#: Signs what the target shows, for these tests alone.
AUTHORITY = trustme.CA()
KEY = "key-5d41402abc4b"
WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"
USER, PASSWORD = "crawler", "pass:W0RD/@ é"
GOOD = {"ok": True, "data": {"event_id": "evt_1"}}

NOWHERE = "https://localhost:1"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxies of whoever runs the tests; their one certificate is trusted."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    authority = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(authority))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))


class Proxy:
    """An HTTP proxy: tunnels, and requests with a whole URL; it may ask for a password."""

    def __init__(self, password: str | None = None, status: int | None = None) -> None:
        self.lines: list[str] = []
        self._token = None
        if password is not None:
            self._token = base64.b64encode(f"{USER}:{password}".encode()).decode()
        self._status = status
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def at(self, user: str, password: str) -> str:
        """Return the URL with a user and a password."""
        return f"http://{quote(user, safe='')}:{quote(password, safe='')}@127.0.0.1:{self.port}/"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._carry(reader, writer)
        await _closed(writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        self.lines.append(first)
        headers = httpx.Headers([tuple(line.split(": ", 1)) for line in lines if line])
        token = headers.pop("proxy-authorization", "").removeprefix("Basic ")
        status = 407 if self._token not in (None, token) else self._status
        if status is not None:
            # As bad proxies do, it repeats what it was told.
            answer = (
                f"HTTP/1.1 {status} No {token}\r\nx-token: {token}\r\ncontent-length: 0\r\n\r\n"
            )
            writer.write(answer.encode())
            return
        method, url, _ = first.split()
        place = urlsplit(url if "://" in url else f"//{url}")
        to_reader, to_writer = await asyncio.open_connection(place.hostname, place.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            headers["connection"] = "close"
            fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            to_writer.write(f"{method} {place.path} HTTP/1.1\r\n{fields}\r\n".encode())
        await asyncio.gather(_relay(reader, to_writer), _relay(to_reader, writer))


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
    await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()


class Target:
    """The destination's server, and the headers of the requests that it got."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []

    @asynccontextmanager
    async def serve(self, scheme: str) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        tls = None
        if scheme == "https":
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            AUTHORITY.issue_cert("localhost", "127.0.0.1").configure_cert(tls)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        try:
            yield f"{scheme}://localhost:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        return web.json_response(GOOD)


@asynccontextmanager
async def sending(url: str, **options: Any) -> AsyncIterator[GramPixel]:
    grampixel = GramPixel(KEY, WORKSPACE, base_url=url, **options)
    try:
        yield grampixel
    finally:
        await grampixel.close()
        if url.startswith("https"):
            await asyncio.sleep(0.02)  # until aiohttp before 3.12 has closed what is encrypted


each_scheme = pytest.mark.parametrize("scheme", ["http", "https"])


def request_line(url: str) -> str:
    """Return what a proxy is asked for."""
    host = url.partition("://")[2]
    if url.startswith("https"):
        return f"CONNECT {host} HTTP/1.1"
    return f"POST {url}/v1/events/custom HTTP/1.1"


# Which way


@each_scheme
async def test_requests_go_through_the_proxy_that_is_given(scheme):
    target = Target()
    async with target.serve(scheme) as url, Proxy() as proxy, sending(url, proxy=proxy.url) as gp:
        assert await deliver(gp, event()) == [{"event_id": "evt_1"}]
        assert proxy.lines == [request_line(url)]


@each_scheme
@pytest.mark.parametrize("spell", [str.upper, str.lower])
@pytest.mark.parametrize("name", ["{scheme}_proxy", "all_proxy"])
async def test_requests_go_through_the_proxy_of_the_environment(monkeypatch, scheme, spell, name):
    async with Target().serve(scheme) as url, Proxy() as proxy:
        monkeypatch.setenv(spell(name.format(scheme=scheme)), proxy.url)
        async with sending(url) as gp:
            await deliver(gp, event())
        assert proxy.lines == [request_line(url)]


async def test_the_scheme_of_a_proxy_may_be_left_out_in_the_environment(monkeypatch):
    async with Target().serve("http") as url, Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
        async with sending(url) as gp:
            await deliver(gp, event())
        assert len(proxy.lines) == 1


@each_scheme
@pytest.mark.parametrize("hosts", ["localhost", "example.com, localhost", "*", "localhost:{port}"])
async def test_hosts_that_need_no_proxy_are_reached_directly(monkeypatch, scheme, hosts):
    async with Target().serve(scheme) as url, Proxy() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", hosts.format(port=urlsplit(url).port))
        async with sending(url) as gp:
            await deliver(gp, event())
        assert proxy.lines == []


async def test_the_proxy_of_another_scheme_is_not_used(monkeypatch):
    async with Target().serve("http") as url, Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with sending(url) as gp:
            await deliver(gp, event())
        assert proxy.lines == []


async def test_what_is_given_wins_over_the_environment(monkeypatch):
    async with Target().serve("http") as url, Proxy() as proxy, Proxy() as other:
        monkeypatch.setenv("HTTP_PROXY", other.url)
        monkeypatch.setenv("NO_PROXY", "*")
        async with sending(url, proxy=proxy.url) as gp:
            await deliver(gp, event())
        assert (len(proxy.lines), len(other.lines)) == (1, 0)


# Passwords


def spellings(proxy: Proxy) -> list[str]:
    """Return everything that gives a password away."""
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return [PASSWORD, quote(PASSWORD, safe=""), token, token.rstrip("="), proxy.at(USER, PASSWORD)]


@each_scheme
async def test_the_proxy_gets_user_and_password_and_the_destination_does_not(scheme):
    target = Target()
    async with (
        target.serve(scheme) as url,
        Proxy(PASSWORD) as proxy,
        sending(url, proxy=proxy.at(USER, PASSWORD)) as gp,
    ):
        assert await deliver(gp, event()) == [{"event_id": "evt_1"}]
    (headers,) = target.headers
    assert "proxy-authorization" not in headers
    assert headers["x-api-key"] == KEY


@each_scheme
async def test_a_wrong_password_pauses_the_destination(scheme):
    async with (
        Target().serve(scheme) as url,
        Proxy("another") as proxy,
        sending(url, proxy=proxy.at(USER, PASSWORD)) as gp,
    ):
        error = await failure(gp)
    assert type(error) is DestinationMisconfigured
    assert "407" in error.reason


@each_scheme
@pytest.mark.parametrize("status", [None, 407, 502])
async def test_nothing_tells_the_password(scheme, status, caplog, recwarn):
    caplog.set_level(logging.DEBUG)
    async with Target().serve(scheme) as url, Proxy(status=status) as proxy:
        gp = GramPixel(KEY, WORKSPACE, base_url=url, proxy=proxy.at(USER, PASSWORD))
        async with Tracker([gp], store=MemoryStore()) as tracker:
            made = await tracker.track("REG", telegram_id=7)
            while not proxy.lines:
                await asyncio.sleep(0.01)
            await tracker.flush(0.2)
            told = [
                *map(repr, await tracker.deliveries(made.event_id)),
                *(repr(what) for what in (tracker, gp, await tracker.stats())),
                gp.redact(f"via {proxy.at(USER, PASSWORD)}"),
                *(str(record.__dict__) for record in caplog.records),
                *(str(warning.message) for warning in recwarn),
            ]
    for form in spellings(proxy):
        assert form not in "\n".join(told)


async def test_what_a_proxy_repeats_is_masked():
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    gp = GramPixel(KEY, WORKSPACE, proxy=f"http://{USER}:{quote(PASSWORD, safe='')}@x")
    for form in (PASSWORD, quote(PASSWORD, safe=""), token, f"{USER}:{PASSWORD}"):
        assert form not in gp.redact(f"Proxy-Authorization: {form}")


async def test_a_token_in_place_of_user_and_password_is_masked():
    gp = GramPixel(KEY, WORKSPACE, proxy="http://tok3n-tok3n@proxy.example")
    assert gp.redact("no tok3n-tok3n here") == "no *** here"


# When it fails


@each_scheme
async def test_a_proxy_that_is_not_there_was_sent_nothing(scheme):
    async with Proxy() as proxy:
        pass
    async with sending(f"{scheme}://localhost:1", proxy=proxy.url) as gp:
        error = await failure(gp)
    assert isinstance(error, DeliveryFailed)
    assert not error.ambiguous


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
async def test_a_tunnel_that_cannot_be_made_was_sent_nothing(status):
    async with Proxy(status=status) as proxy, sending(NOWHERE, proxy=proxy.url) as gp:
        error = await failure(gp)
    assert isinstance(error, DeliveryFailed)
    assert not error.ambiguous
    assert str(status) in error.reason


@pytest.mark.parametrize("status", [401, 403, 404, 405])
async def test_a_tunnel_that_is_refused_pauses_the_destination(status):
    async with Proxy(status=status) as proxy, sending(NOWHERE, proxy=proxy.url) as gp:
        error = await failure(gp)
    assert type(error) is DestinationMisconfigured


# Construction

BUILD: dict[str, Callable[..., Destination]] = {
    "GramPixel": lambda **o: GramPixel(KEY, WORKSPACE, **o),
    "LeadSail": lambda **o: LeadSail(KEY, "1", "tiktok", **o),
    "MetaCAPI": lambda **o: MetaCAPI("1", KEY, **o),
    "TikTokEvents": lambda **o: TikTokEvents("C", KEY, **o),
}


@pytest.mark.parametrize("kind", BUILD)
@pytest.mark.parametrize(
    "proxy",
    [
        *("", "proxy.example:3128", "ftp://x", "socks5://u:zzz@x", "http://", "http://x:0"),
        *("http://u:zzz@x/path", "http://u:zzz@x?a=b", "http://u:zzz@x:port", "http://a b@x"),
        *("http://u:zzz\n@x", 5, b"http://x"),
    ],
)
def test_a_proxy_that_cannot_work_is_refused_without_its_password(kind, proxy):
    with pytest.raises(ConfigurationError, match=rf"{kind}\(proxy=\.\.\.\) must be") as caught:
        BUILD[kind](proxy=proxy)
    assert "zzz" not in str(caught.value)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_that_cannot_work_is_named(monkeypatch, name):
    monkeypatch.setenv(name, "socks5h://user:zzz@127.0.0.1:9050")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY or ALL_PROXY must be") as caught:
        BUILD["GramPixel"]()
    assert "zzz" not in str(caught.value)
    monkeypatch.setenv("NO_PROXY", ".grampixel.com")
    BUILD["GramPixel"]()


def test_a_transport_goes_its_own_way(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example:3128")
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=GOOD))
    for proxy in (None, "http://proxy.example:3128"):
        gp = GramPixel(KEY, WORKSPACE, proxy=proxy, transport=transport)
        assert asyncio.run(deliver(gp, event())) == [{"event_id": "evt_1"}]


def test_a_destination_of_ones_own_has_a_proxy_too():
    class Own(HTTPDestination):
        async def send(self, batch: Any) -> None: ...

    with pytest.raises(ConfigurationError, match=r"Own\(proxy=\.\.\.\)"):
        Own(name="own", base_url="https://x", proxy="x")
