"""The GramPixel destination: what it sends, how it reads answers, and how it fails."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote

import aiohttp
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import Self

from fixtures.ad_platforms import deliver
from gp_aiogram import (
    ConfigurationError,
    Delivery,
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    Event,
    EventRejected,
    GramPixel,
    MemoryStore,
    RateLimited,
    Tracker,
    __version__,
)
from gp_aiogram.sandbox import Fault, GramPixelSandbox

#: The same examples each time, however slow the machine is.
steady = settings(deadline=None, derandomize=True)

KEY = "key/5d41402abc4b+2a76=="
WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"
URL = "https://api.grampixel.com/v1/events/custom"
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
DATA = {"event_id": "evt_89237498237", "session_id": "gp_a1b2c3", "status": "processed"}
GOOD = {"ok": True, "data": DATA}

#: Seconds of real time within which anything prompt has happened, on a slow machine too.
SOON = 5.0


def event(**fields: Any) -> Event:
    required = {"event_id": "e1", "name": "REG", "event_time": NOON, "telegram_id": 42}
    return Event(**required | fields)


class Backend:
    """Answers every request alike and keeps the requests."""

    def __init__(self, answer: Any = GOOD, status: int = 200, **headers: str) -> None:
        self.requests: list[httpx.Request] = []
        self.answer = answer
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self.answer, BaseException):
            raise self.answer
        if isinstance(self.answer, bytes):
            return httpx.Response(self.status, content=self.answer, headers=self.headers)
        return httpx.Response(self.status, json=self.answer, headers=self.headers)


def to(backend: Backend, **options: Any) -> GramPixel:
    return GramPixel(KEY, WORKSPACE, transport=httpx.MockTransport(backend), **options)


async def sent(what: Event, **options: Any) -> httpx.Request:
    """Send an event and return the request that came."""
    backend = Backend()
    await deliver(to(backend, **options), what)
    (request,) = backend.requests
    return request


async def failure(backend: Backend) -> DeliveryError:
    """Return the error that this backend leads to."""
    with pytest.raises(DeliveryError) as caught:
        await deliver(to(backend), event())
    return caught.value


# Requests


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"name": "Anything You Like"}, {"event_name": "Anything You Like"}),
        ({"telegram_id": 2**52 - 1}, {"telegram_id": 2**52 - 1}),
        ({"session_id": "gp_a1b2c3"}, {"session_id": "gp_a1b2c3"}),
        ({"user_data": {"plan": "premium"}}, {"user_data": {"plan": "premium"}}),
        ({"user_data": {}}, {}),
        ({"currency": "EUR"}, {"currency": "EUR"}),
        ({"bot_id": 7, "event_time": NOON - timedelta(days=5)}, {}),
        (
            {
                "name": "FTD",
                "session_id": "gp_a1b2c3",
                "value": Decimal("150.00"),
                "currency": "USD",
                "user_data": {"plan": "premium", "tags": ["a", {"b": None}]},
            },
            {
                "event_name": "FTD",
                "session_id": "gp_a1b2c3",
                "value": 150.0,
                "currency": "USD",
                "user_data": {"plan": "premium", "tags": ["a", {"b": None}]},
            },
        ),
    ],
)
async def test_the_body_holds_what_the_event_has_and_nothing_else(fields, expected):
    request = await sent(event(**fields))
    assert json.loads(request.content) == {
        "event_name": "REG",
        "telegram_id": 42,
        "workspace_id": WORKSPACE,
        **expected,
    }


@pytest.mark.parametrize(
    ("value", "currency", "number"),
    [
        ("0.10", "USD", "0.1"),
        ("150.00", "USD", "150.0"),
        ("0.00", "USD", "0.0"),
        ("49.99", "EUR", "49.99"),
        ("1500", "JPY", "1500.0"),
        ("1.235", "KWD", "1.235"),
        ("999999999999.99", "USD", "999999999999.99"),
        ("1000000000000", "JPY", "1000000000000.0"),
    ],
)
async def test_a_value_is_a_json_number(value, currency, number):
    request = await sent(event(name="FTD", value=Decimal(value), currency=currency))
    assert f'"value":{number},"currency":"{currency}"' in request.content.decode()


async def test_names_can_be_called_differently_there():
    names = {"Lead": "Subscribe"}
    for ours, theirs in [("Lead", "Subscribe"), ("REG", "REG")]:
        request = await sent(event(name=ours), event_names=names)
        assert json.loads(request.content)["event_name"] == theirs


async def test_text_of_every_kind_arrives_as_it_was():
    data = {"emoji": "🎉", "half": "\ud83c", "nul": "a\0b", "é": "\u2028"}
    request = await sent(event(name="Покупка", user_data=data))
    body = json.loads(request.content)
    assert (body["event_name"], body["user_data"]) == ("Покупка", data)


async def test_the_request_goes_to_the_documented_address_with_the_key():
    request = await sent(event())
    assert (request.method, str(request.url)) == ("POST", URL)
    assert request.headers["x-api-key"] == KEY
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == f"gp_aiogram/{__version__}"
    assert KEY not in str(request.url)


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://api.grampixel.com/", URL),
        ("https://api.grampixel.com/api", "https://api.grampixel.com/api/v1/events/custom"),
        ("http://127.0.0.1:8080/x/", "http://127.0.0.1:8080/x/v1/events/custom"),
        ("http://[::1]:8080", "http://[::1]:8080/v1/events/custom"),
        (httpx.URL("https://gp.example"), "https://gp.example/v1/events/custom"),
    ],
)
async def test_another_address_may_have_a_path(base_url, url):
    assert str((await sent(event(), base_url=base_url)).url) == url


@pytest.mark.parametrize(
    "event_id",
    ["e1", "order 17", "заказ-17", "a/b?c#d%e", "line\r\nx-evil: 1", "\0", "\ud83c", "é" * 128],
)
async def test_the_event_id_is_the_idempotency_key(event_id):
    request = await sent(event(event_id=event_id))
    key = request.headers["idempotency-key"]
    assert key.isascii()
    assert key.isprintable()
    assert unquote(key, errors="surrogatepass") == event_id
    assert "x-evil" not in request.headers


async def test_the_same_event_makes_the_same_request_each_time():
    backend = Backend()
    grampixel = to(backend)
    for _ in range(3):
        await deliver(grampixel, event(user_data={"b": 1, "a": 2}))
    assert len({request.content for request in backend.requests}) == 1
    assert len({request.headers["idempotency-key"] for request in backend.requests}) == 1


# Answers under a good status


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_a_success_leaves_a_receipt(status):
    assert await deliver(to(Backend(GOOD, status)), event()) == [DATA]


@pytest.mark.parametrize(
    ("answer", "receipt"),
    [
        ({"ok": True}, {}),
        ({"ok": True, "data": None}, {}),
        ({"ok": True, "data": []}, {}),
        ({"ok": True, "data": "x"}, {}),
        ({"ok": True, "data": {}}, {}),
        ({"ok": True, "data": {"event_id": "evt_1", "session_id": None}}, {"event_id": "evt_1"}),
        *(({"ok": ok, "data": DATA}, DATA) for ok in (1, 1.0, "true")),
        ({"ok": True, "data": {"event_id": 17, "more": "x" * 10_000}}, {"event_id": "17"}),
    ],
)
async def test_a_success_with_other_data_is_a_success(answer, receipt):
    assert await deliver(to(Backend(answer)), event()) == [receipt]


async def test_a_receipt_is_of_limited_length():
    (receipt,) = await deliver(
        to(Backend({"ok": True, "data": {"status": "x" * 10_000}})), event()
    )
    assert len(receipt["status"]) == 500


async def test_a_byte_order_mark_does_not_hide_a_success():
    body = b"\xef\xbb\xbf" + json.dumps(GOOD).encode()
    assert await deliver(to(Backend(body)), event()) == [DATA]


@pytest.mark.parametrize(
    "answer",
    [
        {"ok": False, "error": "unknown workspace"},
        {"ok": None},
        {"ok": 0},
        {"ok": "false"},
        {"ok": ""},
        {"ok": []},
    ],
)
async def test_an_ok_that_says_no_is_a_refusal(answer):
    error = await failure(Backend(answer))
    assert isinstance(error, EventRejected)
    assert error.reason.startswith("HTTP 200: {")


@pytest.mark.parametrize(
    "answer",
    [
        *(b"", b"<html>", b"ok", b"{", b"null", b"true", b"17", b'"ok"', b"[]", b'["ok"]'),
        *(b"{}", b'{"status": "processed"}', b"\xff\xfe\xff", b'{"ok": true} {}'),
        *(b'{"ok": 2}', b'{"ok": "perhaps"}', b'{"ok": [true]}', b'{"ok": {"yes": 1}}'),
    ],
)
async def test_what_is_not_their_answer_may_hide_a_success(answer):
    error = await failure(Backend(answer))
    assert isinstance(error, DeliveryFailed)
    assert error.ambiguous
    assert error.reason.startswith("the answer is not GramPixel's: HTTP 200")


# Other statuses


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((400, EventRejected), (409, EventRejected)),
        *((413, EventRejected), (418, EventRejected), (422, EventRejected)),
        *((status, DestinationMisconfigured) for status in (401, 402, 403, 404, 405, 406, 407)),
        *((status, DestinationMisconfigured) for status in (410, 415, 421, 426, 451)),
        *(
            (301, DestinationMisconfigured),
            (302, DestinationMisconfigured),
            (304, DestinationMisconfigured),
            (307, DestinationMisconfigured),
            (308, DestinationMisconfigured),
        ),
        (429, RateLimited),
        *(
            (408, DeliveryFailed),
            (425, DeliveryFailed),
            (500, DeliveryFailed),
            (501, DeliveryFailed),
            (502, DeliveryFailed),
        ),
        *(
            (503, DeliveryFailed),
            (504, DeliveryFailed),
            (520, DeliveryFailed),
            (599, DeliveryFailed),
        ),
    ],
)
async def test_each_status_has_its_consequence(status, kind):
    error = await failure(Backend({"error": "why"}, status))
    assert type(error) is kind
    assert error.reason.startswith(f"HTTP {status}: ")
    assert "why" in error.reason or status // 100 == 3


@pytest.mark.parametrize("status", [404, 405, 410])
async def test_a_wrong_address_is_asked_about_before_what_the_server_says(status):
    error = await failure(Backend(b"<html>" * 1000, status))
    question = f"HTTP {status}: is base_url='https://api.grampixel.com' right? <html>"
    assert error.reason.startswith(question)


@pytest.mark.parametrize(
    ("status", "ambiguous"),
    [
        *((status, True) for status in (500, 502, 504, 520)),
        (503, False),
        (408, False),
        (425, False),
    ],
)
async def test_a_server_that_says_it_did_nothing_is_believed(status, ambiguous):
    error = await failure(Backend({}, status))
    assert isinstance(error, DeliveryFailed)
    assert error.ambiguous is ambiguous


async def test_a_redirect_points_to_the_address_in_the_settings():
    error = await failure(Backend({}, 301, location="https://elsewhere.example"))
    assert error.reason == "HTTP 301: is base_url='https://api.grampixel.com' right?"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("86400", 86_400),
        ("9" * 400, 999_999_999),
        ("Thu, 01 Jan 2026 12:01:30 GMT", 90),
        ("Thu, 01 Jan 2026 14:01:30 +0200", 90),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
    ],
)
async def test_a_server_may_say_how_long_to_wait(status, header, seconds):
    backend = Backend({}, status, retry_after=header, date="Thu, 01 Jan 2026 12:00:00 GMT")
    error = await failure(backend)
    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds


RUBBISH = [
    *("", "soon", "-5", "1.5", "5 minutes", "inf", "nan", "0x10", "()", '"', "1 2 3 4 5 6"),
    "Thu, 01 Jan 2026 12:01:30",
    "Thu, 01 Jan 99999999999999 12:00:00 GMT",
    "Thu, 01 Jan 2026 12:00:00 +99999999999999999999",
    "Thu, 32 Jan 2026 12:00:00 GMT",
]


@pytest.mark.parametrize("header", RUBBISH)
async def test_rubbish_about_how_long_to_wait_is_as_good_as_nothing(header):
    date = "Thu, 01 Jan 2026 12:00:00 GMT"
    error = await failure(Backend({}, 429, retry_after=header, date=date))
    assert isinstance(error, RateLimited)
    assert error.retry_after is None
    assert type(await failure(Backend({}, 503, retry_after=header, date=date))) is DeliveryFailed


async def test_a_moment_to_wait_for_means_nothing_without_the_servers_own_time():
    error = await failure(Backend({}, 429, retry_after="Thu, 01 Jan 2026 12:01:30 GMT"))
    assert isinstance(error, RateLimited)
    assert error.retry_after is None


@steady
@given(
    st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"])),
    st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"])),
)
def test_no_header_breaks_the_reading_of_how_long_to_wait(retry_after, date):
    headers = {"retry_after": retry_after.encode("latin-1"), "date": date.encode("latin-1")}
    error = asyncio.run(failure(Backend({}, 429, **headers)))
    assert isinstance(error, RateLimited)
    assert error.retry_after is None or 0 <= error.retry_after < float("inf")


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500, 503])
@pytest.mark.parametrize(
    "answer",
    [b"", b"\xff\xfe\x00", b"x" * 1_000_000, "ошибка".encode(), b"[" * 100_000],
    ids=["nothing", "no text", "a megabyte", "another alphabet", "brackets"],
)
async def test_an_answer_of_any_kind_makes_a_short_reason(status, answer):
    reason = (await failure(Backend(answer, status))).reason
    assert f"HTTP {status}" in reason
    assert len(reason) <= 600


# No answer


def caused(error: Exception, cause: Exception | None) -> Exception:
    error.__cause__ = cause
    return error


ENDPOINT = SimpleNamespace(host="gp.example", port=443, ssl=True)
NOT_SENT = aiohttp.ClientConnectorError(ENDPOINT, OSError(111, "refused"))


@pytest.mark.parametrize(
    ("error", "ambiguous"),
    [
        (caused(httpx.ConnectError("x"), NOT_SENT), False),
        (caused(httpx.ConnectTimeout("x"), aiohttp.ConnectionTimeoutError()), False),
        (caused(httpx.ConnectTimeout("x"), aiohttp.ServerDisconnectedError()), True),
        (caused(httpx.ConnectTimeout("x"), aiohttp.ClientOSError()), True),
        (caused(httpx.ReadTimeout("x"), aiohttp.SocketTimeoutError()), True),
        (caused(httpx.ReadError("x"), aiohttp.ClientPayloadError()), True),
        (httpx.ConnectTimeout("x"), True),
        (httpx.ReadError("x"), True),
        (httpx.DecodingError("x"), True),
        (aiohttp.ClientPayloadError("x"), True),
    ],
)
async def test_without_an_answer_only_a_failed_connection_proves_that_nothing_was_sent(
    error, ambiguous
):
    answered = await failure(Backend(error))
    assert isinstance(answered, DeliveryFailed)
    assert answered.ambiguous is ambiguous
    assert type(error.__cause__ or error).__name__ in answered.reason


async def test_a_cancelled_request_is_cancelled():
    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    grampixel = GramPixel(KEY, WORKSPACE, transport=httpx.MockTransport(hang))
    sending = asyncio.create_task(deliver(grampixel, event()))
    await asyncio.sleep(0.01)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


# Construction


@pytest.mark.parametrize(
    "workspace_id",
    [WORKSPACE, WORKSPACE.upper(), uuid.UUID(WORKSPACE), WORKSPACE.replace("-", "")],
)
async def test_the_workspace_is_a_uuid_in_any_form(workspace_id):
    grampixel = GramPixel(KEY, workspace_id)
    assert grampixel.workspace_id == WORKSPACE
    assert (grampixel.name, grampixel.ambiguous) == ("grampixel", "retry")
    assert (grampixel.batch_size, grampixel.concurrency) == (1, 16)


@pytest.mark.parametrize("workspace_id", ["", "my workspace", WORKSPACE[:-1], None, 5, KEY])
def test_a_workspace_that_is_no_uuid_is_refused_with_an_example(workspace_id):
    with pytest.raises(ConfigurationError, match=r"workspace_id=.*UUID.*such as '0f8fad5b"):
        GramPixel(KEY, workspace_id)


@pytest.mark.parametrize("key", ["", None, 5, b"key", "ключ", "key\u00a0"])
def test_a_key_that_is_no_plain_text_is_refused(key):
    with pytest.raises(ConfigurationError, match=r"api_key=.*empty or not a plain ASCII text"):
        GramPixel(key, WORKSPACE)


@pytest.mark.parametrize("key", [" ", "key\n", "\tkey", "two words", "key\r\nx-evil: 1", "k\x7f"])
def test_a_key_with_white_space_is_refused(key):
    with pytest.raises(ConfigurationError, match=r"api_key=.*pasted with a line break"):
        GramPixel(key, WORKSPACE)


@pytest.mark.parametrize(
    "base_url",
    [
        *("", "api.grampixel.com", "//api.grampixel.com", "ftp://x", "https://", "https:///v1"),
        *("https://x ", " https://x", "https://x\n", "https://two words", "https://[::1"),
        *("https://x:port", "https://x:99999", "https://x:0", "https://x?y=1", "https://x#y"),
        *("https://user:password@x", "https://key@x", None, 5, b"https://x"),
    ],
)
def test_an_address_that_cannot_work_is_refused(base_url):
    with pytest.raises(ConfigurationError, match=r"base_url=.*http or https URL such as"):
        GramPixel(KEY, WORKSPACE, base_url=base_url)


@pytest.mark.parametrize("ambiguous", ["", "drop", None, True, []])
def test_what_to_do_in_doubt_is_retry_or_hold(ambiguous):
    with pytest.raises(ConfigurationError, match=r"ambiguous=.*must be 'retry' or 'hold'"):
        GramPixel(KEY, WORKSPACE, ambiguous=ambiguous)


@pytest.mark.parametrize("name", ["", None, 5])
def test_a_destination_has_a_name(name):
    with pytest.raises(ConfigurationError, match=r"name=.*must be a text"):
        GramPixel(KEY, WORKSPACE, name=name)


@pytest.mark.parametrize(
    "build",
    [
        lambda: GramPixel(WORKSPACE, KEY),  # the wrong way round
        lambda: GramPixel(KEY + "\n", WORKSPACE),
        lambda: GramPixel(KEY + "é", WORKSPACE),
        lambda: GramPixel(KEY, WORKSPACE, base_url=f"https://user:{quote(KEY, safe='')}@x"),
        lambda: GramPixel(KEY, WORKSPACE, base_url=f"https://x/?key={KEY}"),
    ],
)
def test_no_refusal_shows_the_key(build):
    with pytest.raises(ConfigurationError) as caught:
        build()
    for key in (KEY, quote(KEY, safe="")):
        assert key not in "".join(traceback.format_exception(caught.value))


# Secrets


def test_a_destination_does_not_show_its_key():
    grampixel = GramPixel(KEY, WORKSPACE, name="gp")
    assert repr(grampixel) == str(grampixel) == f"GramPixel(workspace_id='{WORKSPACE}', name='gp')"


@pytest.mark.parametrize("status", [200, 201, 301, 400, 401, 403, 404, 408, 422, 429, 500, 503])
@pytest.mark.parametrize(
    "echo",
    [
        f"bad key: {KEY}",
        json.dumps({"ok": False, "error": f"bad key: {KEY}"}),
        json.dumps({"ok": False, "error": f"bad key: {KEY}"}).replace("/", "\\/"),
        "x" * 490 + KEY,
        KEY * 100,
    ],
)
async def test_a_key_that_the_server_echoes_is_not_repeated(status, echo):
    backend = Backend(echo.encode(), status, location=f"https://x/?{KEY}")
    error = await failure(backend)
    for form in (KEY, KEY.replace("/", "\\/"), KEY[:10]):
        assert form not in f"{error} {error!r} {error.reason}"


@pytest.mark.parametrize("key", ['quo"ted', "back\\slash", "sl/ash", "per%cent"])
async def test_a_key_is_recognised_however_json_writes_it(key):
    backend = Backend({"ok": False, "error": key})
    grampixel = GramPixel(key, WORKSPACE, transport=httpx.MockTransport(backend))
    with pytest.raises(EventRejected) as caught:
        await deliver(grampixel, event())
    assert json.dumps(key)[1:-1] not in caught.value.reason
    assert "***" in caught.value.reason


async def test_a_key_in_a_receipt_is_not_kept():
    backend = Backend({"ok": True, "data": {"event_id": "evt_1", "status": f"with {KEY}"}})
    receipts = await deliver(to(backend), event())
    assert receipts == [{"event_id": "evt_1", "status": "with ***"}]


async def test_a_key_in_a_network_error_is_not_repeated():
    error = await failure(Backend(httpx.ReadError(f"x-api-key: {KEY}")))
    assert error.reason == "ReadError: x-api-key: ***"
    assert error.__cause__ is None


# Real connections


class Wire:
    """A server that speaks HTTP badly when told to: each request is answered with some bytes.

    ``None`` closes the connection without an answer, an awaitable function takes it over.
    """

    GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (
        len(json.dumps(GOOD)),
        json.dumps(GOOD).encode(),
    )

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests = 0
        self.connections = 0
        # Bound and not yet listening: who connects is refused, and nobody else gets the port.
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._socket)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self._socket.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                pass
        except asyncio.CancelledError:
            pass  # asyncio's streams log a handler that was cancelled
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        length = int(httpx.Headers(_fields(head))["content-length"])
        await reader.readexactly(length)
        self.requests += 1
        answer = self.answers.pop(0) if self.answers else self.GOOD
        if answer is None:
            return False
        if callable(answer):
            await answer(writer)
            return False
        writer.write(answer)
        await writer.drain()
        return bool(answer == self.GOOD)


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    pairs = [line.partition(b":")[::2] for line in head.split(b"\r\n")[1:] if line]
    return [(name.strip(), value.strip()) for name, value in pairs]


@pytest.fixture
async def no_leaks() -> AsyncIterator[None]:
    """Have sockets that were left open complain, which pytest makes an error."""
    yield
    await asyncio.sleep(0)
    gc.collect(1)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose patience soon, but not while a slow machine collects its garbage."""
    monkeypatch.setattr("gp_aiogram.destinations.http.READ_TIMEOUT", 0.5)


