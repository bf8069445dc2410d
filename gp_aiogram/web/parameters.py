"""Reads the parameters of a request, wherever its sender has put them: query, form or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from gp_aiogram.web.body import BadBody, read_body

_FORM = "application/x-www-form-urlencoded"


async def read_parameters(request: web.Request) -> dict[str, str]:
    """Return the parameters of a request by their names in lower case; those of a body count more.

    :raises BadBody: when the body cannot be read.
    """
    found = dict(_filled(request.query.items()))
    if request.method != "POST":
        return found
    raw = await read_body(request)
    if not raw.strip():
        return found
    if request.content_type == "application/json" or raw.lstrip()[:1] == b"{":
        return {**found, **dict(_filled(_of_json(raw)))}
    if request.content_type in {_FORM, "application/octet-stream", "text/plain"}:
        pairs = parse_qsl(raw.decode(errors="replace"))
        return {**found, **dict(_filled(pairs))}
    raise BadBody(415, f"the body must be JSON or a form ({_FORM}), not {request.content_type}")


def _filled(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((name.lower(), value) for name, value in pairs if value.strip())


def _of_json(raw: bytes) -> Iterator[tuple[str, str]]:
    """Yield texts and numbers as they are written; what holds more than one value is left out."""
    try:
        body: Any = json.loads(raw, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        raise BadBody(400, "the body must be JSON") from None
    if not isinstance(body, dict):
        raise BadBody(400, "the body must be a JSON object")
    return ((name, value) for name, value in body.items() if isinstance(value, str))
