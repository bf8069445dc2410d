"""What every command shares: log, errors in a line, exit codes, questions."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from gp_aiogram.cli import USAGE
from gp_aiogram.errors import ConfigurationError, GPError

#: Exit code for what could not be done although the command was right.
FAILED = 1


class CommandError(Exception):
    """A command cannot go on; the text says why and what to do."""


def log_to_stderr(level: int = logging.INFO) -> None:
    """Log as a console process does: plain lines.

    :param level: what is less is not logged.
    """
    logging.basicConfig(
        level=level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


@contextmanager
def told_in_a_line() -> Iterator[None]:
    """Tell expected errors without a traceback, and exit."""
    try:
        yield
    except ConfigurationError as error:
        _exit(error, USAGE)
    except (CommandError, GPError) as error:
        _exit(error, FAILED)


def _exit(error: Exception, code: int) -> None:
    typer.echo(f"gp-aiogram: {error}", err=True)
    raise typer.Exit(code) from None


def run(command: Coroutine[Any, Any, None]) -> None:
    """Run a command that asks a store or the network, with warnings alone in the log."""
    log_to_stderr(logging.WARNING)
    with told_in_a_line():
        asyncio.run(command)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone.

    :param yes: it was answered already.
    :raises ConfigurationError: when nobody is there to answer.
    :raises CommandError: when the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        msg = f"{question} Nobody is there to answer: say --yes"
        raise ConfigurationError(msg)
    if not typer.confirm(question):
        msg = "nothing was changed"
        raise CommandError(msg)
