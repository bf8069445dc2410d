"""``gp-aiogram worker``: delivers what bots and payment services record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from typing import Annotated

import typer
from aiohttp import web

from gp_aiogram.cli.console import CommandError, log_to_stderr, told_in_a_line
from gp_aiogram.cli.stopping import stopped_by_signals
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.settings import Settings
from gp_aiogram.stores.memory.outbox import MemoryOutbox
from gp_aiogram.tracker import Tracker
from gp_aiogram.web import Health, serve

#: What ``--help`` ends with; ``\b`` keeps the lines of a paragraph as they are.
EXAMPLES = """
\b
Examples:
  gp-aiogram worker
  gp-aiogram worker --port 9100
  gp-aiogram worker --host 0.0.0.0 --port 9100 --grace 25

\b
Exit codes:
  0  stopped by SIGTERM or SIGINT
  1  the store or the port cannot be used
  2  wrong settings or arguments
"""


def worker(
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Serve /healthz, /readyz and /metrics here; 0 takes a free port and prints it. "
            "Without it nothing is served.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="Address to listen at. /metrics has no password: keep it private."),
    ] = "127.0.0.1",
    grace: Annotated[
        float,
        typer.Option(min=0, help="Seconds that requests in progress have to finish at a stop."),
    ] = 8.0,
) -> None:
    """Deliver what bots and payment services record with deliver=False.

    Configured by the same GP_* variables or .env as they are: GP_STORE and the destinations.
    Run as many as you like on one PostgreSQL store. SIGTERM or Ctrl+C finishes what is under way;
    a second one exits at once.
    """
    log_to_stderr()
    with told_in_a_line():
        asyncio.run(_run(_tracker(Settings()), host, port, grace))


def _tracker(settings: Settings) -> Tracker:
    """Build a tracker that delivers; the journal is left to those who record."""
    # Its GP_DELIVER may be that of the bot.
    delivers = settings.model_copy(update={"journal": None, "deliver": True})
    tracker = Tracker.from_settings(delivers)
    if isinstance(tracker.store.outbox, MemoryOutbox):
        msg = (
            "a worker has nothing to deliver in memory://: set GP_STORE to the store of your bot, "
            "such as postgresql://…"
        )
        raise ConfigurationError(msg)
    return tracker


async def _run(tracker: Tracker, host: str, port: int | None, grace: float) -> None:
    with stopped_by_signals() as stopping:
        async with _served(tracker, host, port):
            try:
                await tracker.start()
                await stopping.wait()
            finally:
                await tracker.close(grace)


@asynccontextmanager
async def _served(tracker: Tracker, host: str, port: int | None) -> AsyncIterator[None]:
    """Serve the health checks, if anybody wants them."""
    async with AsyncExitStack() as stack:
        if port is not None:
            app = web.Application()
            _health(tracker).setup(app)
            try:
                url = await stack.enter_async_context(serve(app, host, port))
            except OSError as error:
                msg = f"cannot listen on {host}:{port}: {error.strerror or error}"
                raise CommandError(msg) from None
            typer.echo(f"listening on {url}")
        yield


def _health(tracker: Tracker) -> Health:
    if find_spec("prometheus_client") is None:
        return Health(tracker)
    from prometheus_client import REGISTRY  # noqa: PLC0415 - an optional extra

    from gp_aiogram.metrics import Metrics  # noqa: PLC0415 - as above

    return Health(tracker, metrics=Metrics(tracker, REGISTRY))