@asynccontextmanager
async def through(url: str, **options: Any) -> AsyncIterator[GramPixel]:
    grampixel = GramPixel(KEY, WORKSPACE, base_url=url, **options)
    try:
        yield grampixel
    finally:
        await grampixel.close()


@pytest.fixture
async def wire(no_leaks: None) -> AsyncIterator[Wire]:
    async with Wire() as wire:
        yield wire


@pytest.fixture
async def sandbox(no_leaks: None) -> AsyncIterator[GramPixelSandbox]:
    async with GramPixelSandbox(KEY, WORKSPACE) as sandbox:
        yield sandbox


async def unreachable(url: str) -> DeliveryFailed:
    async with through(url) as grampixel:
        with pytest.raises(DeliveryFailed) as caught:
            await deliver(grampixel, event())
    return caught.value


async def test_the_stand_in_takes_what_is_sent_and_its_receipt_is_kept(sandbox):
    what = event(
        name="FTD",
        event_id="заказ 17",
        session_id="gp_a1b2c3",
        value=Decimal("49.90"),
        currency="EUR",
        user_data={"plan": "gold"},
    )
    async with through(sandbox.url) as grampixel:
        (receipt,) = await deliver(grampixel, what)
    (taken,) = sandbox.events
    assert taken.body["value"] == 49.9
    assert unquote(taken.idempotency_key) == "заказ 17"
    assert receipt == {
        "event_id": taken.event_id,
        "session_id": "gp_a1b2c3",
        "status": "processed",
    }


