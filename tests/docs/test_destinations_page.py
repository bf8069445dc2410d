"""The tables of docs/reference/destinations.md, against what the destinations build."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest

from fixtures.pages import DOCS
from gp_aiogram import (
    Click,
    Event,
    GramPixel,
    HTTPDestination,
    LeadSail,
    MemoryStore,
    MetaCAPI,
    Snapchat,
    TikTokEvents,
    Tracker,
)
from gp_aiogram.model.catalogue import META, SNAPCHAT, TIKTOK_WEB

PAGE = (DOCS / "reference" / "destinations.md").read_text(encoding="utf-8")
IP, BROWSER = "203.0.113.7", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)"
TTCLID = "E.C.P." + "x" * 40


def table(heading: str) -> list[list[str]]:
    """Return the rows of the first table under a heading, without its head."""
    return _rows(heading)[2:]


def head(heading: str) -> list[str]:
    return _rows(heading)[0]


def _rows(heading: str) -> list[list[str]]:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in rows]


def at(body: Any, cell: str) -> Any:
    """Return the value under the path that a cell begins with."""
    path = cell.split(maxsplit=1)[0].rstrip(",")
    for key in path.split("."):
        body = body[key]
    return body[0] if isinstance(body, list) else body


@pytest.fixture
async def event() -> Event:
    """An event of which everything is known."""
    click = Click(
        fbclid="IwAR0abcDEF",
        fbp="fb.1.1700000000000.1234567890",
        ttclid=TTCLID,
        ttp="01HXYZ",
        ip=IP,
        user_agent=BROWSER,
        url="https://example.com/lp",
        ids={"ScCid": "sc-1"},
    )
    async with Tracker([], store=MemoryStore()) as tracker:
        session = await tracker.register_click(click)
        await tracker.capture(7, session, bot_id=42)
        await tracker.identify(
            7,
            email="ada@example.com",
            phone="+14155550100",
            first_name="Ada",
            birthday="1990-01-31",
            city="Berlin",
            zip_code="10115",
            lead_id="lead_1",
        )
        event = await tracker.track(
            "FTD",
            telegram_id=7,
            bot_id=42,
            value=Decimal(50),
            currency="EUR",
            user_data={"order_id": "order-1", "plan": "gold"},
        )
    assert event is not None
    return event


DESTINATIONS: dict[str, HTTPDestination] = {
    "GramPixel": GramPixel("KEY-0123", str(uuid4())),
    "Meta": MetaCAPI("1234567890", "TOKEN-0123"),
    "TikTok": TikTokEvents("C0PIXELCODE", "TOKEN-0123"),
    "Snapchat": Snapchat("PIXEL-0123", "TOKEN-0123"),
}


async def body_of(destination: HTTPDestination, event: Event) -> Any:
    """Return what a platform gets of one event."""
    (request,) = (await destination.preview(event)).requests
    return request.body["data"][0] if "data" in request.body else request.body


def test_the_names_of_events() -> None:
    rows = table("Event names")
    for ours, meta, tiktok, snapchat in rows:
        assert (META[ours], TIKTOK_WEB[ours], SNAPCHAT[ours]) == (meta, tiktok, snapchat)
    assert {row[0] for row in rows} == META.keys()


@pytest.mark.parametrize("column", range(1, 5))
async def test_the_fields_of_an_event(event: Event, column: int) -> None:
    platform = head("Fields")[column]
    body = await body_of(DESTINATIONS[platform], event)
    expected = {
        "name": {"FTD", "Purchase", "CompletePayment", "PURCHASE"},
        "event_id": {event.event_id},
        "event_time": {int(event.event_time.timestamp())},
        "telegram_id": {7, sha256(b"7").hexdigest()},
        "session_id": {event.session_id},
        "value": {50.0},
        "currency": {"EUR"},
    }
    for field, *cells in table("Fields"):
        cell = cells[column - 1]
        if cell == "not sent":
            assert str(getattr(event, field)) not in str(body)
        elif field == "user_data":
            assert at(body, cell)["order_id"] == "order-1"
        elif not cell.startswith("header"):
            assert at(body, cell) in expected[field], (platform, field)
            assert ("SHA-256" in cell) == (at(body, cell) == sha256(b"7").hexdigest())


async def test_what_each_destination_gets_of_a_user(event: Event) -> None:
    bodies = {name: await body_of(one, event) for name, one in DESTINATIONS.items()}
    digest = sha256(b"ada@example.com").hexdigest()
    assert {name: digest in str(body) for name, body in bodies.items()} == {
        "GramPixel": False,
        "Meta": True,
        "TikTok": True,
        "Snapchat": True,
    }
    assert bodies["Meta"]["custom_data"]["plan"] == "gold"
    assert "gold" not in str(bodies["TikTok"]) + str(bodies["Snapchat"])
    assert "city" in bodies["TikTok"]["user"], "plain, as TikTok requires"
    assert bodies["TikTok"]["user"]["city"] == "berlin"
    assert "db" in bodies["Meta"]["user_data"]
    assert "db" not in bodies["Snapchat"]["user_data"]
    assert bodies["Snapchat"]["user_data"]["sc_click_id"] == "sc-1"
    assert bodies["TikTok"]["user"]["ttclid"] == TTCLID
    assert bodies["Meta"]["user_data"]["fbc"].endswith("IwAR0abcDEF")
    for name, body in bodies.items():
        assert (IP in str(body)) == (name != "GramPixel")
    leadsail = LeadSail("KEY-0123", pixel_id="1", platform="facebook")
    assert (await body_of(leadsail, event))["leadId"] == "lead_1"
    assert event.session_id not in str(await body_of(leadsail, event))
