"""Sessions, events and deliveries as the JSON that pages of gp_aiogram show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from gp_aiogram.destinations.base import Destination
from gp_aiogram.destinations.preview import Preview
from gp_aiogram.model.clock import to_ms
from gp_aiogram.model.event import Event
from gp_aiogram.model.session import Session
from gp_aiogram.stores.records import Delivery, EventRecord, TouchRecord, Try

#: What a JSON number of JavaScript cannot hold exactly is a text.
_EXACT = 2**53


def touch_json(record: TouchRecord) -> dict[str, Any]:
    """Return a touch of a user."""
    return {"n": record.number, **session_json(record.session)}


def session_json(session: Session) -> dict[str, Any]:
    """Return a touch of a user, wherever it is from."""
    return {
        "user": _whole(session.telegram_id),
        "bot": _whole(session.bot_id),
        "session": session.session_id,
        "source": session.source,
        "at": _ms(session.at),
        "payload": session.payload,
    }


def event_json(record: EventRecord) -> dict[str, Any]:
    """Return an event as a row of a list, with its deliveries."""
    event = record.event
    return {
        "seq": record.seq,
        "id": event.event_id,
        "name": event.name,
        "at": _ms(event.event_time),
        "accepted": _ms(record.accepted),
        "user": _whole(event.telegram_id),
        "bot": _whole(event.bot_id),
        "session": event.session_id,
        "value": None if event.value is None else f"{event.value:f}",
        "currency": event.currency,
        "campaign": campaign_of(event),
        "deliveries": [delivery_json(each) for each in record.deliveries],
    }


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """Return how a delivery is doing."""
    return {
        "to": delivery.destination,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "since": _ms(delivery.since),
        "due": _ms(delivery.due),
        "reason": delivery.reason,
        "maybe": delivery.maybe_delivered,
        "cap": delivery.batch_cap,
        "receipt": dict(delivery.receipt),
    }


def _try_json(tried: Try) -> dict[str, Any]:
    return {**tried._asdict(), "at": _ms(tried.at)}


async def journey_json(
    record: EventRecord,
    destinations: Iterable[Destination],
    touches: Iterable[Session] = (),
) -> dict[str, Any]:
    """Return everything that is known of an event: click, sessions, and what each place gets.

    Traits are shown as they are stored, which is hashed where platforms want hashes.

    :param destinations: show what they would send, with neither requests nor secrets.
    :param touches: the touches of the event's session.
    """
    event = record.event
    by_name = {destination.name: destination for destination in destinations}
    deliveries = []
    for delivery in record.deliveries:
        destination = by_name.get(delivery.destination)
        preview = None if destination is None else await destination.preview(event)
        deliveries.append(
            {
                **delivery_json(delivery),
                "tries": [_try_json(one) for one in delivery.tries],
                "payload": None if preview is None else preview_json(preview),
            }
        )
    return {
        **event_json(record),
        "deliveries": deliveries,
        "bot_username": event.bot_username,
        "user_data": dict(event.user_data),
        "click": None if event.click is None else event.click.to_dict(),
        "traits": {platform: dict(fields) for platform, fields in event.traits.items()},
        "touches": [session_json(touch) for touch in touches],
    }


def preview_json(preview: Preview) -> dict[str, Any]:
    """Return what a destination would send of an event."""
    return {
        "requests": [
            {
                "method": request.method,
                "url": request.url,
                "headers": dict(request.headers),
                "body": request.body,
            }
            for request in preview.requests
        ],
        "item": preview.item,
        "refusal": preview.refusal,
    }


def campaign_of(event: Event) -> str | None:
    """Return the campaign of the click that an event is credited to."""
    utm: Mapping[str, str] = {} if event.click is None else event.click.utm
    return utm.get("utm_campaign")


def _ms(moment: datetime) -> int:
    return to_ms(moment)


def _whole(number: int | None) -> int | str | None:
    return number if number is None or number < _EXACT else str(number)
