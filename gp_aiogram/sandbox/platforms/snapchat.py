"""A stand-in for Snapchat's Conversions API v3 that checks what its documents ask for."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web

from gp_aiogram.sandbox.platforms.schema import (
    CURRENCY,
    DIGEST,
    INTEGER,
    NUMBER,
    SECONDS,
    STRING,
    Flaw,
    array,
    choice,
    leaf,
    one_or_many,
    record,
    text,
)
from gp_aiogram.sandbox.server import DestinationSandbox

#: "maximum 37 days back".
MAX_AGE = 37 * 24 * 3600.0
#: How far a client's clock may be ahead; Snapchat documents no limit.
MAX_LEAD = 60.0
#: Seconds in which an event id counts once.
DEDUPLICATION = 48 * 3600.0

_PATH = re.compile(r"/v3/([^/]+)/events(/validate)?")

_EVENT_NAMES = frozenset(
    """
    PAGE_VIEW VIEW_CONTENT ADD_CART ADD_TO_WISHLIST SIGN_UP SEARCH PURCHASE ADD_BILLING SAVE
    COMPLETE_TUTORIAL SUBSCRIBE AD_CLICK AD_VIEW START_CHECKOUT RATE LIST_VIEW LEVEL_COMPLETE
    ACHIEVEMENT_UNLOCKED SPENT_CREDITS SHARE INVITE LOGIN RESERVE START_TRIAL APP_INSTALL APP_OPEN
    CUSTOM_EVENT_1 CUSTOM_EVENT_2 CUSTOM_EVENT_3 CUSTOM_EVENT_4 CUSTOM_EVENT_5
    """.split()  # noqa: SIM905 - a table to read
)

_ENOUGH = ("em", "ph", "madid")

USER_DATA = record(
    {
        **dict.fromkeys(
            ("em", "ph", "fn", "ln", "ge", "ct", "st", "zp", "country", "external_id"),
            one_or_many(DIGEST),
        ),
        "client_ip_address": STRING,
        "client_user_agent": STRING,
        "sc_click_id": STRING,
        "sc_cookie1": STRING,
        "madid": STRING,
    }
)

CUSTOM_DATA = record(
    {
        "value": NUMBER,
        "currency": CURRENCY,
        "content_ids": array(STRING),
        "contents": array(record({"id": STRING, "quantity": INTEGER}, others=True)),
        "num_items": INTEGER,
        "order_id": STRING,
        "search_string": STRING,
    },
    others=True,
)

EVENT = record(
    {
        "event_name": choice(*sorted(_EVENT_NAMES)),
        "event_time": SECONDS,
        "event_id": STRING,
        "event_source_url": text("http(s) URL", r"https?://\S+"),
        "action_source": STRING,
        "user_data": USER_DATA,
        "custom_data": CUSTOM_DATA,
        "data_processing_options": leaf("list", lambda value: isinstance(value, list)),
    },
    required=("event_name", "event_time", "action_source", "event_source_url", "user_data"),
)


@dataclass(frozen=True)
class SnapchatEvent:
    """One event that the stand-in has accepted.

    :param body: the event as it was sent.
    :param at: unix seconds of its receipt by the clock of the stand-in.
    """

    body: Mapping[str, Any]
    at: float


class SnapchatSandbox(DestinationSandbox[SnapchatEvent]):
    """Stands in for ``https://tr.snapchat.com``.

    It accepts ``POST /v3/{pixel_id}/events?access_token=…``. One invalid event has its whole batch
    refused, with status ``INVALID``. ``events`` is what Snapchat would count: it leaves out
    events with the name and id of one received in the 48 hours before; ``received`` has them all.
    ``/events/validate`` checks in the same way and counts nothing: ``validated``.

    What Snapchat does with unknown fields and names is not documented; this one refuses them.

    :param pixel_id: the pixel.
    :param access_token: the token that clients must send in the URL.
    :param always_200: refuse with HTTP 200 and ``INVALID``, as has been seen.
    :param max_events: in one request; Snapchat documents no number.
    :param clock: returns unix seconds.
    """

    def __init__(
        self,
        pixel_id: str = "1ec32188-754e-4be2-8e55-c949a984a39f",
        access_token: str = "snapchat-demo-token",  # noqa: S107 - it opens nothing
        *,
        always_200: bool = False,
        max_events: int = 2000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock=clock)
        self.pixel_id = pixel_id
        self.access_token = access_token
        self.received: list[SnapchatEvent] = []
        self.validated: list[SnapchatEvent] = []
        self._always_200 = always_200
        self._max_events = max_events
        self._first_receipts: dict[tuple[str, str], float] = {}

    def handle(self, request: web.Request, body: Any) -> web.Response:
        path = _PATH.fullmatch(request.path)
        if path is None or request.method != hdrs.METH_POST:
            return _answer(404, "INVALID", "Not found")
        if request.query.get("access_token") != self.access_token:
            return _answer(401, "INVALID", "The access token is invalid")
        if path[1] != self.pixel_id:
            return _answer(403, "INVALID", "The access token has no right to this asset")
        problem = self._problem(body)
        if problem is not None:
            return _answer(200 if self._always_200 else 400, "INVALID", problem)
        for item in body["data"]:
            event = SnapchatEvent(item, self._clock())
            if path[2]:
                self.validated.append(event)
            else:
                self._take(event)
        return _answer(200, "VALID", "Events have been processed successfully.")

    def _take(self, event: SnapchatEvent) -> None:
        self.received.append(event)
        key = (event.body["event_name"], event.body.get("event_id", ""))
        first = self._first_receipts.get(key, -math.inf)
        if key[1] and event.at - first <= DEDUPLICATION:
            return
        self._first_receipts[key] = event.at
        self.events.append(event)

    def _problem(self, body: Any) -> str | None:
        data = body.get("data") if isinstance(body, dict) else None
        if not isinstance(data, list) or not 1 <= len(data) <= self._max_events:
            return f"data must be an array of 1 to {self._max_events} events"
        return next((problem for event in data for problem in self._problems(event)), None)

    def _problems(self, event: Any) -> Iterator[str]:
        yield from map(_described, EVENT(event))
        age = self._clock() - event["event_time"]
        if not -MAX_LEAD <= age <= MAX_AGE:
            yield "Timestamp invalid or out of range"
        user = event["user_data"]
        is_seen = "client_ip_address" in user and "client_user_agent" in user
        if not is_seen and not any(name in user for name in _ENOUGH):
            yield "Insufficient PII"
        custom = event.get("custom_data", {})
        if event["event_name"] == "PURCHASE" and not custom.keys() >= {"value", "currency"}:
            yield "Missing price and/or currency in Purchase events"


def _described(flaw: Flaw) -> str:
    where = ".".join(map(str, flaw.path)) or "event"
    if flaw.kind == "missing":
        return f"Missing required field: {where}"
    return f"Unknown field: {where}" if flaw.kind == "unknown" else f"Invalid {where}"


def _answer(status: int, word: str, reason: str) -> web.Response:
    return web.json_response({"status": word, "reason": reason}, status=status)
