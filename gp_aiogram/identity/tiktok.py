"""TikTok's rules for the text to hash, where they differ from Meta's.

The authority is "Report App, Web, Offline, or CRM Events" of the Events API 2.0 documents. They
trim and lower-case an e-mail address as Meta does, and state nothing on names and places.
"""

from __future__ import annotations

import re

from gp_aiogram.identity.text import digits

#: ITU-T E.164: a country code, which never begins with 0, and 15 digits at most.
_E164 = re.compile("[1-9][0-9]{7,14}")

#: What precedes a country code: the plus, or the prefix 00 that ITU-T recommends.
_INTERNATIONAL = re.compile(r"[^0-9]*(\+|00)")


def phone(text: str) -> str | None:
    """Return the number in E.164 with its plus, which is part of the hashed text.

    A number without plus is assumed to begin with its country code, as Telegram's do. One that
    begins with a single 0 is national: its country code is unknown, so it is not usable.
    """
    number = digits(text)
    if _INTERNATIONAL.match(text):
        number = number.lstrip("0")
    return f"+{number}" if _E164.fullmatch(number) else None


def external_id(text: str) -> str:
    """Return the id as it is: no normalisation is stated, so upper case stays upper case."""
    return text
