"""Sends requests to a destination's HTTP API; the one place that knows the HTTP client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from gp_aiogram.destinations.arguments import validate_only, validate_url
from gp_aiogram.destinations.base import Destination, Receipt
from gp_aiogram.errors import (
    ConfigurationError,
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    RateLimited,
    short_repr,
)
from gp_aiogram.model import codec

#: Seconds to connect, between two parts of an answer, and for the whole request.
CONNECT_TIMEOUT, READ_TIMEOUT, TOTAL_TIMEOUT = 5.0, 10.0, 30.0

#: Characters of a reason or a receipt that are kept.
_REASON_LENGTH = 500

_EMPTY = (None, "")

#: Causes that prove that the request was not sent. The httpx class proves nothing: its aiohttp
#: transport maps a reset after sending to ``ConnectTimeout`` too.
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class HTTPDestination(Destination):
    """A destination behind an HTTP API.

    :param name: tells this destination from others.
    :param base_url: where the API lives; ``http`` or ``https``.
    :param headers: sent with each request.
    :param secrets: kept out of every error, log line and repr.
    :param only: names of the events that this destination gets; None means all.
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
        only: Collection[str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        kind = type(self).__name__
        if not name or not isinstance(name, str):
            msg = f"{kind}(name=...) must be a text, not {short_repr(name)}"
            raise ConfigurationError(msg)
        self.name = name
        self.base_url = validate_url(f"{kind}(base_url=...)", base_url)
        # A subclass may have set it for the whole class.
        self.only = validate_only(f"{kind}(only=...)", self.only if only is None else only)
        self._headers = {"user-agent": f"gp_aiogram/{version('gp-aiogram')}", **(headers or {})}
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
        *,
        idempotency_key: str | None = None,
    ) -> httpx.Response:
        """Post JSON and return the answer, whatever its status.

        :param idempotency_key: sent percent-encoded as ``Idempotency-Key``, by which a server may
            know a repeated request.
        :raises DeliveryFailed: when no answer came; ambiguous unless nothing was sent for certain.
        """
        sent = {"content-type": "application/json", **(headers or {})}
        if idempotency_key is not None:
            sent["idempotency-key"] = quote(idempotency_key, errors="surrogatepass")
        return await self._answer("POST", path, content=codec.encode(body), headers=sent)

    async def get(self, path: str, query: Mapping[str, Any]) -> httpx.Response:
        """Send a GET request, as postbacks do, and return the answer, whatever its status.

        :raises DeliveryFailed: when no answer came; ambiguous unless nothing was sent for certain.
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
            raise DeliveryFailed(self.redact(_described(error)), ambiguous=ambiguous) from None

    def raise_for_status(self, response: httpx.Response) -> None:
        """Raise the error that an HTTP status stands for.

        :raises DeliveryError: unless the status is a success.
        """
        status = response.status_code
        if response.is_success:
            return
        reason = self.redact(f"HTTP {status}: {response.text}")
        retry_after = retry_after_header(response)
        if status == HTTPStatus.TOO_MANY_REQUESTS or (
            status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None
        ):
            raise RateLimited(reason, retry_after=retry_after)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise DestinationMisconfigured(reason)
        if response.is_redirect or response.is_informational:
            msg = self.redact(f"HTTP {status}: is base_url={self.base_url!r} right?")
            raise DestinationMisconfigured(msg)
        if response.is_server_error or status == HTTPStatus.REQUEST_TIMEOUT:
            # 503 and 408 say that the request was not handled; any other 5xx leaves it open.
            handled = status not in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.REQUEST_TIMEOUT)
            raise DeliveryFailed(reason, ambiguous=handled)
        raise EventRejected(reason)

    def receipt(self, told: Mapping[str, object]) -> Receipt:
        """Return a receipt of what an answer told: redacted texts, nothing that is empty."""
        return {key: self.redact(str(value)) for key, value in told.items() if value not in _EMPTY}

    def redact(self, text: str) -> str:
        """Return a text without secrets, cut to 500 characters."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text[:_REASON_LENGTH]

    def redact_error(self, error: DeliveryError) -> DeliveryError:
        """Return an error that was made from an answer, its reason redacted."""
        error.reason = self.redact(error.reason)
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
        # Over aiohttp's connections: httpx's own pool slows down twentyfold under concurrency
        # (https://github.com/encode/httpx/issues/3215).
        return httpx.AsyncClient(
            base_url=self.base_url,
            headers=self._headers,
            timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
            transport=self._transport or AiohttpTransport(),
        )


def _forms(secret: str) -> set[str]:
    """Return a secret as a server may echo it: as it is, and as JSON writers escape it."""
    escaped = json.dumps(secret)[1:-1]
    return {secret, escaped, escaped.replace("/", "\\/")}


def _described(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__


def json_object(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object that was answered; an empty one when the answer is none."""
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def retry_after_header(response: httpx.Response) -> float | None:
    """Return the seconds of the Retry-After header (RFC 9110, 10.2.3); None if not usable."""
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
