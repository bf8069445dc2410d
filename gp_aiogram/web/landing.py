"""The endpoint behind an ad: it keeps the click and sends the person on to the bot."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from hashlib import sha256
from typing import Any

from aiohttp import web

from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.identity.net import Address
from gp_aiogram.model.click import Click
from gp_aiogram.model.clock import Clock, SystemClock
from gp_aiogram.model.event import utc_from_timestamp
from gp_aiogram.model.session import Attribution
from gp_aiogram.tracker import Tracker
from gp_aiogram.web import fields
from gp_aiogram.web.body import BadBody, read_report
from gp_aiogram.web.limits import DailyLimit, PerIpLimit
from gp_aiogram.web.links import TELEGRAM, BotLinks, LinkKind
from gp_aiogram.web.origins import Origins
from gp_aiogram.web.patience import within
from gp_aiogram.web.previews import is_person
from gp_aiogram.web.script import gp_js
from gp_aiogram.web.visitors import UNIX, Network, Visitor, Visitors

logger = logging.getLogger("gp_aiogram.web")

InviteLink = Callable[[str], Awaitable[str]]

#: Seconds that a person waits at most for the store, and for an invite link.
_STORE_PATIENCE = 2.0
_INVITE_PATIENCE = 2.0

#: Seconds for which a browser may keep the script.
_SCRIPT_AGE = 3600

#: Has the form of those that ``register_click`` makes.
_SAMPLE_SESSION_ID = "gp_0123456789abcdef0123456789ab"


class Landing:
    """Turns ad clicks into sessions, as routes of any :class:`aiohttp.web.Application`.

    ``GET /go`` stores the click and redirects to the bot. ``POST /click`` stores the click of your
    own page, and ``GET /gp.js`` is the script that such a page includes. A person who clicked an
    ad always gets to the bot: a failure costs the session, never the visitor.

    :param tracker: stores the clicks; you start and close it.
    :param bot: the bot's username.
    :param kind: the parameter that carries the session: ``"start"``, ``"startgroup"``, or
        ``"startapp"`` for a Mini App.
    :param app_name: short name of the Mini App; None means the bot's main one.
    :param domain: of the links: ``"t.me"``, an alias such as ``"telegram.me"``, or your own domain
        that leads there, for countries where providers block Telegram's.
    :param invite_link: a function that makes the link for a session, such as an invite link to a
        channel with the session id as its name. If it fails, or takes longer than
        ``invite_patience``, the visitor is sent to the bot instead.
    :param invite_patience: seconds to wait for ``invite_link``.
    :param ids: query parameters that hold ids, in addition to the known ones
        (:data:`gp_aiogram.web.fields.KNOWN_IDS`). A mapping renames them in the click:
        ``{"sub_id_3": "creative"}``.
    :param trusted_proxies: addresses or networks of your proxies, whose ``X-Forwarded-For`` and
        ``Forwarded`` are trusted; ``"unix"`` for a Unix socket.
    :param allowed_origins: origins of pages that may report clicks, such as
        ``https://example.com``; ``"*"`` means all. The server's own origin is always allowed.
    :param per_ip_limit: sessions per minute and address (for IPv6: per /64); all of them may come
        at once. Mobile providers put many people behind one address. None sets no limit. Private
        addresses are not limited, because they usually belong to a proxy.
    :param clicks_per_day: sessions per day (UTC), so that a flood of clicks does not fill the
        disk: a click takes about 1 KB. None sets no limit.
    :param clock: gives the time of clicks.
    :raises ConfigurationError: when an argument is invalid.
    """

    def __init__(
        self,
        tracker: Tracker,
        bot: str,
        *,
        kind: LinkKind = "start",
        app_name: str | None = None,
        domain: str = TELEGRAM,
        invite_link: InviteLink | None = None,
        invite_patience: float = _INVITE_PATIENCE,
        ids: Collection[str] | Mapping[str, str] = (),
        trusted_proxies: Collection[str | Address | Network] = (),
        allowed_origins: Collection[str] = (),
        per_ip_limit: float | None = 60,
        clicks_per_day: int | None = 250_000,
        clock: Clock | None = None,
    ) -> None:
        _validate(tracker.attribution)
        self._tracker = tracker
        self._links = BotLinks(bot, kind, app_name, domain)
        self._invite_link = invite_link
        self._told_of_bot = False
        self._invite_patience = invite_patience
        self._visitors = Visitors(trusted_proxies)
        self._origins = Origins(allowed_origins)
        self._clock = clock or SystemClock()
        self._limit = PerIpLimit(per_ip_limit, self._clock.monotonic)
        self._daily = DailyLimit(clicks_per_day, self._clock.time)
        self._told_of_shared = False
        self._parameters = fields.Parameters(ids)
        self._script = gp_js(self._links, self._parameters.names)
        self._script_etag = sha256(self._script.encode()).hexdigest()[:16]

    def routes(self, prefix: str = "") -> list[web.RouteDef]:
        """Return the routes, to be added to an application.

        :param prefix: the path above them, such as ``/ads``.
        """
        path = f"/{prefix.strip('/')}".rstrip("/")
        return [
            web.get(f"{path}/go", self.go),
            web.post(f"{path}/click", self.click),
            web.options(f"{path}/click", self.preflight),
            web.get(f"{path}/gp.js", self.script),
        ]

    def setup(self, app: web.Application, prefix: str = "") -> None:
        """Add the routes to an application.

        :param prefix: the path above them, such as ``/ads``.
        """
        app.add_routes(self.routes(prefix))

    async def go(self, request: web.Request) -> web.Response:
        """Store a click and redirect to the bot."""
        session_id = None
        if is_person(request):
            visitor = self._visitors.find(request)
            if not self._seconds_to_wait(visitor):
                session_id = await self._keep(lambda: self._click_of_visit(request, visitor))
        headers = {
            "Location": await self._link(session_id),
            "Cache-Control": "no-store",
            "Content-Type": "text/plain; charset=utf-8",
            # Neither Telegram nor anybody in between needs to see the click ids.
            "Referrer-Policy": "no-referrer",
            "X-Robots-Tag": "noindex",
        }
        return web.Response(status=302, headers=headers)

    async def click(self, request: web.Request) -> web.Response:
        """Store a click that a page reports; answer with the session and the link."""
        headers = {**self._origins.headers(request), "Cache-Control": "no-store"}
        plain: dict[str, Any] = {"session_id": None, "link": self._links.plain}

        def refused(status: int, reason: str, **more: Any) -> web.Response:
            body = {"error": reason, **more}
            return web.json_response(body, status=status, headers=headers)

        if not self._origins.admit(request):
            return refused(403, "this origin is not among allowed_origins")
        try:
            report = await read_report(request, self._parameters.names)
        except BadBody as error:
            return refused(error.status, error.reason)
        if not is_person(request):
            return web.json_response(plain, headers=headers)
        visitor = self._visitors.find(request)
        if seconds := self._seconds_to_wait(visitor):
            headers["Retry-After"] = str(seconds)
            return refused(429, "too many clicks from this address, or today", **plain)
        session_id = await self._keep(lambda: self._click_of_report(request, report, visitor))
        if session_id is None:
            return refused(503, "the click could not be kept", **plain)
        link = await self._link(session_id)
        return web.json_response({"session_id": session_id, "link": link}, headers=headers)

    async def preflight(self, request: web.Request) -> web.Response:
        """Answer the CORS preflight request of a browser."""
        return self._origins.preflight(request)

    async def script(self, request: web.Request) -> web.Response:
        """Serve the script for your own pages."""
        response = web.Response(
            text=self._script,
            content_type="text/javascript",
            charset="utf-8",
            headers={
                "Cache-Control": f"public, max-age={_SCRIPT_AGE}",
                "Cross-Origin-Resource-Policy": "cross-origin",
                "X-Content-Type-Options": "nosniff",
            },
        )
        response.etag = self._script_etag
        if any(etag.value == self._script_etag for etag in request.if_none_match or ()):
            response.set_status(304)
            response.body = None
        return response

    def _seconds_to_wait(self, visitor: Visitor) -> int:
        """Count one more click; 0 when it may be kept, else when to try again."""
        if not self._limit.take(visitor.address or UNIX):
            if not visitor.is_shared:
                self._tracker.counts["clicks_limited"] += 1
                return self._limit.retry_after
            self._tell_of_shared(visitor)
        if self._daily.take():
            return 0
        self._tracker.counts["clicks_limited"] += 1
        if self._daily.is_first_refusal:
            logger.error(
                "clicks_per_day=%s is reached: until midnight (UTC) people who click an ad get to "
                "the bot without a session",
                self._daily.per_day,
            )
        return self._daily.retry_after

    def _tell_of_shared(self, visitor: Visitor) -> None:
        if not self._told_of_shared:
            self._told_of_shared = True
            logger.warning(
                "more than per_ip_limit=%s clicks a minute come from %s, which stands for all "
                "visitors, so that the limit does not apply: have the proxy in front send "
                "X-Forwarded-For, and name it in trusted_proxies",
                self._limit.per_minute,
                visitor.address or "a Unix socket",
            )

    async def _keep(self, click: Callable[[], Click]) -> str | None:
        """Keep a click; None when it could not be kept."""
        try:
            return await within(_STORE_PATIENCE, self._tracker.intake.register_click(click()))
        except Exception:
            self._tracker.counts["click_errors"] += 1
            logger.exception("a click could not be kept; the person goes on without a session")
            return None

    def _check_bot(self) -> None:
        """Tell once when the links lead to another bot than those that run here."""
        if self._told_of_bot:
            return
        names = {name.lower() for name in self._tracker.bots.values() if name}
        if names and self._links.bot.lower() not in names:
            self._told_of_bot = True
            logger.warning(
                "Landing(bot=%r) is none of the bots that run here (%s): people who click get to "
                "another bot",
                self._links.bot,
                ", ".join(sorted(names)),
            )

    async def _link(self, session_id: str | None) -> str:
        """Return where to send a person; nothing of the request has a say in it."""
        self._check_bot()
        if session_id is None:
            return self._links.plain
        if self._invite_link is not None:
            try:
                made: object = await within(self._invite_patience, self._invite_link(session_id))
                link = self._links.invite(made)
                if link is not None:
                    return link
                logger.error(
                    "invite_link must return a link of Telegram's, not %s", short_repr(made)
                )
            except Exception:
                logger.exception("no invite link could be made; the person goes to the bot")
            self._tracker.counts["invite_errors"] += 1
        return self._links.with_session(session_id)

    def _click_of_visit(self, request: web.Request, visitor: Visitor) -> Click:
        path = request.raw_path if request.raw_path.startswith("/") else request.path_qs
        url = f"{visitor.scheme}://{request.host}{path}"
        return Click(
            at=utc_from_timestamp(self._clock.time()),
            ip=visitor.address,
            user_agent=fields.user_agent(request),
            url=fields.address(url),
            referrer=fields.address(request.headers.get("Referer")),
            **fields.combined(self._parameters.of_address(url), fields.from_cookies(request)),
        )

    def _click_of_report(
        self,
        request: web.Request,
        report: dict[str, str],
        visitor: Visitor,
    ) -> Click:
        url = report.get("url") or request.headers.get("Referer") or ""
        return Click(
            at=utc_from_timestamp(self._clock.time()),
            ip=visitor.address,
            user_agent=fields.user_agent(request),
            url=fields.address(url),
            referrer=fields.address(report.get("referrer")),
            **fields.combined(
                self._parameters.of_address(url),
                fields.from_cookies(request),
                self._parameters.of_report(report),
            ),
        )


def _validate(attribution: Attribution) -> None:
    """Check that a session id of ours can come back by a deep link.

    :raises ConfigurationError: when the grammar of the bot's payloads does not let it pass.
    """
    try:
        session_id = attribution.session_id(_SAMPLE_SESSION_ID)
    except Exception as error:
        msg = (
            f"Attribution(parse=...) fails on {_SAMPLE_SESSION_ID}, which Landing puts into links"
        )
        raise ConfigurationError(msg) from error
    if session_id != _SAMPLE_SESSION_ID:
        msg = (
            f"Attribution(pattern=..., parse=...) reads {short_repr(session_id)} from "
            f"{_SAMPLE_SESSION_ID}: it must take the session ids that Landing puts into links"
        )
        raise ConfigurationError(msg)
