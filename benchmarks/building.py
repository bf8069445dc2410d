"""What a request to Meta costs to build, hashes included, beside ``facebook-business``."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from statistics import median
from typing import Any

import httpx

from benchmarks.table import Row, show
from gp_aiogram import Click, MetaCAPI
from gp_aiogram.identity import hashed
from gp_aiogram.model.event import Event, new_event

AIM = 0.6

#: Prices and cities that recur from event to event, as those of a bot do.
RECURRING = 100

_NOW = datetime.now(timezone.utc)

_CLICK = Click(
    at=_NOW,
    fbc="fb.1.1700000000000.IwAR0aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789",
    fbp="fb.1.1700000000000.1234567890",
    ip="198.51.100.7",
    user_agent="Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15",
    url="https://go.example.com/?utm_source=fb",
)

_USER = {
    "ph": "+49 151 23456789",
    "fn": "Ada",
    "ln": "Lovelace",
    "st": "Berlin",
    "zp": "10115",
    "country": "de",
}


async def run(*, quick: bool) -> None:
    """Measure and print."""
    size, rounds = (200, 5) if quick else (1000, 15)
    numbers = iter(range(10**9))
    events = [_event(next(numbers)) for _ in range(size)]
    meta = MetaCAPI("1234567890123456", "token", transport=httpx.MockTransport(_take))

    async def ours() -> None:
        for _ in events:
            _digests(next(numbers))
        await meta.send([meta.prepare(event) for event in events])

    async def ours_again() -> None:
        await meta.send([meta.prepare(event) for event in events])

    builders: dict[str, Callable[[], Any]] = {
        "gp_aiogram": ours,
        "gp_aiogram, identified before": ours_again,
    }
    try:
        build = _facebook_business()
    except ImportError:
        print("facebook-business: not there; pip install -r benchmarks/requirements.txt")
    else:

        async def theirs() -> None:
            build([next(numbers) for _ in range(size)])

        builders["facebook-business"] = theirs
    taken: dict[str, list[float]] = {name: [] for name in builders}
    gc.collect()
    gc.freeze()
    for number in range(rounds + 1):
        for name, one in builders.items():
            started = time.process_time()
            await one()
            if number:
                taken[name].append((time.process_time() - started) / size * 1e6)
    gc.unfreeze()
    await meta.close()
    reference = taken.get("facebook-business")
    show(
        "From an event with eight traits and a click to the JSON of a request",
        ["CPU us/event", "to facebook-business"],
        [_row(name, figures, reference) for name, figures in taken.items()],
    )


def _row(name: str, figures: list[float], reference: list[float] | None) -> Row:
    cell = f"{median(figures):.0f}"
    if reference is None:
        return Row(name, [cell, "-"])
    ratio = median(a / b for a, b in zip(figures, reference, strict=True))
    aim = (f"<= {AIM:g}x", ratio <= AIM) if name == "gp_aiogram" else None
    return Row(name, [cell, f"{ratio:.2f}x"], aim)


def _take(_: httpx.Request) -> httpx.Response:
    """Answer as Meta does, without reading: what the platform does is not measured."""
    return httpx.Response(200, json={"events_received": 1000})


def _event(number: int) -> Event:
    event = new_event(
        "Purchase",
        telegram_id=10**9 + number,
        event_time=_NOW,
        value=_price(number),
        currency="USD",
        user_data={"order_id": f"order-{number}"},
    )
    return replace(event, click=_CLICK, traits={"meta": _digests(number)})


def _price(number: int) -> float:
    return 9.99 + number % RECURRING


def _city(number: int) -> str:
    return f"Town {number % RECURRING}"


def _digests(number: int) -> dict[str, str]:
    """Normalise and hash what is known of a user, as ``identify()`` does it once."""
    user = {**_USER, "em": f"Ada{number}@Example.com", "ct": _city(number)}
    return {
        field: digest
        for field, value in user.items()
        if (digest := hashed(field, value, platform="meta"))
    }


def _facebook_business() -> Callable[[list[int]], None]:
    from facebook_business.adobjects.serverside import (  # noqa: PLC0415 - may be missing
        action_source,
        custom_data,
        event,
        event_request,
        user_data,
    )

    def one(number: int) -> Any:
        user = user_data.UserData(
            email=f"Ada{number}@Example.com",
            phone=_USER["ph"],
            first_name=_USER["fn"],
            last_name=_USER["ln"],
            city=_city(number),
            state=_USER["st"],
            zip_code=_USER["zp"],
            country_code=_USER["country"],
            external_id=str(10**9 + number),
            client_ip_address=_CLICK.ip,
            client_user_agent=_CLICK.user_agent,
            fbc=_CLICK.fbc,
            fbp=_CLICK.fbp,
        )
        return event.Event(
            event_name="Purchase",
            event_time=int(_NOW.timestamp()),
            event_id=str(number),
            event_source_url=_CLICK.url,
            action_source=action_source.ActionSource.CHAT,
            user_data=user,
            custom_data=custom_data.CustomData(
                value=_price(number),
                currency="USD",
                order_id=f"order-{number}",
            ),
        )

    def build(numbers: list[int]) -> None:
        request = event_request.EventRequest(
            pixel_id="1234567890123456",
            access_token="token",
            events=[one(number) for number in numbers],
        )
        json.dumps(request.get_params()).encode()

    return build
