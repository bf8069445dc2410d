"""The ways in which a stand-in for an ad platform fails when a test tells it to."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

_LINGER_0 = struct.pack("ii", 1, 0)
_POLL_INTERVAL = 0.02


@dataclass(frozen=True)
class Fault:
    """One way of failing; build it with :meth:`status`, :meth:`delay` and the others.

    :param kind: the constructor that built it.
    :param code: the HTTP status to answer with.
    :param body: the body to answer with.
    :param retry_after: the ``Retry-After`` header to answer with.
    :param seconds: how long to wait first.
    """

    kind: Literal["status", "delay", "hang", "reset", "drop_answer"]
    code: int = 503
    body: Any = None
    retry_after: float | str | None = None
    seconds: float = 0.0

    @classmethod
    def status(
        cls, code: int, *, body: Any = None, retry_after: float | str | None = None
    ) -> Fault:
        """Answer with an HTTP status; the request is not accepted.

        :param code: the status.
        :param body: a string is sent as text, ``None`` as an empty body, all else as JSON.
        :param retry_after: the ``Retry-After`` header: seconds or an HTTP date.
        """
        return cls("status", code=code, body=body, retry_after=retry_after)

    @classmethod
    def delay(cls, seconds: float) -> Fault:
        """Handle the request normally but late, even if the client has left by then.

        :param seconds: how late.
        """
        return cls("delay", seconds=seconds)

    @classmethod
    def hang(cls) -> Fault:
        """Never answer: the request ends when the client leaves or the server stops."""
        return cls("hang")

    @classmethod
    def reset(cls) -> Fault:
        """Read the request, then reset the TCP connection; the request is not accepted."""
        return cls("reset")

    @classmethod
    def drop_answer(cls) -> Fault:
        """Accept the request, then close the connection without an answer."""
        return cls("drop_answer")

    async def answer(self, handle: Callable[[], Awaitable[web.Response]]) -> web.Response | None:
        """The response the client gets; ``None`` when it gets none.

        :param handle: handles the request normally.
        """
        if self.kind == "status":
            return self._refusal()
        if self.kind == "delay":
            return await handle()
        if self.kind == "drop_answer":
            await handle()
        return None

    async def leave(self, request: web.Request) -> None:
        """Leave a client without a response, as this fault does it.

        :param request: the unanswered request.
        """
        if self.kind == "hang":
            while request.transport is not None:  # noqa: ASYNC110 - aiohttp has no event for it
                await asyncio.sleep(_POLL_INTERVAL)
        elif request.transport is not None:
            if self.kind == "reset":
                sock = request.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
            request.transport.abort()

    def _refusal(self) -> web.Response:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.body is None or isinstance(self.body, str):
            return web.Response(status=self.code, text=self.body, headers=headers)
        return web.json_response(self.body, status=self.code, headers=headers)


@dataclass
class _Plan:
    fault: Fault
    times: int | None
    when: Callable[[Any], object] | None

    def matches(self, body: Any) -> bool:
        if self.when is None:
            return True
        try:
            return bool(self.when(body))
        except (LookupError, TypeError, AttributeError):
            return False


class FaultQueue:
    """The faults that a test has ordered, oldest first."""

    def __init__(self) -> None:
        self._plans: list[_Plan] = []

    def add(self, fault: Fault, times: int | None, when: Callable[[Any], object] | None) -> None:
        """Order a fault; see :meth:`DestinationSandbox.fail`."""
        self._plans.append(_Plan(fault, times, when))

    def clear(self) -> None:
        """Drop all faults."""
        self._plans.clear()

    def take(self, body: Any) -> Fault | None:
        """Take the fault for a request; ``None`` when it is to be handled normally.

        :param body: the body of the request.
        """
        for plan in self._plans:
            if plan.times != 0 and plan.matches(body):
                if plan.times is not None:
                    plan.times -= 1
                return plan.fault
        return None
