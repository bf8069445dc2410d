"""The inspector: a page, and what it asks for, as routes of an application."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from gp_aiogram.errors import ConfigurationError, StoreError
from gp_aiogram.identity.net import Address
from gp_aiogram.model import codec
from gp_aiogram.model.clock import Clock, SystemClock
from gp_aiogram.stores.records import DeliveryFilter, Span
from gp_aiogram.tracker import Tracker
from gp_aiogram.web.body import BadBody, read_body
from gp_aiogram.web.inspector.access import Access, is_own_page
from gp_aiogram.web.inspector.assets import SECURITY, Assets
from gp_aiogram.web.inspector.browse import find, number_of, text_of, wanted_of
from gp_aiogram.web.inspector.feed import Feed
from gp_aiogram.web.inspector.refusal import Refused
from gp_aiogram.web.inspector.reporting import DAYS, Reporting
from gp_aiogram.web.inspector.shapes import event_json, journey_json, session_json, touch_json
from gp_aiogram.web.inspector.stream import Streams, status_json
from gp_aiogram.web.visitors import Network, Visitors

logger = logging.getLogger("gp_aiogram.inspector")

#: Touches of one answer.
_TOUCHES = 100

#: Rows that a page may look at again at once.
_MOST_ROWS = 300

#: What is answered for a route that is none.
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Inspector:
    """One page that shows sessions, events and deliveries live, with totals.

    You can replay or purge dead letters there, and resume paused destinations.

    :param tracker: its store is shown; you start and close it.
    :param token: the login token, at least 16 characters. It is exchanged for a cookie that
        expires after 12 hours, and never appears in an address.
    :param open_on_loopback: allow access without a token from this machine, at
        ``http://127.0.0.1:…`` or ``localhost`` and not through a proxy. Everyone with an account
        on the machine has access then.
    :param trusted_proxies: addresses or networks of your proxies, whose ``X-Forwarded-For`` and
        ``X-Forwarded-Proto`` are trusted; ``"unix"`` for a Unix socket.
    :param clock: the clock to use.
    :raises ConfigurationError: when nobody would have access, or the token is too weak.
    """

    def __init__(
        self,
        tracker: Tracker,
        *,
        token: str | None = None,
        open_on_loopback: bool = False,
        trusted_proxies: Collection[str | Address | Network] = (),
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._access = Access(
            token,
            open_on_loopback=open_on_loopback,
            visitors=Visitors(trusted_proxies),
            clock=clock,
            cookie="gp_inspector",
            argument="Inspector",
        )
        self._tracker = tracker
        self._assets = Assets("gp_aiogram.web.inspector")
        self._feed = Feed(tracker)
        self._streams = Streams(tracker, self._feed, clock.monotonic)
        self._reporting = Reporting(tracker, clock)
        self._path = "/inspector"

    def setup(self, app: web.Application, prefix: str = "/inspector") -> None:
        """Add the routes to an application.

        :param prefix: the path of the page.
        """
        above = f"/{prefix.strip('/')}".rstrip("/")
        self._path = f"{above}/"
        app.add_routes(self._routes(above))
        # Before connections are closed, so that nobody waits for a stream to end.
        app.on_shutdown.append(self._end_streams)

    def _routes(self, above: str) -> list[web.RouteDef]:
        gets: dict[str, _Handler] = {
            "me": self._me,
            "events": self._events,
            "event/{seq}": self._event,
            "touches": self._touches,
            "report": self._report,
            "quality": self._quality,
            "stream": self._stream,
        }
        posts: dict[str, _Handler] = {
            "login": self._login,
            "logout": self._logout,
            "replay": self._replay,
            "purge": self._purge,
            "resume": self._resume,
        }
        opened = {"me", "login"}
        redirect = [web.get(above, self._to_page)] if above else []
        return [
            *redirect,
            web.get(f"{above}/", self._page),
            web.get(f"{above}/static/{{name}}", self._asset),
            *(
                web.get(f"{above}/api/{path}", self._guarded(handler, opened=path in opened))
                for path, handler in gets.items()
            ),
            *(
                web.post(
                    f"{above}/api/{path}",
                    self._guarded(handler, opened=path in opened, acts=True),
                )
                for path, handler in posts.items()
            ),
        ]

    async def _end_streams(self, _: web.Application) -> None:
        self._feed.close()

    # What is let through

    def _guarded(
        self,
        handler: _Handler,
        *,
        opened: bool = False,
        acts: bool = False,
    ) -> _Handler:
        """Let those in who may, and tell whatever goes wrong as JSON.

        :param opened: let in everybody.
        :param acts: it changes something: other sites are kept out.
        """

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                self._check(request, opened=opened, acts=acts)
                return await handler(request)
            except Refused as refused:
                return _refusal(refused)
            except (BadBody, ConfigurationError) as error:
                return _refusal(Refused(HTTPStatus.BAD_REQUEST, str(error)))
            except StoreError as error:
                logger.warning("the inspector cannot read the store: %s", error)
                reason = f"the store does not answer: {type(error).__name__}; see the log"
                return _refusal(Refused(HTTPStatus.SERVICE_UNAVAILABLE, reason, retry_after=2))

        return guarded

    def _check(self, request: web.Request, *, opened: bool, acts: bool) -> None:
        """Let a request through.

        :raises Refused: when it may not go on.
        """
        if acts and not is_own_page(request):
            raise Refused(HTTPStatus.FORBIDDEN, "this is for the inspector's page alone")
        if not (opened or self._access.allows(request)):
            raise Refused(HTTPStatus.UNAUTHORIZED, "log in first")

    async def _to_page(self, _: web.Request) -> web.StreamResponse:
        return web.Response(status=308, headers={**SECURITY, "Location": self._path})

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return self._assets.answer(request, "index.html")

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        return self._assets.answer(request, request.match_info["name"])

    # Who looks

    async def _me(self, request: web.Request) -> web.StreamResponse:
        return _json(
            {
                "allowed": self._access.allows(request),
                "logged_in": self._access.is_logged_in(request),
                "has_token": self._access.has_token,
            }
        )

    async def _login(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        result = self._access.login(request, body.get("token"))
        if result == "too many":
            logger.warning("too many logins to the inspector were tried")
            retry_after = self._access.retry_after
            reason = f"too many tries: wait {retry_after} seconds"
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, reason, retry_after)
        if result == "wrong":
            logger.warning("somebody tried to log in to the inspector with a wrong token")
            raise Refused(HTTPStatus.FORBIDDEN, "the token is wrong")
        response = _json({"allowed": True})
        self._access.set_cookie(request, response, self._path)
        return response

    async def _logout(self, request: web.Request) -> web.StreamResponse:
        response = _json({"allowed": False})
        self._access.logout(request, response, self._path)
        return response

    # What there is

    async def _events(self, request: web.Request) -> web.StreamResponse:
        outbox = self._tracker.store.outbox
        rows = request.query.get("rows")
        if rows is not None:
            return _json({"events": await self._rows(rows)})
        # The cursor first: what comes meanwhile is told by the stream.
        cursor = await self._feed.latest()
        page = await find(
            outbox, await wanted_of(request.query, outbox), number_of(request.query, "before")
        )
        return _json(
            {
                "events": [event_json(each) for each in page.events],
                "before": page.before,
                "cursor": str(cursor),
            }
        )

    async def _rows(self, rows: str) -> list[dict[str, Any]]:
        """Return what is on the screen as it is now.

        :param rows: the first and the last number, as ``3-90``.
        """
        first, _, last = rows.partition("-")
        if not (first.isdecimal() and last.isdecimal() and first.isascii() and last.isascii()):
            raise Refused(HTTPStatus.BAD_REQUEST, "rows must be two numbers, such as 3-90")
        span = Span(after=int(first[:18]) - 1, before=int(last[:18]) + 1, limit=_MOST_ROWS)
        records = await self._tracker.store.outbox.events(DeliveryFilter(), span)
        return [event_json(each) for each in records]

    async def _event(self, request: web.Request) -> web.StreamResponse:
        seq = number_of(request.match_info, "seq") or 0
        store = self._tracker.store
        span = Span(after=seq - 1, before=seq + 1, limit=1)
        records = await store.outbox.events(DeliveryFilter(), span)
        if not records:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such event any more")
        (record,) = records
        history = await store.sessions.history(record.event.telegram_id)
        return _json(await journey_json(record, self._tracker.destinations, history))

    async def _touches(self, request: web.Request) -> web.StreamResponse:
        user, before = number_of(request.query, "user"), number_of(request.query, "before")
        sessions = self._tracker.store.sessions
        if user is not None:
            history = await sessions.history(user)
            touches = [{"n": 0, **session_json(each)} for each in reversed(history)]
            return _json({"touches": touches[:_MOST_ROWS], "before": None, "listed": True})
        listed = await sessions.touches(Span(before=before, limit=_TOUCHES, newest=True))
        full = listed is not None and len(listed) == _TOUCHES
        return _json(
            {
                "touches": [touch_json(each) for each in listed or ()],
                "before": listed[-1].number if listed and full else None,
                "listed": listed is not None,
            }
        )

    async def _report(self, request: web.Request) -> web.StreamResponse:
        days = number_of(request.query, "days") or DAYS[1]
        return _json(await self._reporting.report(days, request.query.get("zone", "")))

    async def _quality(self, _: web.Request) -> web.StreamResponse:
        return _json(await self._reporting.quality())

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        return await self._streams.answer(request, SECURITY)

    # What is done

    async def _replay(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        destination, event_id = text_of(body, "destination"), text_of(body, "event_id")
        count = await self._tracker.replay(destination, event_id=event_id)
        logger.info("%d dead letter(s) replayed from the inspector", count)
        return _json({"count": count})

    async def _purge(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        destination, event_id = text_of(body, "destination"), text_of(body, "event_id")
        count = await self._tracker.purge(destination, event_id=event_id)
        logger.info("%d dead letter(s) purged from the inspector", count)
        return _json({"count": count})

    async def _resume(self, request: web.Request) -> web.StreamResponse:
        destination = text_of(await _body(request), "destination") or ""
        resumed = self._tracker.resume(destination)
        if resumed:
            logger.info("%s resumed from the inspector", destination)
        status = status_json(await self._tracker.stats(), self._tracker)
        return _json({"resumed": resumed, "status": status})


async def _body(request: web.Request) -> Mapping[str, str]:
    """Read a JSON object of texts.

    :raises Refused: when it is none.
    """
    if request.content_type != "application/json":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be JSON")
    try:
        body = codec.decode(await read_body(request) or b"{}")
    except (ValueError, RecursionError):
        raise Refused(HTTPStatus.BAD_REQUEST, "the body must be JSON") from None
    if not isinstance(body, dict) or not all(isinstance(each, str) for each in body.values()):
        raise Refused(HTTPStatus.BAD_REQUEST, "the body must be a JSON object of texts")
    return body


def _json(body: object) -> web.Response:
    headers = {**SECURITY, "Cache-Control": "no-store"}
    return web.Response(body=codec.encode(body), headers=headers, content_type="application/json")


def _refusal(refused: Refused) -> web.Response:
    response = _json({"error": refused.reason})
    response.set_status(refused.status)
    if refused.retry_after is not None:
        response.headers["Retry-After"] = str(refused.retry_after)
    return response