async def test_a_wrong_key_is_refused_by_the_stand_in(sandbox):
    grampixel = GramPixel("wrong-key", WORKSPACE, base_url=sandbox.url)
    with pytest.raises(DestinationMisconfigured, match="HTTP 401"):
        await deliver(grampixel, event())
    await grampixel.close()


async def test_a_refused_connection_sent_nothing(wire):
    error = await unreachable(wire.url)
    assert not error.ambiguous
    assert "ClientConnectorError" in error.reason


async def test_a_name_that_does_not_resolve_sent_nothing(no_leaks, monkeypatch):
    async def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "name or service not known")

    monkeypatch.setattr("aiohttp.connector.DefaultResolver", aiohttp.ThreadedResolver)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    error = await unreachable("http://gp.example")
    assert not error.ambiguous
    assert "name or service not known" in error.reason


async def test_a_server_without_tls_was_sent_nothing(sandbox):
    assert not (await unreachable(sandbox.url.replace("http", "https"))).ambiguous
    assert sandbox.requests == []


async def test_a_connection_that_takes_too_long_to_make_sent_nothing(wire, monkeypatch):
    monkeypatch.setattr("gp_aiogram.destinations.http.CONNECT_TIMEOUT", 0.1)
    await wire.listen()
    # It never answers the greeting of TLS.
    error = await unreachable(wire.url.replace("http", "https"))
    assert not error.ambiguous
    assert "Timeout" in error.reason


