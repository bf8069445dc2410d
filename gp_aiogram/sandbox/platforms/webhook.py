"""A receiver of signed webhooks that verifies every one of them by itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gp_aiogram.sandbox.server import DestinationSandbox

#: Seconds that a timestamp may be away from now ("Verifying webhooks").
TOLERANCE = 5 * 60.0

_PREFIX = "whsec_"
_NDJSON = "application/x-ndjson"

#: Returns why an event is not taken; None when it is.
Refuse = Callable[[Mapping[str, Any]], "str | None"]


@dataclass(frozen=True)
class WebhookEvent:
    """One event that the receiver has taken.

    :param body: as it was sent.
    :param webhook_id: that of its request.
    :param at: unix seconds by the clock of the receiver.
    """

    body: Mapping[str, Any]
    webhook_id: str
    at: float


class WebhookSandbox(DestinationSandbox[WebhookEvent]):
    """Stands in for a receiver of yours, at any path.

    It checks the three headers of Standard Webhooks 1.0.0 and the signature over what was sent,
    takes JSON and NDJSON, and counts an event once by its ``id``. ``received`` has repeated ones,
    too. What does not verify gets 401. Events that ``refuse`` speaks against get 422, and in a
    batch 207 with ``{"rejected": {"<id>": "<why>"}}`` beside those that are taken.

    :param secret: what the sender signs with.
    :param refuse: called with each event.
    :param clock: returns unix seconds.
    """

    def __init__(
        self,
        secret: str = "whsec_c2FuZGJveC1kZW1vLXNlY3JldC1vZi0zMi1ieXRlcyE=",  # noqa: S107 - it opens nothing
        *,
        refuse: Refuse = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock=clock)
        self.secret = secret
        self.received: list[WebhookEvent] = []
        self._key = base64.b64decode(secret.removeprefix(_PREFIX))
        self._refuse = refuse
        self._known: set[str] = set()

    def respond(self, request: web.Request, raw: bytes, body: Any) -> web.Response:
        problem = self._unverified(request.headers, raw)
        if problem is not None:
            return web.Response(status=401, text=problem)
        return self.handle(request, body)

    def handle(self, request: web.Request, body: Any) -> web.Response:
        in_batch = request.content_type == _NDJSON
        try:
            lines = body.splitlines() if isinstance(body, str) else []
            bodies = [json.loads(line) for line in lines] or [body]
        except ValueError:
            return web.Response(status=400, text="this is no JSON")
        if not all(isinstance(each, dict) and isinstance(each.get("id"), str) for each in bodies):
            return web.Response(status=400, text="an event is an object with an id")
        return self._judged(bodies, request.headers["webhook-id"], in_batch=in_batch)

    def _unverified(self, headers: Mapping[str, str], raw: bytes) -> str | None:
        """Say why a request cannot be trusted."""
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        own_id, timestamp, signatures = (headers.get(name, "") for name in names)
        if not own_id or "." in own_id or not timestamp.isdecimal():
            return "webhook-id and webhook-timestamp are needed"
        if abs(self._clock() - int(timestamp)) > TOLERANCE:
            return "webhook-timestamp is too far from now"
        signed = f"{own_id}.{timestamp}.".encode() + raw
        digest = hmac.new(self._key, signed, hashlib.sha256).digest()
        expected = f"v1,{base64.b64encode(digest).decode()}"
        given = signatures.split(" ")
        if not any(hmac.compare_digest(each.encode(), expected.encode()) for each in given):
            return "no webhook-signature is by this secret"
        return None

    def _judged(
        self,
        bodies: Sequence[Mapping[str, Any]],
        webhook_id: str,
        *,
        in_batch: bool,
    ) -> web.Response:
        rejected: dict[str, str] = {}
        for body in bodies:
            why = self._refuse(body)
            if why is None:
                self._take(WebhookEvent(body, webhook_id, self._clock()))
            else:
                rejected[body["id"]] = why
        if not rejected:
            return web.Response(status=204)
        if in_batch:
            return web.json_response({"rejected": rejected}, status=207)
        return web.Response(status=422, text="; ".join(rejected.values()))

    def _take(self, event: WebhookEvent) -> None:
        self.received.append(event)
        if event.body["id"] not in self._known:
            self._known.add(event.body["id"])
            self.events.append(event)
