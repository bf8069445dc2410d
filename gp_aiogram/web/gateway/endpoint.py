"""What each endpoint of the gateway does around its own work: let in, read, answer, log."""

from __future__ import annotations

import logging
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from itertools import count
from types import MappingProxyType
from typing import Any, NamedTuple

from aiohttp import hdrs, web

from gp_aiogram.model import codec
from gp_aiogram.web.gateway.keys import ApiKeys, Caller
from gp_aiogram.web.gateway.limits import GatewayLimits, KeyLimit
from gp_aiogram.web.gateway.log import access, logger, request_id
from gp_aiogram.web.gateway.reading import read_object
from gp_aiogram.web.gateway.refusals import Envelope, Refusal

KEY_HEADER = "x-api-key"
REQUEST_ID_HEADER = "X-Request-Id"

#: What a client may call its request; anything else gets a name of ours.
REQUEST_ID = r"^[A-Za-z0-9._~-]{1,64}$"

_REQUEST_ID = re.compile(REQUEST_ID)

#: Requests without a name are numbered, behind what tells this process from others.
_PROCESS = secrets.token_hex(4)
_numbers = count()


class Call(NamedTuple):
    """A request that was let in.

    :param body: the JSON object that it holds, not yet checked.
    """

    request: web.Request
    caller: Caller
    body: dict[str, Any]


class Answer(NamedTuple):
    """What a request that was carried out is answered."""

    body: dict[str, Any]
    headers: Mapping[str, str] = MappingProxyType({})


class Door:
    """Lets callers in.

    :param keys: who they may be; replaced when keys are rotated.
    :param limits: what they may ask for.
    :param monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        keys: ApiKeys,
        limits: GatewayLimits,
        monotonic: Callable[[], float],
    ) -> None:
        self.keys = keys
        self.limits = limits
        self._rate = KeyLimit(limits.per_minute, monotonic)

    def admit(self, request: web.Request) -> Caller:
        """Return who asks.

        :raises Refusal: when nobody knows the key, or it has asked too often.
        """
        caller = self.keys.find(request.headers.get(KEY_HEADER))
        if caller is None:
            raise Refusal(HTTPStatus.UNAUTHORIZED, [f"{KEY_HEADER} is missing or wrong"])
        if seconds := self._rate.seconds_to_wait(caller.key_id):
            reason = f"more than {self.limits.per_minute:g} events a minute came with this key"
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, [reason], retry_after=seconds)
        return caller

    def charge(self, caller: Caller, events: int) -> None:
        """Count the events of a request that has more than the one that it was let in for."""
        if events > 1:
            self._rate.charge(caller.key_id, events - 1)


class _Admitted:
    """Who was let in, for the log of an answer."""

    caller: Caller | None = None


class Endpoint:
    """One endpoint: whatever happens, the client gets JSON, a status that is true, and an id.

    :param path: where it is, without any prefix.
    :param carry_out: checks a call and does what it asks for.
    :param envelope: writes a refusal.
    :param door: lets callers in.
    """

    def __init__(
        self,
        path: str,
        carry_out: Callable[[Call], Awaitable[Answer]],
        envelope: Envelope,
        door: Door,
    ) -> None:
        self.path = path
        self._carry_out = carry_out
        self._envelope = envelope
        self._door = door

    async def post(self, request: web.Request, raw: bytes | None = None) -> web.Response:
        """Answer a request.

        :param raw: its body, if somebody has read it already.
        """

        async def answer(admitted: _Admitted) -> web.Response:
            caller = admitted.caller = self._door.admit(request)
            body = await read_object(request, self._door.limits, raw)
            answer = await self._carry_out(Call(request, caller, body))
            return _json(HTTPStatus.OK, answer.body, answer.headers)

        return await self._answered(request, answer)

    async def wrong_method(self, request: web.Request) -> web.Response:
        """Answer every other method."""
        reason = f"use POST, not {request.method}"
        response = await self.refuse(request, Refusal(HTTPStatus.METHOD_NOT_ALLOWED, [reason]))
        response.headers[hdrs.ALLOW] = hdrs.METH_POST
        return response

    async def refuse(self, request: web.Request, refusal: Refusal) -> web.Response:
        """Answer with a refusal, as this endpoint writes them."""

        async def answer(_: _Admitted) -> web.Response:
            raise refusal

        return await self._answered(request, answer)

    async def _answered(
        self,
        request: web.Request,
        answer: Callable[[_Admitted], Awaitable[web.Response]],
    ) -> web.Response:
        """Name a request, answer it whatever happens, and log it."""
        token = request_id.set(_id_of(request))
        started = time.perf_counter()
        admitted = _Admitted()
        try:
            response = await answer(admitted)
        except Refusal as refusal:
            response = self._refused(refusal)
        except Exception:  # noqa: BLE001 - the log has it, the client only its id
            logger.exception("%s failed", self.path)
            reason = "something failed here; the log of the gateway tells what"
            response = self._refused(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, [reason]))
        response.headers[REQUEST_ID_HEADER] = request_id.get()
        self._log(request, response.status, admitted.caller, started)
        request_id.reset(token)
        return response

    def _refused(self, refusal: Refusal) -> web.Response:
        headers: dict[str, str] = {}
        if refusal.retry_after is not None:
            headers[hdrs.RETRY_AFTER] = str(math.ceil(refusal.retry_after))
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            headers[hdrs.WWW_AUTHENTICATE] = f'ApiKey header="{KEY_HEADER}"'
        return _json(refusal.status, self._envelope(refusal, request_id.get()), headers)

    def _log(
        self,
        request: web.Request,
        status: int,
        caller: Caller | None,
        started: float,
    ) -> None:
        if not access.isEnabledFor(logging.INFO):
            return
        workspace_id, key_id = caller or ("none", "none")
        told = {
            "method": request.method,
            "path": self.path,
            "status": status,
            "milliseconds": round((time.perf_counter() - started) * 1000, 1),
            "workspace_id": workspace_id,
            "key_id": key_id,
        }
        access.info(
            "%(method)s %(path)s %(status)d in %(milliseconds).1f ms, workspace %(workspace_id)s, "
            "key %(key_id)s",
            told,
            extra=told,
        )


def _id_of(request: web.Request) -> str:
    given = request.headers.get(REQUEST_ID_HEADER, "")
    if given and _REQUEST_ID.fullmatch(given):
        return given
    return f"{_PROCESS}{next(_numbers):08x}"


def _json(status: HTTPStatus, body: dict[str, Any], headers: Mapping[str, str]) -> web.Response:
    return web.Response(
        status=status,
        body=codec.encode(body),
        content_type="application/json",
        headers={"Cache-Control": "no-store", **headers},
    )
