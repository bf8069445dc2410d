"""What an ad platform must never get: personal data outside the fields that are hashed for it.

Both platforms forbid it (Meta Business Tools Terms, "customer information parameters"; TikTok,
"Report App, Web, Offline, or CRM Events": e-mail and phone "SHA-256 required").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any
from urllib.parse import unquote_plus, urlsplit, urlunsplit

from gp_aiogram.identity import FIELDS
from gp_aiogram.model.pii import looks_personal

#: Words that name personal data wherever they stand in a key, as in ``customer_email``.
_WORDS = """
address birthday birthdate contact dob email emails firstname fullname ip lastname login mail
mobile msisdn passport patronymic phone phones ssn surname tel telephone username whatsapp
"""

_PERSONAL_WORDS = frozenset(_WORDS.split())

#: The same for keys of several words.
_PERSONAL_PAIRS = frozenset({"birth date", "e mail", "first name", "full name", "last name"})

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_a-zA-Z]+")


def shareable(value: Any) -> Any:
    """Return a JSON value without what is personal in it, by its key or by its look."""
    if isinstance(value, str):  # what most values are
        return value
    if isinstance(value, Mapping):
        return {
            key: shareable(part)
            for key, part in value.items()
            if not looks_personal(part) and not (is_personal_key(key) and _says_something(part))
        }
    if isinstance(value, list):
        return [shareable(part) for part in value if not looks_personal(part)]
    return value


@lru_cache(maxsize=1024)
def is_personal_key(key: str) -> bool:
    """Tell whether what has this name is personal data."""
    words = [word.lower() for word in _WORD.findall(key)]
    pairs = (" ".join(pair) for pair in pairwise(words))
    return (
        key.lower() in FIELDS
        or not _PERSONAL_WORDS.isdisjoint(words)
        or not _PERSONAL_PAIRS.isdisjoint(pairs)
        or looks_personal(key)
    )


@lru_cache(maxsize=1024)
def shareable_url(url: str | None) -> str | None:
    """Return a page's address without personal parameters; click ids stay to the letter.

    :return: None when it is no http or https address.
    """
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        return None
    query = "&".join(pair for pair in parts.query.split("&") if _is_shareable_pair(pair))
    path = "" if looks_personal(_decoded(parts.path)) else parts.path
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))


def _is_shareable_pair(pair: str) -> bool:
    name, _, value = pair.partition("=")
    # In a query a plus is a space, so a phone number may have its own plus in either form.
    personal = looks_personal(value) or looks_personal(_decoded(value))
    return not personal and not is_personal_key(_decoded(name))


def _decoded(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _says_something(value: object) -> bool:
    return value is not None and not isinstance(value, bool)
