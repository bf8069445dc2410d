"""Serves the page: its files, its stream, and nothing to anybody but this machine's browser."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from gp_aiogram.model import codec
from gp_aiogram.model.clock import SystemClock
from gp_aiogram.playground.people import People
from gp_aiogram.playground.watching import Watch
from gp_aiogram.web.inspector.access import Access, is_own_page
from gp_aiogram.web.inspector.assets import SECURITY, Assets
from gp_aiogram.web.inspector.stream import HEADERS, RETRY_MS
from gp_aiogram.web.visitors import Visitors

_INDEX = "index.html"

#: Where the page asks for actions; the landing has rules of its own.
API = "/api/"


def only_this_machine() -> Middleware:
    """Make the middleware that refuses what another site could have a browser send here."""
    access = Access(
        None,
        open_on_loopback=True,
        visitors=Visitors(()),
        clock=SystemClock(),
        cookie="gp_playground",
        argument="playground",
    )

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        acts = request.method == hdrs.METH_POST and request.path.startswith(API)
        if not access.allows(request) or (acts and not is_own_page(request)):
            raise web.HTTPForbidden(text="the playground answers to its own page only\n")
        return await handler(request)

    return check


class Page:
    """The page's files and its stream.

    :param people: who plays.
    :param watch: knows how things stand.
    """

    def __init__(self, people: People, watch: Watch) -> None:
        self._people = people
        self._watch = watch
        self._assets = Assets("gp_aiogram.playground")
        self._stopping = asyncio.Event()

    def setup(self, app: web.Application) -> None:
        """Add the routes to an application, and end the streams when it ends."""
        app.router.add_get("/", self._index)
        app.router.add_get("/static/{name}", self._file)
        app.router.add_get(API + r"people/{id:\d+}/stream", self._stream)
        app.on_shutdown.append(self._stop)

    async def _stop(self, _: web.Application) -> None:
        self._stopping.set()

    async def _index(self, request: web.Request) -> web.Response:
        return self._assets.answer(request, _INDEX)

    async def _file(self, request: web.Request) -> web.Response:
        return self._assets.answer(request, request.match_info["name"])

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Send the state as server-sent events, as long as somebody looks."""
        try:
            person = self._people.find(int(request.match_info["id"]))
        except LookupError as error:
            raise web.HTTPNotFound(text=str(error.args[0])) from None
        response = web.StreamResponse(headers={**SECURITY, **HEADERS})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            await response.write(b"retry: %d\n\n" % RETRY_MS)
            async for state in self._watch.changes(person, self._stopping):
                await response.write(b"data: " + codec.encode(state) + b"\n\n")
        return response
