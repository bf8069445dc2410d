"""Keeps personal data from an ad platform, outside the fields that are hashed for it.

Both platforms forbid it (Meta Business Tools Terms, "customer information parameters"; TikTok,
"Report App, Web, Offline, or CRM Events": e-mail and phone "SHA-256 required").
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus, urlsplit, urlunsplit

from gp_aiogram.model.pii import is_personal_key, looks_personal, without_personal

#: Ids of a payment, for the bot's owner. As the order's id one of them is shared already.
_CHARGE_IDS = frozenset({"telegram_payment_charge_id", "provider_payment_charge_id"})


def shareable(user_data: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``user_data`` without what is personal in it, by its key or by its look.

    A payment's charge id stays as ``order_id`` alone.
    """
    shared: dict[str, Any] = without_personal(user_data, _is_private)
    return shared


def _is_private(key: str, value: object) -> bool:
    """Return whether a key names personal data, and its value is more than a yes or no."""
    if key in _CHARGE_IDS:
        return True
    return is_personal_key(key) and value is not None and not isinstance(value, bool)


@lru_cache(maxsize=1024)
def shareable_url(url: str | None) -> str | None:
    """Return a page's address without personal parameters; click ids stay to the letter.

    :return: None when it is no http or https address.
    """
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        return None
    query = "&".join(pair for pair in parts.query.split("&") if _is_shareable_pair(pair))
    path = "" if looks_personal(_decoded(parts.path)) else parts.path
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))


def _is_shareable_pair(pair: str) -> bool:
    name, _, value = pair.partition("=")
    # In a query a plus is a space, so a phone number may have its own plus in either form.
    personal = looks_personal(value) or looks_personal(_decoded(value))
    return not personal and not is_personal_key(_decoded(name))


def _decoded(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text
