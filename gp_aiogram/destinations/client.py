"""Carries HTTP requests over pooled connections; the one place that knows the HTTP client."""

from __future__ import annotations

import asyncio

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from gp_aiogram.destinations.answers import read_answer
from gp_aiogram.destinations.proxies import Proxy

#: Causes that prove that the request was not sent. The httpx class proves nothing: its aiohttp
#: transport maps a reset after sending to ``ConnectTimeout`` too.
_NOT_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
)

_MOST_CONNECTIONS = 100

#: Seconds that an idle connection is kept.
_KEEPALIVE = 5.0

#: aiohttp repeats a GET by itself when its connection breaks, and so hides that the first may have
#: been heard. This switches it off, as its own test client does. Versions before 3.11 have no
#: switch, but know such methods by their capitals, and write every method in capitals.
_REPEATS = "_retry_connection"
_HAS_SWITCH = _REPEATS in aiohttp.ClientSession.ATTRS

#: What is raised when no answer came.
NO_ANSWER = (httpx.HTTPError, aiohttp.ClientError)


class Client:
    """The connections of one destination.

    Requests go to the transport itself. ``httpx.AsyncClient`` would log each URL, which may hold
    a key, and keep cookies.

    :param transport: what carries the requests; None for connections over aiohttp.
    :param proxy: what connections over aiohttp go through.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport | None, proxy: Proxy | None) -> None:
        self._given = transport
        self._proxy = None if transport is not None else proxy
        self._transport: httpx.AsyncBaseTransport | None = None
        self._opening: asyncio.Task[httpx.AsyncBaseTransport] | None = None

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer, cut to 1 MiB and in UTF-8.

        :raises httpx.HTTPError, aiohttp.ClientError: when none came.
        """
        transport = await self._opened()
        if self._given is None and not _HAS_SWITCH:
            request.method = request.method.lower()
        if self._proxy is not None and request.url.scheme == "http":
            # Without a tunnel, it is the request itself that the proxy reads.
            request.headers.update(self._proxy.headers)
        response = await transport.handle_async_request(request)
        try:
            answer = await read_answer(response)
        finally:
            await response.aclose()
        answer.request = request
        return answer

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    async def _opened(self) -> httpx.AsyncBaseTransport:
        if self._transport is None:
            if self._opening is None:
                # In a thread: loading certificates would hold up the event loop.
                self._opening = asyncio.create_task(asyncio.to_thread(self._new_transport))
            try:
                self._transport = await asyncio.shield(self._opening)
            except Exception:
                self._opening = None  # tried again by the next request
                raise
            self._opening = None
        return self._transport

    def _new_transport(self) -> httpx.AsyncBaseTransport:
        return self._given or _connections(self._proxy)


def _connections(proxy: Proxy | None) -> AiohttpTransport:
    """Make a transport over aiohttp's connections.

    httpx's own pool slows down twentyfold under concurrency
    (https://github.com/encode/httpx/issues/3215).
    """
    through = None if proxy is None else httpx.Proxy(proxy.url, headers=dict(proxy.headers))
    transport = AiohttpTransport(proxy=through)

    def session() -> aiohttp.ClientSession:
        made = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=transport.ssl_context,
                limit=_MOST_CONNECTIONS,
                # Less than servers keep one: a request on a connection that the server closes
                # meanwhile has an unknown fate.
                keepalive_timeout=_KEEPALIVE,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        if _HAS_SWITCH:
            setattr(made, _REPEATS, False)
        return made

    transport.client = session
    return transport


def was_not_sent(error: Exception) -> bool:
    """Return whether an error proves that the server did not get the request."""
    return isinstance(_cause(error), _NOT_SENT)


def proxy_status(error: Exception) -> int | None:
    """Return the status by which a proxy refused a tunnel; None when it was something else."""
    cause = _cause(error)
    return cause.status if isinstance(cause, aiohttp.ClientHttpProxyError) else None


def describe(error: Exception) -> str:
    """Return what happened, in the words of the connection."""
    cause = _cause(error)
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__


def _cause(error: Exception) -> BaseException:
    """Return aiohttp's error behind that of httpx; not every one has a counterpart there."""
    return error.__cause__ or error
