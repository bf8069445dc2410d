"""What of a request may go into a :class:`~gp_aiogram.Click`, and how much of it.

Ids are never cut, since a cut id matches nobody; texts are; addresses lose whole parameters from
their end, so that none of them is cut in the middle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus

from aiohttp import web

from gp_aiogram.model.click_ids import click_id

_MAX_URL = 2048
_MAX_USER_AGENT = 1024
_MAX_UTM = 500
_MAX_UTMS = 20

CLICK_IDS = ("fbclid", "ttclid", "gclid")

#: What the pixels of Meta and TikTok keep in cookies, whose names begin with an underscore.
PIXEL_COOKIES = ("fbp", "fbc", "ttp")

#: Addresses of ads come with two question marks, with HTML's ``&amp;``, and with parameters behind
#: the ``#``: a parameter counts wherever it stands.
_NAME = r"fbclid|ttclid|gclid|utm_[\w.-]{1,46}"
_PARAMETER = re.compile(rf"[?&#;]({_NAME})=([^?&#]*(?:\?(?!(?:{_NAME})=)[^?&#]*)*)")

_PIXEL_COOKIE = re.compile(r"(?:^|;)\s*_(fbp|fbc|ttp)=([^;]*)")


def from_query(url: str) -> dict[str, Any]:
    """Read click ids and utm from an address, of any length.

    An id that is there twice counts as it was last: platforms add theirs at the end, and an
    advertiser's own link may hold an old one. One that cannot be an id, such as a macro that
    nobody replaced, gives way to any other.
    """
    found = _PARAMETER.findall(url)
    if "%3" in url:  # an equals sign or a semicolon: somebody encoded the whole
        found = _PARAMETER.findall(unquote(url)) + found
    ids: dict[str, Any] = {}
    utm: dict[str, str] = {}
    for name, text in found:
        value = _decoded(text)
        if name in CLICK_IDS:
            if name not in ids or click_id(name, value):
                ids[name] = value
        elif (value := cut(value, _MAX_UTM) or "") and (name in utm or len(utm) < _MAX_UTMS):
            utm[name] = value
    return {**ids, "utm": utm}


def from_cookies(request: web.Request) -> dict[str, Any]:
    """Read what the pixels of Meta and TikTok keep in cookies, whatever other cookies hold."""
    header = ";".join(request.headers.getall("Cookie", ()))
    return dict(_PIXEL_COOKIE.findall(header))


def from_report(report: Mapping[str, str]) -> dict[str, Any]:
    """Return those ids of a page's report that can be any."""
    return {
        name: value
        for name in (*CLICK_IDS, *PIXEL_COOKIES)
        if (value := click_id(name, report.get(name)))
    }


def user_agent(request: web.Request) -> str | None:
    """Return the visitor's browser."""
    return cut(request.headers.get("User-Agent"), _MAX_USER_AGENT)


def cut(value: str | None, most: int) -> str | None:
    """Return a text that any store can keep, of so many characters at most."""
    text = value or ""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text.strip()[:most].rstrip() or None


def address(value: str | None) -> str | None:
    """Return the address of a page, without the parameters that go beyond 2048 characters."""
    url = cut(value, len(value or ""))
    if url is None or len(url) <= _MAX_URL:
        return url
    head = url[: _MAX_URL + 1]
    end = max(head.rfind(mark) for mark in "?&#")
    return url[:end] if end > 0 else None


def _decoded(text: str) -> str:
    """Decode a value; a plus at its start is no space but that of a phone number."""
    if "+" not in text and "%" not in text:
        return text
    if text.startswith("+"):
        return "+" + unquote_plus(text[1:])
    return unquote_plus(text)
