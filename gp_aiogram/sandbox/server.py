"""What the stand-ins share: a local server that stops at once and a record of its requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aiohttp import web

from gp_aiogram.sandbox.faults import Fallible

if TYPE_CHECKING:
    from typing_extensions import Self

E = TypeVar("E")

_BODY_LIMIT = 64 * 1024 * 1024


class Bell:
    """Wakes whoever waits for something to become true."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Let every waiter look again."""
        self._event.set()
        self._event = asyncio.Event()

    async def until(
        self, ready: Callable[[], object], timeout: float, *, look_every: float = math.inf
    ) -> bool:
        """Wait until something is true.

        :param ready: asked now and after every ring.
        :param timeout: seconds to wait at most.
        :param look_every: seconds after which it is asked without a ring.
        :return: whether it became true in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not ready():
            left = deadline - loop.time()
            if left <= 0:
                return False
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._event.wait(), min(left, look_every))
        return True


class LocalServer(ABC):
    """An HTTP server on a free port of 127.0.0.1, up for the length of an ``async with``.

    Leaving the block ends what is still being answered, hanging requests included.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bell = Bell()
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
        """Answer one request; every method and path comes here.

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
        # aiohttp forgets a request whose client has left: it would outlive the server.
        self._busy.add(request.task)
        try:
            return await self.answer(request)
        finally:
            self._busy.discard(request.task)


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended.

    :param tasks: the tasks; finished ones do no harm.
    """
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class SandboxRequest:
    """One request a stand-in has received, accepted or not.

    :param method: ``POST`` and so on.
    :param path: the path without the query.
    :param headers: looked up in any case of letters.
    :param body: the parsed JSON; the text as it came when it was not JSON.
    :param status: the HTTP status answered; ``None`` when the client got no answer.
    :param answer: the text answered; ``None`` when there was none.
    :param at: unix seconds by the clock of the stand-in.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: Any
    status: int | None
    answer: str | None
    at: float


class DestinationSandbox(LocalServer, Fallible, Generic[E]):
    """A stand-in for an ad platform: records what it is sent and fails when told to.

    :param clock: gives unix seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.requests: list[SandboxRequest] = []
        self.events: list[E] = []
        self._clock = clock

    @abstractmethod
    def handle(self, request: web.Request, body: Any) -> web.Response:
        """Judge one request and answer it.

        :param request: method, path and headers.
        :param body: the parsed JSON; the text as it came when it was not JSON.
        """

    async def wait_for(self, n: int, timeout: float = 5.0) -> list[E]:
        """Wait until events were accepted.

        :param n: how many, counted from the start of the stand-in.
        :param timeout: seconds to wait at most.
        :return: all accepted events.
        :raises TimeoutError: fewer came; the text tells how all requests were answered.
        """
        if not await self.bell.until(lambda: len(self.events) >= n, timeout):
            answers = [f"{r.method} {r.path}: {r.status} {r.answer}" for r in self.requests]
            msg = (
                f"{len(self.events)} of {n} events were accepted within {timeout:g} s; "
                f"{len(answers)} requests came"
            )
            raise TimeoutError("\n  ".join([msg, *answers]))
        return list(self.events)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = _parsed(await request.read())
        fault = self._next_fault(body)

        def handle() -> web.Response:
            return self.handle(request, body)

        if fault is not None:
            await asyncio.sleep(fault.seconds)
        response = handle() if fault is None else fault.answer(handle)
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
        self.bell.ring()
        if fault is not None and response is None:
            await fault.leave(request)
        return web.Response() if response is None else response


def _parsed(raw: bytes) -> Any:
    text = raw.decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text
