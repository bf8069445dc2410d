"""Options that several commands have, and how their values are read."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Annotated

import typer

_AGE = re.compile(r"(\d{1,5})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str) -> datetime:
    """Read a day or a moment in UTC, such as 2026-09-21 or 2026-09-21T12:00, or an age as 7d.

    :raises typer.BadParameter: when it is neither.
    """
    if age := _AGE.fullmatch(text):
        ago = timedelta(**{_UNITS[age[2]]: int(age[1])})
        return datetime.now(timezone.utc) - ago
    try:
        told = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        msg = f"{text!r} is no moment: write 2026-09-21, 2026-09-21T12:00, or an age such as 7d"
        raise typer.BadParameter(msg) from None
    return told if told.tzinfo else told.replace(tzinfo=timezone.utc)


JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of rows.")]

DestinationName = Annotated[
    str | None, typer.Option("--destination", "-d", help="Only this destination, by its name.")
]

UserId = Annotated[
    int | None, typer.Option("--user", "-u", help="Only this user, by Telegram id.")
]

BotId = Annotated[int | None, typer.Option("--bot", help="Only this bot, by its id.")]

EventId = Annotated[str | None, typer.Option("--event", "-e", help="Only this event, by its id.")]

Before = Annotated[
    datetime | None,
    typer.Option(
        "--before",
        metavar="TIME",
        help="Only earlier ones: 2026-09-21, 2026-09-21T12:00 (UTC), or an age such as 7d.",
        parser=moment,
    ),
]

MaybeDelivered = Annotated[
    bool | None,
    typer.Option(
        "--maybe-delivered/--not-delivered",
        help="Only those that may have arrived, as their answer was lost; or only the others.",
    ),
]

#: What ``--help`` of every command ends with; ``\\b`` keeps the lines of a paragraph as they are.
EXIT_CODES = """
\b
Exit codes:
  0  done
  1  it could not be done: the text says why and what to do
  2  wrong settings or arguments
"""
