"""Signs webhooks as Standard Webhooks 1.0.0 has it (https://www.standardwebhooks.com).

Receivers verify with a library of that name: ``standardwebhooks`` on PyPI and npm.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from urllib.parse import quote

from gp_aiogram.errors import ConfigurationError

#: What a secret begins with.
PREFIX = "whsec_"

#: "between 24 bytes (192 bits) and 64 bytes (512 bits)".
SHORTEST, LONGEST = 24, 64

#: What a new one has.
_BYTES = 32

#: What the signature's own version is called: HMAC-SHA256.
_VERSION = "v1"


def new_secret() -> str:
    """Draw a secret for :class:`~gp_aiogram.Webhook` and its receiver."""
    return f"{PREFIX}{base64.b64encode(secrets.token_bytes(_BYTES)).decode()}"


class Signer:
    """Makes the headers that prove where a request comes from.

    :param keys: of one secret, or of two while one replaces the other.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def headers(self, webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """Return the three headers of a request.

        :param webhook_id: the same each time this is sent.
        :param timestamp: Unix seconds, of this try.
        """
        signed = f"{webhook_id}.{timestamp}.".encode() + body
        signatures = [
            f"{_VERSION},{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"
            for key in self._keys
        ]
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signatures),
        }


def webhook_id(event_id: str, name: str) -> str:
    """Return the id of an event's webhook.

    An event is known by its id and its name, so both are in it. Full stops, which separate what
    is signed, and whatever no header takes are percent-encoded.
    """
    return f"{_plain(event_id)}:{_plain(name)}"


def batch_id(ids: Sequence[str]) -> str:
    """Return the id of a request with several events: the same for the same events in order."""
    return f"batch:{hashlib.sha256(' '.join(ids).encode()).hexdigest()[:32]}"


def _plain(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass").replace(".", "%2E")


def read_keys(where: str, secret: object) -> list[bytes]:
    """Return the keys of one secret or of several.

    :param where: names the argument in messages.
    :raises ConfigurationError: without showing a secret.
    """
    given = [secret] if isinstance(secret, str) else secret
    if not isinstance(given, (list, tuple)) or not given:
        msg = f"{where} must be a secret, or a list of the new one and the old one"
        raise ConfigurationError(msg)
    return [_key(where, each) for each in given]


def _key(where: str, secret: object) -> bytes:
    encoded = secret.removeprefix(PREFIX) if isinstance(secret, str) else ""
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    is_marked = isinstance(secret, str) and secret.startswith(PREFIX)
    if not is_marked or not SHORTEST <= len(key) <= LONGEST:
        msg = (
            f"{where} must be {PREFIX!r} and then base64 of {SHORTEST} to {LONGEST} random bytes; "
            "Webhook.new_secret() makes one"
        )
        raise ConfigurationError(msg)
    return key
