"""What of a request may go into a :class:`~gp_aiogram.Click`, and how much of it.

Ids are never cut, since a cut id matches nobody; texts are; addresses lose whole parameters from
their end, so that none of them is cut in the middle.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, unquote_plus

from aiohttp import web

from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.model.click_ids import click_id, usable_id

_MAX_URL = 2048
_MAX_USER_AGENT = 1024
_MAX_UTM = 500
_MAX_UTMS = 20

CLICK_IDS = ("fbclid", "ttclid", "gclid")

#: Parameters that hold an id of some other system, and the name under which the click keeps it:
#: of trackers, Yandex (``yclid``, ``ymclid``, Metrica's ``ClientID``), Google's apps, Snapchat,
#: Microsoft, X, Opera and Telegram's own.
KNOWN_IDS: Mapping[str, str] = MappingProxyType(
    {
        **{name: name for name in ("subid", "clickid", "click_id", "cid")},
        **{name: name for name in ("yclid", "ymclid", "ClientID", "gbraid", "wbraid")},
        **{name: name for name in ("msclkid", "twclid", "oppref", "tgclid", "sccid")},
        "ScCid": "sccid",
    }
)

#: So many parameters may be named beside them.
_MAX_IDS = 20

_ID_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")

#: What the pixels of Meta and TikTok keep in cookies, whose names begin with an underscore.
PIXEL_COOKIES = ("fbp", "fbc", "ttp")

_PIXEL_COOKIE = re.compile(r"(?:^|;)\s*_(fbp|fbc|ttp)=([^;]*)")

#: Where Yandex Metrica keeps its ClientID.
_METRICA_COOKIE = re.compile(r"(?:^|;)\s*_ym_uid=([^;]*)")


class Parameters:
    """Reads click ids and utm from addresses and reports.

    Addresses of ads come with two question marks, with HTML's ``&amp;``, and with parameters
    behind the ``#``: a parameter counts wherever it stands.

    :param ids: parameters that hold ids, beside the known ones; a mapping tells under which name
        the click keeps each.
    :raises ConfigurationError: when one of them is no name, or there are too many.
    """

    def __init__(self, ids: Collection[str] | Mapping[str, str] = ()) -> None:
        self._ids = {**KNOWN_IDS, **_checked(ids)}
        #: Those of which each tells a click.
        self.names = (*CLICK_IDS, *self._ids)
        name = "|".join([*map(re.escape, self.names), r"utm_[\w.-]{1,46}"])
        self._parameter = re.compile(rf"[?&#;]({name})=([^?&#]*(?:\?(?!(?:{name})=)[^?&#]*)*)")

    def of_address(self, url: str) -> dict[str, Any]:
        """Read click ids and utm from an address, of any length.

        An id that is there twice counts as it was last: platforms add theirs at the end, and an
        advertiser's own link may hold an old one. One that cannot be an id, such as a macro that
        nobody replaced, gives way to any other.
        """
        found = self._parameter.findall(url)
        if "%3" in url:  # an equals sign or a semicolon: somebody encoded the whole
            found = self._parameter.findall(unquote(url)) + found
        named: dict[str, Any] = {}
        utm: dict[str, str] = {}
        ids: dict[str, str] = {}
        for name, text in found:
            value = _decoded(text)
            if name in CLICK_IDS:
                if name not in named or click_id(name, value):
                    named[name] = value
            elif name in self._ids:
                if usable_id(value):
                    ids[self._ids[name]] = value
            elif (value := cut(value, _MAX_UTM) or "") and (name in utm or len(utm) < _MAX_UTMS):
                utm[name] = value
        return {**named, "utm": utm, "ids": ids}

    def of_report(self, report: Mapping[str, str]) -> dict[str, Any]:
        """Return those ids of a page's report that can be any."""
        named = {
            name: value
            for name in (*CLICK_IDS, *PIXEL_COOKIES)
            if (value := click_id(name, report.get(name)))
        }
        ids = {
            kept: value
            for name, kept in self._ids.items()
            if (value := usable_id(report.get(name)))
        }
        return {**named, "ids": ids}


def from_cookies(request: web.Request) -> dict[str, Any]:
    """Read what Meta's, TikTok's and Yandex's scripts keep in cookies, whatever others hold."""
    header = ";".join(request.headers.getall("Cookie", ()))
    found: dict[str, Any] = dict(_PIXEL_COOKIE.findall(header))
    metrica = _METRICA_COOKIE.search(header)
    return {**found, "ids": {"ClientID": metrica[1]} if metrica else {}}


def combined(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that was read; what was read later counts."""
    everything = {name: value for part in parts for name, value in part.items()}
    ids = {name: value for part in parts for name, value in part["ids"].items()}
    return {**everything, "ids": ids}


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


def _checked(ids: Collection[str] | Mapping[str, str]) -> dict[str, str]:
    """Return by parameter the names of ids that an owner lists.

    :raises ConfigurationError: when one of them is none, or there are too many.
    """
    given: object = ids
    if isinstance(given, str) or not isinstance(given, Collection):
        msg = f"Landing(ids=...) must be a set of parameters, not {short_repr(ids)}"
        raise ConfigurationError(msg)
    named = dict(given) if isinstance(given, Mapping) else {name: name for name in given}
    for name in (*named, *named.values()):
        if not isinstance(name, str) or not _ID_NAME.fullmatch(name):
            msg = f"Landing(ids=...) must hold names such as 'sub_id_3', not {short_repr(name)}"
            raise ConfigurationError(msg)
        if name in CLICK_IDS or name in PIXEL_COOKIES or name.startswith("utm_"):
            msg = f"Landing(ids=...) need not name {name}: it is kept under its own name"
            raise ConfigurationError(msg)
    if len(named) > _MAX_IDS:
        msg = f"Landing(ids=...) may name {_MAX_IDS} parameters, not {len(named)}"
        raise ConfigurationError(msg)
    return named


def _decoded(text: str) -> str:
    """Decode a value; a plus at its start is no space but that of a phone number."""
    if "+" not in text and "%" not in text:
        return text
    if text.startswith("+"):
        return "+" + unquote_plus(text[1:])
    return unquote_plus(text)
