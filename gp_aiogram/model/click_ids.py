"""Tells the ids of ad platforms from what only stands in their place."""

from __future__ import annotations

import re
from urllib.parse import unquote

#: TikTok, "Parameters": a ttclid has up to 1000 characters and must not be cut. The others have no
#: documented length and get the same.
MAX_CLICK_ID = 1000

#: Meta refuses an fbc whose fbclid is anything else (error 2804001, "Click ID Incorrectly
#: Formatted").
_BASE64URL = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_CLICK_ID}}}")

#: TikTok and Google state no grammar; theirs are base64 and dots.
_TOKEN = re.compile(rf"[A-Za-z0-9._~+/=-]{{1,{MAX_CLICK_ID}}}")

#: ``fb.<subdomain index>.<creation, ms>.<fbclid>``, perhaps with the appendix of Meta's builder.
FBC = re.compile(
    rf"fb\.[0-9]\.[0-9]{{1,20}}\.(?P<fbclid>{_BASE64URL.pattern})(\.[A-Za-z0-9_-]{{2,8}})?",
)

#: A browser's own id: ``fb.<subdomain index>.<creation, ms>.<random>``.
_FBP = re.compile(r"fb\.[0-9]\.[0-9]{1,20}\.[0-9]{1,20}(\.[A-Za-z0-9_-]{2,8})?")

_GRAMMARS = {
    "fbclid": _BASE64URL,
    "fbc": FBC,
    "fbp": _FBP,
    "ttclid": _TOKEN,
    "ttp": _TOKEN,
    "gclid": _TOKEN,
}

#: What an ad platform should have replaced and scripts write for nothing: ``__CLICKID__``,
#: ``undefined``.
_NO_VALUE = re.compile(r"null|undefined|none|nan", re.IGNORECASE)
_NO_ID = re.compile(rf"__[A-Z][A-Z0-9_]*__|{_NO_VALUE.pattern}", re.IGNORECASE)

#: A payload that was made of such: ``gp_null``, ``kt-__SUBID__``.
_UNFILLED = rf"(?:__[A-Z][A-Z0-9_]*__|(?i:{_NO_VALUE.pattern}))"
_NO_SESSION = re.compile(rf"(?:[A-Za-z0-9]+[_-])?{_UNFILLED}(?:[_-]+{_UNFILLED})*")

#: What Meta (``{{ad.id}}``), TikTok (``__AID__``), Google (``{keyword}``) and trackers
#: (``[[click_id]]``, ``[CLICK_ID]``, ``%%CACHEBUSTER%%``) replace when an ad is clicked.
_MACRO = re.compile(
    r"""
    \{\{[^{}]*\}\} | \$?\{[a-z_][\w.:]*\} | __[A-Z][A-Z0-9_]*__
    | \[\[\w+\]\] | \[[A-Z]+(?:_[A-Z]+)+\] | %%\w+%%
    """,
    re.VERBOSE,
)


def click_id(name: str, value: str | None) -> str | None:
    """Return an id as it is; None when it cannot be one, since a wrong id matches nobody.

    :param name: ``fbclid``, ``fbc``, ``fbp``, ``ttclid``, ``ttp`` or ``gclid``.
    """
    if not value or not _GRAMMARS[name].fullmatch(value) or _NO_ID.fullmatch(value):
        return None
    return value


def usable_id(value: object) -> str | None:
    """Return an id of a platform that states no grammar; None when it cannot be one.

    It is printable text without white space, and no macro that nobody replaced, also when that is
    percent-encoded (``%7Bsubid%7D``).
    """
    if not isinstance(value, str) or not 0 < len(value) <= MAX_CLICK_ID:
        return None
    if not value.isprintable() or " " in value or _NO_ID.fullmatch(value):
        return None
    return None if holds_macro(unquote(value)) else value


def is_no_value(text: str) -> bool:
    """Return whether a text is what scripts write for nothing: ``null``, ``undefined``."""
    return _NO_VALUE.fullmatch(text) is not None


def stands_for_nothing(session_id: str) -> bool:
    """Return whether a session id is only a macro that nobody replaced, behind a prefix or not."""
    return _NO_SESSION.fullmatch(session_id) is not None


def holds_macro(text: str) -> bool:
    """Return whether a text holds a macro that no ad platform replaced."""
    if "{" not in text and "[" not in text and "__" not in text and "%%" not in text:
        return False
    return _MACRO.search(text) is not None
