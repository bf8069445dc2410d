"""Requests to a destination's HTTP API: the one place that knows the HTTP client.

The client is httpx over aiohttp's connections: httpx's own pool slows down twentyfold under
concurrency (https://github.com/encode/httpx/issues/3215).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from gp_aiogram._version import __version__
from gp_aiogram.destinations.base import Destination
from gp_aiogram.errors import (
    ConfigurationError,
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    RateLimited,
    short_repr,
)

#: Seconds: to connect, between two parts of an answer, and for the whole request.
CONNECT_TIMEOUT, READ_TIMEOUT, TOTAL_TIMEOUT = 5.0, 10.0, 30.0

_REASON_LENGTH = 500

#: Made once, and without the search for circles, a seventh of the work: a body that holds itself
#: is a RecursionError.
_compact = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode

#: Causes that prove that the request was not sent. The httpx class proves nothing: its aiohttp
#: transport maps a reset after sending to ``ConnectTimeout`` too.
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class HTTPDestination(Destination):
    """A destination behind an HTTP API.

    :param name: tells this destination from others.
    :param base_url: where the API lives; ``http`` or ``https``.
    :param headers: sent with each request.
    :param secrets: never to appear in an error, a log line or a repr.
    :param transport: what carries the requests, e.g. ``httpx.MockTransport`` in tests.
    :raises ConfigurationError: when one of them cannot work.
    """

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        headers: Mapping[str, str] | None = None,
        secrets: Collection[str] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if not name or not isinstance(name, str):
            msg = f"{type(self).__name__}(name=...) must be a text, not {short_repr(name)}"
            raise ConfigurationError(msg)
        self.name = name
        self.base_url = validate_url(f"{type(self).__name__}(base_url=...)", base_url)
        self._headers = {"user-agent": f"gp_aiogram/{__version__}", **(headers or {})}
        self._secrets = [form for secret in secrets for form in _forms(secret)]
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._opening: asyncio.Task[httpx.AsyncClient] | None = None

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def post(
        self,
        path: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Post JSON and return the answer, whatever its status.

        :raises DeliveryFailed: when no answer came; ambiguous unless surely nothing was sent.
        """
        # ASCII escapes carry what UTF-8 cannot (lone surrogates that users paste).
        content = _compact(body).encode()
        headers = {"content-type": "application/json", **(headers or {})}
        return await self._answer("POST", path, content=content, headers=headers)

    async def get(self, path: str, query: Mapping[str, Any]) -> httpx.Response:
        """Ask by GET, as postbacks do, and return the answer, whatever its status.

        :raises DeliveryFailed: when no answer came; ambiguous unless surely nothing was sent.
        """
        return await self._answer("GET", path, params=dict(query))

    async def _answer(self, method: str, path: str, **content: Any) -> httpx.Response:
        client = await self._opened()
        request = client.build_request(method, path, **content)
        try:
            return await asyncio.wait_for(client.send(request), TOTAL_TIMEOUT)
        except asyncio.TimeoutError:
            msg = f"no answer within {TOTAL_TIMEOUT:g} s"
            raise DeliveryFailed(msg, ambiguous=True) from None
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            ambiguous = not isinstance(error.__cause__, _NOT_SENT)
            raise DeliveryFailed(self._reason(_described(error)), ambiguous=ambiguous) from None

    def raise_for_status(self, response: httpx.Response) -> None:
        """Turn an HTTP status that is no success into the error that the courier acts on."""
        status = response.status_code
        if response.is_success:
            return
        reason = self._reason(f"HTTP {status}: {response.text}")
        retry_after = retry_after_header(response)
        if status == HTTPStatus.TOO_MANY_REQUESTS or (
            status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None
        ):
            raise RateLimited(reason, retry_after=retry_after)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise DestinationMisconfigured(reason)
        if response.is_redirect or response.is_informational:
            msg = self._reason(f"HTTP {status}: is base_url={self.base_url!r} right?")
            raise DestinationMisconfigured(msg)
        if response.is_server_error or status == HTTPStatus.REQUEST_TIMEOUT:
            # 503 and 408 say that the request was not handled; any other 5xx leaves it open.
            handled = status not in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.REQUEST_TIMEOUT)
            raise DeliveryFailed(reason, ambiguous=handled)
        raise EventRejected(reason)

    def cleaned(self, error: DeliveryError) -> DeliveryError:
        """Take the secrets out of an error that was made from an answer."""
        error.reason = self._reason(error.reason)
        error.args = (error.reason,)
        return error

    async def _opened(self) -> httpx.AsyncClient:
        """Return the client; making it loads certificates, which would hold up the event loop."""
        if self._client is None:
            if self._opening is None:
                self._opening = asyncio.create_task(asyncio.to_thread(self._new_client))
            self._client = await asyncio.shield(self._opening)
            self._opening = None
        return self._client

    def _new_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.base_url,
            headers=self._headers,
            timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
            transport=self._transport or AiohttpTransport(),
        )

    def _reason(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text[:_REASON_LENGTH]


def validate_url(where: str, base_url: object) -> str:
    """Return the URL that paths of an HTTP API are appended to.

    :param where: names the argument, e.g. ``GramPixel(base_url=...)``.
    :raises ConfigurationError: without showing the URL: a user in it may have a password.
    """
    text = str(base_url).rstrip("/")
    try:
        url, port = httpx.URL(text), urlsplit(text).port
    except (httpx.InvalidURL, ValueError):
        url, port = httpx.URL(), None
    odd = url.userinfo or "?" in text or "#" in text or " " in text or not text.isprintable()
    if url.scheme not in {"http", "https"} or not url.host or port == 0 or odd:
        msg = (
            f"{where} must be an http or https URL such as 'https://api.example.com', "
            "without user, query, fragment and white space"
        )
        raise ConfigurationError(msg)
    return text


def validate_secret(where: str, secret: object) -> str:
    """Return a secret that can go into an HTTP header.

    :param where: names the argument, e.g. ``GramPixel(api_key=...)``.
    :raises ConfigurationError: without showing the secret.
    """
    if not isinstance(secret, str) or not secret or not secret.isascii():
        problem = "is empty or not a plain ASCII text"
    elif not secret.isprintable() or " " in secret:
        problem = "holds white space or control characters: was it pasted with a line break?"
    else:
        return secret
    msg = f"{where} {problem}"
    raise ConfigurationError(msg)


def _forms(secret: str) -> set[str]:
    """How a server may echo a secret: as it is, and as JSON writers escape it."""
    escaped = json.dumps(secret)[1:-1]
    return {secret, escaped, escaped.replace("/", "\\/")}


def _described(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__


def json_object(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object that was answered; an empty one when it is none."""
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def retry_after_header(response: httpx.Response) -> float | None:
    """Seconds to wait by the Retry-After header (RFC 9110, 10.2.3); None without a usable one."""
    value = response.headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
        now = parsedate_to_datetime(response.headers["date"])
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    if moment.tzinfo is None or now.tzinfo is None:
        return None
    return max(0.0, (moment - now).total_seconds())
