"""No raw e-mail, phone or token in the outbox, in a log record, in a repr or in a dead letter."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gp_aiogram import GramPixel, LeadSail, MetaCAPI, SQLiteStore, TikTokEvents, Tracker

SECRETS = ("gramKEY51", "metaTOKEN52", "appSECRET53", "tikTOKEN54", "leadKEY55")

EMAILS = st.from_regex(r"[a-z]{3,10}[0-9]{2}\.[A-Z]{3,8}@[a-z]{4,9}\.(com|de)", fullmatch=True)
PHONES = st.from_regex(r"\+49 15[0-9] [1-9][0-9]{3} [0-9]{4}", fullmatch=True)


def echo(request: httpx.Request) -> httpx.Response:
    """Refuse, and tell everything that was said, as the worst of servers does."""
    headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
    heard = f"{headers}\n{request.url}\n{request.content.decode()}"
    host = str(request.url.host)
    if "facebook" in host:
        return httpx.Response(400, json={"error": {"code": 100, "message": heard}})
    if "tiktok" in host:
        return httpx.Response(400, json={"code": 40002, "message": heard})
    error = {"code": "VALIDATION_ERROR", "message": heard, "details": [heard]}
    return httpx.Response(422, json={"success": False, "error": error})


def destinations() -> list[Any]:
    gram, meta, app, tik, lead = SECRETS
    transport = httpx.MockTransport(echo)
    workspace = "0f8fad5b-d9cb-469f-a165-70867728950e"
    return [
        GramPixel(gram, workspace, transport=transport),
        MetaCAPI("123", meta, app_secret=app, transport=transport),
        TikTokEvents("C1", tik, page_url="https://example.com", transport=transport),
        LeadSail(lead, "1", "facebook", lead_id="lead_1", transport=transport),
    ]


async def everything_that_is_kept_or_shown(email: str, phone: str, folder: Path) -> bytes:
    shown: list[str] = []
    async with Tracker(destinations(), store=SQLiteStore(folder / "gp.sqlite3")) as tracker:
        await tracker.identify(7, email=email, phone=phone, first_name="Ada")
        contacts = {"email": email, "phone_number": phone, "note": f"call {phone}, {email}"}
        nested = {"plan": "gold", "people": [email, {"who": email, phone: 1}]}
        for name, user_data in (("REG", {}), ("Lead", contacts), ("TRIAL", nested)):
            event = await tracker.track(name, telegram_id=7, user_data=user_data)
            shown.append(repr(event))
        assert await tracker.flush(10)
        letters = await tracker.dead_letters()
        shown += [*map(repr, letters), *map(repr, destinations()), repr(await tracker.stats())]
        assert len(letters) == 12
        kept = [path.read_bytes() for path in folder.iterdir()]
    kept += [path.read_bytes() for path in folder.iterdir()]
    return b"".join([*kept, "\n".join(shown).encode()])


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(email=EMAILS, phone=PHONES)
def test_nothing_raw_and_no_secret_is_kept_or_shown(
    caplog: pytest.LogCaptureFixture,
    email: str,
    phone: str,
) -> None:
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    with tempfile.TemporaryDirectory() as folder:
        kept = asyncio.run(everything_that_is_kept_or_shown(email, phone, Path(folder)))
    logged = "\n".join(str(record.__dict__) for record in caplog.records)
    digits = "".join(filter(str.isdigit, phone))
    everything = (kept + logged.encode()).lower()
    for raw in (email, phone, digits, *SECRETS):
        assert raw.lower().encode() not in everything


async def test_contacts_in_user_data_become_hashed_traits(tracker: Tracker) -> None:
    event = await tracker.track(
        "REG",
        telegram_id=7,
        user_data={"email": "A@example.com", "plan": "gold", "tags": ["a", "b@example.com"]},
    )
    assert event.user_data == {"plan": "gold", "tags": ["a"]}
    assert set(event.traits["meta"]) == {"em"}
    assert len(event.traits["meta"]["em"]) == 64
