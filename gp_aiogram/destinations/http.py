"""Sends requests to a destination's HTTP API, and says what their answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import replace
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, ClassVar
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
from gp_aiogram.destinations.preview import HIDDEN, Capture, Preview, shown_request
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
from gp_aiogram.model.event import Event

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

    Requests are never logged. Answers are read up to 1 MiB.

    :param name: of this destination; each destination of a tracker needs its own.
    :param base_url: where the API lives; ``http`` or ``https``.
    :param headers: sent with each request.
    :param secrets: texts that never appear in errors, log lines and reprs, nor in the forms that
        URLs, JSON and base64 give them.
    :param only: names of the events to send; None sends all.
    :param proxy: URL of an HTTP proxy, which may contain user and password; None uses the proxy of
        the environment (``HTTPS_PROXY``, ``NO_PROXY``), if there is one.
    :param transport: an httpx transport for the requests, such as ``httpx.MockTransport``; it then
        has to handle proxies itself.
    :raises ConfigurationError: when an argument is invalid.
    """

    #: The argument that holds the address, for messages.
    address_argument: ClassVar[str] = "base_url"

    #: Whether the part of the URL behind the host may hold a key, so that it is never shown.
    hides_path: ClassVar[bool] = False

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

        :param idempotency_key: sent percent-encoded as ``Idempotency-Key``, by which a server can
            recognise a repeated request.
        :raises DeliveryFailed: when no answer came; ambiguous unless certainly nothing was sent.
        :raises DestinationMisconfigured: when the proxy refuses the request.
        """
        sent = httpx.Headers({"content-type": "application/json"})
        sent.update(headers)
        if idempotency_key is not None:
            sent["idempotency-key"] = quote(idempotency_key, errors="surrogatepass")
        return await self.request("POST", path, content=codec.encode(body), headers=sent)

    async def post_content(
        self,
        path: str,
        content: bytes,
        content_type: str,
        query: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        """Post any other content, such as a form or lines, and return the answer.

        :param content_type: e.g. ``application/x-www-form-urlencoded``.
        :raises DeliveryFailed: when no answer came; ambiguous unless certainly nothing was sent.
        :raises DestinationMisconfigured: when the proxy refuses the request.
        """
        headers = {"content-type": content_type}
        return await self.request(
            "POST", _with_query(path, query or {}), content=content, headers=headers
        )

    async def get(self, path: str, query: Mapping[str, Any]) -> httpx.Response:
        """Send a GET request, as postbacks do, and return the answer, whatever its status.

        :raises DeliveryFailed: when no answer came; ambiguous unless certainly nothing was sent.
        :raises DestinationMisconfigured: when the proxy refuses the request.
        """
        return await self.request("GET", _with_query(path, query))

    async def request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send any request and return the answer, whatever its status.

        :param path: with its query, percent-encoded.
        :raises DeliveryFailed: when no answer came; ambiguous unless certainly nothing was sent.
        :raises DestinationMisconfigured: when the proxy refuses the request.
        """
        sent = httpx.Headers(self._headers)
        sent.update(headers)
        request = httpx.Request(
            method,
            f"{self.base_url}/{path.lstrip('/')}",
            headers=sent,
            content=content,
            extensions={"timeout": httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT).as_dict()},
        )
        try:
            return await asyncio.wait_for(self._client.send(request), TOTAL_TIMEOUT)
        except asyncio.TimeoutError:
            msg = f"no answer within {TOTAL_TIMEOUT:g} s"
            raise DeliveryFailed(msg, ambiguous=True) from None
        except NO_ANSWER as error:
            raise self._no_answer(error) from None

    async def preview(self, event: Event) -> Preview:
        """Return the requests that would be sent for one event.

        For destinations of gp_aiogram, ``send`` runs with a transport that sends nothing. The
        ``send`` of other destinations is not run, because it may do more than send requests.
        """
        if not type(self).send.__module__.startswith(__package__):
            prepared = await super().preview(event)
            return replace(prepared, item=self._masked(prepared.item))
        capture = Capture()
        twin = copy(self)
        twin._client = capture  # noqa: SLF001 - its own class
        try:
            await twin.send([twin.prepare(event)])
        except Exception as error:  # noqa: BLE001 - nobody has answered; or it cannot be prepared
            if not capture.requests:
                return Preview(refusal=self.redact(str(error) or type(error).__name__))
        shown = [shown_request(each, self._redactor) for each in capture.requests]
        if self.hides_path:
            shown = [each._replace(url=f"{self.base_url}/{HIDDEN}") for each in shown]
        return Preview(shown)

    def _masked(self, item: Any) -> Any:
        return codec.decode(self._redactor.mask(codec.encode(item).decode()))

    def _no_answer(self, error: Exception) -> DeliveryError:
        status = proxy_status(error)
        if status is not None and kind_of_status(status) is DestinationMisconfigured:
            msg = f"the proxy answered HTTP {status}: are its address, user and password right?"
            return DestinationMisconfigured(msg, status=status)
        return DeliveryFailed(self.redact(describe(error)), ambiguous=not was_not_sent(error))

    def raise_for_status(self, response: httpx.Response) -> None:
        """Raise the error that an HTTP status means.

        Statuses that would meet any event (401, 402, 403, 404, 405, 407, 410, redirects) pause the
        destination. Other 4xx statuses reject the event.

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
            raise RateLimited(reason, retry_after=retry_after, status=status)
        if kind is DeliveryFailed:
            raise DeliveryFailed(reason, ambiguous=status not in _NOT_HANDLED, status=status)
        raise kind(reason, status=status)

    def _explained(self, response: httpx.Response) -> str:
        question = f"is {self.address_argument}={self.base_url!r} right?"
        if response.is_redirect or response.is_informational:
            return question
        if response.status_code in _WRONG_ADDRESS:
            return f"{question} {response.text}"
        return response.text

    def receipt(self, told: Mapping[str, object]) -> Receipt:
        """Return the receipt for an answer: redacted texts, without empty ones."""
        return {key: self.redact(str(value)) for key, value in told.items() if value not in _EMPTY}

    def redact(self, text: str) -> str:
        """Return a text as one line of up to 500 characters, without secrets."""
        return self._redactor.redact(text)

    def redact_error(self, error: DeliveryError) -> DeliveryError:
        """Return an error with its reason redacted."""
        error.reason = self.redact(error.reason)
        error.args = (error.reason,)
        return error


def _with_query(path: str, query: Mapping[str, Any]) -> str:
    if not query:
        return path
    return f"{path}{'&' if '?' in path else '?'}{httpx.QueryParams(dict(query))}"
