"""The fields that identify a user, and which rule each platform has for each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import lru_cache
from hashlib import sha256

from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.identity import meta, tiktok
from gp_aiogram.identity.phones import completed
from gp_aiogram.identity.text import SPACES

Rule = Callable[[str], str | None]

_META: Mapping[str, Rule] = {
    "em": meta.email,
    "ph": meta.phone,
    "fn": meta.name,
    "ln": meta.name,
    "ge": meta.gender,
    "db": meta.birth_date,
    "ct": meta.city,
    "st": meta.state,
    "zp": meta.postcode,
    "country": meta.country,
    "external_id": meta.external_id,
}

#: For names and places TikTok's documents give no exact text: it is given what Meta is, in
#: lower case without spaces and punctuation, as other integrations do.
_TIKTOK: Mapping[str, Rule] = {
    **_META,
    "ph": tiktok.phone,
    "external_id": tiktok.external_id,
}

_RULES: Mapping[str, Mapping[str, Rule]] = {"meta": _META, "tiktok": _TIKTOK}

#: The fields, under Meta's names: e-mail, phone, first and last name, gender, date of birth,
#: city, state, postcode, country and the advertiser's own id of the user.
FIELDS = tuple(_META)

PLATFORMS = tuple(_RULES)

#: The fields that TikTok takes as plain text: send :func:`normalize` of these and
#: :func:`hashed` of all others ("Events API Parameters": city, state and country).
TIKTOK_PLAIN = frozenset({"ct", "st", "country"})

#: Fields with few values, which recur from user to user: their digests are cached. Nothing of the
#: other fields is, least of all an e-mail address or a phone number.
_RECURRING = frozenset({"ge", "ct", "st", "country"})

#: A SHA-256 digest, as somebody else may have made it already.
_DIGEST = re.compile("[0-9A-Fa-f]+")
_DIGEST_LENGTH = 64


def normalize(
    field: str,
    value: object,
    *,
    platform: str,
    region: str | None = None,
) -> str | None:
    """Return the text whose SHA-256 the platform compares, or None when the value is not usable.

    A value that is a SHA-256 digest already is returned as it is.

    :param field: one of :data:`FIELDS`.
    :param value: a text or a whole number, for ``db`` also a date; anything else is not usable.
    :param platform: one of :data:`PLATFORMS`.
    :param region: ISO 3166-1 alpha-2 code of the country to which phone numbers without a country
        code belong; None leaves such numbers out. Needs the extra ``phone``.
    :raises ConfigurationError: for an unknown field or platform, never for a value.
    """
    rule = _rule(field, platform)
    text = _text(field, value, region)
    return None if text is None else _normalized(rule, text)


def hashed(
    field: str,
    value: object,
    *,
    platform: str,
    region: str | None = None,
) -> str | None:
    """Return the SHA-256 of the normalised value, or None when the value is not usable.

    The digest is of the UTF-8 text, in 64 lower-case hexadecimal digits; both platforms say so.
    A value that is such a digest already passes through, lower-cased.

    :param field: one of :data:`FIELDS`.
    :param value: see :func:`normalize`.
    :param platform: one of :data:`PLATFORMS`.
    :param region: see :func:`normalize`.
    :raises ConfigurationError: for an unknown field or platform, never for a value.
    """
    rule = _rule(field, platform)
    text = _text(field, value, region)
    if text is None:
        return None
    return _cached(rule, text) if field in _RECURRING else _hashed(rule, text)


def _rule(field: str, platform: str) -> Rule:
    try:
        return _RULES[platform][field]
    except (KeyError, TypeError):  # TypeError: not hashable
        raise ConfigurationError(_unknown(field, platform)) from None


def _unknown(field: object, platform: object) -> str:
    if platform not in PLATFORMS:
        return f"platform must be one of {', '.join(PLATFORMS)}, not {short_repr(platform)}"
    return f"field must be one of {', '.join(FIELDS)}, not {short_repr(field)}"


def _text(field: str, value: object, region: str | None) -> str | None:
    """Return a value as trimmed text that UTF-8 can carry; None when it is no text.

    A phone number gets the country code of the region.
    """
    try:
        text = value if type(value) is str else _as_text(field, value)
        text.encode()
    except ValueError:  # no text, digits beyond Python's limit, or lone surrogates
        return None
    text = text.strip(SPACES)
    if region is None or field != "ph" or _is_digest(text):
        return text
    return completed(text, region)


def _as_text(field: str, value: object) -> str:
    # By the built-in types' own methods, which a subclass (an enum, say) cannot override.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__repr__(value)
    if isinstance(value, date) and field == "db":
        return date.isoformat(value)
    raise ValueError


def _normalized(rule: Rule, text: str) -> str | None:
    return text if _is_digest(text) else rule(text) or None


def _hashed(rule: Rule, text: str) -> str | None:
    ready = _normalized(rule, text)
    if ready is None:
        return None
    return ready.lower() if _is_digest(ready) else sha256(ready.encode()).hexdigest()


_cached = lru_cache(maxsize=1024)(_hashed)


def _is_digest(text: str) -> bool:
    return len(text) == _DIGEST_LENGTH and _DIGEST.fullmatch(text) is not None
