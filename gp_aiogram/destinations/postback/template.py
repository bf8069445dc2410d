"""Templates of URLs: which placeholders they have, and what becomes of them for an event."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote

from gp_aiogram.destinations.addresses import split_address
from gp_aiogram.errors import ConfigurationError

#: ``{subid}``, and ``{fbclid?}`` for what may be missing.
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][\w.-]*)(\?)?\}", re.ASCII)


class MissingValue(Exception):  # noqa: N818 - raised and caught here
    """An event lacks what a template cannot do without.

    :param name: of the placeholder.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Rendered(NamedTuple):
    """A URL for one event, percent-encoded.

    :param path: with its leading slash.
    :param query: without a question mark; empty when there is none.
    """

    path: str
    query: str


class _Placeholder(NamedTuple):
    name: str
    may_be_missing: bool


class _Text(NamedTuple):
    """Literal texts and what stands between them: always one literal more."""

    literals: tuple[str, ...]
    placeholders: tuple[_Placeholder, ...]

    def render(self, values: Mapping[str, str]) -> str:
        """Fill in every placeholder; all of them have values."""
        filled = [self.literals[0]]
        for placeholder, literal in zip(self.placeholders, self.literals[1:], strict=True):
            filled += [quote(values[placeholder.name], safe="", errors="replace"), literal]
        return "".join(filled)


class Template:
    """A URL with placeholders in its path and query.

    A parameter of the query is left out when what it says is not known, unless the template cannot
    do without it.

    :param where: names the argument in messages.
    :param url: with placeholders such as ``{subid}``; ``{fbclid?}`` may be missing.
    :param params: parameters to add to the query or to replace in it; None takes one out.
    :param is_optional: tells placeholders that may be missing although nothing marks them.
    :raises ConfigurationError: when the URL cannot work. It is not shown: it may hold a key.
    """

    def __init__(
        self,
        where: str,
        url: object,
        *,
        params: Mapping[str, str | None] | None = None,
        is_optional: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.address = split_address(where, url)
        self.origin = self.address.origin
        if "{" in self.origin or "}" in self.origin:
            msg = f"{where} must name its host: placeholders may stand in path and query only"
            raise ConfigurationError(msg)
        self._is_optional = is_optional
        self._path = _parsed(where, self.address.path)
        query = _overridden(_pairs(self.address.query), _checked_params(params))
        self._query = [(name, _parsed(where, value)) for name, value in query]
        texts = [self._path, *(text for _, text in self._query)]
        found = [placeholder for text in texts for placeholder in text.placeholders]
        self.names = tuple(dict.fromkeys(placeholder.name for placeholder in found))

    @property
    def secrets(self) -> list[str]:
        """What of the URL may be a key although it was written out."""
        return self.address.secrets

    def render(self, values: Mapping[str, str]) -> Rendered:
        """Fill in what is known.

        :param values: by the names of placeholders.
        :raises MissingValue: when the URL is invalid without one that is not known.
        """
        for placeholder in self._path.placeholders:
            if placeholder.name not in values:
                raise MissingValue(placeholder.name)
        pairs = [
            f"{name}={text.render(values)}"
            for name, text in self._query
            if self._has(text, values)
        ]
        return Rendered(self._path.render(values), "&".join(pairs))

    def _has(self, text: _Text, values: Mapping[str, str]) -> bool:
        """Return whether everything in a text is known."""
        missing = [each for each in text.placeholders if each.name not in values]
        for name, may_be_missing in missing:
            if not may_be_missing and not self._is_optional(name):
                raise MissingValue(name)
        return not missing


def _parsed(where: str, text: str) -> _Text:
    literals: list[str] = []
    placeholders: list[_Placeholder] = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        literals.append(text[end : found.start()])
        placeholders.append(_Placeholder(found[1], found[2] is not None))
        end = found.end()
    literals.append(text[end:])
    if any("{" in literal or "}" in literal for literal in literals):
        msg = (
            f"{where} has a brace that belongs to no placeholder: they look like {{subid}}, and "
            "in the query like {fbclid?} where the value may be missing"
        )
        raise ConfigurationError(msg)
    return _Text(tuple(literals), tuple(placeholders))


def _pairs(query: str) -> list[tuple[str, str]]:
    parts = (pair.partition("=") for pair in query.split("&") if pair)
    return [(name, value) for name, _, value in parts]


def _overridden(
    pairs: list[tuple[str, str]],
    params: Mapping[str, str | None],
) -> list[tuple[str, str]]:
    """Return the pairs with those of ``params`` in their places, or at the end."""
    kept = [(name, params.get(name, value)) for name, value in pairs]
    known = {name for name, _ in pairs}
    added = [(name, value) for name, value in params.items() if name not in known]
    return [(name, value) for name, value in [*kept, *added] if value is not None]


def _checked_params(params: object) -> Mapping[str, str | None]:
    given = {} if params is None else params
    if not isinstance(given, Mapping) or not all(map(_is_param, given.items())):
        msg = (
            "Postback(params=...) must map parameters to what they say, such as "
            "{'sub_id_1': '{utm.campaign}'}, percent-encoded; None takes a parameter out"
        )
        raise ConfigurationError(msg)
    return given


def _is_param(item: tuple[object, object]) -> bool:
    name, value = item
    texts = [name] if value is None else [name, value]
    return all(
        isinstance(text, str) and text.isprintable() and not set(text) & set(" &#=")
        for text in texts
    ) and bool(name)
