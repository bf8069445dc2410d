"""A stand-in for the GramPixel API that checks every request against its documentation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web

from gp_aiogram.sandbox.platforms.schema import (
    CURRENCY,
    INTEGER,
    NUMBER,
    STRING,
    Check,
    describe,
    leaf,
    record,
)
from gp_aiogram.sandbox.server import DestinationSandbox

PATHS = frozenset({"/v1/events/custom", "/api/v1/events/custom"})
WITH_VALUE = frozenset({"FTD", "DEP", "Purchase"})


@dataclass(frozen=True)
class GramPixelEvent:
    """One event that the stand-in has accepted.

    :param body: the request's body.
    :param idempotency_key: the request's ``Idempotency-Key`` header.
    :param event_id: the id that the stand-in assigned.
    :param session_id: the session it was attributed to, if any.
    :param at: unix seconds by the clock of the stand-in.
    """

    body: Mapping[str, Any]
    idempotency_key: str | None
    event_id: str
    session_id: str | None
    at: float


class GramPixelSandbox(DestinationSandbox[GramPixelEvent]):
    """Stands in for ``https://api.grampixel.com``.

    It accepts ``POST /v1/events/custom`` and ``/api/v1/events/custom``; the documentation names
    both. It is stricter than the documentation in one point: it refuses unknown fields, to
    expose misspelt ones. The documentation describes no errors; statuses 400, 401, 404, 405 and
    422 and the body ``{"ok": false, "error": "..."}`` are this stand-in's own. Nor does it
    describe idempotency: a repeated request is accepted again, see :attr:`unique_events`.

    :param api_key: the key that clients must send.
    :param workspace_id: the only workspace that exists, a UUID.
    :param clock: returns unix seconds.
    """

    def __init__(
        self,
        api_key: str = "gp-demo-key",
        workspace_id: str = "6f1c2b9e-8d3a-4e57-9b1f-2a7c0d4e5f60",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock=clock)
        self.api_key = api_key
        self.workspace_id = workspace_id
        self._schema = _schema(UUID(workspace_id))
        self._sessions: dict[int, str] = {}

    @property
    def unique_events(self) -> list[GramPixelEvent]:
        """The accepted events, without repetitions of an idempotency key."""
        first: dict[object, GramPixelEvent] = {}
        for event in self.events:
            first.setdefault(event.idempotency_key or event.event_id, event)
        return list(first.values())

    def handle(self, request: web.Request, body: Any) -> web.Response:
        refused = self._refused(request, body)
        if refused is not None:
            status, error = refused
            return web.json_response({"ok": False, "error": error}, status=status)
        event = self._accept(body, request.headers.get("Idempotency-Key"))
        data = {
            "event_id": event.event_id,
            "session_id": event.session_id,
            "status": "processed",
        }
        return web.json_response({"ok": True, "data": data})

    def _refused(self, request: web.Request, body: Any) -> tuple[int, str] | None:
        if request.path not in PATHS:
            return 404, f"no such route: {request.path}"
        if request.method != hdrs.METH_POST:
            return 405, f"use POST, not {request.method}"
        if request.headers.get("x-api-key") != self.api_key:
            return 401, "x-api-key is missing or wrong"
        if request.content_type != "application/json":
            return 400, f"the content type must be application/json, not {request.content_type}"
        if not isinstance(body, dict):
            return 400, "the body must be a JSON object"
        errors = self._errors(body)
        return (422, "; ".join(errors)) if errors else None

    def _errors(self, body: dict[str, Any]) -> list[str]:
        errors = [describe(flaw, body) for flaw in self._schema(body)]
        if body.get("event_name") in WITH_VALUE and "value" not in body:
            errors.append(f"value is required for {body['event_name']}")
        return errors

    def _accept(self, body: dict[str, Any], idempotency_key: str | None) -> GramPixelEvent:
        telegram_id = body["telegram_id"]
        session_id = body.get("session_id") or self._sessions.get(telegram_id)
        if session_id is not None:
            self._sessions[telegram_id] = session_id
        event = GramPixelEvent(
            body=body,
            idempotency_key=idempotency_key,
            event_id=f"evt_{len(self.events) + 1:011d}",
            session_id=session_id,
            at=self._clock(),
        )
        self.events.append(event)
        return event


def _schema(workspace: UUID) -> Check:
    def is_workspace(value: object) -> bool:
        return isinstance(value, str) and value.lower() == str(workspace)

    return record(
        {
            "event_name": STRING,
            "telegram_id": INTEGER,
            "workspace_id": leaf("UUID of the workspace", is_workspace),
            "session_id": STRING,
            "value": NUMBER,
            "currency": CURRENCY,
            "user_data": record({}, others=True),
        },
        required=("event_name", "telegram_id", "workspace_id"),
    )
