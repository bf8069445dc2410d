"""Reads the body of a request within its limits."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from aiohttp import web

from gp_aiogram.model import codec
from gp_aiogram.web.gateway.limits import GatewayLimits
from gp_aiogram.web.gateway.refusals import Refusal

_NO_OBJECT = "the body must be a JSON object"


async def read_object(
    request: web.Request,
    limits: GatewayLimits,
    raw: bytes | None = None,
) -> dict[str, Any]:
    """Return the JSON object that a request holds.

    :param raw: the body, if somebody has read it already.
    :raises Refusal: when it is too long, too slow, or no JSON object.
    """
    if request.content_type != "application/json":
        wrong = f"the content type must be application/json, not {request.content_type}"
        raise Refusal(HTTPStatus.BAD_REQUEST, [wrong])
    if raw is None:
        raw = await _read_in_time(request, limits)
    elif len(raw) > limits.max_body:
        raise _too_long(limits)
    try:
        body = codec.decode(raw)
    except (ValueError, RecursionError):
        raise Refusal(HTTPStatus.BAD_REQUEST, [_NO_OBJECT]) from None
    if not isinstance(body, dict):
        raise Refusal(HTTPStatus.BAD_REQUEST, [_NO_OBJECT])
    return body


async def _read_in_time(request: web.Request, limits: GatewayLimits) -> bytes:
    if not request.body_exists:
        return b""
    if request.content.is_eof():  # it came with the head: nothing to wait for
        return await _read(request, limits)
    try:
        return await asyncio.wait_for(_read(request, limits), limits.body_timeout)
    except asyncio.TimeoutError:
        late = f"the body did not arrive within {limits.body_timeout:g} s"
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, [late]) from None


async def _read(request: web.Request, limits: GatewayLimits) -> bytes:
    if (request.content_length or 0) > limits.max_body:
        raise _too_long(limits)
    raw = bytearray()
    try:
        while chunk := await request.content.readany():
            raw += chunk
            if len(raw) > limits.max_body:
                raise _too_long(limits)
    except web.RequestPayloadError:
        reason = "the body is not encoded as its Content-Encoding says"
        raise Refusal(HTTPStatus.BAD_REQUEST, [reason]) from None
    return bytes(raw)


def _too_long(limits: GatewayLimits) -> Refusal:
    reason = f"the body must not be longer than {limits.max_body} bytes"
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, [reason])
