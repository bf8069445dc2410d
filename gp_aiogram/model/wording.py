"""Says in messages what a value is, without showing one that may be personal."""

from __future__ import annotations

import re

from gp_aiogram.model.pii import looks_personal

#: So many digits may be a phone number.
_MANY_DIGITS = re.compile(r"(?:\d\W*){7}")

#: Numbers below have fewer digits.
_FIRST_UNSHOWN = 10**6

_LONGEST_NAME = 60


def describe(value: object) -> str:
    """Return what a value is: its type, and the length of a text."""
    if isinstance(value, str):
        return f"a text of {len(value)} characters" if value.strip() else "a blank text"
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, (int, float)) and abs(value) < _FIRST_UNSHOWN:
        return str(value)
    return f"<{type(value).__name__}>"


def shown_name(name: str) -> str:
    """Return a name in quotation marks; its length alone when it may be personal itself."""
    if looks_personal(name) or _MANY_DIGITS.search(name):
        return f"(a name of {len(name)} characters)"
    return repr(name) if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]!r}…"
