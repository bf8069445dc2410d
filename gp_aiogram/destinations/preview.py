"""Shows people what a destination makes of an event; nothing is sent, and no secret is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx

from gp_aiogram.destinations.client import Client
from gp_aiogram.destinations.redaction import Redactor
from gp_aiogram.model import codec

#: Stands for a secret.
HIDDEN = "***"

#: Headers that prove who sends, by their names; what is made of a secret is none of its spellings.
_SECRET_HEADER = re.compile(r"auth|key|token|secret|signature|cookie", re.IGNORECASE)

#: Of those above, what is no secret.
_PLAIN_HEADERS = frozenset({"idempotency-key"})

#: Headers that are the same for every request.
_USUAL = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "host", "user-agent"}
)


class PreparedRequest(NamedTuple):
    """A request as it would be sent, without its secrets.

    :param headers: without those that every request has.
    :param body: JSON values where it is JSON, else a text; None when there is none.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Preview:
    """What a destination makes of one event.

    :param requests: what would be sent, if the destination sends HTTP requests of its own making.
    :param item: what :meth:`Destination.prepare` has made, as JSON values, where there are none.
    :param refusal: why nothing would be sent; None when something would.
    """

    requests: Sequence[PreparedRequest] = ()
    item: Any = None
    refusal: str | None = None


class Capture(Client):
    """Takes requests in place of a network, and answers each with nothing."""

    def __init__(self) -> None:
        super().__init__(None, None)
        self.requests: list[httpx.Request] = []

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Keep a request."""
        self.requests.append(request)
        return httpx.Response(200, request=request)


def shown_request(request: httpx.Request, redactor: Redactor) -> PreparedRequest:
    """Return a request without its secrets."""
    text = redactor.mask(request.content.decode("utf-8", "replace"))
    return PreparedRequest(
        request.method,
        redactor.mask(str(request.url)),
        {
            name: HIDDEN if _is_secret(name) else redactor.mask(value)
            for name, value in request.headers.items()
            if name not in _USUAL
        },
        _parsed(text, request.headers.get("content-type", "")),
    )


def plain(value: object) -> Any:
    """Return what was prepared as JSON values, whatever it is."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def _is_secret(header: str) -> bool:
    return header not in _PLAIN_HEADERS and _SECRET_HEADER.search(header) is not None


def _parsed(text: str, content_type: str) -> Any:
    if not text:
        return None
    if not content_type.startswith("application/json"):
        return text
    try:
        return codec.decode(text)
    except ValueError:
        return text
