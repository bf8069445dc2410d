"""Reads the answers of servers, whatever they are: long, packed, in an odd charset or none."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, cast

import httpx

from gp_aiogram.errors import (
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    RateLimited,
)

#: Bytes that are read of an answer, as sent and unpacked; what is behind them is not.
LONGEST_ANSWER = 2**20

#: What is unpacked, although nobody asked for it.
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})

#: Has zlib find out whether gzip or deflate was used.
_GZIP_OR_DEFLATE = zlib.MAX_WBITS | 32

_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)

#: Charsets, beside those of JSON, that an answer is believed to be in when it says so.
_CHARSETS = frozenset(
    {
        *("big5", "euc-jp", "euc-kr", "gb18030", "gb2312", "gbk", "iso-8859-1", "iso-8859-2"),
        *("iso-8859-9", "koi8-r", "koi8-u", "shift_jis", "windows-1250", "windows-1251"),
        *("windows-1252", "windows-1254"),
    },
)

#: Headers that describe an answer on its way and not what is left of it.
_OF_THE_WAY = ("content-encoding", "content-length", "transfer-encoding")

#: Statuses that say that the call is wrong (who makes it, of what, how) and nothing of the event.
_MISCONFIGURED = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.PAYMENT_REQUIRED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.NOT_ACCEPTABLE,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        HTTPStatus.GONE,
        HTTPStatus.LENGTH_REQUIRED,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.UPGRADE_REQUIRED,
        HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS,
    },
)

#: Statuses below 500 that ask for the same request later.
_LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})


def kind_of_status(status: int) -> type[DeliveryError]:
    """Return what an HTTP status that is no success says of a request (RFC 9110, 15)."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited
    if status < HTTPStatus.BAD_REQUEST or status in _MISCONFIGURED:
        return DestinationMisconfigured
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER:
        return DeliveryFailed
    return EventRejected


def json_object(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object that was answered; an empty one when the answer is none."""
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def retry_after_header(response: httpx.Response) -> float | None:
    """Return the seconds of the Retry-After header (RFC 9110, 10.2.3); None if not usable."""
    value = response.headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
        now = parsedate_to_datetime(response.headers["date"])
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    if moment.tzinfo is None or now.tzinfo is None:
        return None
    return max(0.0, (moment - now).total_seconds())


async def read_answer(response: httpx.Response) -> httpx.Response:
    """Read an answer, up to 1 MiB of it.

    :param response: not read yet; whoever got it closes it.
    :return: the same answer with its text in UTF-8. What cannot be unpacked is left out, and what
        cannot be decoded replaced: the status of an answer counts, whatever came with it.
    """
    content = await _unpacked(response)
    headers = httpx.Headers(response.headers)
    for name in _OF_THE_WAY:
        headers.pop(name, None)
    text = _decoded(content, headers.get("content-type", ""))
    answer = httpx.Response(
        response.status_code,
        headers=headers,
        content=text.encode(errors="replace"),
    )
    answer.encoding = "utf-8"
    return answer


async def _unpacked(response: httpx.Response) -> bytes:
    if response.is_stream_consumed:  # it was made of bytes, as tests do
        return response.content[:LONGEST_ANSWER]
    packed = response.headers.get("content-encoding", "").strip().lower() in _PACKED
    unpacking = zlib.decompressobj(_GZIP_OR_DEFLATE) if packed else None
    content = bytearray()
    received = 0
    # Closed at once: what is behind the limit is never read.
    async with aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_raw())) as parts:
        async for part in parts:
            received += len(part)
            room = LONGEST_ANSWER - len(content)
            try:
                content += unpacking.decompress(part, room) if unpacking else part[:room]
            except zlib.error:
                break
            if max(received, len(content)) >= LONGEST_ANSWER:
                break
    return bytes(content)


def _decoded(content: bytes, content_type: str) -> str:
    """Return the text of an answer, in UTF-8 if it can be, else as it says itself."""
    encoding: str = json.detect_encoding(content)
    if encoding == "utf-8":
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            declared = _CHARSET.search(content_type)
            if declared and declared[1].lower() in _CHARSETS:
                encoding = declared[1]
    return content.decode(encoding, "replace")
