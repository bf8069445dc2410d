"""A stand-in for TikTok's Events API that refuses what TikTok refuses, in TikTok's words."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from aiohttp import hdrs, web

from gp_aiogram.sandbox.platforms import tiktok_errors as errors
from gp_aiogram.sandbox.platforms.schema import Flaw
from gp_aiogram.sandbox.platforms.tiktok_errors import (
    BAD_GATEWAY,
    PARTIALLY_OK,
    SYSTEM_ERROR,
    THROTTLED,
    TOKEN_EXPIRED,
    TOKEN_MISSING,
    TOKEN_REVOKED,
)
from gp_aiogram.sandbox.platforms.tiktok_rules import REQUEST, flaws_of, is_strict_only
from gp_aiogram.sandbox.server import DestinationSandbox

__all__ = [
    "BAD_GATEWAY",
    "PARTIALLY_OK",
    "SYSTEM_ERROR",
    "THROTTLED",
    "TOKEN_EXPIRED",
    "TOKEN_MISSING",
    "TOKEN_REVOKED",
    "TikTokEvent",
    "TikTokSandbox",
]

PATH = "/open_api/v1.3/event/track/"

#: "Event deduplication", in seconds from the first receipt: duplicates are dropped, and in the
#: first minutes merged into the first. Without an id, the ``_ttp`` cookie tells in those minutes.
DEDUPLICATION = 48 * 3600.0
MERGE = 5 * 60.0


@dataclass(frozen=True)
class TikTokEvent:
    """One event that the stand-in has accepted.

    :param body: the event as it was sent, or as its duplicates completed it.
    :param event_source: ``web``, ``app``, ``offline`` or ``crm``.
    :param event_source_id: the pixel, app or event set it was sent to.
    :param test_event_code: that of its request.
    :param at: unix seconds of its receipt by the clock of the stand-in.
    """

    body: Mapping[str, Any]
    event_source: str
    event_source_id: str
    test_event_code: str | None
    at: float

    def completed(self, later: TikTokEvent) -> TikTokEvent:
        """Add the user data that only a duplicate has.

        :param later: the duplicate.
        """
        user = {**later.body.get("user", {}), **self.body.get("user", {})}
        return replace(self, body={**self.body, "user": user}) if user else self


class TikTokSandbox(DestinationSandbox[TikTokEvent]):
    """Stands in for ``https://business-api.tiktok.com``.

    It accepts ``POST /open_api/v1.3/event/track/``. One invalid event has its whole batch
    refused. ``events`` is what TikTok would count: it leaves out events with the source, the
    name and the id of one received in the 48 hours before. ``received`` has them all.

    It is stricter than TikTok in some points, to expose mistakes: see ``strict``. It always
    refuses empty strings, digests in upper case and times in milliseconds. An unhashed e-mail
    address, phone number or external id gets code 40062, which TikTok documents but may not use
    here.

    :param pixel_code: the pixel, or the id of the app or event set.
    :param access_token: the token that clients must send.
    :param other_source_ids: further ids that the token may write to.
    :param strict: refuse fields that TikTok does not document, which TikTok itself silently
        accepts, and currencies outside its list, for which its response is unknown.
    :param names_position: say in a refusal which event is wrong, in the form of an older endpoint
        (``Batch.0.event_id``); messages of this one that were seen do not.
    :param always_200: refuse with HTTP 200, as TikTok has been seen to do, instead of the
        documented statuses: only the ``code`` tells.
    :param clock: returns unix seconds.
    """

    def __init__(
        self,
        pixel_code: str = "C0SANDBOXPIXELCODE00",
        access_token: str = "tiktok-demo-token",  # noqa: S107 - it opens nothing
        *,
        other_source_ids: Collection[str] = (),
        strict: bool = True,
        always_200: bool = False,
        names_position: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock=clock)
        self.pixel_code = pixel_code
        self.access_token = access_token
        self.received: list[TikTokEvent] = []
        self._source_ids = frozenset({pixel_code, *other_source_ids})
        self._strict = strict
        self._always_200 = always_200
        self._names_position = names_position
        self._first: dict[tuple[str, ...], int] = {}
        self._numbers = count(1)

    def handle(self, request: web.Request, body: Any) -> web.Response:
        refused = self._closed(request) or self._refused(request, body)
        if refused is None:
            self._accept(body)
            return self._answer(200, 0, "OK")
        return self._answer(200 if self._always_200 else refused.status, *refused[1:])

    def _answer(self, status: int, code: int, message: str) -> web.Response:
        day = time.strftime("%Y%m%d%H%M%S", time.gmtime(self._clock()))
        request_id = f"{day}{next(self._numbers):020X}"
        answer = {**errors.envelope(code, message), "request_id": request_id}
        return web.json_response(answer, status=status)

    def _closed(self, request: web.Request) -> errors.Refusal | None:
        if request.path != PATH or request.method != hdrs.METH_POST:
            return errors.unknown_route(request.method, request.path)
        token = request.headers.get("Access-Token")
        if token != self.access_token:
            return errors.WRONG_TOKEN if token else errors.NO_TOKEN
        return None

    def _refused(self, request: web.Request, body: Any) -> errors.Refusal | None:
        if request.content_type != "application/json":
            return errors.flawed(Flaw("wrong", ("Content-Type",), "application/json"))
        for flaw in self._reported(REQUEST(body)):
            return errors.flawed(flaw)
        if body["event_source_id"] not in self._source_ids:
            return errors.not_permitted(body["event_source_id"])
        for position, event in enumerate(body["data"]):
            for flaw in self._reported(flaws_of(event, body["event_source"])):
                named = flaw.within("Batch", position) if self._names_position else flaw
                return errors.flawed(named)
        return None

    def _reported(self, flaws: Iterable[Flaw]) -> Iterator[Flaw]:
        return (flaw for flaw in flaws if self._strict or not is_strict_only(flaw))

    def _accept(self, body: dict[str, Any]) -> None:
        now = self._clock()
        for item in body["data"]:
            event = TikTokEvent(
                body=item,
                event_source=body["event_source"],
                event_source_id=body["event_source_id"],
                test_event_code=body.get("test_event_code"),
                at=now,
            )
            self.received.append(event)
            self._count(event)

    def _count(self, event: TikTokEvent) -> None:
        key, window = _identity(event)
        index = self._first.get(key) if key else None
        if index is None or event.at - self.events[index].at > window:
            if key:
                self._first[key] = len(self.events)
            self.events.append(event)
        elif event.at - self.events[index].at <= MERGE:
            self.events[index] = self.events[index].completed(event)


def _identity(event: TikTokEvent) -> tuple[tuple[str, ...], float]:
    name = (event.event_source_id, event.body["event"])
    if "event_id" in event.body:
        return (*name, "event_id", event.body["event_id"]), DEDUPLICATION
    ttp = event.body.get("user", {}).get("ttp")
    return ((*name, "ttp", ttp), MERGE) if ttp else ((), 0.0)
