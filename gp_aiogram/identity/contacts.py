"""Takes e-mail addresses and phone numbers out of what an event carries."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from gp_aiogram.model.pii import (
    looks_like_number,
    looks_personal,
    names_email,
    names_phone,
    readable,
    terms_of,
    words_of,
)

Kind = Literal["email", "phone"]

#: Keys, without what separates their words, under which nothing stays, whatever it is.
_CERTAIN = frozenset({"email", "em", "phone", "phonenumber", "ph"})

#: Words that name a contact of either kind.
_EITHER = frozenset({"contact", "contacts", "контакт", "контакты"})

#: Words for what may be a phone number, or a number of another kind: left out, and no contact.
_DOUBTFUL = frozenset({"login", "username"})

#: With one of these words a key says something about a contact, or names another number.
_ABOUT = """
at brand campaign code confirmed cost count date hash id ids imei model order os plan price
product provider serial sku source status step template time total type uuid verified version
"""

#: With one of these words a key names a contact of somebody else than the user.
_OTHERS = """
admin agent company courier driver friend inviter manager merchant operator partner recipient
referral referrer seller shop store support
"""

_ABOUT_WORDS = frozenset(_ABOUT.split())
_OTHERS_WORDS = frozenset(_OTHERS.split())

#: Stands for a part that is left out.
_LEFT_OUT = object()


class Contact(NamedTuple):
    """An address or a number of the user's own.

    :param depth: how deep in objects and lists it lay.
    """

    kind: Kind
    value: str | int
    depth: int


class _Meaning(NamedTuple):
    """What a key says of what stands under it.

    :param kind: what a value is that may be an address or a number; None when it is neither.
    :param is_about: the value is neither, whatever the keys around it say.
    :param is_certain: the value may not stay, whatever it is.
    :param is_own: what is found is the user's own.
    :param is_personal: the key itself holds an address or a number.
    """

    kind: Kind | None = None
    is_about: bool = False
    is_certain: bool = False
    is_own: bool = True
    is_personal: bool = False

    def within(self, outer: _Meaning) -> _Meaning:
        """Return what the key means below another one."""
        return self._replace(
            kind=None if self.is_about else self.kind or outer.kind,
            is_certain=self.is_certain or outer.is_certain,
            is_own=self.is_own and outer.is_own,
        )


_NOTHING = _Meaning()


def split_contacts(user_data: Mapping[str, Any]) -> tuple[dict[str, Any], list[Contact]]:
    """Separate the addresses and numbers in JSON values from the rest.

    What looks like one is left out wherever it stands. Under a key that names one, such as
    ``customer_phone``, a number needs no plus, and is found as a contact of the user's own.

    :return: the rest, and what was found: the least deep first.
    """
    search = _Search()
    rest = search.rest(user_data, _NOTHING, 0)
    search.found.sort(key=_depth)
    return rest, search.found


def _depth(contact: Contact) -> int:
    return contact.depth


class _Search:
    def __init__(self) -> None:
        self.found: list[Contact] = []

    def rest(self, data: Mapping[str, Any], outer: _Meaning, depth: int) -> dict[str, Any]:
        rest = {}
        for key, value in data.items():
            meaning = _meaning(key) if outer is _NOTHING else _meaning(key).within(outer)
            part = self._part(value, meaning, depth)
            if part is not _LEFT_OUT and not meaning.is_personal:
                rest[key] = part
        return rest

    def _part(self, part: Any, meaning: _Meaning, depth: int) -> Any:
        if isinstance(part, (dict, list)):
            left = self._container(part, meaning, depth + 1)
            is_emptied = bool(part) and not left
            return _LEFT_OUT if is_emptied or meaning.is_certain else left
        if meaning.kind is None:
            return _LEFT_OUT if meaning.is_certain or looks_personal(part) else part
        if not (meaning.is_certain or looks_personal(part) or looks_like_number(part)):
            return part
        if meaning.is_own:
            self._note(part, meaning.kind, depth)
        return _LEFT_OUT

    def _container(self, part: Any, meaning: _Meaning, depth: int) -> Any:
        if isinstance(part, dict):
            return self.rest(part, meaning, depth)
        parts = (self._part(value, meaning, depth) for value in part)
        return [part for part in parts if part is not _LEFT_OUT]

    def _note(self, part: object, kind: Kind, depth: int) -> None:
        if isinstance(part, str):
            text = readable(part)
            self.found.append(Contact("email" if "@" in text else kind, text, depth))
        elif isinstance(part, (int, float)) and not isinstance(part, bool):
            self.found.append(Contact("phone", int(part), depth))


@lru_cache(maxsize=1024)
def _meaning(key: str) -> _Meaning:
    words = words_of(key)
    terms = terms_of(words)
    is_certain = "".join(words) in _CERTAIN
    is_about = not is_certain and not _ABOUT_WORDS.isdisjoint(terms)
    meaning = _Meaning(
        kind=None if is_about else _kind(terms),
        is_about=is_about,
        is_certain=is_certain,
        is_own=_OTHERS_WORDS.isdisjoint(terms) and _DOUBTFUL.isdisjoint(terms),
        is_personal=looks_personal(key),
    )
    return _NOTHING if meaning == _NOTHING else meaning


def _kind(terms: frozenset[str]) -> Kind | None:
    if names_email(terms) or terms == {"em"}:
        return "email"
    if names_phone(terms) or terms == {"ph"}:
        return "phone"
    return "phone" if terms & (_EITHER | _DOUBTFUL) else None
