"""What docs/explanation/attribution.md and docs/howto/from-hand-written-code.md promise."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from xml.etree import ElementTree as ET

from fixtures.pages import DOCS
from gp_aiogram import Attribution, MemoryStore, Tracker


def days_ago(days: int) -> datetime:
    return datetime.now(timezone.utc) - timedelta(days=days)


async def credited(attribution: Attribution | None = None, **arguments: object) -> str | None:
    """Return the session that an event of a user with four touches gets."""
    kept = {} if attribution is None else {"attribution": attribution}
    async with Tracker([], store=MemoryStore(), deliver=False, **kept) as tracker:
        await tracker.capture(7, "gp_old", bot_id=42, at=days_ago(40))
        await tracker.capture(7, "gp_first", bot_id=42, at=days_ago(20))
        await tracker.invites.bind("https://t.me/+abc", "gp_invited")
        await tracker.capture_invite(7, "https://t.me/+abc", bot_id=42, at=days_ago(10))
        await tracker.capture(7, "gp_last", bot_id=42, at=days_ago(5))
        event = await tracker.track("REG", telegram_id=7, bot_id=42, **arguments)
    assert event is not None
    return event.session_id


async def test_the_order_in_which_sessions_are_chosen() -> None:
    assert await credited(session_id="gp_given") == "gp_given"
    assert await credited() == "gp_invited"
    assert await credited(Attribution(invites_first=False)) == "gp_last"
    assert await credited(Attribution(invites_first=False, touch="first")) == "gp_first"
    assert await credited(Attribution(invites_first=False, own={"gp_last"})) == "gp_invited"
    assert await credited(event_time=days_ago(15)) == "gp_first", "counted from the event"


async def test_an_imported_user_gets_no_first_deposit() -> None:
    async with Tracker([], store=MemoryStore(), deliver=False) as tracker:
        await tracker.mark_deposited([1001, 1002])
        paid = {"value": 5, "currency": "EUR", "once": "order-1"}
        event = await tracker.deposit(telegram_id=1001, bot_id=42, **paid)
    assert event is not None
    assert event.name == "DEP"


def test_the_drawing_has_a_title_for_those_who_do_not_see_it() -> None:
    root = ET.parse(DOCS / "images" / "attribution.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    title = root.find(f"{space}title")
    assert title is not None
    assert title.get("id") == root.get("aria-labelledby")
