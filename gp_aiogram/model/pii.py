"""Finds personal data where it does not belong, by its look and by its name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

#: What may stand between the digits of a phone number.
_GAP = r"[\s().\-/\u2010-\u2015\u2212]{0,3}"

#: What is no domain: the version of a package (``x@1.2.3-beta.one``), the scale of an image
#: (``icon@2x.png``).
_NO_DOMAIN = r"(?!v?\d+(?:\.\d+)+(?:[-+][\w.-]*)?(?![\w.])|\dx\.(?:png|jpe?g|gif|webp|svg)\b)"

#: An e-mail address, or a phone number with its plus, anywhere in a text. What stands directly
#: before the plus makes it an id: ``A+1234567890``.
_PERSONAL_TEXT = re.compile(
    rf"[^\s@]@{_NO_DOMAIN}[\w.-]*\.(?:[^\W\d_]{{2}}|xn--)"
    rf"|(?<!\w)\+[\s(]{{0,3}}\d(?:{_GAP}\d){{7,14}}(?!\d)"
)

#: A phone number without its plus, which only its name tells from other numbers. No date.
_NUMBER_TEXT = re.compile(
    rf"(?<![\w.])(?!\d{{4}}-\d\d-\d\d(?!\d))\(?\d(?:{_GAP}\d){{8,14}}(?!\w)",
)
_SHORTEST_NUMBER, _LONGEST_NUMBER = 10**8, 10**15 - 1

#: Without one of these signs, in whatever width, no text looks personal.
_SIGN = re.compile("[@+%\u207a\u208a\ufb29\ufe62\ufe6a\ufe6b\uff05\uff0b\uff20]")

#: How often a text is decoded: it may have been percent-encoded more than once.
_ENCODINGS = 4

#: Written without being seen: soft hyphens, joiners, marks of direction.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")

#: What the platforms call what identifies a user: personal as a whole key only.
_FIELDS = "em ph fn ln ge db ct st zp country external_id"

_PERSONAL_KEYS = frozenset(_FIELDS.split())

#: Words for e-mail addresses and phone numbers, wherever they stand in a key, as in
#: ``customer_email``.
_EMAIL = "email emails mail mails correo почта почты имейл емейл эмейл мейл"
_PHONE = """
phone phones telephone tel mobile cell cellphone msisdn whatsapp viber telefon telefono telefone
celular movil тел телефон телефона телефоны моб мобильный ватсап вотсап вайбер
"""

#: Other words that name personal data wherever they stand in a key.
_OTHERS = """
address birthday birthdate contact contacts dob externalid firstname fullname ip lastname login
passport patronymic ssn surname username контакт контакты
"""

#: Words that are written together, as in ``userphonenumber``.
_GLUED = re.compile(
    "(?:user|customer|client|buyer|contact|my|home|work|mobile|cell|billing|shipping)*"
    "(?:(?P<phone>phones?|tel)|(?P<email>e?mails?))"
    "(?:number|num|no|address|addr)?"
)

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_a-zA-Z]+")


def looks_personal(value: object) -> bool:
    """Return whether a value is a text that holds an e-mail address or a phone number.

    However it is written: percent-encoded, in full width, with invisible characters.
    """
    if not isinstance(value, str):
        return False
    if value.isascii():
        if "@" not in value and "+" not in value and "%" not in value:
            return False
    elif not _SIGN.search(value):
        return False
    return _PERSONAL_TEXT.search(readable(value)) is not None


def looks_like_number(value: object) -> bool:
    """Return whether a value holds what is a phone number if its name says so."""
    if isinstance(value, str):
        return _NUMBER_TEXT.search(readable(value)) is not None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return _SHORTEST_NUMBER <= value <= _LONGEST_NUMBER and value == int(value)


def readable(text: str) -> str:
    """Return a text as a person reads it: decoded, in ordinary width, all of it visible."""
    for _ in range(_ENCODINGS):
        if not text.isascii():
            text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).replace("\u3002", ".")
        if "%" not in text:
            break
        text = unquote(text)
    return text


def words_of(key: str) -> list[str]:
    """Return the words of a key in lower case, without accents, however it is spelt."""
    text = readable(key)
    if not text.isascii():
        text = _without_accents(text)
    return [word.lower() for word in _WORD.findall(text)]


def terms_of(words: list[str]) -> frozenset[str]:
    """Return the words of a key, and each two of them as one: ``e-mail``, ``WhatsApp``."""
    return frozenset([*words, *map("".join, pairwise(words))])


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char))


_EMAIL_WORDS = frozenset(_without_accents(_EMAIL).split())
_PHONE_WORDS = frozenset(_without_accents(_PHONE).split())
_PERSONAL_WORDS = _EMAIL_WORDS | _PHONE_WORDS | frozenset(_OTHERS.split())


def names_email(terms: frozenset[str]) -> bool:
    """Return whether the terms of a key say that an e-mail address stands under it."""
    return not _EMAIL_WORDS.isdisjoint(terms) or _glued(terms, "email")


def names_phone(terms: frozenset[str]) -> bool:
    """Return whether the terms of a key say that a phone number stands under it."""
    return not _PHONE_WORDS.isdisjoint(terms) or _glued(terms, "phone")


def _glued(terms: frozenset[str], kind: str) -> bool:
    matches = map(_GLUED.fullmatch, terms)
    return any(match is not None and match[kind] is not None for match in matches)


@lru_cache(maxsize=1024)
def is_personal_key(key: str) -> bool:
    """Return whether what has this name is personal data."""
    terms = terms_of(words_of(key))
    return (
        readable(key).lower() in _PERSONAL_KEYS
        or not _PERSONAL_WORDS.isdisjoint(terms)
        or names_email(terms)
        or names_phone(terms)
        or looks_personal(key)
    )


def without_personal(
    value: Mapping[str, Any] | list[Any],
    is_personal: Callable[[str, Any], bool],
) -> Any:
    """Return a JSON object or list without what looks personal in it, at any depth.

    An object or list within it of which nothing is left is left out, too.

    :param is_personal: tells of a key and its value whether they are left out, too.
    """
    if isinstance(value, Mapping):
        return {
            key: rest
            for key, part in value.items()
            if not looks_personal(part) and not is_personal(key, part)
            if (rest := _rest(part, is_personal) if type(part) in _CONTAINERS else part)
            is not _NOTHING
        }
    kept = (part for part in value if not looks_personal(part))
    return [rest for part in kept if (rest := _rest(part, is_personal)) is not _NOTHING]


_CONTAINERS = (dict, list)

#: Stands for an object or list of which nothing is left.
_NOTHING = object()


def _rest(part: Any, is_personal: Callable[[str, Any], bool]) -> Any:
    if type(part) not in _CONTAINERS or not part:
        return part
    return without_personal(part, is_personal) or _NOTHING
