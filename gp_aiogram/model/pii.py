"""Tells e-mail addresses and phone numbers from other texts."""

from __future__ import annotations

import re

#: An e-mail address, or a phone number with its plus, anywhere in a text.
_PERSONAL_TEXT = re.compile(r"[^\s@]@[^\s@]+\.\w|\+\s?[0-9](?:[\s().-]*[0-9]){7,14}(?![0-9])")


def looks_personal(value: object) -> bool:
    """Tell whether a value is a text that holds an e-mail address or a phone number."""
    if not isinstance(value, str) or not ("@" in value or "+" in value):
        return False
    return _PERSONAL_TEXT.search(value) is not None