async def test_a_reset_after_the_request_was_read_may_hide_a_success(sandbox):
    sandbox.fail(Fault.reset())
    assert (await unreachable(sandbox.url)).ambiguous
    assert len(sandbox.requests) == 1


async def test_a_lost_answer_may_hide_a_success(sandbox):
    sandbox.fail(Fault.drop_answer())
    assert (await unreachable(sandbox.url)).ambiguous
    assert len(sandbox.events) == 1


async def test_no_answer_in_time_may_hide_a_success(sandbox, hasty):
    sandbox.fail(Fault.hang())
    started = time.monotonic()
    error = await unreachable(sandbox.url)
    assert error.ambiguous
    assert "Timeout" in error.reason
    assert time.monotonic() - started < SOON


async def test_an_answer_that_trickles_in_for_ever_is_given_up(wire, monkeypatch):
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x-wait: a moment\r\n")
            await asyncio.sleep(0.01)

    monkeypatch.setattr("gp_aiogram.destinations.http.TOTAL_TIMEOUT", 0.1)
    wire.answers = [trickle]
    await wire.listen()
    error = await unreachable(wire.url)
    assert error.ambiguous
    assert error.reason == "no answer within 0.1 s"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n" + b'{"ok": true',
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nxxxx",
        b"220 mail.example ESMTP\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
    ],
    ids=str,
)
async def test_an_answer_that_is_cut_short_or_no_http_may_hide_a_success(wire, answer):
    wire.answers = [answer]
    await wire.listen()
    assert (await unreachable(wire.url)).ambiguous
    assert wire.requests == 1, "it is not for the client to send again"


