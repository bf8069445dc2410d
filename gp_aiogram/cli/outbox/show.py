"""``gp-aiogram outbox show``: one event, and what became of it everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from gp_aiogram.cli.access import configured, reading
from gp_aiogram.cli.console import CommandError, run
from gp_aiogram.cli.options import EXIT_CODES, JSON
from gp_aiogram.cli.output import print_fields, print_json, text_of
from gp_aiogram.destinations.base import Destination
from gp_aiogram.model import codec
from gp_aiogram.model.event import Event
from gp_aiogram.settings import Settings
from gp_aiogram.stores.records import Delivery, DeliveryFilter

EXAMPLES = f"""
\b
Examples:
  gp-aiogram outbox show 5f0c9a
  gp-aiogram outbox show 5f0c9a --json | jq '.[0].deliveries'

{EXIT_CODES}
"""

#: Deliveries of events with one id: more than any tracker has.
_ALL = 1000

#: States that a try has led to, or the end of trying.
_SETTLED = ("delivered", "dead")


def show(
    event_id: Annotated[str, typer.Argument(help="The event's id.")],
    as_json: JSON = False,
) -> None:
    """Show an event as it is stored, what became of it, and what each destination is sent.

    Each failed try has a line with its time and answer. Of many, the first and the last ones are
    kept. The payload is what a destination that is configured here builds now, without secrets.
    """
    run(_show(event_id, as_json))


async def _show(event_id: str, as_json: bool) -> None:
    settings = Settings()
    async with reading(settings) as store:
        found = await store.outbox.select(DeliveryFilter(event_id=event_id), limit=_ALL)
    if not found:
        msg = f"no delivery of an event {event_id!r} is stored"
        raise CommandError(msg)
    known = configured(settings)
    events: dict[str, dict[str, Any]] = {}
    for delivery in found:
        told = events.setdefault(delivery.event.name, _told_of(delivery.event))
        destination = known.get(delivery.destination)
        told["deliveries"].append(await _told_of_delivery(delivery, destination))
    if as_json:
        print_json([*events.values()])
    else:
        for position, told in enumerate(events.values()):
            if position:
                typer.echo("")
            _print(told)


def _told_of(event: Event) -> dict[str, Any]:
    return {**codec.decode(event.to_json()), "deliveries": []}


async def _told_of_delivery(delivery: Delivery, destination: Destination | None) -> dict[str, Any]:
    return {
        "destination": delivery.destination,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "since": delivery.since,
        "due": delivery.due if delivery.state == "pending" else None,
        "settled": delivery.due if delivery.state in _SETTLED else None,
        "maybe_delivered": delivery.maybe_delivered,
        "reason": delivery.reason,
        "tries": [one._asdict() for one in delivery.tries],
        "tries_left_out": delivery.tries_left_out,
        "receipt": dict(delivery.receipt),
        "payload": await _payload_of(delivery.event, destination),
    }


async def _payload_of(event: Event, destination: Destination | None) -> Any:
    """Return what a destination is sent of an event, as JSON values without secrets."""
    if destination is None:
        return "unknown: no destination of this name is configured here"
    preview = await destination.preview(event)
    if preview.refusal is not None:
        return f"none: {preview.refusal}"
    return [each._asdict() for each in preview.requests] or preview.item


def _print(told: Mapping[str, Any]) -> None:
    print_fields({name: value for name, value in told.items() if name != "deliveries"})
    for delivery in told["deliveries"]:
        typer.echo("")
        print_fields(dict(_with_lines(delivery)))


def _with_lines(delivery: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield what is told of a delivery, with a line for each of its tries."""
    for name, value in delivery.items():
        if name == "tries":
            yield from _lines(value)
        elif name != "tries_left_out":
            yield name, value


def _lines(tries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    last = 0
    for each in tries:
        number = each["number"]
        if number > last + 1:
            missing = f"{last + 1}-{number - 1}" if number > last + 2 else f"{last + 1}"
            yield f"try {missing}", "not kept"
        yield f"try {number}", _line(each)
        last = number


def _line(tried: Mapping[str, Any]) -> str:
    status, reason = tried["status"], tried["reason"]
    # Most reasons begin with the status, or have it in them.
    told = "" if status is None or f"HTTP {status}" in reason else f", HTTP {status}"
    return f"{text_of(tried['at'])}  {tried['outcome']}{told}: {reason}"
