"""The way of one person's clicks, sessions and events, as the page shows it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from gp_aiogram import Delivery, Event, Session, Tracker
from gp_aiogram.playground.people import Person
from gp_aiogram.playground.platforms import Platform
from gp_aiogram.sandbox import SandboxRequest
from gp_aiogram.stores.records import DeliveryFilter, EventRecord, Span

#: One step of a journey, and one try of a delivery; JSON values.
Step = dict[str, Any]
Try = dict[str, Any]

#: Events that are shown; the oldest are left out.
MOST = 40


class Journeys:
    """Reads what the tracker has stored, and what the stand-ins were asked.

    :param tracker: records the events.
    :param platforms: where it sends them.
    """

    def __init__(self, tracker: Tracker, platforms: dict[str, Platform]) -> None:
        self._tracker = tracker
        self._platforms = platforms

    async def of(self, person: Person) -> list[Step]:
        """Return all steps of a person, oldest first."""
        user_id = person.user.id
        sessions = list(await self._tracker.store.sessions.history(user_id))
        ids = dict.fromkeys(session.session_id for session in sessions)
        clicks = [await self._click(user_id, one, waits=False) for one in ids]
        if person.link is not None and person.link.payload and person.link.payload not in ids:
            clicks.append(await self._click(user_id, person.link.payload, waits=True))
        steps = [*filter(None, clicks), *map(_session, sessions), *(await self._events(user_id))]
        # Telegram tells whole seconds: within one, things come in the order that they have.
        return sorted(steps, key=lambda step: (int(step["at"]), _ORDER[step["kind"]]))

    async def _click(self, user_id: int, session_id: str, *, waits: bool) -> Step | None:
        """Return the click of a session; None when no landing page saw one.

        :param waits: no user has come with it yet.
        """
        click = (await self._tracker.store.profiles.profile(user_id, session_id)).click
        if click is None:
            return None
        fields = click.to_dict()
        del fields["at"]
        return {
            "kind": "click",
            "key": f"click:{session_id}",
            "at": click.moment.timestamp(),
            "session_id": session_id,
            "waits": waits,
            "fields": fields,
        }

    async def _events(self, user_id: int) -> list[Step]:
        last = Span(limit=MOST, newest=True)
        records = await self._tracker.store.outbox.events(
            DeliveryFilter(telegram_id=user_id), last
        )
        tries = {name: _tries(platform) for name, platform in self._platforms.items()}
        return [self._event(record, tries) for record in reversed(records)]

    def _event(self, record: EventRecord, tries: dict[str, dict[str, list[Try]]]) -> Step:
        event = record.event
        return {
            "kind": "event",
            "key": f"event:{event.event_id}:{event.name}",
            "at": event.event_time.timestamp(),
            "name": event.name,
            "value": None if event.value is None else str(event.value),
            "currency": event.currency,
            "session_id": event.session_id,
            "json": _shown(event),
            "deliveries": [
                self._delivery(one, tries.get(one.destination, {}).get(event.event_id, []))
                for one in record.deliveries
            ],
        }

    def _delivery(self, delivery: Delivery, tries: list[Try]) -> Step:
        platform = self._platforms.get(delivery.destination)
        return {
            "destination": delivery.destination,
            "title": delivery.destination if platform is None else platform.title,
            "state": delivery.state,
            "due": delivery.due.timestamp(),
            "reason": delivery.reason,
            "tries": tries,
        }


_ORDER = {"click": 0, "session": 1, "event": 2}


def _session(session: Session) -> Step:
    return {
        "kind": "session",
        "key": f"session:{session.session_id}:{session.at.timestamp()}",
        "at": session.at.timestamp(),
        "session_id": session.session_id,
        "source": session.source,
        "telegram_id": session.telegram_id,
    }


def _shown(event: Event) -> Any:
    """Return an event as it is stored, without the click, which is a step of its own."""
    fields = json.loads(event.to_json())
    fields.pop("click", None)
    return fields


def _tries(platform: Platform) -> dict[str, list[Try]]:
    """Return by event id what the stand-in was asked, oldest first."""
    tries: defaultdict[str, list[Try]] = defaultdict(list)
    for request in platform.stand_in.requests:
        shown = _try(request)
        for event_id in _event_ids(request):
            tries[event_id].append(shown)
    return tries


def _event_ids(request: SandboxRequest) -> Iterator[str]:
    """Yield the ids of the events that a request speaks of."""
    if key := request.headers.get("Idempotency-Key"):
        yield unquote(key)
    batch = request.body.get("data", []) if isinstance(request.body, dict) else []
    for item in _records(batch):
        if "event_id" in item:
            yield str(item["event_id"])


def _records(batch: object) -> Iterable[dict[str, Any]]:
    return [item for item in batch if isinstance(item, dict)] if isinstance(batch, list) else []


def _try(request: SandboxRequest) -> Try:
    return {
        "at": request.at,
        "method": request.method,
        "path": request.path,
        "request": request.body,
        "status": request.status,
        "answer": _parsed(request.answer),
    }


def _parsed(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text
