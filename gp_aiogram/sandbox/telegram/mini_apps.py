"""The launch data that Telegram signs for a Mini App."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode


def signed_init_data(
    token: str, profile: Mapping[str, Any], *, auth_date: int, start_param: str | None = None
) -> str:
    """Build the ``initData`` that a Mini App gets when a user opens it.

    It is signed as core.telegram.org/bots/webapps#validating-data-received-via-the-mini-app
    describes. ``signature``, the field for third-party validation, is random.

    :param token: the bot's token.
    :param profile: the ``User`` of the Bot API.
    :param auth_date: unix seconds.
    :param start_param: the ``startapp`` parameter of the link, if any.
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
