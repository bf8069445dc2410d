"""What a page's own JavaScript reports about a click."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from typing import Any

from aiohttp import web

from gp_aiogram.errors import short_repr
from gp_aiogram.web.fields import PIXEL_COOKIES

#: Bytes.
MAX_BODY = 8 * 1024

#: Seconds that a body may take to arrive.
_PATIENCE = 10.0

#: What may be reported beside ids; every other name is left alone.
_NAMES = ("url", "referrer", *PIXEL_COOKIES)


class BadBody(Exception):  # noqa: N818 - reads as what happened
    """A report that cannot be read.

    :param status: the HTTP status that says so.
    :param reason: for the developer of the page.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


async def read_report(request: web.Request, ids: Collection[str]) -> dict[str, str]:
    """Read the report of a page.

    :param ids: names of ids that may be reported.
    :return: the texts that were given, by name.
    :raises BadBody: when it is too long, too slow, no JSON object, or holds something else than
        texts.
    """
    return _report(await read_body(request), ids)


async def read_body(request: web.Request) -> bytes:
    """Read a body that is neither too long nor too slow.

    :raises BadBody: when it is, or not encoded as it says.
    """
    try:
        return await asyncio.wait_for(_read(request), _PATIENCE)
    except asyncio.TimeoutError:
        raise BadBody(408, f"the body did not arrive within {_PATIENCE:.0f} s") from None


async def _read(request: web.Request) -> bytes:
    raw = b""
    if (request.content_length or 0) <= MAX_BODY:
        try:
            async for chunk in request.content.iter_chunked(MAX_BODY):
                raw += chunk
                if len(raw) > MAX_BODY:
                    break
            else:
                return raw
        except web.RequestPayloadError:
            reason = "the body is not encoded as its Content-Encoding says"
            raise BadBody(400, reason) from None
    raise BadBody(413, f"the body must not be longer than {MAX_BODY} bytes")


def _report(raw: bytes, ids: Collection[str]) -> dict[str, str]:
    try:
        body: Any = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError):
        raise BadBody(400, "the body must be JSON") from None
    if not isinstance(body, dict):
        raise BadBody(400, f"the body must be a JSON object, not {short_repr(body)}")
    report = {}
    for name in (*_NAMES, *ids):
        value = body.get(name)
        if isinstance(value, str):
            report[name] = value
        elif value is not None:
            raise BadBody(400, f"{name} must be a text, not {short_repr(value)}")
    return report
