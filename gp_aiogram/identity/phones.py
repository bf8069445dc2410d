"""Reads phone numbers as people type them: which digits count, from the country code on."""

from __future__ import annotations

import re
import unicodedata
from types import ModuleType
from typing import Any

from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.identity.text import digits

#: No country code begins so (ITU-T E.164), but Russian mobile numbers with their trunk prefix do.
_NO_COUNTRY = "89"

#: ITU-T E.164: no number has more digits.
_LONGEST = 15

#: Fewer digits are no number of their own where several may stand.
_SHORTEST = 7

#: What precedes a country code: the plus, or the prefix 00 that ITU-T recommends.
_INTERNATIONAL = re.compile(r"[^0-9]*(?:\+|00)")

#: How a national number begins: with the trunk prefix 0, or with the 8 of Russia and its
#: neighbours before ten digits, set apart from them or from most (``8 495``, ``8495``, ``80``).
_TRUNK_ZERO = re.compile("[^0-9]*0")
_TRUNK_EIGHT = re.compile("[^0-9]*8(?:0|[0-9]{3})?[^0-9]")
_TRUNK_EIGHT_LENGTH = 11

#: The trunk prefix behind a country code, where it is not dialled: ``+44 (0)20``.
_SILENT_ZERO = re.compile(r"([0-9][^0-9]{0,3})\(\s?0\s?\)")

_EXTENSION = re.compile(
    r"(?<![^\W\d_])(?:ext|extension|x|доб|добавочный)[\s.:=]{0,3}[0-9]{1,7}[^0-9]*$",
    re.IGNORECASE,
)

_BETWEEN_NUMBERS = re.compile(r"[;,|/\n]|\bor\b|\bили\b", re.IGNORECASE)
_PLUS = re.compile(r"\+[^0-9]{0,2}[0-9]")

#: Up to so many digits without plus are a national number where a region has such a one.
_NATIONAL_LENGTH = 10


def with_country_code(text: str) -> str | None:
    """Return the digits of a number from its country code on; None when it has none.

    A number without plus is assumed to begin with its country code, as Telegram's do, unless it
    begins as national ones do. Several numbers are none.
    """
    text = _dialled(text)
    if _holds_several(text):
        return None
    number = digits(text)
    if _INTERNATIONAL.match(text):
        number = number.lstrip("0")
    elif _is_national(text, number):
        return None
    return None if number.startswith(_NO_COUNTRY) else number


def completed(text: str, region: str) -> str:
    """Return a number of a region with its plus and country code; others as they are.

    Telegram gives international numbers without their plus. So more than ten digits stay as they
    are when they are a valid international number, unless the region itself writes a national
    number with just these digits.

    :param region: ISO 3166-1 alpha-2 code of the country whose national numbers are meant.
    """
    plain = _dialled(text)
    if _INTERNATIONAL.match(plain) or _holds_several(plain):
        return text
    library = _phonenumbers()
    national = _parsed(library, plain, region)
    if national is None:
        return text
    number = digits(plain)
    as_written = digits(library.format_number(national, library.PhoneNumberFormat.NATIONAL))
    is_international = (
        len(number) > _NATIONAL_LENGTH
        and number != as_written
        and _parsed(library, f"+{number}", None) is not None
    )
    if is_international:
        return text
    e164: str = library.format_number(national, library.PhoneNumberFormat.E164)
    return e164


def validate_phone_region(region: object) -> str | None:
    """Return the region whose national numbers are completed; None for none.

    :param region: ISO 3166-1 alpha-2 code, in any case.
    :raises ConfigurationError: when there is no such region, or no ``phonenumbers`` to ask.
    """
    if region is None:
        return None
    code = region.strip().upper() if isinstance(region, str) else ""
    if code not in _phonenumbers().SUPPORTED_REGIONS:
        msg = f"phone_region must be the code of a country such as 'DE', not {short_repr(region)}"
        raise ConfigurationError(msg)
    return code


def _phonenumbers() -> ModuleType:
    try:
        import phonenumbers  # noqa: PLC0415 - an optional extra
    except ImportError:
        msg = "phone_region needs the package phonenumbers: pip install 'gp-aiogram[phone]'"
        raise ConfigurationError(msg) from None
    return phonenumbers


def _parsed(library: ModuleType, text: str, region: str | None) -> Any:
    """Return a number as the library has it; None when there is no such number."""
    try:
        number = library.parse(text, region)
    except library.NumberParseException:
        return None
    return number if library.is_valid_number(number) else None


def _dialled(text: str) -> str:
    """Return a number without what follows it or is not dialled, its digits in ASCII."""
    if not text.isascii():
        plain = unicodedata.normalize("NFKC", text)
        text = "".join(str(unicodedata.decimal(char, char)) for char in plain)
    return _SILENT_ZERO.sub(r"\1", _EXTENSION.sub("", text), count=1)


def _holds_several(text: str) -> bool:
    number = digits(text)
    # In one piece, any digits are a number to Meta's own code.
    if len(number) > _LONGEST and not text.isalnum():
        return True
    parts = _BETWEEN_NUMBERS.split(text)
    return (
        sum(len(digits(part)) >= _SHORTEST for part in parts) > 1 or len(_PLUS.findall(text)) > 1
    )


def _is_national(text: str, number: str) -> bool:
    if _TRUNK_ZERO.match(text):
        return True
    return len(number) == _TRUNK_EIGHT_LENGTH and _TRUNK_EIGHT.match(text) is not None
