"""Writes what a feed tells as server-sent events, which browsers take up where they were cut."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from gp_aiogram.delivery.stats import Stats
from gp_aiogram.errors import StoreError
from gp_aiogram.model import codec
from gp_aiogram.tracker import Tracker
from gp_aiogram.web.inspector.feed import Cursor, Feed, News
from gp_aiogram.web.inspector.shapes import event_json, touch_json

#: Milliseconds after which a browser connects again.
RETRY_MS = 1000

#: Seconds between two looks at how destinations are doing, and between two signs of life.
_STATUS_EVERY, _ALIVE_EVERY = 2.0, 15.0

#: Streams at the same time; more are refused.
MOST_STREAMS = 16

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    # Proxies such as nginx would gather what should be seen at once.
    "X-Accel-Buffering": "no",
}


class Streams:
    """Answers requests for a stream.

    Messages are ``events``, ``changed`` and ``touches``, each a list, ``status``, and ``reset``
    where the store does not know the cursor any more. The ids of messages
    are cursors: a browser that was cut off names the last one in ``Last-Event-ID`` and misses
    nothing.

    :param tracker: tells how destinations are doing.
    :param feed: tells everything else.
    :param monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        tracker: Tracker,
        feed: Feed,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tracker = tracker
        self._feed = feed
        self._monotonic = monotonic
        self._open = 0

    async def answer(
        self,
        request: web.Request,
        headers: Mapping[str, str] | None = None,
    ) -> web.StreamResponse:
        """Stream until either side has enough.

        :param headers: to be sent besides those of a stream.
        """
        if self._open >= MOST_STREAMS:
            return web.Response(status=503, text="too many pages follow already\n")
        self._open += 1
        try:
            latest = await self._feed.latest()
            cursor = _cursor_of(request) or latest
            response = web.StreamResponse(headers={**(headers or {}), **HEADERS})
            await response.prepare(request)
            await response.write(b"retry: %d\n\n" % RETRY_MS)
            if cursor.seq > latest.seq or cursor.touch > latest.touch:
                # Another store, or the latest of this one were erased.
                await response.write(_message("reset", str(latest)))
                cursor = latest
            await self._write(request, response, cursor)
        except ConnectionResetError:
            pass  # the page was closed
        finally:
            self._open -= 1
        return response

    async def _write(
        self,
        request: web.Request,
        response: web.StreamResponse,
        cursor: Cursor,
    ) -> None:
        status = _Status(self._tracker, self._monotonic)
        alive = self._monotonic()
        try:
            async for news in self._feed.follow(cursor):
                if request.transport is None:
                    return
                told = _messages(news) + await status.message()
                if told or self._monotonic() - alive > _ALIVE_EVERY:
                    alive = self._monotonic()
                    await response.write(told or b": alive\n\n")
        except StoreError as error:
            # The browser connects again, and the page says why it has to.
            await response.write(_message("trouble", {"error": type(error).__name__}))


class _Status:
    """How destinations are doing, whenever that is another way than before."""

    def __init__(self, tracker: Tracker, monotonic: Callable[[], float]) -> None:
        self._tracker = tracker
        self._monotonic = monotonic
        self._next = 0.0
        self._told = b""

    async def message(self) -> bytes:
        """Return what is to be written; nothing when nobody needs to know."""
        if self._monotonic() < self._next:
            return b""
        self._next = self._monotonic() + _STATUS_EVERY
        message = _message("status", status_json(await self._tracker.stats(), self._tracker))
        if message == self._told:
            return b""
        self._told = message
        return message


def status_json(stats: Stats, tracker: Tracker) -> dict[str, Any]:
    """Return how a tracker and its destinations are doing."""
    configured = {destination.name for destination in tracker.destinations}
    waits = tracker.waits
    return {
        "journal": stats.waiting,
        "delivers": tracker.delivers,
        "destinations": [
            {
                "name": name,
                "state": each.state,
                "wait": round(waits.get(name, 0.0)),
                "configured": name in configured,
                "oldest": None if each.oldest_pending is None else round(each.oldest_pending),
                "counts": dict(each.deliveries),
            }
            for name, each in stats.destinations.items()
        ],
    }


def _cursor_of(request: web.Request) -> Cursor | None:
    """Return where a page was cut off, or where what it has loaded ends."""
    told = request.headers.get("Last-Event-ID") or request.query.get("cursor", "")
    return Cursor.parse(told)


def _messages(news: News) -> bytes:
    """Write what is new; the cursor comes last, when all of it is out."""
    parts: Sequence[tuple[str, list[dict[str, Any]]]] = (
        ("changed", [event_json(each) for each in news.changed]),
        ("touches", [touch_json(each) for each in news.touches]),
        ("events", [event_json(each) for each in news.events]),
    )
    written = [_message(name, told) for name, told in parts if told]
    if written:
        written.append(b"id: %s\nevent: cursor\ndata: 0\n\n" % str(news.cursor).encode())
    return b"".join(written)


def _message(name: str, told: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), codec.encode(told))