async def test_connections_are_used_again(wire):
    await wire.listen()
    async with through(wire.url) as grampixel:
        for _ in range(10):
            await deliver(grampixel, event())
    assert (wire.requests, wire.connections) == (10, 1)


async def test_a_closed_destination_opens_again_when_it_is_used(wire):
    await wire.listen()
    async with through(wire.url) as grampixel:
        await deliver(grampixel, event())
        await grampixel.close()
        await grampixel.close()
        await deliver(grampixel, event())
    assert (wire.requests, wire.connections) == (2, 2)


async def test_a_connection_that_the_server_closed_meanwhile_is_replaced(wire):
    closing = Wire.GOOD.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    wire.answers = [closing, closing]
    await wire.listen()
    async with through(wire.url) as grampixel:
        for _ in range(3):
            await deliver(grampixel, event())
    assert (wire.requests, wire.connections) == (3, 3)


async def test_a_destination_recovers_when_the_server_comes_up(wire):
    async with through(wire.url) as grampixel:
        with pytest.raises(DeliveryFailed):
            await deliver(grampixel, event())
        await wire.listen()
        assert await deliver(grampixel, event()) == [DATA]


async def test_sixteen_requests_run_side_by_side(sandbox):
    sandbox.fail(Fault.delay(0.1), times=None)
    events = [event(event_id=f"e{number}") for number in range(16)]
    async with through(sandbox.url) as grampixel:
        started = time.monotonic()
        receipts = await asyncio.gather(*(deliver(grampixel, one) for one in events))
        assert time.monotonic() - started < 16 * 0.1
    assert len(receipts) == 16
    assert {taken.idempotency_key for taken in sandbox.events} == {f"e{n}" for n in range(16)}


