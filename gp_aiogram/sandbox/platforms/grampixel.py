"""A stand-in for the GramPixel API: a gateway whose requests can be looked at."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from gp_aiogram.destinations.base import Destination
from gp_aiogram.sandbox.gateway import UNLIMITED, GatewaySandbox
from gp_aiogram.web.gateway import Gateway
from gp_aiogram.web.gateway.custom_events import PATHS
from gp_aiogram.web.gateway.refusals import Refusal


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


class GramPixelSandbox(GatewaySandbox[GramPixelEvent]):
    """Stands in for ``https://api.grampixel.com``.

    It accepts ``POST /v1/events/custom`` and ``/api/v1/events/custom``; the documentation names
    both. It is the gateway (:class:`gp_aiogram.web.Gateway`), which says what the documentation
    leaves open: it refuses unknown fields, to expose misspelt ones, has bodies for errors, and
    takes a request with a known ``Idempotency-Key`` without recording it again.

    :param api_key: the key that clients must send.
    :param workspace_id: the only workspace that exists, a UUID.
    :param destinations: where it sends events on to, such as ``MetaCAPI`` with the address of
        Meta's stand-in; nowhere unless given.
    :param clock: returns unix seconds.
    """

    def __init__(
        self,
        api_key: str = "gp-demo-key",
        workspace_id: str = "6f1c2b9e-8d3a-4e57-9b1f-2a7c0d4e5f60",
        *,
        destinations: Sequence[Destination] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(destinations, clock)
        self.api_key = api_key
        self.workspace_id = workspace_id
        keys = {api_key: workspace_id}
        self._gateway = Gateway(self.tracker, keys, limits=UNLIMITED, clock=self.clock)

    @property
    def unique_events(self) -> list[GramPixelEvent]:
        """The accepted events, without repetitions of an idempotency key."""
        first: dict[object, GramPixelEvent] = {}
        for event in self.events:
            first.setdefault(event.idempotency_key or event.event_id, event)
        return list(first.values())

    async def handle(self, request: web.Request, body: Any) -> web.Response:
        endpoint = self._gateway.custom
        if request.path not in PATHS:
            unknown = f"no such route: {request.path}"
            return await endpoint.refuse(request, Refusal(HTTPStatus.NOT_FOUND, [unknown]))
        if request.method != hdrs.METH_POST:
            return await endpoint.wrong_method(request)
        response = await endpoint.post(request, await request.read())
        if response.status == HTTPStatus.OK:
            self._accept(request, body, json.loads(response.text or "")["data"])
        return response

    def _accept(self, request: web.Request, body: Any, answered: Mapping[str, Any]) -> None:
        event = GramPixelEvent(
            body=body,
            idempotency_key=request.headers.get("Idempotency-Key"),
            event_id=answered["event_id"],
            session_id=answered["session_id"],
            at=self._clock(),
        )
        self.events.append(event)
