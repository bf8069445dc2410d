"""What of a request may go into a :class:`~gp_aiogram.Click`, and how much of it.

Ids are kept whole or not at all, since a cut id matches nobody; texts are cut; addresses lose
whole parameters from their end, so that none of them is cut in the middle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

#: Characters. TikTok, "Parameters": a ttclid has up to 1000 and must not be cut. Meta names no
#: length for fbclid; it gets the same, and fbc the room for its prefix.
_ID = re.compile(r"[!-~]{1,1000}")
_FBC = re.compile(r"[!-~]{1,1040}")

_MAX_URL = 2048
_MAX_USER_AGENT = 1024
_MAX_UTM = 500
_MAX_UTM_NAME = 50
_MAX_UTMS = 20

_CLICK_IDS = ("fbclid", "ttclid", "gclid")


def from_query(url: str) -> dict[str, Any]:
    """Read click ids and utm from an address, of any length.

    An id that is there twice counts as it was last: platforms add theirs at the end, and an
    advertiser's own link may hold an old one.
    """
    query = url.partition("#")[0].partition("?")[2]
    given = dict(parse_qsl(query))
    utm = {
        name: value
        for name, text in given.items()
        if name.startswith("utm_") and len(name) <= _MAX_UTM_NAME
        if (value := cut(text, _MAX_UTM))
    }
    return {**from_ids(given), "utm": dict(list(utm.items())[:_MAX_UTMS])}


def from_ids(given: Mapping[str, str]) -> dict[str, Any]:
    """Check ``fbclid``, ``ttclid`` and ``gclid``."""
    return {name: click_id(given.get(name)) for name in _CLICK_IDS}


def from_cookies(request: web.Request) -> dict[str, Any]:
    """Read what the pixels of Meta and TikTok keep in cookies, whatever other cookies hold."""
    header = ";".join(request.headers.getall("Cookie", ()))
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return from_pixels({name.removeprefix("_"): value for name, _, value in pairs})


def from_pixels(given: Mapping[str, str]) -> dict[str, Any]:
    """Check ``fbp``, ``fbc`` and ``ttp``."""
    return {
        "fbp": click_id(given.get("fbp")),
        "fbc": click_id(given.get("fbc"), _FBC),
        "ttp": click_id(given.get("ttp")),
    }


def user_agent(request: web.Request) -> str | None:
    """Return the visitor's browser."""
    return cut(request.headers.get("User-Agent"), _MAX_USER_AGENT)


def click_id(value: str | None, grammar: re.Pattern[str] = _ID) -> str | None:
    """Return an id as it is, or None when it is none."""
    return value if value and grammar.fullmatch(value) else None


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