async def test_closing_in_the_middle_of_requests_leaves_nothing_open(sandbox):
    sandbox.fail(Fault.hang(), times=None)
    async with through(sandbox.url) as grampixel:
        sending = [asyncio.create_task(deliver(grampixel, event())) for _ in range(3)]
        await sandbox.notifier.wait_until(lambda: len(sandbox.requests) == 3, SOON)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)


async def test_nothing_is_logged_that_holds_the_key(sandbox, hasty, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "aiohttp", "aiohttp.client", "asyncio", "gp_aiogram"):
        caplog.set_level(logging.DEBUG, logger=name)
    for fault in (Fault.reset(), Fault.hang(), Fault.status(401, body=f"bad key {KEY}")):
        sandbox.fail(fault)
    tracker = Tracker([through_grampixel(sandbox.url)], store=MemoryStore())
    async with tracker:
        for number in range(4):
            await tracker.track("REG", telegram_id=42, event_id=f"e{number}")
        await until(lambda: len(sandbox.requests) >= 4)
        await asyncio.sleep(0)
        kept = [await tracker.deliveries(f"e{number}") for number in range(4)]
        told = f"{tracker!r} {await tracker.stats()!r} {await tracker.dead_letters()!r} {kept!r}"
    assert not any(record.name == "httpx" for record in caplog.records)
    for record in caplog.records:
        assert KEY not in f"{record.getMessage()} {record.args!r} {record.exc_text}"
    assert KEY not in told


