"""Meta's rules for the text to hash, one function per kind of field.

The authority is "Customer Information Parameters" of Meta's Conversions API documents. Where
they leave a choice, the choice is that of Meta's own Node parameter builder
(facebook/capi-param-builder), so that a bot and a browser hash the same text for the same user.

Every function takes trimmed text and returns None or nothing when there is no value in it.
"""

from __future__ import annotations

import re
import string
import unicodedata
from datetime import datetime, timezone

from gp_aiogram.identity.countries import COUNTRIES
from gp_aiogram.identity.genders import GENDERS
from gp_aiogram.identity.phones import with_country_code
from gp_aiogram.identity.states import STATES
from gp_aiogram.identity.text import SPACES, find, latin, without

_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL}", re.ASCII)

#: The parameter builder's first year; the documents say 1900. No user was born between them.
_FIRST_YEAR = 1800
_MONTHS = 12
_DAYS = 31

_NOT_IN_NAMES = SPACES + string.punctuation

_CODE_LENGTH = 2
_SHORTEST_POSTCODE = 2


def email(text: str) -> str | None:
    """Return the address in lower case (documents), if it looks like one (parameter builder)."""
    lowered = text.lower()
    return lowered if _EMAIL.fullmatch(lowered) else None


def phone(text: str) -> str | None:
    """Return the digits: "Remove symbols, letters, and any leading zeros" (documents).

    A number that surely lacks its country code, which the documents demand, is not usable. Digits
    that may begin with one are taken as they are, however many (parameter builder).
    """
    return with_country_code(text)


def name(text: str) -> str:
    """Return the name "lowercase only with no punctuation", in any script (documents).

    Punctuation is that of ASCII, and white space goes too (parameter builder).
    """
    return without(text, _NOT_IN_NAMES).lower()


def gender(text: str) -> str | None:
    """Return ``f`` or ``m`` (documents) for the words that say so (parameter builder)."""
    return GENDERS.get(text.lower())


def birth_date(text: str) -> str | None:
    """Return the date as YYYYMMDD (documents).

    Three numbers may come in any order; the month is first where it could be either. A day is
    1 to 31 in any month (parameter builder).
    """
    groups = re.findall("[0-9]+", text)
    if len(groups) == 1 and len(groups[0]) == len("YYYYMMDD"):
        return _date(*(int(part) for part in (groups[0][:4], groups[0][4:6], groups[0][6:])))
    numbers = [int(group) for group in groups[:3] if len(group) <= len("YYYY")]
    return _date(*_in_order(*numbers)) if len(numbers) == len("YMD") else None


def _in_order(first: int, second: int, third: int) -> tuple[int, int, int]:
    """Return year, month and day: the year is what no day can be, else the last number."""
    if first > _DAYS:
        year, month, day = first, second, third
    elif second > _DAYS:
        year, month, day = second, third, first
    else:
        year, month, day = third, first, second
    return (year, day, month) if month > _MONTHS else (year, month, day)


def _date(year: int, month: int, day: int) -> str | None:
    last_year = datetime.now(timezone.utc).year + 1
    real = _FIRST_YEAR <= year <= last_year and 1 <= month <= _MONTHS and 1 <= day <= _DAYS
    return f"{year:04}{month:02}{day:02}" if real else None


def city(text: str) -> str | None:
    """Return the city "lowercase only with no punctuation, no special characters, and no spaces".

    Letters of any script are kept, in UTF-8 (documents; the parameter builder keeps a to z
    alone). What begins with no letter is not a city (parameter builder).
    """
    if text.isalpha():
        return text.lower()
    kept = "".join(char for char in text if unicodedata.category(char)[0] in "LMN").lower()
    return kept if kept[:1].isalpha() else None


def state(text: str) -> str:
    """Return "the 2-character ANSI abbreviation code in lowercase" of a state of the U.S.

    Others are "in lowercase with no punctuation, no special characters, and no spaces"
    (documents), except that the provinces of Canada have their codes (parameter builder).
    """
    return find(text, STATES) or latin(text)


def postcode(text: str) -> str | None:
    """Return the postcode "lowercase with no spaces and no dash" (documents).

    It ends at the first dash, which leaves "only the first 5 digits for U.S. zip codes", and
    has two characters or more (parameter builder).
    """
    code = without(text.partition("-")[0], SPACES).lower()
    return code if len(code) >= _SHORTEST_POSTCODE else None


def country(text: str) -> str | None:
    """Return the "lowercase, 2-letter country code in ISO 3166-1 alpha-2" (documents).

    Names and alpha-3 codes are looked up. Two letters are taken as they are (parameter builder).
    """
    code = latin(text)
    return code if len(code) == _CODE_LENGTH else find(text, COUNTRIES)


def external_id(text: str) -> str:
    """Return the id in lower case without white space (parameter builder).

    The documents ask for the same format on every channel, and Meta's own code sends this one.
    """
    return without(text, SPACES).lower()
