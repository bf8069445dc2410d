"""A stand-in for the LeadSail API that checks every request against its documentation."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web

from gp_aiogram.sandbox.platforms.schema import (
    CURRENCY,
    NUMBER,
    STRING,
    choice,
    describe,
    record,
)
from gp_aiogram.sandbox.server import DestinationSandbox

PATH = "/api/v1/pixels/fire"

#: The body parameters of "Fire a conversion pixel event".
REQUEST = record(
    {
        "leadId": STRING,
        "pixelId": STRING,
        "platform": choice("facebook", "tiktok"),
        "eventName": STRING,
        "eventValue": NUMBER,
        "currency": CURRENCY,
        "actionSource": choice("website", "phone_call", "chat", "system_generated"),
        "testEventCode": STRING,
    },
    required=("leadId", "pixelId", "platform", "eventName"),
)


@dataclass(frozen=True)
class LeadSailEvent:
    """One event that the stand-in has accepted.

    :param body: the request's body.
    :param idempotency_key: the request's ``Idempotency-Key`` header.
    :param at: unix seconds by the clock of the stand-in.
    """

    body: Mapping[str, Any]
    idempotency_key: str | None
    at: float


class LeadSailSandbox(DestinationSandbox[LeadSailEvent]):
    """Stands in for ``https://api.leadsail.app``.

    It accepts ``POST /api/v1/pixels/fire`` and answers with the bodies of the documentation,
    which names no HTTP statuses: 200, 400, 401 and 404 are what its order suggests. It refuses
    unknown fields, as the documentation says of another endpoint, to expose misspelt ones. The
    documentation describes no idempotency: a repeated request is accepted again, see
    :attr:`unique_events`.

    :param api_key: the key that clients must send.
    :param leads: the leads that exist; ``None`` means any.
    :param pixels: the pixels that exist; ``None`` means any.
    :param clock: returns unix seconds.
    """

    def __init__(
        self,
        api_key: str = "leadsail-demo-key",
        *,
        leads: Collection[str] | None = None,
        pixels: Collection[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock=clock)
        self.api_key = api_key
        self._existing = {"leadId": leads, "pixelId": pixels}

    @property
    def unique_events(self) -> list[LeadSailEvent]:
        """The accepted events, without repetitions of an idempotency key."""
        first: dict[object, LeadSailEvent] = {}
        for index, event in enumerate(self.events):
            first.setdefault(event.idempotency_key or index, event)
        return list(first.values())

    def handle(self, request: web.Request, body: Any) -> web.Response:
        if request.headers.get("X-API-Key") != self.api_key:
            return _refusal(401, "UNAUTHORIZED", "Authentication required")
        if request.path != PATH or request.method != hdrs.METH_POST:
            return _refusal(404, "NOT_FOUND", "Resource not found")
        details = _details(request, body)
        if details:
            return _refusal(400, "VALIDATION_ERROR", "Invalid input data", details=details)
        if not self._exists(body):
            return _refusal(404, "NOT_FOUND", "Resource not found")
        key = request.headers.get("Idempotency-Key")
        self.events.append(LeadSailEvent(body, key, self._clock()))
        names = ("platform", "eventName", "pixelId", "leadId")
        data = {"success": True, **{name: body[name] for name in names}}
        return web.json_response({"success": True, "data": data})

    def _exists(self, body: dict[str, Any]) -> bool:
        return all(ids is None or body[name] in ids for name, ids in self._existing.items())


def _refusal(status: int, code: str, message: str, **more: Any) -> web.Response:
    error = {"code": code, "message": message, **more}
    return web.json_response({"success": False, "error": error}, status=status)


def _details(request: web.Request, body: Any) -> list[str]:
    if request.content_type != "application/json":
        return [f"the content type must be application/json, not {request.content_type}"]
    if not isinstance(body, dict):
        return ["the body must be a JSON object"]
    return [describe(flaw, body) for flaw in REQUEST(body)]
