"""Turns what a bot knows of a user into what each platform may be told of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gp_aiogram.errors import EventError
from gp_aiogram.identity import PLATFORMS, TIKTOK_PLAIN, hashed, normalize
from gp_aiogram.model.event import Traits
from gp_aiogram.model.pii import looks_personal, without_personal

#: What callers call a trait, and what the platforms call it.
_FIELDS = {
    "email": "em",
    "phone": "ph",
    "first_name": "fn",
    "last_name": "ln",
    "gender": "ge",
    "birthday": "db",
    "city": "ct",
    "state": "st",
    "zip_code": "zp",
    "country": "country",
    "external_id": "external_id",
}

#: What people call an e-mail address or a phone number in ``user_data``.
_CONTACT_KEYS = {
    "email": "email",
    "e_mail": "email",
    "em": "email",
    "phone": "phone",
    "phone_number": "phone",
    "ph": "phone",
}

#: Traits that are no personal data and go out as they are: trait -> platform, field.
_PLAIN = {"lead_id": ("leadsail", "lead_id"), "locale": ("tiktok", "locale")}


def prepared(values: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Normalise and hash traits as each platform wants them; what cannot be used is left out.

    :param values: by the name of the trait.
    :return: platform -> field -> value.
    :raises EventError: for an unknown trait.
    """
    traits: dict[str, dict[str, str]] = {}
    for name, value in values.items():
        if name in _FIELDS:
            for platform in PLATFORMS:
                _put(traits, platform, _FIELDS[name], _ready(_FIELDS[name], value, platform))
        elif name in _PLAIN:
            _put(traits, *_PLAIN[name], str(value).strip() if value else None)
        else:
            names = ", ".join(sorted({*_FIELDS, *_PLAIN}))
            msg = f"there is no trait {name!r}; there are: {names}"
            raise EventError(msg)
    return traits


def split_off(user_data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Separate e-mail addresses and phone numbers from what may be stored as it is.

    Under the names of those traits they become traits of the event, hashed; anywhere else they
    are left out.

    :return: the rest, and the traits.
    """
    if _CONTACT_KEYS.keys().isdisjoint(user_data):
        return without_personal(user_data, _is_personal), {}
    contacts = {_CONTACT_KEYS[key]: user_data[key] for key in user_data if key in _CONTACT_KEYS}
    rest = {key: value for key, value in user_data.items() if key not in _CONTACT_KEYS}
    return without_personal(rest, _is_personal), prepared(contacts)


def _is_personal(key: str, _: object) -> bool:
    return looks_personal(key)


def merged(older: Traits, newer: Traits) -> Traits:
    """Return traits of which newer ones overwrite older ones, field by field."""
    if not newer:
        return older
    platforms = {*older, *newer}
    return {name: {**older.get(name, {}), **newer.get(name, {})} for name in platforms}


def from_user(user: object) -> dict[str, object]:
    """Return names and language of Telegram's ``User``, as far as they are there."""
    known = {
        "first_name": getattr(user, "first_name", None),
        "last_name": getattr(user, "last_name", None),
        "locale": getattr(user, "language_code", None),
    }
    return {name: value for name, value in known.items() if value}


def from_contact(contact: object, telegram_id: int) -> dict[str, object]:
    """Return the phone of Telegram's ``Contact``, if it is the user's own.

    Telegram fills in ``user_id`` itself: a person who forwards somebody else's contact cannot
    make it their own. The number may lack its plus.
    """
    phone = getattr(contact, "phone_number", None)
    if not phone or getattr(contact, "user_id", None) != telegram_id:
        return {}
    return {"phone": phone if phone.startswith("+") else f"+{phone}"}


def _ready(field: str, value: object, platform: str) -> str | None:
    if platform == "tiktok" and field in TIKTOK_PLAIN:
        return normalize(field, value, platform=platform)
    return hashed(field, value, platform=platform)


def _put(traits: dict[str, dict[str, str]], platform: str, field: str, value: str | None) -> None:
    if value is not None:
        traits.setdefault(platform, {})[field] = value
