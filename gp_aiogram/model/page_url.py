"""Takes personal data out of the addresses of pages."""

from __future__ import annotations

import re

from gp_aiogram.model.click_ids import click_id
from gp_aiogram.model.pii import is_personal_key, looks_personal, readable

#: What stands before a parameter, or opens the fragment; ``&amp;`` is how HTML writes it.
_MARK = re.compile(r"((?:[?&;#](?:amp;)?)+)")

#: Scheme and host, and whoever stands before the host.
_ORIGIN = re.compile(
    r"(?P<scheme>(?:[a-z][a-z0-9+.-]*:)?//)(?:[^/]*@)?(?P<host>[^/]*)",
    re.IGNORECASE,
)

_PARAMETER_NAME = re.compile(r"[?&;#]([^?&;#=]+)=")
_JSON_NAME = re.compile(r"""["']([\w.-]+)["']\s*:""")

_CLICK_IDS = frozenset({"fbclid", "ttclid", "gclid"})


def without_personal_data(url: str) -> str:
    """Return an address without what is personal in it; all the rest stays to the letter.

    Left out are parameters of the query and the fragment whose name says so (``email=…``) or whose
    value looks so, percent-encoded or not; likewise parts of the path, and whoever stands before
    the host. Click ids stay.
    """
    if _is_plain(url) and not any(map(is_personal_key, _PARAMETER_NAME.findall(url))):
        return url
    base, *tail = _MARK.split(url)
    kept = [_without_personal_parts(base)]
    opening, in_query = "", False
    for mark, parameter in zip(tail[::2], tail[1::2], strict=True):
        if mark[0] == "#" or (mark[0] == "?" and not in_query):
            # What follows a parameter that is left out must not lose the mark before it.
            opening, in_query = mark, mark[0] == "?"
        if not _is_personal_parameter(parameter):
            kept += (opening or mark, parameter)
            opening = ""
    return "".join(kept)


def holds_personal_data(text: str) -> bool:
    """Return whether a text is personal data, or holds an address or JSON that names some."""
    if "=" not in text and _is_plain(text):
        return False
    shown = readable(text)
    # In a query a plus is a space, but may be that of a phone number.
    spaced = shown[:1] + shown[1:].replace("+", " ")
    names = _PARAMETER_NAME.findall(f"?{shown}") + _JSON_NAME.findall(shown)
    return looks_personal(shown) or looks_personal(spaced) or any(map(is_personal_key, names))


def _is_plain(text: str) -> bool:
    """Return whether nothing but a parameter's name can tell that this is personal data."""
    return text.isascii() and not any(map(text.__contains__, "@+%\"'"))


def _without_personal_parts(base: str) -> str:
    origin = _ORIGIN.match(base)
    path = base[origin.end() :] if origin else base
    parts = (part for part in path.split("/") if not holds_personal_data(part))
    return (origin["scheme"] + origin["host"] if origin else "") + "/".join(parts)


def _is_personal_parameter(parameter: str) -> bool:
    name, equals, value = parameter.partition("=")
    if not equals:
        return holds_personal_data(parameter)
    if name in _CLICK_IDS and click_id(name, value):
        return False
    return is_personal_key(name) or holds_personal_data(value)
