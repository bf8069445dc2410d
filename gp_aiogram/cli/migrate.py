"""``gp-aiogram migrate``: moves a SQLite file into a store that many processes share."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gp_aiogram.cli.console import told_in_a_line
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.settings import Settings
from gp_aiogram.stores import from_url, sessions_from_url
from gp_aiogram.stores.migration.move import Move, Moved, Tell
from gp_aiogram.stores.migration.postgres import PostgresTarget
from gp_aiogram.stores.migration.redis import RedisTarget
from gp_aiogram.stores.migration.source import SQLiteSource
from gp_aiogram.stores.migration.target import Target
from gp_aiogram.stores.postgres.store import PostgresStore
from gp_aiogram.stores.sqlite.store import SQLiteStore

#: What ``--help`` ends with; ``\b`` keeps the lines of a paragraph as they are.
EXAMPLES = """
\b
Examples:
  gp-aiogram migrate --from sqlite:///gp.sqlite3
  gp-aiogram migrate --from sqlite:///gp.sqlite3 --to postgresql://bot:…@db/shop?schema=gp
  gp-aiogram migrate --from sqlite:///gp.sqlite3 --to redis://localhost:6379/0

\b
Exit codes:
  0  everything is there
  1  it could not be moved, or not all of it: the text says why and what to do
  2  wrong settings or arguments
"""

#: Schemes of Redis, which takes what is known of users.
_REDIS = ("redis", "rediss", "unix")

#: Seconds between two lines where nobody sees a bar.
_PAUSE = 5.0


def migrate(
    source: Annotated[
        str,
        typer.Option("--from", help="The bot's current file, such as sqlite:///gp.sqlite3."),
    ],
    to: Annotated[
        str | None,
        typer.Option(help="The target, instead of GP_STORE: postgresql://… or redis://…"),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Discard what an unfinished run has written, and start over."
        ),
    ] = False,
) -> None:
    """Move a SQLite store to PostgreSQL, or its sessions and profiles to Redis.

    It moves sessions, clicks, traits, invite links, waiting conversions, events with their
    deliveries and once-keys. Stop the bot first. A PostgreSQL schema cannot be used until
    everything is there. After an interruption, even kill -9, run it again: it continues. The file
    is not changed.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with told_in_a_line():
        path = _path(source)
        settings = Settings()
        url = to or settings.store.get_secret_value()
        target = _target(url, settings)
        with _shown() as tell:
            moved = asyncio.run(Move(SQLiteSource(path), target, tell).run(restart=restart))
        _tell(moved, path, url)


def _path(url: str) -> Path:
    store = from_url(url) if "://" in url else None
    if not isinstance(store, SQLiteStore):
        msg = "--from takes the URL of a SQLite file, such as sqlite:///gp.sqlite3"
        raise ConfigurationError(msg)
    return store.path


def _target(url: str, settings: Settings) -> Target:
    if _is_redis(url):
        users = sessions_from_url(url)
        # It forgets by itself, and not before a tracker would.
        users.keep_for(settings.retention.build())
        return RedisTarget(users)
    store = from_url(url)
    if isinstance(store, PostgresStore):
        return PostgresTarget(store.address)
    msg = (
        "--to, or GP_STORE, must name the new store: postgresql://user:password@host/database, "
        "or redis://host:6379/0 for sessions and profiles"
    )
    raise ConfigurationError(msg)


def _is_redis(url: str) -> bool:
    return url.partition(":")[0].lower() in _REDIS


@contextmanager
def _shown() -> Iterator[Tell]:
    """Show how far it has come on standard error: a bar for people, lines for a log."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    bar = Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    tasks = {}

    def advance(name: str, done: int, total: int) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(name, total=total)
        # A bar of nothing is a full one.
        bar.update(tasks[name], completed=done if total else 1, total=total or 1)

    with bar:
        yield advance


class _Lines:
    """Writes a line when a step ends, and every few seconds of it."""

    def __init__(self) -> None:
        self._last = ""
        self._told_at = time.monotonic()

    def __call__(self, name: str, done: int, total: int) -> None:
        now = time.monotonic()
        line = f"{name}: {done} of {total}"
        if line != self._last and (done == total or now - self._told_at >= _PAUSE):
            self._last, self._told_at = line, now
            typer.echo(line, err=True)


def _tell(moved: Moved, path: Path, url: str) -> None:
    setting = "GP_SESSIONS" if _is_redis(url) else "GP_STORE"
    if moved.was_there:
        typer.echo(f"everything from {path} is there already")
    else:
        told = ", ".join(f"{count} {name}" for name, count in moved.counts.items())
        typer.echo(f"moved and compared: {told}")
    for name, count in moved.left_out.items():
        typer.echo(f"left out, since nobody can read them: {count} {name}", err=True)
    typer.echo(f"now set {setting} to the URL of the new store, for every bot and worker")
    if _is_redis(url):
        typer.echo(f"leave GP_STORE as it is: events stay in {path}")
    else:
        typer.echo(
            f"{path} is as it was: start no bot on it any more, and delete it when you need no "
            "way back, since it holds what your users have told"
        )
