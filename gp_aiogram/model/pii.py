"""Finds personal data where it does not belong, by its look and by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

#: An e-mail address, or a phone number with its plus, anywhere in a text.
_PERSONAL_TEXT = re.compile(r"[^\s@]@[^\s@]+\.\w|\+\s?[0-9](?:[\s().-]*[0-9]){7,14}(?![0-9])")

#: What the platforms call what identifies a user: personal as a whole key only.
_FIELDS = "em ph fn ln ge db ct st zp country external_id"

_PERSONAL_KEYS = frozenset(_FIELDS.split())

#: Words that name personal data wherever they stand in a key, as in ``customer_email``.
_WORDS = """
address birthday birthdate contact dob email emails firstname fullname ip lastname login mail
mobile msisdn passport patronymic phone phones ssn surname tel telephone username whatsapp
"""

_PERSONAL_WORDS = frozenset(_WORDS.split())

#: The same for keys of several words.
_PERSONAL_PAIRS = frozenset({"birth date", "e mail", "first name", "full name", "last name"})

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_a-zA-Z]+")


def looks_personal(value: object) -> bool:
    """Tell whether a value is a text that holds an e-mail address or a phone number."""
    if not isinstance(value, str) or not ("@" in value or "+" in value):
        return False
    return _PERSONAL_TEXT.search(value) is not None


@lru_cache(maxsize=1024)
def is_personal_key(key: str) -> bool:
    """Tell whether what has this name is personal data."""
    words = [word.lower() for word in _WORD.findall(key)]
    return (
        key.lower() in _PERSONAL_KEYS
        or not _PERSONAL_WORDS.isdisjoint(words)
        or not _PERSONAL_PAIRS.isdisjoint(map(" ".join, pairwise(words)))
        or looks_personal(key)
    )


def without_personal(value: Any, is_personal: Callable[[str, Any], bool]) -> Any:
    """Return a JSON value without what looks personal in it, at any depth.

    :param is_personal: tells of a key and its value whether they are left out, too.
    """
    if isinstance(value, Mapping):
        return {
            key: part if isinstance(part, str) else without_personal(part, is_personal)
            for key, part in value.items()
            if not looks_personal(part) and not is_personal(key, part)
        }
    if isinstance(value, list):
        return [without_personal(part, is_personal) for part in value if not looks_personal(part)]
    return value
