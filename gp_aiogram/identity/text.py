"""Text handling that the platforms' rules share."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

#: White space and line ends of ECMAScript, whose ``trim`` and ``\s`` the platforms' own code uses.
#: Python's set differs: it has the separators U+001C to U+001F and lacks U+FEFF.
SPACES = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)

#: Words that come and go in the names of places.
_STOP_WORDS = frozenset({"and", "of", "the"})

_DIGITS = re.compile("[0-9]+")
_WORD = re.compile("[a-z]+")


def without(text: str, unwanted: str) -> str:
    """Return the text without any of some characters, which are neither letters nor digits."""
    return text if text.isalnum() else text.translate(_removal(unwanted))


@lru_cache(maxsize=8)
def _removal(unwanted: str) -> dict[int, int | None]:
    return str.maketrans("", "", unwanted)


def digits(text: str) -> str:
    """Return the ASCII digits of the text."""
    return "".join(_DIGITS.findall(text))


def latin(text: str) -> str:
    """Return the letters a to z of the text, in lower case and without accents."""
    return "".join(_words(text))


def find(name: str, codes: Mapping[str, str]) -> str | None:
    """Return the code of a place by its name, however it is spaced, accented or punctuated."""
    for key in _keys(name):
        if key in codes:
            return codes[key]
    return None


def codes_by_name(table: str) -> dict[str, str]:
    """Build what :func:`find` looks in, of lines such as ``CODE name / another name``."""
    codes: dict[str, str] = {}
    for line in table.strip().splitlines():
        code, names = line.split(maxsplit=1)
        for name in names.split(" / "):
            codes.update(dict.fromkeys(_keys(name), code.lower()))
    return codes


def _keys(name: str) -> list[str]:
    words = _words(name)
    if _STOP_WORDS.isdisjoint(words):
        return ["".join(words)]
    rest = [word for word in words if word not in _STOP_WORDS]
    # Nothing is left of AND, the alpha-3 code of Andorra.
    return ["".join(words), "".join(rest or words)]


def _words(text: str) -> list[str]:
    if text.isascii() and text.isalpha():
        return [text.lower()]
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in decomposed if not unicodedata.combining(char))
    return _WORD.findall(text.lower())
