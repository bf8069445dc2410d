"""``gp-aiogram send``: one event from the shell."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from gp_aiogram.cli.access import delivering
from gp_aiogram.cli.console import FAILED, CommandError, run
from gp_aiogram.cli.options import JSON, BotId, moment
from gp_aiogram.cli.output import Table, note, print_table
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.model import codec
from gp_aiogram.model.event import Event
from gp_aiogram.settings import Settings
from gp_aiogram.stores.records import Delivery
from gp_aiogram.tracker import Tracker

EXAMPLES = """
\b
Examples:
  gp-aiogram send REG --user 1001
  gp-aiogram send FTD --user 1001 --value 50 --currency EUR --once user
  gp-aiogram send Lead --user 1001 --data plan=gold --data seats=3 --to meta

\b
Exit codes:
  0  recorded, and every destination that has answered has taken it
  1  not recorded, or a destination did not take it: the text says why
  2  wrong settings or arguments
"""

#: Seconds between two looks at what became of the event.
_LOOK_AGAIN = 0.05


def send(
    *,
    name: Annotated[str, typer.Argument(help="The event: FTD, DEP, REG, or your own name.")],
    user: Annotated[int, typer.Option("--user", "-u", help="Telegram id of the user.")],
    bot: BotId = None,
    value: Annotated[
        str | None, typer.Option(help="Units of the currency, such as 49.90.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="An ISO 4217 code; USD by default.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="An item of user_data; the value may be JSON. Repeatable."
        ),
    ] = None,
    session: Annotated[
        str | None, typer.Option(help="Credit this session instead of the user's current one.")
    ] = None,
    event_id: Annotated[
        str | None, typer.Option(help="Your own event id; a known one records nothing.")
    ] = None,
    event_time: Annotated[
        datetime | None,
        typer.Option(
            "--time", metavar="TIME", help="When it happened; now by default.", parser=moment
        ),
    ] = None,
    once: Annotated[
        str | None,
        typer.Option(help="'user' or an order's id: record this event only once for it."),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Send to this destination only. Repeatable."),
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for destinations.")] = 10.0,
    as_json: JSON = False,
) -> None:
    """Record one event, deliver it, and show the answer of each destination.

    Destinations are those of GP_* variables and .env. Whatever is due in the store is delivered
    as well, as when a bot starts. The before_send of your bot is not asked. With a SQLite store,
    stop the bot first.
    """
    event = {
        "telegram_id": user,
        "bot_id": bot,
        "value": value,
        "currency": currency,
        "user_data": _user_data(data or []),
        "session_id": session,
        "event_id": event_id,
        "event_time": event_time,
        "once": once,
        "to": to or None,
    }
    run(_send(name, event, wait, as_json))


def _user_data(pairs: Sequence[str]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            msg = f"--data takes KEY=VALUE, not {pair!r}"
            raise typer.BadParameter(msg)
        found[key] = _json_or_text(value)
    return found


def _json_or_text(value: str) -> Any:
    try:
        return codec.decode(value)
    except ValueError:
        return value


async def _send(name: str, arguments: dict[str, Any], wait: float, as_json: bool) -> None:
    settings = Settings()
    async with delivering(settings) as tracker:
        event = await _recorded(tracker, name, arguments)
        deliveries = await _outcomes(tracker, event, wait)
    table = Table(("destination", "state", "attempts", "reason"), [*map(_row, deliveries)])
    note(f"recorded {event.name} of user {event.telegram_id}, event id {event.event_id}")
    print_table(table, "no destination gets such an event", as_json=as_json)
    if any(map(_failed, deliveries)):
        raise typer.Exit(FAILED)


async def _recorded(tracker: Tracker, name: str, arguments: dict[str, Any]) -> Event:
    unknown = {*(arguments["to"] or ())} - {each.name for each in tracker.destinations}
    if unknown:
        known = ", ".join(each.name for each in tracker.destinations)
        msg = f"there is no destination {min(unknown)!r}: there are {known}"
        raise ConfigurationError(msg)
    event = await tracker.track(name, **arguments)
    if event is None:
        msg = (
            "nothing was recorded: an event with this id or --once is known already, or the user "
            "has opted out"
        )
        raise CommandError(msg)
    return event


async def _outcomes(tracker: Tracker, event: Event, wait: float) -> list[Delivery]:
    """Return what became of an event, when every destination has been tried or time is up."""
    deadline = asyncio.get_running_loop().time() + wait
    while True:
        found = [
            each
            for each in await tracker.deliveries(event.event_id)
            if each.event.name == event.name
        ]
        untried = [each for each in found if each.state == "pending" and not each.attempts]
        left = deadline - asyncio.get_running_loop().time()
        if not untried or left <= 0:
            return found
        await asyncio.sleep(min(_LOOK_AGAIN, left))


def _failed(delivery: Delivery) -> bool:
    return delivery.state == "dead" or delivery.attempts > 0


def _row(delivery: Delivery) -> Sequence[object]:
    return (delivery.destination, delivery.state, delivery.attempts, delivery.reason)
