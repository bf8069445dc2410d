"""Mini Apps: the launch data that Telegram signs for them, and the data they send to bots."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any, Literal, overload
from urllib.parse import urlencode

from gp_aiogram.sandbox.telegram.messages import SandboxMessage
from gp_aiogram.sandbox.telegram.people import Person

MAX_DATA = 4096


class MiniAppUser(Person):
    """Someone who uses Mini Apps of bots."""

    @overload
    async def send_web_app_data(
        self,
        data: str,
        button_text: str = ...,
        *,
        bot_id: int | None = ...,
        expect_reply: Literal[True] = ...,
    ) -> SandboxMessage: ...
    @overload
    async def send_web_app_data(
        self,
        data: str,
        button_text: str = ...,
        *,
        bot_id: int | None = ...,
        expect_reply: Literal[False],
    ) -> None: ...
    async def send_web_app_data(
        self,
        data: str,
        button_text: str = "Open",
        *,
        bot_id: int | None = None,
        expect_reply: bool = True,
    ) -> SandboxMessage | None:
        """Let a Mini App that was opened by a keyboard button send its data and close.

        :param data: what the Mini App passes to ``Telegram.WebApp.sendData``, 1-4096 bytes.
        :param button_text: the text of the keyboard button.
        :param bot_id: the bot.
        :param expect_reply: whether to wait for the reply and return it.
        :raises TimeoutError: no reply came.
        :raises ValueError: the data is empty or too long.
        """
        if not 1 <= len(data.encode()) <= MAX_DATA:
            msg = f"a Mini App can send 1-{MAX_DATA} bytes"
            raise ValueError(msg)
        bot_id = self._bot(bot_id)
        content = {"button_text": button_text, "data": data}
        update = {"message": self._says(bot_id, web_app_data=content)}
        return await self._act(update, bot_id, expect_reply=expect_reply)


def signed_init_data(
    token: str, profile: Mapping[str, Any], *, auth_date: int, start_param: str | None = None
) -> str:
    """The ``initData`` that Telegram hands to a Mini App.

    Signed as core.telegram.org/bots/webapps#validating-data-received-via-the-mini-app tells.
    ``signature``, by which third parties verify, is there and is not Telegram's.

    :param token: the bot's token.
    :param profile: the user.
    :param auth_date: unix seconds.
    :param start_param: the ``startapp`` parameter of the link, if there was one.
    """
    user = {key: value for key, value in profile.items() if key != "is_bot"}
    fields = {
        "user": _json({**user, "allows_write_to_pm": True}),
        "auth_date": str(auth_date),
        "signature": secrets.token_urlsafe(64),
    }
    if start_param is None:
        fields["query_id"] = f"AA{secrets.token_urlsafe(16)}"
    else:
        where = {"chat_type": "sender", "chat_instance": str(secrets.randbits(62))}
        fields |= {**where, "start_param": start_param}
    lines = "\n".join(f"{key}={fields[key]}" for key in sorted(fields))
    secret = hmac.digest(b"WebAppData", token.encode(), "sha256")
    signed = hmac.new(secret, lines.encode(), hashlib.sha256).hexdigest()
    return urlencode({**fields, "hash": signed})


def _json(value: Any) -> str:
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return compact.replace("/", "\\/")
