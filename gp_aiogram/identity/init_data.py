"""Validates the init data of a Mini App by the signature that Telegram put on it."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl

from gp_aiogram.errors import EventError, short_repr
from gp_aiogram.model.event import is_text, validate_telegram_id

#: How far Telegram's clock may be ahead of ours.
CLOCK_SKEW = timedelta(minutes=5)

_TOKEN = re.compile(r"(?P<bot_id>[0-9]{1,18}):[!-~]+")
_UNIX_TIME = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True)
class MiniAppLaunch:
    """One launch of a Mini App, as Telegram vouches for it.

    :param bot_id: the bot whose Mini App it is.
    :param telegram_id: the user who opened it.
    :param start_param: what came with the deep link (``?startapp=…``); None without one.
    :param auth_date: when they opened it, in UTC.
    """

    bot_id: int
    telegram_id: int
    start_param: str | None
    auth_date: datetime


def validate_init_data(
    token: str,
    init_data: str,
    *,
    now: datetime,
    max_age: timedelta | float,
) -> MiniAppLaunch:
    """Return what init data says, once the bot's token has proved it to be Telegram's.

    Source: https://core.telegram.org/bots/webapps#validating-data-received-via-the-mini-app

    :param token: of the bot whose Mini App it is.
    :param init_data: ``Telegram.WebApp.initData`` as it is, a query string.
    :param now: the current time, with time zone.
    :param max_age: older data is refused; a timedelta, or seconds.
    :raises EventError: when the data is forged, another bot's, too old, from the future or
        malformed; the text holds neither token nor data.
    """
    bot_id = _bot_id(token)
    oldest = _age(max_age)
    fields = _fields(init_data)
    _check_hash(token, fields)
    return MiniAppLaunch(
        bot_id=bot_id,
        telegram_id=_telegram_id(fields.get("user", "")),
        start_param=fields.get("start_param"),
        auth_date=_fresh(fields.get("auth_date", ""), now, oldest),
    )


def _age(max_age: object) -> timedelta:
    age = max_age
    if isinstance(max_age, (int, float)) and not isinstance(max_age, bool):
        with suppress(ValueError, OverflowError):
            age = timedelta(seconds=max_age)
    if not isinstance(age, timedelta) or age <= timedelta(0):
        msg = (
            f"max_age must be a positive timedelta or number of seconds, not {short_repr(max_age)}"
        )
        raise EventError(msg)
    return age


def _bot_id(token: object) -> int:
    match = _TOKEN.fullmatch(token) if isinstance(token, str) else None
    if match is None:
        msg = "token must be the bot's own, as BotFather gave it: digits, a colon, letters"
        raise EventError(msg)
    return int(match["bot_id"])


def _fields(init_data: object) -> dict[str, str]:
    if init_data == "":
        msg = (
            "init data is empty: Telegram gives none to a Mini App that was opened by a keyboard "
            "button; have it opened by a link, an inline button or the bot's menu"
        )
        raise EventError(msg)
    pairs = _pairs(init_data)
    fields = dict(pairs)
    # These would let the signed text be split into other fields under the same signature.
    ambiguous = any("\n" in name + value or "=" in name for name, value in pairs)
    if not pairs or ambiguous:
        msg = (
            "init data is malformed: pass Telegram.WebApp.initData as it is, a query string, "
            "neither decoded nor made from initDataUnsafe"
        )
        raise EventError(msg)
    if len(fields) != len(pairs):
        msg = "init data names a field twice, which Telegram never does: refuse the request"
        raise EventError(msg)
    return fields


def _pairs(init_data: object) -> list[tuple[str, str]]:
    """Split a query string; return nothing when it is none."""
    if not is_text(init_data):
        return []
    try:
        return parse_qsl(init_data, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        return []


def _check_hash(token: str, fields: dict[str, str]) -> None:
    """Compare ``hash`` with the digest of all other fields.

    ``signature`` is among them: Telegram's second signature, for those who have no token.

    :raises EventError: when they differ.
    """
    lines = [f"{name}={value}" for name, value in sorted(fields.items()) if name != "hash"]
    key = hmac.digest(b"WebAppData", token.encode(), "sha256")
    right = hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(fields.get("hash", "").encode(), right.encode()):
        msg = (
            "init data is not signed for this bot: it is forged, was changed on its way "
            "(pass Telegram.WebApp.initData as it is), or the token is another bot's"
        )
        raise EventError(msg)


def _telegram_id(user: str) -> int:
    try:
        return validate_telegram_id(json.loads(user)["id"])
    except (ValueError, TypeError, KeyError, RecursionError):
        msg = "init data names no user: only the one who opened the Mini App can be captured"
        raise EventError(msg) from None


def _fresh(auth_date: str, now: datetime, max_age: timedelta) -> datetime:
    if _UNIX_TIME.fullmatch(auth_date) is None:
        msg = "init data does not say when the Mini App was opened (auth_date)"
        raise EventError(msg)
    opened = datetime.fromtimestamp(int(auth_date), timezone.utc)
    if opened > now + CLOCK_SKEW:
        msg = "init data is from the future: set this machine's clock"
        raise EventError(msg)
    if now - opened > max_age:
        msg = (
            f"init data is older than {max_age}: have the Mini App opened anew, or allow more "
            "with max_age=timedelta(…)"
        )
        raise EventError(msg)
    return opened
