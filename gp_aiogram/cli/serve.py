"""``gp-aiogram serve``: the gateway for backends in any language."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from gp_aiogram.cli.console import CommandError, log_to_stderr, told_in_a_line
from gp_aiogram.cli.stopping import stopped_by_signals
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.settings import Settings
from gp_aiogram.settings.groups import GatewayGroup
from gp_aiogram.web.gateway.running import running_gateway

#: What ``--help`` ends with; ``\b`` keeps the lines of a paragraph as they are.
EXAMPLES = """
\b
Examples:
  gp-aiogram serve
  gp-aiogram serve --host 0.0.0.0 --port 9000

\b
Exit codes:
  0  stopped by SIGTERM or SIGINT
  1  the store or the port cannot be used
  2  wrong settings or arguments
"""


def serve(
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port to listen at, instead of GP_GATEWAY__PORT (8080); 0 takes a free port.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen at, instead of GP_GATEWAY__HOST (127.0.0.1)."),
    ] = None,
) -> None:
    """Serve POST /v1/events/custom, /v1/events/batch and /api/v1/pixels/fire.

    Configured by GP_GATEWAY__KEYS and the GP_* variables of a bot, or .env: GP_STORE and the
    destinations. SIGTERM or Ctrl+C finishes what is under way; a second one exits at once.
    """
    log_to_stderr()
    with told_in_a_line():
        settings = Settings()
        asyncio.run(_run(settings, _group(settings, host, port)))


def _group(settings: Settings, host: str | None, port: int | None) -> GatewayGroup:
    if settings.gateway is None:
        msg = (
            "GP_GATEWAY__KEYS is missing: expected API keys and their workspaces, such as "
            "a-long-random-key=0f8fad5b-d9cb-469f-a165-70867728950e"
        )
        raise ConfigurationError(msg)
    told = {"host": host, "port": port}
    return settings.gateway.model_copy(
        update={name: value for name, value in told.items() if value is not None}
    )


async def _run(settings: Settings, group: GatewayGroup) -> None:
    with stopped_by_signals() as stopping:
        try:
            async with running_gateway(settings, group) as url:
                typer.echo(f"listening on {url}")
                await stopping.wait()
        except OSError as error:
            where = f"{group.host}:{group.port}"
            msg = f"cannot listen on {where}: {error.strerror or error}"
            raise CommandError(msg) from None
