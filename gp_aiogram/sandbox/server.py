"""A local HTTP server that stops at once, and the base of the ad platforms' stand-ins."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aiohttp import web

from gp_aiogram.sandbox.faults import Fault, FaultQueue

if TYPE_CHECKING:
    from typing_extensions import Self

E = TypeVar("E")

#: What a stand-in answers, at once or later.
Answering = web.Response | Coroutine[Any, Any, web.Response]

_BODY_LIMIT = 64 * 1024 * 1024

#: Whether what happens is a stand-in's answer: what it records is not what the bot has recorded.
answering: ContextVar[bool] = ContextVar("answering", default=False)


class Notifier:
    """Wakes everyone who waits for a condition to become true."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Have every waiter check its condition again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_until(
        self, condition: Callable[[], object], timeout: float, *, poll_every: float = math.inf
    ) -> bool:
        """Wait until a condition is true.

        :param condition: checked now and after every :meth:`notify`.
        :param timeout: seconds to wait at most.
        :param poll_every: seconds after which it is checked without a notification.
        :return: False when it did not become true in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not condition():
            left = deadline - loop.time()
            if left <= 0:
                return False
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(left, poll_every))
        return True


class LocalServer(ABC):
    """An HTTP server on a free port of 127.0.0.1 that runs for the length of an ``async with``.

    Leaving the block cancels the requests still being answered, hanging ones included.
    """

    def __init__(self) -> None:
        self.notifier = Notifier()
        self._runner: web.AppRunner | None = None
        self._busy: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """The base address, such as ``http://127.0.0.1:49152``.

        :raises RuntimeError: the server is not running.
        """
        if self._runner is None:
            msg = f"{type(self).__name__} is not running: use it as `async with`"
            raise RuntimeError(msg)
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    @abstractmethod
    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, whatever its method and path.

        :param request: the request, its body not yet read.
        """

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        return self

    async def __aexit__(self, *_: object) -> None:
        runner, self._runner = self._runner, None
        if runner is None:
            return
        await cancel(*self._busy)
        await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        answering.set(True)
        # aiohttp forgets a request whose client has left: it would outlive the server.
        self._busy.add(request.task)
        try:
            return await self.answer(request)
        finally:
            self._busy.discard(request.task)


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended.

    :param tasks: the tasks; finished ones are left alone.
    """
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class SandboxRequest:
    """One request that a stand-in has received, accepted or not.

    :param method: ``POST`` and so on.
    :param path: the path without the query.
    :param headers: looked up case-insensitively.
    :param body: the parsed JSON, or the text if it is not JSON; of a request without a body, the
        parameters of its query.
    :param status: the HTTP status of the response; ``None`` when the client got none.
    :param answer: the text of the response; ``None`` when there was none.
    :param at: unix seconds by the clock of the stand-in.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: Any
    status: int | None
    answer: str | None
    at: float


class DestinationSandbox(LocalServer, Generic[E]):
    """A stand-in for an ad platform that records what it receives and fails on demand.

    :param clock: returns unix seconds.
    :ivar requests: all requests, oldest first.
    :ivar events: the accepted events, oldest first.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.requests: list[SandboxRequest] = []
        self.events: list[E] = []
        self._clock = clock
        self._faults = FaultQueue()

    @abstractmethod
    def handle(self, request: web.Request, body: Any) -> Answering:
        """Check one request and answer it; may be async.

        :param request: method, path and headers.
        :param body: the parsed JSON, or the text if it is not JSON; of a request without a body,
            the parameters of its query.
        """

    def respond(
        self,
        request: web.Request,
        raw: bytes,  # noqa: ARG002 - for subclasses
        body: Any,
    ) -> Answering:
        """Answer one request, where it matters to the byte what was sent.

        :param raw: the body as it came.
        """
        return self.handle(request, body)

    def fail(
        self,
        fault: Fault,
        *,
        times: int | None = 1,
        when: Callable[[Any], object] | None = None,
    ) -> None:
        """Fail coming requests; of several faults the one ordered first is used first.

        :param fault: how to fail.
        :param times: how many requests; ``None`` means until :meth:`recover`.
        :param when: called with the JSON body, or with the parameters of the query where there is
            no body; only requests for which it returns true fail. A body it cannot handle (a
            missing key, not JSON) does not match.
        """
        self._faults.add(fault, times, when)

    def recover(self) -> None:
        """Handle all requests normally again."""
        self._faults.clear()

    async def wait_for(self, n: int, timeout: float = 5.0) -> list[E]:
        """Wait until events have been accepted.

        :param n: how many, counted from the start of the stand-in.
        :param timeout: seconds to wait at most.
        :return: all accepted events.
        :raises TimeoutError: fewer were accepted; the text lists how all requests were answered.
        """
        if not await self.notifier.wait_until(lambda: len(self.events) >= n, timeout):
            answers = [f"{r.method} {r.path}: {r.status} {r.answer}" for r in self.requests]
            msg = (
                f"{len(self.events)} of {n} events were accepted within {timeout:g} s; "
                f"{len(answers)} requests came"
            )
            raise TimeoutError("\n  ".join([msg, *answers]))
        return list(self.events)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = _parsed(raw) if raw else dict(request.query) or ""
        fault = self._faults.take(body)

        async def handle() -> web.Response:
            answered = self.respond(request, raw, body)
            return answered if isinstance(answered, web.Response) else await answered

        if fault is not None:
            await asyncio.sleep(fault.seconds)
        response = await (handle() if fault is None else fault.answer(handle))
        self._note(request, body, response)
        if fault is not None and response is None:
            await fault.leave(request)
        return web.Response() if response is None else response

    def _note(self, request: web.Request, body: Any, response: web.Response | None) -> None:
        """Keep a request and its answer."""
        self.requests.append(
            SandboxRequest(
                method=request.method,
                path=request.path,
                headers=request.headers,
                body=body,
                status=None if response is None else response.status,
                answer=None if response is None else response.text,
                at=self._clock(),
            )
        )
        self.notifier.notify()


def _parsed(raw: bytes) -> Any:
    text = raw.decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text
