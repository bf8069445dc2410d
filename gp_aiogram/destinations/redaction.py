"""Keeps secrets and control characters out of what is logged or kept of an answer."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Collection, Iterator

#: Characters of a text that are read for secrets, and that are kept of it.
_READ_LENGTH, _KEPT_LENGTH = 32_768, 500

#: A secret that is cut off where reading ends is at most so many times as long as it is itself,
#: however it is written.
_LONGEST_SPELLING = 10

#: A shorter part of base64 would be found in texts that have nothing to do with the secret.
_SHORTEST_BASE64 = 5


class Redactor:
    """Masks secrets, as they are and as servers and proxies write them, and escapes the rest.

    :param secrets: texts that must not be shown.
    """

    def __init__(self, secrets: Collection[str]) -> None:
        # The longest first, so that no other leaves a part of it.
        known = sorted(filter(None, set(secrets)), key=len, reverse=True)
        forms = [form for secret in known for form in _forms(secret)]
        self._secret = re.compile("|".join(forms)) if forms else None
        self._margin = _LONGEST_SPELLING * max(map(len, known), default=0)

    def mask(self, text: str) -> str:
        """Return a whole text, its lines and all, without secrets."""
        return text if self._secret is None else self._secret.sub("***", text)

    def redact(self, text: str) -> str:
        """Return a text on one line without secrets, cut to 500 characters."""
        masked = text[:_READ_LENGTH]
        if self._secret is not None:
            masked = self._secret.sub("***", masked)
            if len(text) > _READ_LENGTH:
                masked = masked[: -self._margin]
        return printable(masked[:_KEPT_LENGTH])[:_KEPT_LENGTH]


def printable(text: str) -> str:
    """Return a text on one line, with control characters escaped as in Python.

    They could forge a line of a log or drive a terminal; half a surrogate pair cannot be stored.
    """
    if text.isprintable():
        return text
    return "".join(part if part.isprintable() else _escaped(part) for part in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _forms(secret: str) -> Iterator[str]:
    """Yield patterns of a secret: with special characters in any spelling, and encoded whole."""
    yield "".join(map(_spellings, secret))
    yield _percent_encoded(secret)
    content = secret.encode(errors="surrogatepass")
    for part in _base64_parts(content):
        yield "".join(map(_spellings, part))
        yield "".join(map(_spellings, part.translate(_URL_SAFE)))


def _spellings(character: str) -> str:
    """Return a pattern of one character: as it is, or as URLs, JSON and HTML may write it."""
    if character.isascii() and character.isalnum():
        return character
    escaped = json.dumps(character)[1:-1]
    written = {character, escaped, f"\\{character}", html.escape(character)}
    texts = [re.escape(text) for text in sorted(written, key=len, reverse=True)]
    unicode = f"(?i:\\\\u{ord(character):04x})"
    # A backslash alone comes last: the others begin with one.
    return f"(?:{'|'.join([_percent_encoded(character), unicode, *texts])})"


def _percent_encoded(text: str) -> str:
    """Return a pattern of a percent-encoded text, in either case, perhaps encoded repeatedly."""
    content = text.encode(errors="surrogatepass")
    return f"(?i:{''.join(f'%(?:25)*{byte:02x}' for byte in content)})"


#: Of the alphabet of base64 to that for URLs.
_URL_SAFE = str.maketrans("+/", "-_")


def _base64_parts(content: bytes) -> Iterator[str]:
    """Yield what base64 makes of a secret in the middle of something, wherever it begins there.

    Three bytes become four characters, so there are three places where it may begin. Characters
    that its neighbours have a share in are left out.
    """
    for before, shared in enumerate((0, 2, 3)):
        encoded = base64.b64encode(bytes(before) + content).decode()
        part = encoded[shared : (before + len(content)) * 8 // 6]
        if len(part) >= _SHORTEST_BASE64:
            yield part
