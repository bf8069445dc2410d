"""Takes apart addresses that may hold a key, so that the key is shown nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from gp_aiogram.destinations.arguments import validate_url
from gp_aiogram.errors import ConfigurationError

_ABSOLUTE = re.compile(r"(?P<origin>https?://[^/?#]+)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?")

#: A shorter part of an address, or one of letters alone such as ``postback``, is hardly a key.
_SHORTEST_KEY = 6

_LONGEST_WORD = 24


class Address(NamedTuple):
    """An address in parts, as they were written.

    :param origin: scheme, host and port: all that may be shown.
    :param query: without its question mark.
    """

    origin: str
    path: str
    query: str

    @property
    def secrets(self) -> list[str]:
        """What in path and query may be a key, as it is written and decoded."""
        whole = [self.path, self.query] if any(self._keys()) else []
        return [*whole, *self._keys()]

    def _keys(self) -> Iterator[str]:
        values = [value for _, value in parse_qsl(self.query)]
        for part in [*self.path.split("/"), *values]:
            if _may_be_key(part):
                yield from {part, unquote(part)}


def split_address(where: str, url: object) -> Address:
    """Take an http or https address apart.

    :param where: names the argument in messages.
    :raises ConfigurationError: without showing the address, since it may hold a key.
    """
    text = url if isinstance(url, str) else ""
    found = _ABSOLUTE.fullmatch(text) if text.isprintable() and " " not in text else None
    if found is None:
        msg = (
            f"{where} must be a whole http or https address, without fragment and white space, "
            "such as 'https://tracker.example.com/postback?subid=1'"
        )
        raise ConfigurationError(msg)
    origin = validate_url(where, found["origin"])
    return Address(origin, found["path"] or "/", found["query"] or "")


def _may_be_key(part: str) -> bool:
    if "{" in part or len(part) < _SHORTEST_KEY:
        return False
    return not part.isalpha() or len(part) > _LONGEST_WORD
