"""How touches, clicks, traits and conversions are written in Redis.

In ASCII, so that it is the same whether a client decodes answers or not, and by which encoding.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gp_aiogram.model.click import Click
from gp_aiogram.model.clock import from_ms, to_ms
from gp_aiogram.model.session import Session
from gp_aiogram.stores.records import Unmatched
from gp_aiogram.stores.rows import tell_left_out

logger = logging.getLogger("gp_aiogram")

#: The field of a user's touches that numbers them.
COUNTER = "#"


class StoredTouch(NamedTuple):
    """A touch as it is stored: what tells it from others, and the rest."""

    field: str
    value: str


class _Trait(NamedTuple):
    platform: str
    field: str
    value: str


class StoredClick(NamedTuple):
    """A click that was read."""

    at_ms: int
    click: Click


class StoredConversion(NamedTuple):
    """A conversion that was read, and what tells its keeping from others."""

    mark: str
    conversion: Unmatched


def text(answer: str | bytes) -> str:
    """Return what a client answered as text."""
    return answer.decode("ascii") if isinstance(answer, bytes) else answer


def packed(value: Any) -> str:
    """Write JSON in ASCII."""
    return json.dumps(value, separators=(",", ":"))


def unpacked(answer: str | bytes) -> Any:
    """Turn :func:`packed` round."""
    return json.loads(text(answer))


def stored_touch(session: Session) -> StoredTouch:
    """Write a touch."""
    bot = "-" if session.bot_id is None else session.bot_id
    return StoredTouch(
        f"{to_ms(session.at)} {bot} {packed(session.session_id)}",
        packed([session.source, session.payload]),
    )


def touches_of(telegram_id: int, answer: Mapping[Any, Any]) -> list[Session]:
    """Read the touches of a user, oldest first; at the same moment, as added."""
    found: list[tuple[int, Session]] = []
    for field, value in answer.items():
        if text(field) == COUNTER:
            continue
        try:
            found.append(_touch(telegram_id, text(field), text(value)))
        except Exception as error:  # noqa: BLE001 - whatever is in the hash
            tell_left_out("touch", error)
    found.sort(key=lambda numbered: (numbered[1].at, numbered[0]))
    return [session for _, session in found]


def sessions_in(fields: Iterable[Any]) -> set[str]:
    """Return the session ids that the fields of touches name."""
    words = (text(field).split(" ", 2) for field in fields)
    return {json.loads(parts[2]) for parts in words if len(parts) == 3}  # noqa: PLR2004 - above


def _touch(telegram_id: int, field: str, value: str) -> tuple[int, Session]:
    at_ms, bot, session_id = field.split(" ", 2)
    number, rest = value.split(" ", 1)
    source, payload = json.loads(rest)
    bot_id = None if bot == "-" else int(bot)
    at = from_ms(int(at_ms))
    return int(number), Session(bot_id, telegram_id, json.loads(session_id), source, at, payload)


def stored_click(click: Click, mark: str) -> str:
    """Write a click.

    :param mark: tells this call from others, so that it may be repeated.
    """
    return f"{to_ms(click.moment)} {mark} {packed(click.to_dict())}"


def click_of(answer: str | bytes | None) -> StoredClick | None:
    """Read a click; None when there is none that can be read."""
    if answer is None:
        return None
    try:
        at_ms, _, body = text(answer).split(" ", 2)
        return StoredClick(int(at_ms), Click.from_dict(json.loads(body)))
    except Exception as error:  # noqa: BLE001 - whatever is in the key
        tell_left_out("click", error)
        return None


def traits_of(answer: Mapping[Any, Any]) -> dict[str, dict[str, str]]:
    """Read the traits of a user: platform, field, value."""
    traits: dict[str, dict[str, str]] = {}
    for name, value in answer.items():
        trait = _trait(name, value)
        if trait is not None:
            traits.setdefault(trait.platform, {})[trait.field] = trait.value
    return traits


def _trait(name: str | bytes, value: str | bytes) -> _Trait | None:
    try:
        platform, field = unpacked(name)
        return _Trait(str(platform), str(field), str(unpacked(value)))
    except Exception as error:  # noqa: BLE001 - whatever is in the hash
        tell_left_out("trait", error)
        return None


def stored_conversion(conversion: Unmatched, mark: str) -> str:
    """Write a conversion.

    :param mark: tells this call from others, so that it may be repeated.
    """
    key, click_id, at, body = conversion
    return f"{mark} {packed([key, click_id, to_ms(at), dict(body)])}"


def conversion_of(answer: str | bytes | None) -> StoredConversion | None:
    """Read a conversion; None when there is none that can be read."""
    if answer is None:
        return None
    try:
        mark, rest = text(answer).split(" ", 1)
        key, click_id, at_ms, body = json.loads(rest)
        return StoredConversion(mark, Unmatched(key, click_id, from_ms(at_ms), body))
    except Exception as error:  # noqa: BLE001 - whatever is in the key
        tell_left_out("conversion", error)
        return None


def place_name(key: str, mark: str = "") -> str:
    """Name the place of a conversion, so that Redis orders places as Python orders keys."""
    name = key.encode("utf-8", "surrogatepass").hex()
    return f"{name} {mark}" if mark else name


def key_in(name: str) -> str:
    """Return the key of the conversion whose place has a name."""
    return bytes.fromhex(name.split(" ", maxsplit=1)[0]).decode("utf-8", "surrogatepass")