# From the tracker to the other side


def through_grampixel(url: str, **options: Any) -> GramPixel:
    return GramPixel(KEY, WORKSPACE, base_url=url, **options)


async def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, "this takes too long"
        await asyncio.sleep(0.001)


class Shop:
    """A tracker with a store in memory and the one destination under test."""

    def __init__(self, url: str, ambiguous: Any) -> None:
        destination = through_grampixel(url, ambiguous=ambiguous)
        self.tracker = Tracker([destination], store=MemoryStore())

    async def buy(self) -> None:
        assert await self.tracker.track(
            "Purchase",
            telegram_id=42,
            event_id="order-17",
            value="49.90",
            currency="EUR",
        )

    async def delivery(self) -> Delivery:
        (delivery,) = await self.tracker.deliveries("order-17")
        return delivery

    async def becomes(self, fits: Callable[[Delivery], bool]) -> Delivery:
        deadline = time.monotonic() + SOON
        while not fits(delivery := await self.delivery()):
            assert time.monotonic() < deadline, delivery
            await asyncio.sleep(0.001)
        return delivery


Shops = Callable[[str, Any], Awaitable[Shop]]


@pytest.fixture
async def open_shop(
    no_leaks: None, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Shops]:
    monkeypatch.setattr("gp_aiogram.delivery.pacing.RETRY_BASE", 0.02)
    opened: list[Shop] = []

    async def open_shop(url: str, ambiguous: Any) -> Shop:
        shop = Shop(url, ambiguous)
        opened.append(shop)
        await shop.tracker.start()
        return shop

    yield open_shop
    for shop in opened:
        await shop.tracker.close(grace=0)


