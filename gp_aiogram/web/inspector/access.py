"""Who may look at a page: a token is exchanged for a cookie, which no script and no site reads."""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from aiohttp import web

from gp_aiogram.destinations.arguments import validate_secret
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.model.clock import Clock
from gp_aiogram.web.limits import PerIpLimit
from gp_aiogram.web.visitors import Visitors

#: A shorter token could be guessed.
SHORTEST_TOKEN = 16

#: Seconds after which somebody has to log in again.
SESSION_SECONDS = 12 * 60 * 60

#: Logins per minute and address, and of all addresses together.
LOGINS_PER_MINUTE, ALL_LOGINS_PER_MINUTE = 5.0, 300.0

#: A header that no form and no other site's script can send without being asked first.
ACTION_HEADER = "X-GP-Action"

_EVERYBODY = "everybody"

#: Names of this machine; any other name in ``Host`` may be another site's that leads here.
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

#: What a proxy adds: behind one, everybody comes from this machine.
_FORWARDING = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")

LoginResult = Literal["ok", "wrong", "too many"]


class Access:
    """Lets people in.

    :param token: what they log in by; None when nobody can, and only this machine looks.
    :param open_on_loopback: let in whoever comes from this machine, without a token.
    :param visitors: knows addresses and schemes behind proxies.
    :param clock: tells when a login ends.
    :param cookie: its name.
    :param argument: what the messages call the owner of these arguments.
    :raises ConfigurationError: when the token could be guessed, or when nobody could look.
    """

    def __init__(
        self,
        token: str | None,
        *,
        open_on_loopback: bool,
        visitors: Visitors,
        clock: Clock,
        cookie: str,
        argument: str,
    ) -> None:
        if token is None and not open_on_loopback:
            msg = (
                f"{argument}(token=...) is missing: make one with python -c 'import secrets; "
                "print(secrets.token_urlsafe(24))', or write open_on_loopback=True where only "
                "this machine shall look"
            )
            raise ConfigurationError(msg)
        if (
            token is not None
            and len(validate_secret(f"{argument}(token=...)", token)) < SHORTEST_TOKEN
        ):
            msg = f"{argument}(token=...) must have {SHORTEST_TOKEN} characters or more"
            raise ConfigurationError(msg)
        self._digest = None if token is None else _digest(token)
        self._key = secrets.token_bytes(32) if token is None else _digest(f"cookie\0{token}")
        self._open_on_loopback = open_on_loopback
        self._visitors = visitors
        self._clock = clock
        self._cookie = cookie
        self._limit = PerIpLimit(LOGINS_PER_MINUTE, clock.monotonic)
        self._limit_of_all = PerIpLimit(ALL_LOGINS_PER_MINUTE, clock.monotonic)
        #: Cookies that were logged out, until they end by themselves.
        self._ended: dict[str, float] = {}

    @property
    def has_token(self) -> bool:
        """Whether anybody can log in."""
        return self._digest is not None

    @property
    def retry_after(self) -> int:
        """Seconds after which whoever tried too often may try again."""
        return self._limit.retry_after

    def allows(self, request: web.Request) -> bool:
        """Return whether whoever asks may look."""
        return self.is_logged_in(request) or self._is_at_home(request)

    def is_logged_in(self, request: web.Request) -> bool:
        """Return whether a request has a cookie of ours that still holds."""
        expires, _, rest = request.cookies.get(self._cookie, "").partition(".")
        nonce, _, signature = rest.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(expires, nonce).encode()):
            return False
        return nonce not in self._ended and float(expires) > self._clock.time()

    def login(self, request: web.Request, token: object) -> LoginResult:
        """Return whether a token is right; it takes as long whatever was given."""
        address = self._visitors.find(request).address or _EVERYBODY
        if not (self._limit_of_all.take("0.0.0.0") and self._limit.take(address)):  # noqa: S104
            return "too many"
        given = _digest(token if isinstance(token, str) else "")
        right = hmac.compare_digest(given, self._digest or bytes(len(given)))
        return "ok" if right and self._digest is not None else "wrong"

    def set_cookie(self, request: web.Request, response: web.Response, path: str) -> None:
        """Give the cookie to whoever has logged in.

        :param path: where the browser sends it.
        """
        expires = str(int(self._clock.time() + SESSION_SECONDS))
        nonce = secrets.token_hex(16)
        response.set_cookie(
            self._cookie,
            f"{expires}.{nonce}.{self._signature(expires, nonce)}",
            path=path,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=self._visitors.find(request).scheme == "https",
        )

    def logout(self, request: web.Request, response: web.Response, path: str) -> None:
        """End the login of a request."""
        if self.is_logged_in(request):
            expires, nonce, _ = request.cookies[self._cookie].split(".")
            now = self._clock.time()
            self._ended = {each: until for each, until in self._ended.items() if until > now}
            self._ended[nonce] = float(expires)
        response.del_cookie(self._cookie, path=path)

    def _signature(self, expires: str, nonce: str) -> str:
        text = f"{expires}.{nonce}".encode(errors="replace")
        return hmac.new(self._key, text, sha256).hexdigest()

    def _is_at_home(self, request: web.Request) -> bool:
        """Return whether a request is from this machine, by its own name and through no proxy."""
        if not self._open_on_loopback or any(name in request.headers for name in _FORWARDING):
            return False
        return _is_loopback(request.remote) and _host_of(f"//{request.host}") in _LOOPBACK_NAMES


def is_own_page(request: web.Request) -> bool:
    """Return whether an action comes from a page of this server, and from no other site.

    The cookie goes with requests of this site alone (``SameSite=Strict``); this keeps out other
    ports and subdomains, which count as the same site, and whoever is let in without a cookie.
    """
    if ACTION_HEADER not in request.headers:
        return False
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == request.host.lower()


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_loopback(address: str | None) -> bool:
    try:
        return ip_address(address or "").is_loopback
    except ValueError:
        return False


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
