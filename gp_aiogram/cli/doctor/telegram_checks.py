"""Checks the bot at Telegram, and the landing that leads to it; without aiogram."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from gp_aiogram.cli.doctor.finding import Finding
from gp_aiogram.model.event import UPDATE_TYPES

_TIMEOUT = aiohttp.ClientTimeout(total=15)

#: As @BotFather gives them.
_TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{3,100}")

#: What Telegram sends unless it is told (Bot API, setWebhook): all but these.
_NOT_BY_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})

_ALWAYS_NEEDED = frozenset({"message"})


@dataclass(frozen=True)
class Bot:
    """What Telegram tells of a bot.

    :param date: when, by its ``Date`` header.
    """

    username: str
    date: str | None


class _Silence(Exception):  # noqa: N818 - reads as what happened
    """Telegram has not answered, or has refused; the text says why, without the token."""


async def check_bot(
    token: str | None, base_url: str, auto: Collection[str]
) -> tuple[Bot | None, list[Finding]]:
    """Ask Telegram for the bot, and how it sends updates.

    :param token: as @BotFather gave it; None when nobody told.
    :param base_url: of the Bot API.
    :param auto: events that are recorded of updates, which Telegram must be asked for.
    :return: None when there is no bot to speak of, and what was found.
    """
    if token is None:
        text = "the bot was not looked at: BOT_TOKEN is not set"
        return None, [Finding("note", "telegram", text, "set it, or name its variable")]
    if not _TOKEN.fullmatch(token):
        text = "the bot's token does not look like one"
        return None, [Finding("problem", "telegram", text, "take it from @BotFather again")]
    async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as http:
        try:
            me, date = await _ask(http, base_url, token, "getMe")
            webhook, _ = await _ask(http, base_url, token, "getWebhookInfo")
        except _Silence as silence:
            return None, [Finding("problem", "telegram", str(silence))]
    bot = Bot(str(me.get("username") or ""), date)
    found = [Finding("ok", "telegram", f"the token is that of @{bot.username}")]
    return bot, found + _check_updates(webhook, auto) + _check_webhook(webhook)


async def check_landing(url: str, bot: Bot | None) -> list[Finding]:
    """See where a landing page sends people, without counting as one.

    :param url: of the page's ``/go``, or of the folder that it is in.
    """
    address = url if urlsplit(url).path.endswith("/go") else f"{url.rstrip('/')}/go"
    async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as http:
        try:
            async with http.head(address, allow_redirects=False) as answer:
                status, location = answer.status, answer.headers.get("Location", "")
        except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
            text = f"{address} cannot be reached: {type(error).__name__}"
            return [
                Finding("problem", "landing", text, "does the bot run, and the proxy forward?")
            ]
    username = _username(location)
    if username is None:
        text = f"{address} answers HTTP {status}, and leads to no bot"
        return [Finding("problem", "landing", text, "is this the address of Landing's /go?")]
    if bot is None:
        return [Finding("note", "landing", f"it leads to @{username}, which nobody compared")]
    if username.lower() != bot.username.lower():
        text = f"it leads to @{username}, and the token is that of @{bot.username}"
        return [Finding("problem", "landing", text, f"Landing(tracker, {bot.username!r})")]
    return [Finding("ok", "landing", f"it leads to @{username}")]


async def _ask(
    http: aiohttp.ClientSession, base_url: str, token: str, method: str
) -> tuple[Mapping[str, Any], str | None]:
    """Call a method of the Bot API, and return its result and the date of the answer.

    :raises _Silence: when there is none.
    """
    try:
        async with http.get(f"{base_url.rstrip('/')}/bot{token}/{method}") as response:
            answer = await response.json(content_type=None)
    except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
        # Not its text, which may hold the URL, and so the token.
        msg = f"{base_url} cannot be reached ({type(error).__name__}): look at network and proxy"
        raise _Silence(msg) from None
    if not isinstance(answer, dict) or not isinstance(answer.get("result"), dict):
        told = answer.get("description", "") if isinstance(answer, dict) else ""
        msg = f"it refuses {method}: {told}; is the token still the one of @BotFather?"
        raise _Silence(msg.replace(token, "***"))
    return answer["result"], response.headers.get("Date")


def _check_updates(webhook: Mapping[str, Any], auto: Collection[str]) -> list[Finding]:
    """Look whether Telegram sends the updates that ``GP_AUTO`` reads."""
    needed = _ALWAYS_NEEDED | {UPDATE_TYPES[name] for name in auto}
    allowed = webhook.get("allowed_updates")
    missing = needed - {*allowed} if allowed else needed & _NOT_BY_DEFAULT
    if not missing:
        return [Finding("ok", "updates", f"Telegram sends {', '.join(sorted(needed))}")]
    if not webhook.get("url"):
        remedy = "with polling, aiogram asks for them when the bot starts"
        text = f"Telegram was not asked for {', '.join(sorted(missing))} last time"
        return [Finding("note", "updates", text, remedy)]
    text = f"Telegram does not send {', '.join(sorted(missing))}"
    remedy = "bot.set_webhook(..., allowed_updates=dp.resolve_used_update_types())"
    return [Finding("problem", "updates", text, remedy)]


def _check_webhook(webhook: Mapping[str, Any]) -> list[Finding]:
    if not webhook.get("url") or not webhook.get("last_error_message"):
        return []
    waiting = webhook.get("pending_update_count", 0)
    text = f"Telegram's last error: {webhook['last_error_message']}; {waiting} updates wait"
    return [Finding("warning", "webhook", text, "look at the bot's log and at the proxy")]


def _username(location: str) -> str | None:
    parts = urlsplit(location)
    name = parts.path.strip("/").split("/")[0]
    return name if parts.netloc and name else None
