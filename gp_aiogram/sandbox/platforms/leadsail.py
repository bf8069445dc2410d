"""A stand-in for the LeadSail API: a gateway whose requests can be looked at."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from gp_aiogram.destinations.base import Destination
from gp_aiogram.sandbox.gateway import UNLIMITED, GatewaySandbox
from gp_aiogram.stores.contract import Store
from gp_aiogram.web.gateway import Gateway
from gp_aiogram.web.gateway.leads import IdentifiedLeads, TrackerPixels
from gp_aiogram.web.gateway.pixels import PATH
from gp_aiogram.web.gateway.refusals import Refusal

#: LeadSail's requests name no workspace; the gateway's keys stand for one all the same.
_WORKSPACE = "2f0b8f0a-52c1-4a3c-9f5e-1f6f1c9b7d10"

#: Telegram ids of leads whom nobody has identified lie beyond those of people.
_UNIDENTIFIED = 1 << 60


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


class LeadSailSandbox(GatewaySandbox[LeadSailEvent]):
    """Stands in for ``https://api.leadsail.app``.

    It accepts ``POST /api/v1/pixels/fire`` and answers with the bodies of the documentation,
    which names no HTTP statuses: 200, 400, 401 and 404 are what its order suggests. It is the
    gateway (:class:`gp_aiogram.web.Gateway`), which says what the documentation leaves open: it
    refuses unknown fields, to expose misspelt ones, and takes a request with a known
    ``Idempotency-Key`` without recording it again.

    :param api_key: the key that clients must send.
    :param leads: the leads that exist; ``None`` means any. ``tracker.identify(lead_id=...)`` tells
        who they are.
    :param pixels: the pixels that exist; ``None`` means any.
    :param destinations: where it sends events on to, such as ``MetaCAPI`` with the address of
        Meta's stand-in; nowhere unless given.
    :param clock: returns unix seconds.
    """

    def __init__(
        self,
        api_key: str = "leadsail-demo-key",
        *,
        leads: Collection[str] | None = None,
        pixels: Collection[str] | None = None,
        destinations: Sequence[Destination] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(destinations, clock)
        self.api_key = api_key
        self._gateway = Gateway(
            self.tracker,
            {api_key: _WORKSPACE},
            limits=UNLIMITED,
            leads=_Leads(self.tracker.store, leads),
            pixels=_Pixels(destinations, pixels),
            clock=self.clock,
        )

    @property
    def unique_events(self) -> list[LeadSailEvent]:
        """The accepted events, without repetitions of an idempotency key."""
        first: dict[object, LeadSailEvent] = {}
        for index, event in enumerate(self.events):
            first.setdefault(event.idempotency_key or index, event)
        return list(first.values())

    async def handle(self, request: web.Request, body: Any) -> web.Response:
        endpoint = self._gateway.fire
        if request.path != PATH or request.method != hdrs.METH_POST:
            unknown = f"no such route: {request.method} {request.path}"
            return await endpoint.refuse(request, Refusal(HTTPStatus.NOT_FOUND, [unknown]))
        response = await endpoint.post(request, await request.read())
        if response.status == HTTPStatus.OK:
            key = request.headers.get("Idempotency-Key")
            self.events.append(LeadSailEvent(body, key, self._clock()))
        return response


class _Leads:
    """Leads that need not have been identified."""

    def __init__(self, store: Store, existing: Collection[str] | None) -> None:
        self._identified = IdentifiedLeads(store)
        self._existing = existing

    async def user_of(self, lead_id: str) -> int | None:
        if self._existing is not None and lead_id not in self._existing:
            return None
        known = await self._identified.user_of(lead_id)
        digest = sha256(lead_id.encode()).digest()[:7]
        return known or _UNIDENTIFIED + int.from_bytes(digest, "big")


class _Pixels:
    """Pixels that need no destination."""

    def __init__(
        self,
        destinations: Sequence[Destination],
        existing: Collection[str] | None,
    ) -> None:
        self._fired = TrackerPixels(destinations)
        self._existing = existing

    def destinations_of(self, platform: str, pixel_id: str) -> Sequence[str] | None:
        if self._existing is not None and pixel_id not in self._existing:
            return None
        return self._fired.destinations_of(platform, pixel_id) or []
