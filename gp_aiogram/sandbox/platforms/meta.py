"""A stand-in for Meta's Conversions API that refuses what Meta refuses, in Meta's words."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from aiohttp import hdrs, web

from gp_aiogram.sandbox.platforms import meta_errors as errors
from gp_aiogram.sandbox.platforms.meta_errors import (
    AD_ACCOUNT_THROTTLED,
    NOT_PERMITTED,
    NOT_READY,
    TEMPORARY,
    THROTTLED,
    TOKEN_EXPIRED,
    TOKEN_UNREADABLE,
)
from gp_aiogram.sandbox.platforms.meta_rules import MAX_EVENTS, REQUEST, refusal
from gp_aiogram.sandbox.server import DestinationSandbox

__all__ = [
    "AD_ACCOUNT_THROTTLED",
    "NOT_PERMITTED",
    "NOT_READY",
    "TEMPORARY",
    "THROTTLED",
    "TOKEN_EXPIRED",
    "TOKEN_UNREADABLE",
    "MetaEvent",
    "MetaSandbox",
]

#: "Handling duplicate events": seconds from the first receipt in which duplicates are dropped.
DEDUPLICATION = 48 * 3600.0

_PATH = re.compile(r"/v\d+\.\d+/([^/]+)/events")


@dataclass(frozen=True)
class MetaEvent:
    """One event that the stand-in has accepted.

    :param body: the event as it was sent.
    :param pixel_id: the pixel it was sent to.
    :param test_event_code: that of its request; Meta counts such events like all others.
    :param at: unix seconds of its receipt by the clock of the stand-in.
    """

    body: Mapping[str, Any]
    pixel_id: str
    test_event_code: str | None
    at: float


class MetaSandbox(DestinationSandbox[MetaEvent]):
    """Stands in for ``https://graph.facebook.com``.

    It accepts ``POST /{version}/{pixel_id}/events`` with a JSON body, and the token as a Bearer
    token, in the body or in the query. As with Meta, one invalid event has its whole batch
    refused, and all refusals have HTTP 400. ``events`` is what Meta would count: it leaves
    out events with the name and id of one received in the 48 hours before. (Meta promises this
    between browser and server, not between two requests of a server.) ``received`` has them all.

    It is stricter than Meta's documentation where a mistake would go unnoticed. It refuses
    unknown fields in the request and in ``user_data`` (in an event Meta refuses them, too), empty
    strings, digests in upper case, currencies outside ISO 4217, an ``fbc`` or ``fbp`` of another
    format, and times more than a minute ahead.

    :param pixel_id: the pixel.
    :param access_token: the token that clients must send.
    :param app_secret: if given, a valid ``appsecret_proof`` is required.
    :param other_pixel_ids: further pixels that the token may write to.
    :param clock: returns unix seconds.
    """

    def __init__(
        self,
        pixel_id: str = "1234567890123456",
        access_token: str = "meta-demo-token",  # noqa: S107 - it opens nothing
        *,
        app_secret: str | None = None,
        other_pixel_ids: Collection[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock=clock)
        self.pixel_id = pixel_id
        self.access_token = access_token
        self.received: list[MetaEvent] = []
        self._pixel_ids = frozenset({pixel_id, *other_pixel_ids})
        self._proof = None if app_secret is None else _proof(app_secret, access_token)
        self._first_receipts: dict[tuple[str, ...], float] = {}
        self._trace_ids = (f"A{n:022d}" for n in count(1))

    def handle(self, request: web.Request, body: Any) -> web.Response:
        is_json = request.content_type == "application/json" and isinstance(body, dict)
        params = body if is_json else {}
        trace_id = next(self._trace_ids)
        refused = self._closed(request, params) or self._refused(params)
        if refused is not None:
            error = {**refused["error"], "fbtrace_id": trace_id}
            return web.json_response({"error": error}, status=400)
        self._accept(params, _pixel_id(request))
        answer = {"events_received": len(body["data"]), "messages": [], "fbtrace_id": trace_id}
        return web.json_response(answer)

    def _closed(self, request: web.Request, params: dict[str, Any]) -> errors.Body | None:
        pixel_id = _pixel_id(request)
        if not pixel_id:
            return errors.unknown_path(request.path)
        if _token(request, params) != self.access_token:
            return errors.WRONG_TOKEN
        if self._proof is not None:
            proof = _param(request, params, "appsecret_proof")
            if proof != self._proof:
                return errors.NO_PROOF if proof is None else errors.WRONG_PROOF
        if pixel_id not in self._pixel_ids or request.method != hdrs.METH_POST:
            return errors.unknown_object(request.method, pixel_id)
        return None

    def _refused(self, params: dict[str, Any]) -> errors.Body | None:
        for flaw in REQUEST(params):
            return errors.flawed(flaw)
        data = params.get("data")
        if not isinstance(data, list) or not 1 <= len(data) <= MAX_EVENTS:
            return errors.WRONG_DATA
        return refusal(data, self._clock())

    def _accept(self, params: dict[str, Any], pixel_id: str) -> None:
        now = self._clock()
        for body in params["data"]:
            event = MetaEvent(body, pixel_id, params.get("test_event_code"), now)
            self.received.append(event)
            if self._is_first(event):
                self.events.append(event)

    def _is_first(self, event: MetaEvent) -> bool:
        if "event_id" not in event.body:
            return True
        key = (event.pixel_id, event.body["event_name"], event.body["event_id"])
        if event.at - self._first_receipts.get(key, -math.inf) <= DEDUPLICATION:
            return False
        self._first_receipts[key] = event.at
        return True


def _pixel_id(request: web.Request) -> str:
    path = _PATH.fullmatch(request.path)
    return "" if path is None else path[1]


def _param(request: web.Request, params: dict[str, Any], name: str) -> Any:
    return params.get(name, request.query.get(name))


def _token(request: web.Request, params: dict[str, Any]) -> Any:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token if scheme.lower() == "bearer" else _param(request, params, "access_token")


def _proof(app_secret: str, access_token: str) -> str:
    return hmac.new(app_secret.encode(), access_token.encode(), hashlib.sha256).hexdigest()
