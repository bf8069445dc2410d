"""What the tests of the ad platforms' destinations share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from gp_aiogram import DeliveryError, Destination, Event, MemoryStore
from gp_aiogram.click import Click
from gp_aiogram.event import utc_from_timestamp
from gp_aiogram.lane import Lane
from gp_aiogram.testing import ManualClock

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
NOON_SECONDS = 1_767_268_800

BROWSER = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36"
PAGE = "https://shop.example/offer?fbclid=IwAR_AbC&ttclid=E.C.P.x&utm_source=fb"

CLICK = Click(
    at=NOON - timedelta(hours=1),
    fbclid="IwAR_AbC",
    fbp="fb.1.1767260000000.1098115397",
    ttclid="E.C.P.x",
    ttp="2Hsp8kY1LzDk0K",
    ip="93.184.216.34",
    user_agent=BROWSER,
    url=PAGE,
    referrer="https://m.facebook.example/",
)


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


TELEGRAM_ID = digest("42")


def event(**fields: Any) -> Event:
    required = {"event_id": "e1", "name": "REG", "event_time": NOON, "telegram_id": 42}
    return Event(**required | fields)


def purchase(**fields: Any) -> Event:
    return event(**{"name": "Purchase", "value": Decimal("49.90"), "currency": "EUR"} | fields)


class Backend:
    """Answers every request alike, or as a function of its body says, and keeps the requests."""

    def __init__(self, answer: Any, status: int = 200, headers: Any = None) -> None:
        self.answer = answer
        self.status = status
        self.headers = headers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answer(self.bodies[-1]) if callable(self.answer) else self.answer
        if isinstance(answer, httpx.Response):
            return answer
        if isinstance(answer, str):
            return httpx.Response(self.status, text=answer, headers=self.headers)
        return httpx.Response(self.status, json=answer, headers=self.headers)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]


async def failure(destination: Destination, *events: Event) -> DeliveryError:
    """Return the error that sending leads to."""
    with pytest.raises(DeliveryError) as caught:
        await destination.send(events or [event()])
    return caught.value


def cases(file: str) -> list[Any]:
    """Read the rows of a file of cases."""
    found = json.loads((Path(__file__).parent / "data" / file).read_text(encoding="utf-8"))
    return found["cases"] if isinstance(found, dict) else found


async def through_a_lane(
    destination: Destination,
    events: Sequence[Event],
) -> Callable[[], Any]:
    """Have a lane deliver events, as the courier does; return what tells their states."""
    outbox = MemoryStore(clock=ManualClock())
    for one in events:
        assert await outbox.accept(one, [destination.name])
    await Lane(destination, outbox).round()

    async def states() -> dict[str, int]:
        return dict((await outbox.counts())[destination.name])

    return states


def recent(count: int, **fields: Any) -> list[Event]:
    """Make events that happened just now, by the clock of the lane."""
    now = utc_from_timestamp(ManualClock().time())
    return [event(event_id=f"e{n:04}", event_time=now, **fields) for n in range(count)]
