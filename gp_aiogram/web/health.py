"""Tells orchestrators and Prometheus how a process is doing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from gp_aiogram.tracker import Tracker

if TYPE_CHECKING:
    from gp_aiogram.metrics import Metrics

#: Seconds for the store, less than those who ask wait.
_PATIENCE = 2.0


class Health:
    """Health and metrics, as routes of any :class:`aiohttp.web.Application`.

    ``GET /healthz`` answers 200 as long as the event loop runs. ``GET /readyz`` answers 200 when
    the tracker runs and its store responds, otherwise 503 with the reason. ``GET /metrics`` is for
    Prometheus.

    :param tracker: you start and close it.
    :param metrics: ``/metrics`` shows its whole registry. Without it, the answer is 501.
    """

    def __init__(self, tracker: Tracker, *, metrics: Metrics | None = None) -> None:
        self._tracker = tracker
        self._metrics = metrics
        self._looking: asyncio.Task[object] | None = None

    def setup(self, app: web.Application) -> None:
        """Add the routes to an application."""
        app.router.add_get("/healthz", self._live)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._measure)

    async def _live(self, _: web.Request) -> web.Response:
        return _answer(200, "alive")

    async def _ready(self, _: web.Request) -> web.Response:
        reason = await self._reason()
        return _answer(200, "ready") if reason is None else _answer(503, reason)

    async def _measure(self, request: web.Request) -> web.Response:
        if self._metrics is None:
            return _answer(501, "there are no metrics here: they need gp-aiogram[metrics]")
        body, content_type = await self._metrics.page(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _reason(self) -> str | None:
        """Return why this process is not ready; None when it is."""
        if not self._tracker.running:
            return "the tracker is not started, or it is stopping"
        # One look for all who ask: a store that hangs is asked once.
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._tracker.store.outbox.counts())
            self._looking.add_done_callback(_failure)
        looking = self._looking
        await asyncio.wait([looking], timeout=_PATIENCE)
        if not looking.done():
            return f"the store does not answer within {_PATIENCE:g} s"
        error = _failure(looking)
        return None if error is None else f"the store fails: {type(error).__name__}: {error}"


def _failure(looking: asyncio.Task[object]) -> BaseException | None:
    """Return what an ended look has raised; asyncio then knows that somebody has seen it."""
    return asyncio.CancelledError() if looking.cancelled() else looking.exception()


def _answer(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers={"Cache-Control": "no-store"})
