"""Which pages may report clicks from a browser (CORS)."""

from __future__ import annotations

import re
from collections.abc import Collection

from aiohttp import web

from gp_aiogram.errors import ConfigurationError, short_repr

_ORIGIN = re.compile(r"https?://[^/?#@\s*]+")
_ANY = "*"

#: Seconds for which a browser may remember the answer to its preflight.
_REMEMBERED = "86400"


class Origins:
    """The origins whose pages may report clicks; the server's own is always one.

    Source: Fetch standard, "CORS protocol". No credentials are needed, so none are allowed.

    :param allowed: such as ``https://example.com``; ``"*"`` means every page.
    :raises ConfigurationError: when one of them is no origin.
    """

    def __init__(self, allowed: Collection[str]) -> None:
        if isinstance(allowed, str):
            msg = f"allowed_origins must be a list of origins, not {short_repr(allowed)}"
            raise ConfigurationError(msg)
        self._allowed = {_checked(origin) for origin in allowed}

    def admit(self, request: web.Request) -> bool:
        """Return whether a request comes from an allowed page, or from no page at all."""
        origin = request.headers.get("Origin")
        if origin is None or _ANY in self._allowed or origin.lower() in self._allowed:
            return True
        return origin.lower().partition("://")[2] == request.host.lower()

    def headers(self, request: web.Request) -> dict[str, str]:
        """Return what lets an admitted page read the answer."""
        origin = request.headers.get("Origin")
        if origin is None or not self.admit(request):
            return {"Vary": "Origin"}
        return {"Vary": "Origin", "Access-Control-Allow-Origin": origin}

    def preflight(self, request: web.Request) -> web.Response:
        """Answer the question that a browser asks before it posts JSON."""
        if not self.admit(request):
            return web.Response(status=403, headers=self.headers(request))
        allowed = {
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "Content-Type",
            "Access-Control-Max-Age": _REMEMBERED,
        }
        return web.Response(status=204, headers={**self.headers(request), **allowed})


def _checked(origin: object) -> str:
    text = origin.rstrip("/").lower() if isinstance(origin, str) else ""
    if text != _ANY and not _ORIGIN.fullmatch(text):
        wrong = short_repr(origin)
        msg = f"allowed_origins must hold origins such as https://example.com, not {wrong}"
        raise ConfigurationError(msg)
    return text
