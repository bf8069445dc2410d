"""Turns what a bot knows of a user into what each platform may be told of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gp_aiogram.errors import EventError
from gp_aiogram.identity import PLATFORMS, TIKTOK_PLAIN, hashed, normalize
from gp_aiogram.identity.contacts import split_contacts
from gp_aiogram.model.event import Traits
from gp_aiogram.model.wording import shown_name

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

#: Traits that are no personal data and go out as they are: trait -> platform, field.
_PLAIN = {"lead_id": ("leadsail", "lead_id"), "locale": ("tiktok", "locale")}


def prepared(
    values: Mapping[str, object],
    *,
    phone_region: str | None = None,
) -> dict[str, dict[str, str]]:
    """Normalise and hash traits as each platform wants them; what cannot be used is left out.

    :param values: by the name of the trait.
    :param phone_region: ISO 3166-1 alpha-2 code of the country to which phone numbers without a
        country code belong; None leaves such numbers out.
    :return: platform -> field -> value.
    :raises EventError: for an unknown trait.
    """
    traits: dict[str, dict[str, str]] = {}
    for name, value in values.items():
        if name in _FIELDS:
            field = _FIELDS[name]
            for platform in PLATFORMS:
                _put(traits, platform, field, _ready(field, value, platform, phone_region))
        elif name in _PLAIN:
            _put(traits, *_PLAIN[name], str(value).strip() if value else None)
        else:
            names = ", ".join(sorted({*_FIELDS, *_PLAIN}))
            msg = f"there is no trait {shown_name(name)}; there are: {names}"
            raise EventError(msg)
    return traits


def usable(values: Mapping[str, object], traits: Traits) -> frozenset[str]:
    """Return the names of those values that at least one platform can use.

    :param values: what :func:`prepared` was given.
    :param traits: what it returned.
    """
    used = {field for fields in traits.values() for field in fields}
    return frozenset(name for name in values if _FIELDS.get(name, name) in used)


def left_out(values: Mapping[str, object], traits: Traits) -> frozenset[str]:
    """Return the names of those values that no platform can use, but for None, which is none.

    :param values: what :func:`prepared` was given.
    :param traits: what it returned.
    """
    given = frozenset(name for name, value in values.items() if value is not None)
    return given - usable(values, traits)


def split_off(
    user_data: Mapping[str, Any],
    *,
    phone_region: str | None = None,
) -> tuple[dict[str, Any], Traits]:
    """Separate e-mail addresses and phone numbers from what may be stored as it is.

    Under keys that name them they become traits of the event, hashed; anywhere else they are left
    out. Where there are several, the least deep and first that is usable counts.

    :param user_data: JSON values.
    :param phone_region: see :func:`prepared`.
    :return: the rest, and the traits.
    """
    rest, contacts = split_contacts(user_data)
    traits: Traits = {}
    for contact in contacts:
        found = prepared({contact.kind: contact.value}, phone_region=phone_region)
        traits = merged(found, traits)
    return rest, traits


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
    return _known(known)


def from_contact(contact: object, telegram_id: int) -> dict[str, object]:
    """Return the phone of Telegram's ``Contact``, if it is the user's own.

    Telegram fills in ``user_id`` itself: a person who forwards somebody else's contact cannot
    make it their own. The number may lack its plus.
    """
    if getattr(contact, "user_id", None) != telegram_id:
        return {}
    return _known({"phone": _with_plus(getattr(contact, "phone_number", None))})


def from_order_info(order_info: object) -> dict[str, object]:
    """Return what Telegram's ``OrderInfo`` says of a buyer, as far as it is there.

    The name is one text: its first word is taken for the first name, the rest for the last name.
    The phone number may lack its plus.
    """
    first_name, _, last_name = (getattr(order_info, "name", None) or "").strip().partition(" ")
    known = {
        "first_name": first_name,
        "last_name": last_name.strip(),
        "email": getattr(order_info, "email", None),
        "phone": _with_plus(getattr(order_info, "phone_number", None)),
    }
    address = getattr(order_info, "shipping_address", None)
    return {**_known(known), **from_shipping_address(address)}


def from_shipping_address(address: object) -> dict[str, object]:
    """Return what platforms take of Telegram's ``ShippingAddress``: all but the street."""
    known = {
        "country": getattr(address, "country_code", None),
        "state": getattr(address, "state", None),
        "city": getattr(address, "city", None),
        "zip_code": getattr(address, "post_code", None),
    }
    return _known(known)


def _known(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value}


def _with_plus(phone: str | None) -> str | None:
    """Return a number as Telegram gives it, with the plus that it may lack."""
    return phone if not phone or phone.startswith("+") else f"+{phone}"


def _ready(field: str, value: object, platform: str, phone_region: str | None) -> str | None:
    if platform == "tiktok" and field in TIKTOK_PLAIN:
        return normalize(field, value, platform=platform)
    return hashed(field, value, platform=platform, region=phone_region)


def _put(traits: dict[str, dict[str, str]], platform: str, field: str, value: str | None) -> None:
    if value is not None:
        traits.setdefault(platform, {})[field] = value
