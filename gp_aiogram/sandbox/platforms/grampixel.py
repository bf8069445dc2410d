"""A stand-in for the GramPixel backend that holds every request against its documentation."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web

from gp_aiogram.sandbox.server import DestinationSandbox

PATHS = frozenset({"/v1/events/custom", "/api/v1/events/custom"})
REQUIRED = ("event_name", "telegram_id", "workspace_id")
WITH_VALUE = frozenset({"FTD", "DEP", "Purchase"})

# ISO 4217, list one of January 2026.
CURRENCIES = frozenset(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN
    BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR
    FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY
    KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU
    MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON
    RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP
    TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XAG XAU XBA XBB
    XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS XUA XXX YER ZAR ZMW ZWG
    """.split()  # noqa: SIM905 - a table to read
)


@dataclass(frozen=True)
class GramPixelEvent:
    """One event the stand-in has accepted.

    :param body: the request's body.
    :param idempotency_key: the request's ``Idempotency-Key`` header.
    :param event_id: the id the stand-in gave it.
    :param session_id: the session it was resolved to.
    :param at: unix seconds by the clock of the stand-in.
    """

    body: Mapping[str, Any]
    idempotency_key: str | None
    event_id: str
    session_id: str | None
    at: float


class GramPixelSandbox(DestinationSandbox[GramPixelEvent]):
    """Stands in for ``https://api.grampixel.com``.

    It takes ``POST /v1/events/custom`` (and ``/api/v1/events/custom``; the documentation names
    both) and is stricter than the documentation in one point: unknown fields are refused, so
    that a misspelt one is seen. The documentation describes no errors; statuses 400, 401, 404,
    405 and 422 and the body ``{"ok": false, "error": "..."}`` are this stand-in's own.
    It documents no idempotency either: a repeated request is accepted again, see
    :attr:`unique_events`.

    :param api_key: the key clients have to show.
    :param workspace_id: the one workspace known here, a UUID.
    :param clock: gives unix seconds.
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
        self._checks = _checks(UUID(workspace_id))
        self._sessions: dict[int, str] = {}

    @property
    def unique_events(self) -> list[GramPixelEvent]:
        """The accepted events without those whose idempotency key was seen before."""
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
        errors = [f"{name} is required" for name in REQUIRED if name not in body]
        if body.get("event_name") in WITH_VALUE and "value" not in body:
            errors.append(f"value is required for {body['event_name']}")
        for name, value in body.items():
            if name not in self._checks:
                errors.append(f"there is no field {name}")
                continue
            rule, check = self._checks[name]
            if not check(value):
                errors.append(f"{name} must be {rule}, got {json.dumps(value)}")
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


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _is_currency(value: object) -> bool:
    return isinstance(value, str) and value in CURRENCIES


def _checks(workspace: UUID) -> dict[str, tuple[str, Callable[[Any], bool]]]:
    def is_workspace(value: object) -> bool:
        return isinstance(value, str) and value.lower() == str(workspace)

    return {
        "event_name": ("a non-empty string", _is_name),
        "telegram_id": ("an integer", _is_integer),
        "workspace_id": ("the UUID of a known workspace", is_workspace),
        "session_id": ("a non-empty string", _is_name),
        "value": ("a number", _is_number),
        "currency": ("an ISO 4217 code", _is_currency),
        "user_data": ("an object", lambda value: isinstance(value, dict)),
    }
