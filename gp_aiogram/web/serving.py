"""Serves an application from the bot's own process without letting strangers exhaust it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web

from gp_aiogram.errors import ConfigurationError, short_repr

#: Seconds for which an idle connection is kept; proxies and browsers open another when they need.
_KEEP_ALIVE = 15.0

#: Seconds that requests under way get when serving ends.
_GRACE = 5.0

_END_OF_HEAD = b"\r\n\r\n"


@asynccontextmanager
async def serve(
    app: web.Application,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    max_connections: int = 200,
    header_timeout: float = 10.0,
) -> AsyncIterator[str]:
    """Serve an application for the length of an ``async with``; yields its address.

    Each connection takes a file descriptor, and whoever opens hundreds and sends nothing would
    leave none to the bot's own requests. Here a connection whose first request does not arrive is
    closed. Where there are too many, one of these makes room for a new one, else the one that was
    silent longest.

    :param host: where to listen.
    :param port: 0 means any that is free.
    :param max_connections: open at the same time.
    :param header_timeout: seconds for the head of the first request.
    :raises ConfigurationError: when ``max_connections`` or ``header_timeout`` is not positive.
    :raises OSError: when nobody may listen there.
    """
    for name, value in (("max_connections", max_connections), ("header_timeout", header_timeout)):
        if not value > 0:
            msg = f"serve({name}=...) must be positive, not {short_repr(value)}"
            raise ConfigurationError(msg)
    # An access log would tell the addresses of requests, and click ids with them.
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=_KEEP_ALIVE,
        shutdown_timeout=_GRACE,
    )
    await runner.setup()
    try:
        gate = _Gate(cast("web.Server", runner.server), max_connections, header_timeout)
        server = await asyncio.get_running_loop().create_server(gate, host, port)
        try:
            bound_host, bound_port = server.sockets[0].getsockname()[:2]
            shown_host = f"[{bound_host}]" if ":" in bound_host else bound_host
            yield f"http://{shown_host}:{bound_port}"
        finally:
            server.close()
    finally:
        await runner.cleanup()


class _Gate:
    """Makes the protocol of each new connection, and room for it.

    :param inner: makes the protocol that speaks HTTP.
    """

    def __init__(
        self,
        inner: Callable[[], asyncio.Protocol],
        max_connections: int,
        header_timeout: float,
    ) -> None:
        self._inner = inner
        self._most = max_connections
        self._header_timeout = header_timeout
        #: Open connections without a whole request so far, and the others; in both the one that
        #: was silent longest comes first.
        self._waiting: OrderedDict[_Connection, None] = OrderedDict()
        self._served: OrderedDict[_Connection, None] = OrderedDict()

    def __call__(self) -> _Connection:
        return _Connection(self._inner(), self, self._header_timeout)

    def opened(self, connection: _Connection) -> None:
        """Count a connection, and close another where there are too many."""
        if len(self._waiting) + len(self._served) >= self._most:
            silent, _ = (self._waiting or self._served).popitem(last=False)
            silent.abort()
        self._waiting[connection] = None

    def asked(self, connection: _Connection) -> None:
        """Remember that a request came."""
        self.lost(connection)
        self._served[connection] = None

    def lost(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._waiting.pop(connection, None)
        self._served.pop(connection, None)


class _Connection(asyncio.Protocol):
    """Passes everything on to the protocol within, and watches for the first request."""

    def __init__(self, inner: asyncio.Protocol, gate: _Gate, header_timeout: float) -> None:
        self._inner = inner
        self._gate = gate
        self._header_timeout = header_timeout
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        #: The last bytes of a head that has not come to its end.
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._gate.opened(self)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._header_timeout, self.abort)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._timer is None or self._ends_head(data):
            self._stop_timer()
            self._gate.asked(self)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._gate.lost(self)
        self._inner.connection_lost(exc)

    def abort(self) -> None:
        """Close at once, without sending what waits."""
        if self._transport is not None:
            self._transport.abort()

    def _ends_head(self, data: bytes) -> bool:
        # Empty lines before a request are no end of it.
        head = self._head + data if self._head else data.lstrip(b"\r\n")
        self._head = head[1 - len(_END_OF_HEAD) :]
        return _END_OF_HEAD in head

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
