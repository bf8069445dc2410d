"""Sends requests to a destination's HTTP API, and says what their answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

import httpx

from gp_aiogram.destinations.answers import kind_of_status, retry_after_header
from gp_aiogram.destinations.arguments import validate_only, validate_url
from gp_aiogram.destinations.base import Destination, Receipt
from gp_aiogram.destinations.client import (
    NO_ANSWER,
    Client,
    describe,
    proxy_status,
    was_not_sent,
)
from gp_aiogram.destinations.proxies import environment_proxy, validate_proxy
from gp_aiogram.destinations.redaction import Redactor
from gp_aiogram.errors import (
    ConfigurationError,
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    RateLimited,
    short_repr,
)
from gp_aiogram.model import codec

#: Seconds to connect, between two parts of an answer, and for the whole request. Two requests fit
#: into one try (``send_timeout``).
CONNECT_TIMEOUT, READ_TIMEOUT, TOTAL_TIMEOUT = 5.0, 10.0, 25.0

_HEADERS = {
    "accept": "*/*",
    # Answers are short: nothing is gained by packing them, and there is no bomb to unpack.
    "accept-encoding": "identity",
    "user-agent": f"gp_aiogram/{version('gp-aiogram')}",
}

_EMPTY = (None, "")

#: Statuses by which a server says that it did not handle the request.
_NOT_HANDLED = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)

#: Statuses that speak of the address, beside redirects.
_WRONG_ADDRESS = (
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.GONE,
    HTTPStatus.MISDIRECTED_REQUEST,
)


class HTTPDestination(Destination):
    """A destination behind an HTTP API.

    Requests are in no log. Answers are read up to 1 MiB and judged by what came.

    :param name: tells this destination from others.
    :param base_url: where the API lives; ``http`` or ``https``.
    :param headers: sent with each request.
    :param secrets: kept out of every error, log line and repr, also as URLs, JSON and base64
        write them.
    :param only: names of the events that this destination gets; None means all.
    :param proxy: URL of the HTTP proxy that requests go through, which may hold user and
        password; None for that of the environment (``HTTPS_PROXY``, ``NO_PROXY``), if any.
    :param transport: what carries the requests in place of connections of our own, e.g.
        ``httpx.MockTransport`` in tests; a proxy is then its own business.
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
        proxy: str | None = None,
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
        self._headers = httpx.Headers(_HEADERS)
        self._headers.update(headers)
        through = None if proxy is None else validate_proxy(f"{kind}(proxy=...)", proxy)
        if through is None and transport is None:
            through = environment_proxy(self.base_url)
        self._client = Client(transport, through)
        self._redactor = Redactor([*secrets, *(through.secrets if through else ())])

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        await self._client.close()

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
        :raises DestinationMisconfigured: when the proxy refuses to let the request through.
        """
        sent = httpx.Headers({"content-type": "application/json"})
        sent.update(headers)
        if idempotency_key is not None:
            sent["idempotency-key"] = quote(idempotency_key, errors="surrogatepass")
        return await self._answer("POST", path, content=codec.encode(body), headers=sent)

    async def get(self, path: str, query: Mapping[str, Any]) -> httpx.Response:
        """Send a GET request, as postbacks do, and return the answer, whatever its status.

        :raises DeliveryFailed: when no answer came; ambiguous unless nothing was sent for certain.
        :raises DestinationMisconfigured: when the proxy refuses to let the request through.
        """
        return await self._answer("GET", path, params=dict(query))

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        **content: Any,
    ) -> httpx.Response:
        sent = httpx.Headers(self._headers)
        sent.update(headers)
        request = httpx.Request(
            method,
            f"{self.base_url}/{path.lstrip('/')}",
            headers=sent,
            extensions={"timeout": httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT).as_dict()},
            **content,
        )
        try:
            return await asyncio.wait_for(self._client.send(request), TOTAL_TIMEOUT)
        except asyncio.TimeoutError:
            msg = f"no answer within {TOTAL_TIMEOUT:g} s"
            raise DeliveryFailed(msg, ambiguous=True) from None
        except NO_ANSWER as error:
            raise self._no_answer(error) from None

    def _no_answer(self, error: Exception) -> DeliveryError:
        status = proxy_status(error)
        if status is not None and kind_of_status(status) is DestinationMisconfigured:
            msg = f"the proxy answered HTTP {status}: are its address, user and password right?"
            return DestinationMisconfigured(msg)
        return DeliveryFailed(self.redact(describe(error)), ambiguous=not was_not_sent(error))

    def raise_for_status(self, response: httpx.Response) -> None:
        """Raise the error that an HTTP status stands for.

        What says that the call is wrong whatever the event (401, 402, 403, 404, 405, 407, 410,
        redirects) pauses the destination; other 4xx speak of the event.

        :raises DeliveryError: unless the status is a success.
        """
        if response.is_success:
            return
        status = response.status_code
        kind = kind_of_status(status)
        reason = self.redact(f"HTTP {status}: {self._explained(response)}")
        retry_after = retry_after_header(response)
        if status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None:
            kind = RateLimited
        if kind is RateLimited:
            raise RateLimited(reason, retry_after=retry_after)
        if kind is DeliveryFailed:
            raise DeliveryFailed(reason, ambiguous=status not in _NOT_HANDLED)
        raise kind(reason)

    def _explained(self, response: httpx.Response) -> str:
        question = f"is base_url={self.base_url!r} right?"
        if response.is_redirect or response.is_informational:
            return question
        if response.status_code in _WRONG_ADDRESS:
            return f"{question} {response.text}"
        return response.text

    def receipt(self, told: Mapping[str, object]) -> Receipt:
        """Return a receipt of what an answer told: redacted texts, nothing that is empty."""
        return {key: self.redact(str(value)) for key, value in told.items() if value not in _EMPTY}

    def redact(self, text: str) -> str:
        """Return a text on one line without secrets and control characters, cut to 500."""
        return self._redactor.redact(text)

    def redact_error(self, error: DeliveryError) -> DeliveryError:
        """Return an error that was made from an answer, its reason redacted."""
        error.reason = self.redact(error.reason)
        error.args = (error.reason,)
        return error
