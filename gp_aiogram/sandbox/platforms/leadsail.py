"""A stand-in for the LeadSail API that holds every request against its documentation."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web

from gp_aiogram.sandbox.platforms.grampixel import CURRENCIES
from gp_aiogram.sandbox.platforms.schema import NUMBER, STRING, Flaw, choice, leaf, record
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
        "currency": leaf("ISO 4217 code", lambda v: isinstance(v, str) and v in CURRENCIES),
        "actionSource": choice("website", "phone_call", "chat", "system_generated"),
        "testEventCode": STRING,
    },
    required=("leadId", "pixelId", "platform", "eventName"),
)


@dataclass(frozen=True)
class LeadSailEvent:
    """One event the stand-in has accepted.

    :param body: the request's body.
    :param idempotency_key: the request's ``Idempotency-Key`` header.
    :param at: unix seconds by the clock of the stand-in.
    """

    body: Mapping[str, Any]
    idempotency_key: str | None
    at: float


class LeadSailSandbox(DestinationSandbox[LeadSailEvent]):
    """Stands in for ``https://api.leadsail.app``.

    It takes ``POST /api/v1/pixels/fire`` and answers with the bodies of the documentation, which
    prints no HTTP statuses: 200, 400, 401 and 404 are what its order suggests. Unknown fields are
    refused, as the documentation says of another of its endpoints, so that a misspelt one is
    seen. It documents no idempotency: a repeated request is accepted again, see
    :attr:`unique_events`.

    :param api_key: the key clients have to show.
    :param leads: the leads that exist; ``None`` means any.
    :param pixels: the pixels that exist; ``None`` means any.
    :param clock: gives unix seconds.
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
        self._known = {"leadId": leads, "pixelId": pixels}

    @property
    def unique_events(self) -> list[LeadSailEvent]:
        """The accepted events without those whose idempotency key was seen before."""
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
        return all(known is None or body[name] in known for name, known in self._known.items())


def _refusal(status: int, code: str, message: str, **more: Any) -> web.Response:
    error = {"code": code, "message": message, **more}
    return web.json_response({"success": False, "error": error}, status=status)


def _details(request: web.Request, body: Any) -> list[str]:
    if request.content_type != "application/json":
        return [f"the content type must be application/json, not {request.content_type}"]
    if not isinstance(body, dict):
        return ["the body must be a JSON object"]
    return [_detail(flaw, body) for flaw in REQUEST(body)]


def _detail(flaw: Flaw, body: dict[str, Any]) -> str:
    name = str(flaw.path[0])
    if flaw.kind == "missing":
        return f"{name} is required"
    if flaw.kind == "unknown":
        return f"there is no field {name}"
    return f"{name} must be a valid {flaw.wanted}, got {json.dumps(body[name])}"
