"""TikTok's rules for the text to hash, where they differ from Meta's.

The authority is "Report App, Web, Offline, or CRM Events" of the Events API 2.0 documents. They
trim and lower-case an e-mail address as Meta does, and state nothing on names and places.
"""

from __future__ import annotations

import re

from gp_aiogram.identity.phones import with_country_code

#: ITU-T E.164: a country code, which never begins with 0, and 15 digits at most.
_E164 = re.compile("[1-9][0-9]{7,14}")

#: Ten digits that begin with an area code in parentheses, as in North America: Meta's own code
#: takes them for a whole number.
_AREA_CODE_FIRST = re.compile(r"\s*\(\d{3}\)")
_WITH_AREA_CODE = 10


def phone(text: str) -> str | None:
    """Return the number in E.164 with its plus, which is part of the hashed text.

    A number that surely lacks its country code is not usable.
    """
    number = with_country_code(text)
    if number is None or not _E164.fullmatch(number):
        return None
    if len(number) == _WITH_AREA_CODE and _AREA_CODE_FIRST.match(text):
        return None
    return f"+{number}"


def external_id(text: str) -> str:
    """Return the id as it is: no normalisation is stated, so upper case stays upper case."""
    return text
