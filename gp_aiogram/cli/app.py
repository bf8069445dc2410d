"""Puts the commands together; each has a file of its own."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from gp_aiogram.cli import (
    demo,
    doctor,
    events,
    forget,
    import_,
    init,
    migrate,
    outbox,
    report,
    sandbox,
    send,
    serve,
    sessions,
    worker,
)

app = typer.Typer(
    name="gp-aiogram",
    help="Ad attribution for aiogram bots, from the terminal.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain text, which wraps as the terminal is wide
    pretty_exceptions_show_locals=False,  # they may hold secrets
)
app.command(epilog=init.EXAMPLES)(init.init)
app.command(epilog=doctor.EXAMPLES)(doctor.doctor)
app.command(epilog=sandbox.EXAMPLES)(sandbox.sandbox)
app.command(epilog=demo.EXAMPLES)(demo.demo)
app.command(epilog=serve.EXAMPLES)(serve.serve)
app.command(epilog=worker.EXAMPLES)(worker.worker)
app.command(epilog=send.EXAMPLES)(send.send)
app.command(epilog=events.EXAMPLES)(events.events)
app.add_typer(outbox.app, name="outbox")
app.add_typer(sessions.app, name="sessions")
app.command(epilog=report.EXAMPLES)(report.report)
app.command(epilog=forget.EXAMPLES)(forget.forget)
app.command(epilog=migrate.EXAMPLES)(migrate.migrate)
app.command("import", epilog=import_.EXAMPLES)(import_.import_users)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("gp-aiogram"))
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take the options that no command owns; with it, one command is not taken for the app."""