@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
async def test_a_purchase_arrives_once(sandbox, open_shop, ambiguous):
    shop = await open_shop(sandbox.url, ambiguous)
    await shop.buy()
    delivery = await shop.becomes(lambda delivery: delivery.state == "delivered")
    assert delivery.attempts == 0
    assert delivery.receipt["status"] == "processed"
    (taken,) = sandbox.events
    assert taken.body["value"] == 49.9
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
async def test_while_connections_are_refused_a_purchase_waits_and_is_never_held(
    wire, open_shop, ambiguous
):
    shop = await open_shop(wire.url, ambiguous)
    await shop.buy()
    delivery = await shop.becomes(lambda delivery: delivery.attempts > 0)
    assert "ClientConnectorError" in delivery.reason or delivery.state == "dead"
    await wire.listen()
    await shop.becomes(lambda delivery: delivery.state == "delivered")
    assert wire.requests == 1


@pytest.mark.parametrize("fault", [Fault.reset(), Fault.hang()], ids=["reset", "hang"])
async def test_in_doubt_a_purchase_is_sent_again_unless_told_otherwise(sandbox, open_shop, fault):
    sandbox.fail(fault)
    shop = await open_shop(sandbox.url, "retry")
    await shop.buy()
    delivery = await shop.becomes(lambda delivery: delivery.state == "delivered")
    assert delivery.attempts == 1
    assert len(sandbox.requests) == 2
    assert len(sandbox.events) == 1


@pytest.mark.parametrize("fault", [Fault.reset(), Fault.hang()], ids=["reset", "hang"])
async def test_in_doubt_a_held_purchase_waits_for_a_decision(sandbox, open_shop, fault):
    sandbox.fail(fault)
    shop = await open_shop(sandbox.url, "hold")
    await shop.buy()
    await until(lambda: sandbox.requests)
    delivery = await shop.becomes(lambda delivery: "no answer" not in str(delivery.reason))
    assert delivery.state == "dead"
    assert delivery.reason.startswith("may have been taken: ")
    assert await shop.tracker.flush(SOON)
    assert sandbox.events == []
    (letter,) = await shop.tracker.dead_letters()
    assert letter.event.event_id == "order-17"
    assert await shop.tracker.replay(event_id="order-17") == 1
    await shop.becomes(lambda delivery: delivery.state == "delivered")
    assert [taken.idempotency_key for taken in sandbox.events] == ["order-17"]


async def test_a_lost_answer_makes_a_second_request_with_the_same_key(sandbox, open_shop):
    sandbox.fail(Fault.drop_answer())
    shop = await open_shop(sandbox.url, "retry")
    await shop.buy()
    await shop.becomes(lambda delivery: delivery.state == "delivered")
    assert [taken.idempotency_key for taken in sandbox.events] == ["order-17"] * 2
    assert len(sandbox.unique_events) == 1
    first, second = (request.body for request in sandbox.requests)
    assert first == second


async def test_a_lost_answer_of_a_held_purchase_makes_no_second_request(sandbox, open_shop):
    sandbox.fail(Fault.drop_answer())
    shop = await open_shop(sandbox.url, "hold")
    await shop.buy()
    await until(lambda: sandbox.requests)
    delivery = await shop.becomes(lambda delivery: "no answer" not in str(delivery.reason))
    assert delivery.state == "dead"
    assert await shop.tracker.flush(SOON)
    assert len(sandbox.events) == 1
    assert (await shop.tracker.stats()).destinations["grampixel"].deliveries == {"dead": 1}


@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
async def test_a_server_that_answers_badly_is_waited_for(sandbox, open_shop, ambiguous):
    for fault in (Fault.status(503), Fault.status(408)):
        sandbox.fail(fault)
    shop = await open_shop(sandbox.url, ambiguous)
    await shop.buy()
    delivery = await shop.becomes(lambda delivery: delivery.state == "delivered")
    assert delivery.attempts == 2
    assert len(sandbox.events) == 1


@pytest.mark.parametrize("ambiguous", ["retry", "hold"])
async def test_closing_in_the_middle_of_a_hang_is_quick_and_loses_nothing(
    sandbox, open_shop, ambiguous, monkeypatch
):
    monkeypatch.setattr("gp_aiogram.destinations.http.READ_TIMEOUT", 60)
    sandbox.fail(Fault.hang())
    shop = await open_shop(sandbox.url, ambiguous)
    await shop.buy()
    await until(lambda: sandbox.requests)
    started = time.monotonic()
    await shop.tracker.close(grace=0.05)
    assert time.monotonic() - started < 1
    delivery = await shop.delivery()
    assert delivery.state == ("pending" if ambiguous == "retry" else "dead")
    assert delivery.attempts == 0
    await shop.tracker.start()
    await shop.tracker.replay()
    await shop.becomes(lambda delivery: delivery.state == "delivered")
    assert len(sandbox.events) == 1
